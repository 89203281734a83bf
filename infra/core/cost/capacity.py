"""The only place for how many requests users make, and how much room a stage has for them.

The scenarios and shares are the founding document's (sections E.1 and E.3.3); a stage's requests/s are the ladder's.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from infra.core.stages import LADDER, Stage

DAU_SHARE = Decimal("0.12")
REQUESTS_PER_USER_AND_DAY = 10
CONCURRENT_SHARE = (Decimal("0.05"), Decimal("0.10"))
CLIMB_ROOM = Decimal("1.5")
"""A climb needs a capacity of this many times the measured peak (design: the ladder)."""

SPRING_RPS_WITH_DATABASE = (200, 800)
DATABASE_BESIDE = 2
FRONTEND_BESIDE = Decimal("1.5")
"""By what the document divides a service's requests/s because PostgreSQL and Next.js share its box."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a day's requests come: a share of them (0 to 1) within so many seconds."""

    name: str
    share: Decimal
    seconds: int

    def qps(self, requests_per_day: Decimal) -> Decimal:
        """Requests a second in it."""
        return requests_per_day * self.share / self.seconds


SCENARIOS = (
    Scenario("spread evenly (unreal)", Decimal(1), 86_400),
    Scenario("70 % within 4 hours", Decimal("0.7"), 14_400),
    Scenario("80 % within 2 hours (meals)", Decimal("0.8"), 7_200),
    Scenario("50 % within 30 minutes (after a meal)", Decimal("0.5"), 1_800),
)
PEAK = SCENARIOS[-1]


@dataclass(frozen=True, slots=True)
class HeadRoom:
    """How many times a scenario's requests a stage carries, lowest and highest; `enough` for a climb's rule."""

    stage: Stage
    scenario: Scenario
    qps: Decimal
    times: tuple[Decimal, Decimal]

    @property
    def enough(self) -> bool:
        """Whether the lowest capacity is 1.5 times the requests or more."""
        return self.times[0] >= CLIMB_ROOM


def daily_users(monthly_users: Decimal) -> Decimal:
    """Daily active users of so many monthly ones."""
    return monthly_users * DAU_SHARE


def requests_per_day(dau: Decimal) -> Decimal:
    """What those users ask for in a day."""
    return dau * REQUESTS_PER_USER_AND_DAY


def concurrent(dau: Decimal) -> tuple[Decimal, Decimal]:
    """How many of them are there at once, lowest and highest."""
    low, high = CONCURRENT_SHARE
    return dau * low, dau * high


def head_room(dau: Decimal) -> list[HeadRoom]:
    """Every stage whose capacity somebody has said, in every scenario."""
    daily = requests_per_day(dau)
    found = []
    for stage in LADDER:
        if stage.capacity_rps is None:
            continue
        for scenario in SCENARIOS:
            qps = scenario.qps(daily)
            low, high = stage.capacity_rps
            times = (low / qps, high / qps) if qps else (Decimal("Infinity"), Decimal("Infinity"))
            found.append(HeadRoom(stage, scenario, qps, times))
    return found


def single_box_rps() -> tuple[Decimal, Decimal]:
    """The document's arithmetic for one box, before it rounds down to 50 to 150."""
    low, high = SPRING_RPS_WITH_DATABASE
    shared = DATABASE_BESIDE * FRONTEND_BESIDE
    return low / shared, high / shared


SINGLE_BOX_DAU = 500
TWO_BOXES_CONCURRENT = 400
USERS_MOST = {
    "elastic-10k": 10_000,
    "elastic-100k": 100_000,
    "elastic-500k": 500_000,
    "elastic-1m": 1_000_000,
}
"""Where each option is left by the founding documents: Option A at 500 daily users, B at 400 at once, D by users."""


def first_stage_for(users: Decimal, stages: tuple[Stage, ...] = LADDER) -> Stage | None:
    """The lowest rung that the documents' conditions leave so many monthly users on; None where the ladder ends."""
    return next((stage for stage in stages if _carries(stage, users)), None)


def _carries(stage: Stage, users: Decimal) -> bool:
    dau = daily_users(users)
    if stage.name in USERS_MOST:
        return users <= USERS_MOST[stage.name]
    if stage.database_class is not None:
        return concurrent(dau)[1] < TWO_BOXES_CONCURRENT
    peak = PEAK.qps(requests_per_day(dau)) * CLIMB_ROOM
    return dau < SINGLE_BOX_DAU and (stage.capacity_rps is None or stage.capacity_rps[0] >= peak)
