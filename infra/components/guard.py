"""The only place for the guard: it sees old and new settings in every preview and up, and refuses what loses data.

A dynamic resource, because its `check` runs in plain `pulumi preview` and `pulumi up` with what the state remembers,
before any other resource is registered (the layout depends on it). The rules are in infra/core/transition.py.
The provider is pickled by reference (this module is importable), so the state always runs the code of today.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from infra.core.transition import Standing, refusals


class GuardProvider(ResourceProvider):
    """Remembers a stack's settings; creates nothing anywhere."""

    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Every refusal as a failure of its setting."""
        before = Standing.from_inputs(_olds) if _olds.get("project") else None
        faults = refusals(before, Standing.from_inputs(news))
        return CheckResult(
            news, [CheckFailure(fault.path, f"{fault.what}. {fault.remedy}") for fault in faults]
        )

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A change of a remembered setting is an update in place."""
        changed = [key for key in Standing.from_inputs(_news).as_inputs() if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(changed))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Takes the settings into the state."""
        return CreateResult("guard", outs=dict(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Takes the new settings into the state."""
        return UpdateResult(outs=dict(_news))


class Guard(Resource, module="guard", name="Guard"):
    """The stack's memory of its own settings."""

    def __init__(self, standing: Standing, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(GuardProvider(), "guard", standing.as_inputs(), opts)
