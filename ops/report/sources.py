"""The only place that tells a preview, a state and a recording apart, for commands that price any of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infra.core.cost import Resource
from infra.core.errors import Fault, TerraceError
from ops.report.preview import read_preview
from ops.report.recorded import read_recorded
from ops.report.state import parsed, read_state

MADE_BY = "pulumi preview --json --show-sames, pulumi stack export, or scripts/preview.py record"


@dataclass(frozen=True, slots=True)
class Source:
    """Resources of a file; those before and after are the same but for a preview's."""

    before: list[Resource]
    after: list[Resource]

    @property
    def changes(self) -> bool:
        """Whether the file holds a change by itself."""
        return self.before is not self.after


def unplaced(resources: list[Resource]) -> list[Resource]:
    """The same under URNs of kind and name alone, as a stage's resources bear them."""
    return [replace(each, urn=f"stage::{each.token}::{each.name}") for each in resources]


def read_source(text: str, *, where: str) -> Source:
    """The resources of a preview, a state or a recording.

    Raises:
        TerraceError: none of these, not whole, or a preview that leaves out what stays the same.
    """
    raw = parsed(text, where=where, made_by=MADE_BY)
    if "deployment" in raw:
        standing = read_state(text, where=where)
        return Source(standing, standing)
    if "terraceRecording" in raw:
        _, _, registered = read_recorded(text, where=where)
        return Source(registered, registered)
    if "steps" not in raw:
        raise TerraceError(Fault(where, "is no preview, state or recording", f"Make one: {MADE_BY}"))
    plan = read_preview(text, where=where)
    if plan.refusals:
        raise TerraceError(
            *(Fault(where, f"was refused: {each.message}", "Preview again") for each in plan.refusals)
        )
    if not plan.whole:
        raise TerraceError(
            Fault(where, "leaves out what stays the same, so it has no price", "Preview with --show-sames")
        )
    return Source(plan.before, plan.after)
