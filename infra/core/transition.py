"""The only place for which change of settings a standing stack may take, and why another is refused.

The guard (infra/components/guard.py) asks `refusals` in every preview and up; scripts ask it beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.core.errors import Fault
from infra.core.shape import Climb, Part, Phase, shape
from infra.core.stages import LADDER, Option, Stage


@dataclass(frozen=True, slots=True)
class Standing:
    """What the guard remembers of a stack: the settings that must not change freely, as plain values."""

    project: str
    stack: str
    region: str
    zones: tuple[str, ...]
    vpc_cidr: str
    stage: str
    data_volume_gib: int
    climb_to: str = ""
    climb_phase: str = ""
    kept: tuple[str, ...] = ()
    gpu: str = ""
    """The name of the GPU endpoint, empty where there is none."""
    gpu_remove: str = ""
    released: tuple[str, ...] = ()
    database_gib: int = 0

    @property
    def parts(self) -> frozenset[Part]:
        """What holds something that cannot be made again; empty for a stage that this version does not know."""
        if (stage := _stage(self.stage)) is None:
            return frozenset()
        to = _stage(self.climb_to)
        climb = Climb(to, Phase(self.climb_phase)) if to is not None and self.climb_phase else None
        known = {part.value for part in Part}
        return shape(stage, climb=climb, kept=[Part(each) for each in self.kept if each in known]).parts

    def as_inputs(self) -> dict[str, Any]:
        """The inputs of the guard resource: strings, numbers, lists."""
        return {
            "project": self.project,
            "stack": self.stack,
            "region": self.region,
            "zones": list(self.zones),
            "vpcCidr": self.vpc_cidr,
            "stage": self.stage,
            "dataVolumeGib": self.data_volume_gib,
            "climbTo": self.climb_to,
            "climbPhase": self.climb_phase,
            "kept": list(self.kept),
            "released": list(self.released),
            "databaseGib": self.database_gib,
            "gpu": self.gpu,
            "gpuRemove": self.gpu_remove,
        }

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> Standing:
        """The opposite of `as_inputs`; numbers may have become floats on their way through the engine."""
        return cls(
            project=inputs["project"],
            stack=inputs["stack"],
            region=inputs["region"],
            zones=tuple(inputs["zones"]),
            vpc_cidr=inputs["vpcCidr"],
            stage=inputs["stage"],
            data_volume_gib=int(inputs["dataVolumeGib"]),
            climb_to=inputs.get("climbTo", ""),
            climb_phase=inputs.get("climbPhase", ""),
            kept=tuple(inputs.get("kept", ())),
            released=tuple(inputs.get("released", ())),
            database_gib=int(inputs.get("databaseGib", 0)),
            gpu=inputs.get("gpu", ""),
            gpu_remove=inputs.get("gpuRemove", ""),
        )


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A setting that a standing stack never changes."""

    attribute: str
    path: str
    why: str


_FIXED = (
    _Fixed("project", "name in Pulumi.yaml", "every name, tag and URN holds it"),
    _Fixed("stack", "stack name", "every name, tag and URN holds it"),
    _Fixed("region", "aws:region", "nothing moves between regions"),
    _Fixed("vpc_cidr", "terrace:network.cidr", "every subnet and box would be replaced"),
)

_BY_NAME = {each.name: each for each in LADDER}


def refusals(standing: Standing | None, wanted: Standing) -> list[Fault]:
    """Why this change is refused; empty when it may go on. `standing` is None for a stack that is new."""
    if standing is None:
        return _born_in_a_climb(wanted)
    return [
        *_changes_of_fixed(standing, wanted),
        *_changes_of_zones(standing.zones, wanted.zones),
        *_shrinking_volume(standing, wanted),
        *(_bad_step(standing, wanted) or _lost_parts(standing, wanted)),
        *_unnamed_removal(standing, wanted),
    ]


def _born_in_a_climb(wanted: Standing) -> list[Fault]:
    if not wanted.climb_to:
        return []
    return [
        Fault(
            "terrace:climb",
            f"is set to {wanted.climb_to} where nothing stands yet",
            f"Leave it out; a new stack may begin at any stage: terrace:stage: {wanted.climb_to}",
        )
    ]


def _changes_of_fixed(standing: Standing, wanted: Standing) -> list[Fault]:
    return [
        Fault(
            fixed.path,
            f"is {getattr(wanted, fixed.attribute)!r} where this stack stands with "
            f"{getattr(standing, fixed.attribute)!r}",
            f"Put it back ({fixed.why}), or make a new stack: docs/runbook.md#another-region",
        )
        for fixed in _FIXED
        if getattr(standing, fixed.attribute) != getattr(wanted, fixed.attribute)
    ]


def _changes_of_zones(standing: Sequence[str], wanted: Sequence[str]) -> list[Fault]:
    faults = []
    if wanted[:1] != standing[:1]:
        faults.append(
            Fault(
                "terrace:zones[0]",
                f"is {', '.join(wanted[:1]) or 'missing'!r} where this stack stands in {standing[0]!r}",
                f"Put {standing[0]!r} first again: a volume never leaves its zone; to move, restore a snapshot "
                "into a new stack: docs/runbook.md#another-zone",
            )
        )
    if gone := [zone for zone in standing[1:] if zone not in wanted]:
        faults.append(
            Fault(
                "terrace:zones",
                f"lacks {', '.join(gone)}, where this stack has subnets",
                "Keep every zone that stands; adding one is free",
            )
        )
    return faults


