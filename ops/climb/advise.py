"""The only place that says which rung is right: a table of rules over alarm states and metrics, with reasons.

States are CloudWatch's; the only numbers compared here are those that no alarm owns: where a fixed type is cheaper,
whether a lower rung would hold, and whether a rung carries 1.5 times the measured peak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infra.core.cost.capacity import CLIMB_ROOM
from infra.core.instances import DATABASE_CLASSES, INSTANCE_TYPES, InstanceType, instance_type
from infra.core.stages import LADDER, Option, Role, Stage, listed
from ops.watch import Report, Row

QUIET_DAYS = 30
FIXED_PAYS_ABOVE_PERCENT = 43.5
"""Mean CPU from which m6g.large costs less than t4g.large in Seoul (`scripts/cost.py instance`)."""

DOWN_MEMORY_PERCENT = 60.0
"""Most memory that a lower rung may be expected to use: its own warning is at 70 %."""

SIZES: Mapping[str, tuple[str, ...]] = {
    "frontend": ("t4g.small", "t4g.medium", "t4g.large"),
    "backend": ("t4g.small", "t4g.medium", "t4g.large", "t4g.xlarge"),
    "database": ("db.t4g.micro", "db.t4g.small", "db.t4g.medium", "db.t4g.large"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of B or C that another size is advised for: `terrace:machines.<name>`."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do: `to` is the stage itself where staying is right. `reasons` are sentences with numbers."""

    stage: str
    to: str
    reasons: tuple[str, ...]
    part: Part | None = None
    refused: tuple[str, ...] = ()
    """Rungs that were thought of and carry too little, with why."""
    crossings: Mapping[str, str] = field(default_factory=dict)
    """The day on which each threshold is crossed at this rate, by threshold; only those within a year."""
    unknown: tuple[str, ...] = ()
    """What could not be seen; advice rests on the rest."""

    @property
    def stays(self) -> bool:
        """Whether nothing is to be changed."""
        return self.to == self.stage and self.part is None

    @property
    def headline(self) -> str:
        """`single-16g`, `stay at single-8g`, `backend t4g.small → t4g.medium`."""
        if self.part is not None:
            return f"{self.part.name} {self.part.before} → {self.part.after}"
        return f"stay at {self.stage}" if self.stays else self.to

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "stays": self.stays, "headline": self.headline}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rules look at, by the key of its threshold. `peak_rps`: the highest mean of an hour, or the newest."""

    stage: Stage
    rows: Mapping[str, Row]
    peak_rps: float | None
    cpu_percent: float | None
    now: datetime
    machines: Mapping[str, str] = field(default_factory=dict)
    """Sizes of the parts of B and C, by part."""

    def short(self, key: str) -> Row | None:
        """The row of that threshold where it asks for a review."""
        row = self.rows.get(key)
        return row if row is not None and row.state == "ALARM" and row.severity == "review" else None


def seen(report: Report, *, now: datetime, machines: Mapping[str, str] | None = None) -> Seen:
    """What the rules need of a report of `ops/watch.py`."""
    rows: dict[str, Row] = {}
    for row in report.rows:
        rows[row.name] = row
        rows.setdefault(row.name.partition("-")[2], row)
    requests, cpu = rows.get("requests"), rows.get("cpu")
    peaks = [value for _, value in requests.series] if requests else []
    if requests and requests.value is not None:
        peaks.append(requests.value)
    values = [value for _, value in cpu.series] if cpu else []
    return Seen(
        listed(report.stage), rows, max(peaks, default=None),
        sum(values) / len(values) if values else (cpu.value if cpu else None), now, machines or {},
    )  # fmt: skip


def advise(what: Seen) -> Advice:
    """The right rung, by the first rule that speaks; each candidate must carry 1.5 times the measured peak."""
    crossings = {row.title: row.crosses_on for row in what.rows.values() if row.crosses_on}
    unknown = tuple(
        sorted({row.title for row in what.rows.values() if row.state in ("INSUFFICIENT_DATA", "ABSENT")})
    )
    refused: list[str] = []
    for rule in RULES:
        for to, part, reasons in rule(what):
            lacking = too_small(to, what.peak_rps)
            if lacking and part is None:
                refused.append(lacking)
                continue
            return Advice(what.stage.name, to.name, reasons, part, tuple(refused), crossings, unknown)
    reasons = _why_stay(what)
    return Advice(what.stage.name, what.stage.name, reasons, None, tuple(refused), crossings, unknown)


def capacity(stage: Stage) -> tuple[int, int] | None:
    """Requests a second that a rung carries: what the ladder says, else what it says of a rung as large.

    A fixed-performance type carries at least what the burstable one with as many processors and as much memory does.
    """
    if stage.capacity_rps is not None or stage.option is not Option.SINGLE:
        return stage.capacity_rps
    own = instance_type(stage.boxes[Role.APP])
    for other in LADDER:
        if other.capacity_rps is not None and Role.APP in other.boxes:
            like = instance_type(other.boxes[Role.APP])
            if (like.vcpus, like.memory_gib) == (own.vcpus, own.memory_gib):
                return other.capacity_rps
    return None


def too_small(to: Stage, peak_rps: float | None) -> str:
    """Why a rung carries too little, or nothing (also where nobody has said what it carries)."""
    carried = capacity(to)
    if peak_rps is None or carried is None:
        return ""
    needed = Decimal(str(peak_rps)) * CLIMB_ROOM
    if carried[0] >= needed:
        return ""
    return (
        f"{to} carries {carried[0]} requests/s, less than {CLIMB_ROOM} × the measured peak of {peak_rps:.1f}"
        f" ({needed:.1f})"
    )


Candidate = tuple[Stage, Part | None, tuple[str, ...]]
Rule = Callable[[Seen], Iterator[Candidate]]


def _users(what: Seen) -> Iterator[Candidate]:
    row = what.short("daily-users")
    if row is None or what.stage.option is not Option.SINGLE:
        return
    to = listed("split")
    if to.built:
        yield to, None, (f"{_now(row)}: {row.means}", f"parts: {_parts(to)}")


def _concurrent(what: Seen) -> Iterator[Candidate]:
    row = what.short("concurrent-users")
    if row is None or what.stage.option is not Option.SPLIT:
        return
    to = listed("private")
    if to.built:
        yield to, None, (f"{_now(row)}: {row.means}",)


def _one_box(what: Seen) -> Iterator[Candidate]:
    """Memory decides the size, credits with steady CPU the family."""
    if what.stage.option is not Option.SINGLE:
        return
    own = instance_type(what.stage.boxes[Role.APP])
    memory, credits_, cpu = what.short("memory"), what.short("credits"), what.short("cpu")
    steady = what.cpu_percent is not None and what.cpu_percent > FIXED_PAYS_ABOVE_PERCENT
    wants_fixed = own.burstable and steady and (credits_ is not None or cpu is not None)
    load = what.short("requests") or what.short("response") or what.short("connections")
    wants_larger = memory is not None or (load is not None and not wants_fixed)
    if not wants_fixed and not wants_larger:
        return
    reasons = [f"{_now(row)}: {row.means}" for row in (memory, credits_, cpu, load) if row is not None]
    if what.cpu_percent is not None:
        word = "above" if steady else "not above"
        reasons.append(f"CPU {what.cpu_percent:.1f} % in the mean, {word} the {FIXED_PAYS_ABOVE_PERCENT} % where "
                       "a fixed type pays")  # fmt: skip
    for to in _singles():
        its = instance_type(to.boxes[Role.APP])
        right_size = its.memory_gib > own.memory_gib if wants_larger else its.memory_gib == own.memory_gib
        right_family = its.burstable is (own.burstable and not wants_fixed)
        if to is what.stage or not right_size or not right_family:
            continue
        yield to, None, tuple(reasons)


def _part_short(what: Seen) -> Iterator[Candidate]:
    """A single part of B or C gets another size; the stage stays."""
    if what.stage.database_class is None:
        return
    for name, row in sorted(what.rows.items()):
        part = name.partition("-")[0]
        if part not in SIZES or row.state != "ALARM" or not row.name.startswith(f"{part}-"):
            continue
        if row.severity != "review" and part != "database":
            continue
        before = what.machines.get(part) or _default(what.stage, part)
        after = _next(SIZES[part], before)
        if after:
            yield what.stage, Part(part, before, after), (f"{_now(row)}: {row.means}",)


def _down(what: Seen) -> Iterator[Candidate]:
    """After 30 quiet days the cheaper rung of the same kind, where it would hold."""
    if what.stage.option is not Option.SINGLE or not what.rows:
        return
    watched = [
        what.rows[key] for key in ("memory", "credits", "cpu", "response", "requests") if key in what.rows
    ]
    quiet = timedelta(days=QUIET_DAYS)
    if not watched or any(
        row.state != "OK" or row.since is None or what.now - row.since < quiet for row in watched
    ):
        return
    own = instance_type(what.stage.boxes[Role.APP])
    memory = _most(what.rows.get("memory"))
    if memory is None or what.cpu_percent is None:
        return
    for to in _singles():
        its = instance_type(to.boxes[Role.APP])
        if not _below(its, own):
            continue
        used = memory * own.memory_gib / its.memory_gib
        cpu = what.cpu_percent * own.vcpus / its.vcpus
        if used > DOWN_MEMORY_PERCENT or cpu > (its.baseline_percent or FIXED_PAYS_ABOVE_PERCENT):
            continue
        yield to, None, (
            f"quiet for {QUIET_DAYS} days: no threshold has spoken",
            f"memory: at most {memory:.0f} % of {own.memory_gib} GiB, which is {used:.0f} % of {its.memory_gib}",
            f"CPU: {what.cpu_percent:.1f} % in the mean, which is {cpu:.1f} % there",
        )  # fmt: skip


RULES: Sequence[Rule] = (_users, _concurrent, _part_short, _one_box, _down)


def _why_stay(what: Seen) -> tuple[str, ...]:
    alarms = [row for row in what.rows.values() if row.state == "ALARM"]
    told = list(dict.fromkeys(f"{_now(row)}: look at it, no other rung is asked for" for row in alarms))
    if not told:
        told.append("no threshold asks for another rung")
    if what.short("credits") is not None and (what.cpu_percent or 0) <= FIXED_PAYS_ABOVE_PERCENT:
        told.append(
            f"CPU {what.cpu_percent or 0:.1f} % in the mean: below {FIXED_PAYS_ABOVE_PERCENT} % surplus credits cost "
            "less than a fixed type"
        )
    if what.peak_rps is not None and (carried := capacity(what.stage)) is not None:
        told.append(f"measured peak {what.peak_rps:.1f} requests/s of {carried[0]} to {carried[1]}")
    return tuple(told)


def _singles() -> list[Stage]:
    return [each for each in LADDER if each.option is Option.SINGLE and each.built]


def _below(its: InstanceType, own: InstanceType) -> bool:
    """Less memory of the same kind, or as much without fixed performance: what costs less."""
    if its.memory_gib == own.memory_gib:
        return its.burstable and not own.burstable
    return its.memory_gib < own.memory_gib and its.burstable is own.burstable


def _most(row: Row | None) -> float | None:
    if row is None:
        return None
    return max(
        [value for _, value in row.series] + ([row.value] if row.value is not None else []), default=None
    )


def _now(row: Row) -> str:
    value = "?" if row.value is None else f"{row.value:.3g}"
    bound = row.review if row.review is not None else row.warn
    shown = "" if bound is None else f" (review at {bound:.3g})"
    return f"{row.title} {value} {row.unit}{shown}"


def _parts(to: Stage) -> str:
    boxes = ", ".join(f"{role} {name}" for role, name in to.boxes.items())
    return f"{boxes}, database {to.database_class}"


def _default(stage: Stage, part: str) -> str:
    if part == "database":
        return stage.database_class or ""
    return stage.boxes.get(Role(part), "")


def _next(sizes: Sequence[str], before: str) -> str:
    memory = {name: each.memory_gib for name, each in INSTANCE_TYPES.items()}
    memory |= {name: each.memory_gib for name, each in DATABASE_CLASSES.items()}
    return next((each for each in sizes if before in memory and memory[each] > memory[before]), "")
