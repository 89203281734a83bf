"""The only place for which change of settings a standing stack may take, and why another is refused.

The guard (infra/components/guard.py) asks `refusals` in every preview and up; scripts ask it beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.core.errors import Fault
from infra.core.stages import LADDER, Stage


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

_OPTION_OF = {each.name: each for each in LADDER}


def refusals(standing: Standing | None, wanted: Standing) -> list[Fault]:
    """Why this change is refused; empty when it may go on. `standing` is None for a stack that is new."""
    if standing is None:
        return []
    return [
        *_changes_of_fixed(standing, wanted),
        *_changes_of_zones(standing.zones, wanted.zones),
        *_shrinking_volume(standing, wanted),
        *_bare_jump(standing, wanted),
        *_unnamed_removal(standing, wanted),
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
    if wanted.data_volume_gib >= standing.data_volume_gib:
        return []
    return [
        Fault(
            "terrace:dataVolumeGib",
            f"{wanted.data_volume_gib} is smaller than the volume that stands ({standing.data_volume_gib}): "
            "a gp3 volume never shrinks",
            f"Keep {standing.data_volume_gib}, or restore into a new one: docs/runbook.md#smaller-volume",
        )
    ]


def _bare_jump(standing: Standing, wanted: Standing) -> list[Fault]:
    before, after = _stage(standing.stage), _stage(wanted.stage)
    if before is None or after is None or before.option is after.option:
        return []
    return [
        Fault(
            "terrace:stage",
            f"jumps from {before} (option {before.option}) to {after} (option {after.option}) in one step",
            f"Put {str(before)!r} back and walk the climb's phases: scripts/scale_up.py plan --to {after}",
        )
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
    return _OPTION_OF.get(name)