def _shrinking_volume(standing: Standing, wanted: Standing) -> list[Fault]:
    faults = []
    if wanted.data_volume_gib < standing.data_volume_gib:
        faults.append(
            Fault(
                "terrace:dataVolumeGib",
                f"{wanted.data_volume_gib} is smaller than the volume that stands ({standing.data_volume_gib}): "
                "a gp3 volume never shrinks",
                f"Keep {standing.data_volume_gib}, or restore into a new one: docs/runbook.md#smaller-volume",
            )
        )
    if Part.DATABASE in standing.parts and wanted.database_gib < standing.database_gib:
        faults.append(
            Fault(
                "terrace:machines.databaseGib",
                f"{wanted.database_gib} is smaller than the database's storage that stands "
                f"({standing.database_gib}): RDS storage never shrinks",
                f"Keep {standing.database_gib}",
            )
        )
    return faults


_NEIGHBOURS = frozenset(
    {
        (Option.SINGLE, Option.SPLIT),
        (Option.SPLIT, Option.SINGLE),
        (Option.SPLIT, Option.PRIVATE),
        (Option.PRIVATE, Option.SPLIT),
    }
)
"""Between which options a climb goes in one walk."""


def climb_faults(stage: Stage, to: Stage) -> list[Fault]:
    """Why there is no climb from `stage` to `to`."""
    if stage.option is to.option:
        return [
            Fault(
                "terrace:climb.to",
                f"{to} belongs to option {to.option}, as {stage} does",
                f"Inside an option the word alone converges: terrace:stage: {to}, without a climb",
            )
        ]
    if (stage.option, to.option) in _NEIGHBOURS:
        return []
    between = next(
        (
            each
            for each in LADDER
            if (stage.option, each.option) in _NEIGHBOURS and (each.option, to.option) in _NEIGHBOURS
        ),
        None,
    )
    way = f"Climb to {between} first, then on" if between else "There is no way yet"
    return [Fault("terrace:climb.to", f"no climb goes from {stage} to {to} in one walk", way)]


def _bad_step(standing: Standing, wanted: Standing) -> list[Fault]:
    """The walk: at rest, expanded, moved, at rest again; one step at a time, in either direction."""
    before = (standing.stage, standing.climb_to, standing.climb_phase)
    after = (wanted.stage, wanted.climb_to, wanted.climb_phase)
    if before == after:
        return []
    stage, to, phase = before
    ways: dict[str, list[tuple[str, str, str]]] = {
        "": [(stage, wanted.climb_to, Phase.EXPANDED)],
        Phase.EXPANDED: [(stage, to, Phase.MOVED), (stage, "", "")],
        Phase.MOVED: [(stage, to, Phase.EXPANDED), (to, "", "")],
    }
    steps = ways[phase]
    if after in steps:
        return []
    here, there = _stage(stage), _stage(wanted.stage)
    if here is None or there is None:
        return []
    if not phase and not wanted.climb_phase:
        return _bare_jump(here, there)
    if not phase and wanted.climb_phase == Phase.MOVED:
        what = f"begins at {Phase.MOVED}: the other side does not stand yet"
        return [Fault("terrace:climb.phase", what, f"Begin with phase: {Phase.EXPANDED}, and `pulumi up`")]
    allowed = " or ".join(f"({_said(step)})" for step in steps)
    return [
        Fault(
            "terrace:climb",
            f"goes from ({_said(before)}) to ({_said(after)}): a step of the walk is left out",
            f"Put ({_said(before)}) back; from there it goes to {allowed}",
        )
    ]


def _said(step: tuple[str, str, str]) -> str:
    stage, to, phase = step
    return f"stage {stage}, climb to {to}, {phase}" if to else f"stage {stage}, no climb"


def _bare_jump(before: Stage, after: Stage) -> list[Fault]:
    if before.option is after.option:
        return []
    return [
        Fault(
            "terrace:stage",
            f"jumps from {before} (option {before.option}) to {after} (option {after.option}) in one step",
            f"Put {str(before)!r} back and set terrace:climb: {{to: {after}, phase: {Phase.EXPANDED}}}; "
            "the walk is in docs/climbing.md",
        )
    ]


def _lost_parts(standing: Standing, wanted: Standing) -> list[Fault]:
    """Nothing that cannot be made again goes without having been released by name in an earlier update."""
    lost = sorted(standing.parts - wanted.parts - {part for part in Part if part.value in standing.released})
    return [
        Fault(
            "terrace:kept",
            f"lacks {part}, which stands and would be deleted",
            f"Add {part} to terrace:kept; to give it up, name it in terrace:released for one `pulumi up`, "
            "then take it out of both",
        )
        for part in lost
    ]


def _unnamed_removal(standing: Standing, wanted: Standing) -> list[Fault]:
    if not standing.gpu or wanted.gpu or wanted.gpu_remove == standing.gpu:
        return []
    return [
        Fault(
            "terrace:gpu.mode",
            f"is off where the GPU endpoint {standing.gpu} stands: it would be deleted with its queue",
            f"To delete it, name it (terrace:gpu.remove: {standing.gpu}); to stop its cost alone: "
            "scripts/gpu.py mode closed",
        )
    ]


def _stage(name: str) -> Stage | None:
    return _BY_NAME.get(name)
