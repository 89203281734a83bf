"""The only place for what a plan is: each resource's change, and what stands before and after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.core.cost import Resource

GUARD = "pulumi-python:dynamic/guard:Guard"
PROTECTED = ("marked for protection", "because it is protected")
HIDDEN = ("__provider", "__defaults", "__internal")
"""Inputs that the SDK adds for itself."""


class Op(StrEnum):
    """What happens to a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource; a replacement's three steps are one.

    `properties` are the inputs that differ, as dotted paths; `forced_by` those that make a replacement of it;
    `old_first` says that the old one goes before the new one comes (None: the preview does not tell).
    """

    op: Op
    before: Resource | None
    after: Resource | None
    properties: tuple[str, ...] = ()
    forced_by: tuple[str, ...] = ()
    old_first: bool | None = None

    @property
    def resource(self) -> Resource:
        """What it becomes, else what it was."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 a change has one of both by construction
        return found

    @property
    def inputs(self) -> set[str]:
        """The names of the inputs that differ, without what is inside."""
        return {each.partition(".")[0].partition("[")[0] for each in self.properties}

    @property
    def urn(self) -> str:
        """The resource's."""
        return self.resource.urn

    @property
    def unprotected(self) -> bool:
        """Whether Pulumi's protection is taken away."""
        return bool(self.before and self.after and self.before.protect and not self.after.protect)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the engine stopped: what it said, of which resource."""

    urn: str
    message: str

    @property
    def by_guard(self) -> bool:
        """Whether the stack's guard refused, and not the program or the provider."""
        return f"{GUARD}::" in self.urn

    @property
    def by_protection(self) -> bool:
        """Whether a protected resource would be deleted or replaced (pulumi, pkg/resource/deploy: both sentences)."""
        return any(each in self.message for each in PROTECTED)


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposed change of one stack.

    `source` says where it was read from. `engine` is False where no engine has judged it: then nobody knows what an
    update would replace. `whole` is False where unchanged resources were left out: then it has no price.
    `stopped` is what the engine ended with when every step was known, because a policy pack blocked or failed.
    """

    source: str
    changes: tuple[Change, ...]
    config: Mapping[str, Any]
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    engine: bool = True
    whole: bool = True
    stack: str = ""
    stopped: tuple[str, ...] = ()

    @property
    def before(self) -> list[Resource]:
        """What stands."""
        return [each.before for each in self.changes if each.before]

    @property
    def after(self) -> list[Resource]:
        """What will stand."""
        return [each.after for each in self.changes if each.after]

    def of(self, *ops: Op) -> list[Change]:
        """The changes of those kinds, of what is in the cloud (components are not)."""
        return [each for each in self.changes if each.op in ops and each.resource.custom]

    @property
    def proposes(self) -> bool:
        """Whether anything would change."""
        return any(each.op is not Op.SAME or each.unprotected for each in self.changes)


def of_states(before: Iterable[Resource], after: Iterable[Resource], *, source: str) -> Plan:
    """The plan between two sets of resources, where no engine has judged."""
    old = {each.urn: each for each in before}
    new = {each.urn: each for each in after}
    changes = []
    for urn in sorted({*old, *new}):
        one, other = old.get(urn), new.get(urn)
        properties = differing(one.inputs, other.inputs) if one and other else ()
        op = (
            Op.CREATE if one is None else Op.DELETE if other is None else Op.UPDATE if properties else Op.SAME
        )
        changes.append(Change(op, one, other, properties))
    return Plan(source, tuple(changes), {}, engine=False)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the inputs that differ."""
    names = sorted({*before, *after} - {*HIDDEN})
    return tuple(name for name in names if before.get(name) != after.get(name))
