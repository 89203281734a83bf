"""The only place for the ladder: which stages there are, what each consists of and promises.

Everything that depends on a stage is derived from a row here; no code compares a stage's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.core.errors import Fault, TerraceError, nearest


class Option(StrEnum):
    """The architectures that stages belong to; a change of option is a climb in phases, not a resize."""

    SINGLE = "A"
    SPLIT = "B"
    PRIVATE = "C"
    ELASTIC = "D"


class Role(StrEnum):
    """What a box is for; with its placement it is the box's logical name, for ever."""

    APP = "app"
    FRONTEND = "frontend"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True)
class Objectives:
    """Service level objectives of a stage; ratios in per cent, latencies in milliseconds."""

    availability_percent: Decimal
    api_p95_ms: int = 300
    api_p99_ms: int = 500
    errors_5xx_percent: Decimal = Decimal("0.1")
    errors_4xx_percent: Decimal = Decimal("1")
    llm_failures_percent: Decimal = Decimal("0.5")
    llm_p95_ms: int = 5000


@dataclass(frozen=True, slots=True)
class Stage:
    """One rung of the ladder.

    `boxes` are the default instance types by role, `capacity_rps` the requests a second that the stage is
    expected to carry (lowest, highest; None: nobody has said), `gpu_workers_most` the cap on GPU workers.
    """

    name: str
    option: Option
    boxes: dict[Role, str]
    meant_for: str
    leave_when: str
    gpu_workers_most: int
    objectives: Objectives
    data_volume_gib: int = 0
    database_class: str | None = None
    database_gib: int = 0
    capacity_rps: tuple[int, int] | None = None
    built: bool = True

    def __str__(self) -> str:
        return self.name


_TWO_NINES = Objectives(Decimal("99.0"))
_HALF_MORE = Objectives(Decimal("99.5"))
_THREE_NINES = Objectives(Decimal("99.9"))


def _single(name: str, instance: str, meant_for: str, leave_when: str, rps: tuple[int, int] | None) -> Stage:
    return Stage(
        name, Option.SINGLE, {Role.APP: instance}, meant_for, leave_when, 1, _TWO_NINES,
        data_volume_gib=100, capacity_rps=rps,
    )  # fmt: skip


def _two_boxes(name: str, option: Option, meant_for: str, leave_when: str) -> Stage:
    return Stage(
        name, option, {Role.FRONTEND: "t4g.small", Role.BACKEND: "t4g.small"}, meant_for, leave_when, 2,
        _TWO_NINES, database_class="db.t4g.micro", database_gib=20,
    )  # fmt: skip


def _elastic(name: str, users: str, workers: int, objectives: Objectives) -> Stage:
    return Stage(name, Option.ELASTIC, {}, users, "", workers, objectives, built=False)


LADDER: tuple[Stage, ...] = (
    _single(
        "single-8g", "t4g.large", "DAU 60, MAU 500, peak 0.17 requests/s",
        "memory > 80 % sustained; CPU credits < 20 %; 30+ requests/s sustained", (50, 150),
    ),
    _single(
        "single-8g-fixed", "m6g.large", "CPU steadily above 43.5 %, memory fine",
        "memory > 80 % sustained", None,
    ),
    _single(
        "single-16g", "t4g.xlarge", "two full colours side by side", "CPU credits < 20 %", (150, 350),
    ),
    _single(
        "single-16g-fixed", "m6g.xlarge", "steady load above the credit baseline", "DAU 500+", None,
    ),
    _two_boxes(
        "split", Option.SPLIT, "fault isolation, each part scales alone",
        "isolation wanted, or 400+ concurrent",
    ),
    _two_boxes(
        "private", Option.PRIVATE, "network isolation, no public machine",
        "1 000 users with 100 concurrent for a week and p95 > 500 ms",
    ),
    _elastic("elastic-10k", "10 K users, 500 concurrent, 100 requests/s", 2, _TWO_NINES),
    _elastic("elastic-100k", "100 K users, 3 000 concurrent, 500 requests/s", 3, _HALF_MORE),
    _elastic("elastic-500k", "500 K users, 7 000 concurrent, 1 000 requests/s", 4, _HALF_MORE),
    _elastic("elastic-1m", "1 M users, 10 000 concurrent, 1 500 requests/s", 5, _THREE_NINES),
)  # fmt: skip

_BY_NAME = {each.name: each for each in LADDER}


def built_stages() -> Iterator[Stage]:
    """The stages that a stack can stand at today, from the lowest."""
    return (each for each in LADDER if each.built)


def find(name: str, *, path: str = "terrace:stage") -> Stage:
    """The stage of that name.

    Raises:
        TerraceError: there is none, or it is in the table but not built yet; `path` says where the name stood.
    """
    choices = ", ".join(each.name for each in built_stages())
    if (found := _BY_NAME.get(name)) is None:
        raise TerraceError(
            Fault(path, f"{name!r} is no stage", f"Stages: {choices}{nearest(name, _BY_NAME)}")
        )
    if not found.built:
        raise TerraceError(
            Fault(path, f"{name!r} is on the ladder but not built yet", f"Stages that stand: {choices}")
        )
    return found


def listed(name: str) -> Stage:
    """The rung of that name, built or not.

    Raises:
        TerraceError: there is none.
    """
    if (found := _BY_NAME.get(name)) is None:
        raise TerraceError(
            Fault(name, "is no stage", f"Stages: {', '.join(_BY_NAME)}{nearest(name, _BY_NAME)}")
        )
    return found
