"""Load balancers: deletion protection holds."""

from __future__ import annotations

from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(ELBv2Backend)
def delete_load_balancer(original: Any, backend: Any, arn: str) -> Any:
    balancer = backend.load_balancers.get(arn)
    if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
        raise ELBClientError(
            "OperationNotPermitted",
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        )
    return original(backend, arn)


def install() -> None:
    """Install into moto."""
    patches.apply()
