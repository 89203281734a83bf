"""The only place for what a climb consists of: its words, its steps, and what each of them can undo.

A walk is a table. Inside an option the word alone converges (a resize); across options the walk goes through the
phases of infra/core/transition.py. `run.py` carries a walk out, and knows nothing of stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from infra.core.shape import Climb, Part, Phase, shape
from infra.core.stages import Option, Stage


class Kind(StrEnum):
    """What a step does; each has one pair of hands in `run.py`."""

    RESTORE_POINT = "restore-point"
    WORDS = "words"
    SERVING = "serving"
    REHEARSE = "rehearse"
    COPY = "copy"
    SWITCH = "switch"
    WATCHED = "watched"
    LOAD_TEST = "load-test"


@dataclass(frozen=True, slots=True)
class Words:
    """What the stack file says while a step lasts and after it; None leaves a key as it is."""

    stage: str
    climb_to: str = ""
    phase: str = ""
    kept: tuple[str, ...] | None = None

    def settings(self) -> dict[str, Any]:
        """By key of the stack file; None takes the key away."""
        climb = {"to": self.climb_to, "phase": self.phase} if self.climb_to else None
        found: dict[str, Any] = {"terrace:stage": self.stage, "terrace:climb": climb}
        if self.kept is not None:
            found["terrace:kept"] = list(self.kept) or None
        return found

    @property
    def place(self) -> tuple[str, str, str]:
        """Where on the ladder that is; what is kept beside it is not part of it."""
        return self.stage, self.climb_to, self.phase

    def said(self) -> str:
        """For people."""
        return f"{self.stage} → {self.climb_to}, {self.phase}" if self.climb_to else self.stage

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Words:
        """What a stack file says."""
        climb = config.get("terrace:climb") or {}
        return cls(
            str(config.get("terrace:stage", "")), str(climb.get("to", "")), str(climb.get("phase", "")),
            tuple(config.get("terrace:kept") or ()),
        )  # fmt: skip

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Words:
        """From a plan's file."""
        kept = raw["kept"]
        return cls(raw["stage"], raw["climb_to"], raw["phase"], None if kept is None else tuple(kept))


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `words` for the kind that writes them, `back` what they were before it.

    `undo` says in words what going back does; empty: nothing has to be undone. `irreversible` marks the point of no
    return. `away_seconds` is the expected time without answers, and 0 for most. Before it is undone
    behind a shift, those who remember the name have `lingers_seconds` to ask for it again.
    """

    name: str
    kind: Kind
    does: str
    undo: str = ""
    words: Words | None = None
    back: Words | None = None
    irreversible: bool = False
    away_seconds: float = 0
    lingers_seconds: float = 0

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Step:
        """The opposite."""
        words, back = (Words.from_json(each) if each else None for each in (raw["words"], raw["back"]))
        values: dict[str, Any] = {**raw, "kind": Kind(raw["kind"]), "words": words, "back": back}
        return cls(**values)


RESIZE_AWAY_SECONDS = 45.0
"""Stop, change, start and boot of the single box. An assumption until a climb was measured: the history's own
median of earlier resizes replaces it."""

MOVE_AWAY_SECONDS = 120.0
"""From the fence until requests reach the new side. An assumption, of a database of some MiB: a measured climb
replaces it, and the rehearsal of each climb tells its own before anything is interrupted."""

SHIFT = "shift"
"""The step that takes requests to the new side."""

SHIFT_SECONDS = 30.0
"""Of those, from the switch until requests reach the new side: one `up`. An assumption; 23 s and 38 s were
measured on the embedded cloud (docs/adr/0063)."""


REMEMBERED_SECONDS = 75.0
"""How long a name's answer may be remembered: 60 s for a record (infra/components/edge.py) and for a load balancer
(ELB User Guide, the DNS entry's time to live), and a quarter more."""


def walk(
    before: Stage, after: Stage, *, kept: tuple[str, ...] = (), away_seconds: float | None = None
) -> list[Step]:
    """The steps from one stage to another; `kept` is what the stack file keeps already.

    A climb across options ends with both sides standing and the new one serving; `contraction` is a walk of its own,
    asked for after a soak.
    """
    if before.option is after.option:
        return _resize(before, after, away_seconds)
    return _across(before, after, kept, away_seconds)


def contraction(before: Stage, after: Stage, kept: tuple[str, ...]) -> list[Step]:
    """What takes the old side away and holds on to its data; `kept` is what the stack file keeps already."""
    standing = shape(before, climb=Climb(after, Phase.MOVED), kept=_parts(kept)).parts
    kept = _named(standing - shape(after).parts)
    moved = Words(before.name, after.name, "moved")
    return [
        Step(
            "contract",
            Kind.WORDS,
            f"take the boxes of {before} away; {', '.join(kept) or 'nothing'} kept",
            "the boxes are made again, empty",
            Words(after.name, kept=kept),
            moved,
            irreversible=True,
        ),
        Step("serving", Kind.SERVING, f"{after} answers alone"),
    ]


def moves_data(before: Stage, after: Stage) -> bool:
    """Whether the database goes to another machine."""
    return before.option is not after.option and Option.SINGLE in (before.option, after.option)


def _parts(kept: tuple[str, ...]) -> list[Part]:
    return [Part(each) for each in kept]


def _named(parts: Iterable[Part]) -> tuple[str, ...]:
    return tuple(sorted(part.value for part in parts))


def _taken_away(rest: Words, kept: tuple[str, ...]) -> str:
    made = sorted(set(rest.kept or ()) - set(kept))
    return "take it away again" + (f"; {', '.join(made)} stays, by name, and is billed" if made else "")


def _resize(before: Stage, after: Stage, away_seconds: float | None) -> list[Step]:
    away = 0.0
    if before.option is Option.SINGLE:
        away = RESIZE_AWAY_SECONDS if away_seconds is None else away_seconds
    return [
        Step("backup", Kind.RESTORE_POINT, "copy the data volume, and see that the copy is whole"),
        Step(
            "resize",
            Kind.WORDS,
            f"write {after}, stop the box, change its type, start it",
            f"write {before} and change the type back; the box is away once more",
            Words(after.name),
            Words(before.name),
            away_seconds=away,
        ),
        Step("verify", Kind.SERVING, f"the box runs as {after} and answers"),
        Step("thresholds", Kind.WATCHED, f"alarms, objectives and budget are those of {after}"),
        Step("load-test", Kind.LOAD_TEST, "1.5 × the expected peak, against the objective"),
    ]


def _move(before: Stage, after: Stage, away_seconds: float | None) -> list[Step]:
    back = f"{before} writes again, with what {after} took meanwhile"
    return [
        Step(
            "rehearse",
            Kind.REHEARSE,
            "where no copy can follow, copy for practice: nothing is interrupted yet",
        ),
        Step(
            "copy",
            Kind.COPY,
            f"copy the rows of {before}: by a copy that follows what it writes, or behind a fence where none can",
            back,
            away_seconds=MOVE_AWAY_SECONDS if away_seconds is None else away_seconds,
        ),
        Step(
            "switch",
            Kind.SWITCH,
            f"fence {before}, compare every row, sequence and index of both, let {after} write",
            back,
        ),
    ]


def _across(before: Stage, after: Stage, kept: tuple[str, ...], away_seconds: float | None) -> list[Step]:
    made = shape(before, climb=Climb(after, Phase.EXPANDED), kept=_parts(kept)).parts
    rest = Words(before.name, kept=_named(made - shape(before).parts))
    expanded, moved = (Words(before.name, after.name, phase) for phase in ("expanded", "moved"))
    return [
        Step("backup", Kind.RESTORE_POINT, "copy what holds the rows, and see that the copy is whole"),
        Step(
            "expand",
            Kind.WORDS,
            f"make {after} beside {before}",
            _taken_away(rest, kept),
            expanded,
            rest,
            lingers_seconds=REMEMBERED_SECONDS if Option.PRIVATE in (before.option, after.option) else 0,
        ),
        Step("verify", Kind.SERVING, "what was added is healthy; it takes health checks alone"),
        *(_move(before, after, away_seconds) if moves_data(before, after) else []),
        Step(SHIFT, Kind.WORDS, f"requests go to {after}", f"requests go to {before}", moved, expanded),
        Step("thresholds", Kind.WATCHED, f"alarms, objectives and budget are those of {after}"),
        Step("load-test", Kind.LOAD_TEST, "1.5 × the expected peak, against the objective"),
    ]
