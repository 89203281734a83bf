"""Load balancers: deletion protection holds; a target is as well as the balancer's machine finds it."""

from __future__ import annotations

from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend

from embedded.aws.extensions.patching import Patches
from embedded.aws.hooks import HOOKS
from embedded.aws.world import WORLD

patches = Patches()

_REASONS = {
    "initial": ("Elb.InitialHealthChecking", "Initial health checks in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
}
"""Code and words by state (ELBv2 API reference, TargetHealth)."""


@patches.wrap(ELBv2Backend)
def delete_load_balancer(original: Any, backend: Any, arn: str) -> Any:
    balancer = backend.load_balancers.get(arn)
    if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
        raise ELBClientError(
            "OperationNotPermitted",
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        )
    return original(backend, arn)


@patches.wrap(ELBv2Backend)
def describe_target_health(original: Any, backend: Any, target_group_arn: str, targets: Any) -> Any:
    found = original(backend, target_group_arn, targets)
    if (asked := HOOKS.target_health) is None:
        return found
    name = str(backend.target_groups[target_group_arn].name)
    with WORLD.set_down():
        states = {each.instance_id: asked(name, str(each.instance_id)) for each in found}
    for each in found:
        if each.status == "healthy" and (state := states[each.instance_id]) is not None:
            each.status = state
            each.reason, each.description = _REASONS.get(state, (None, None))
    return found


def install() -> None:
    """Install into moto."""
    patches.apply()
