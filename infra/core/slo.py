"""The only place for burn rates: objectives of a stage, windows, factors, and which window its traffic can fill.

burn rate = ratio of bad events / (1 - objective); over 30 days a rate of 1 spends the budget exactly. A window in
which a stage's expected traffic could not bring a handful of bad events at that rate says nothing, so the next longer
one is chosen, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from infra.core import metrics
from infra.core.burn import LEAST_BAD_EVENTS, Burn
from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from infra.core.metrics import Unit as _Unit

if TYPE_CHECKING:
    from infra.core.thresholds import Facts, Severity

COUNT = _Unit.COUNT
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
WINDOWS = ("5m", "30m", "1h", "6h", "1d", "3d")

# Expected means of requests a second: assumptions until `scripts/watch.py` has measured them. The document's peak is
# 0.17 at 60 daily users (its section E.3.3); a third of a peak is a day's mean. Of its 600 requests a day (E.1) all
# may be receipts.
_DOCUMENT_PEAK = Decimal("0.17")
_DOCUMENT_USERS = Decimal(60)
_MEAN_OF_PEAK = Decimal(3)
_RECEIPTS_A_DAY = Decimal(600)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of time."""

    name: str

    @property
    def seconds(self) -> int:
        """Its length."""
        return int(self.name[:-1]) * _SECONDS[self.name[-1]]


@dataclass(frozen=True, slots=True)
class Counted:
    """A statistic of a metric; with `share` it is a percentage of the events, not their number."""

    metric: Metric
    statistic: str = "Sum"
    share: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective; `target_percent` of `total` events are not `bad`."""

    name: str
    title: str
    target_percent: Decimal
    total: Counted
    bad: Counted

    @property
    def budget(self) -> Decimal:
        """The share of events that may be bad."""
        return (100 - self.target_percent) / 100

    @property
    def burn(self) -> Burn:
        """Its burn rate as metric math, of `bad` and `total`."""
        return Burn(self.budget, self.bad.share)


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast is too fast, over windows that must all agree."""

    objective: Objective
    pace: str
    factor: Decimal
    windows: tuple[Window, ...]
    severity: Severity
    notes: tuple[str, ...] = ()


def expected_rps(facts: Facts, objective: str = "availability") -> Decimal:
    """The mean of requests a second that an objective is expected to count at a stage (an assumption: see above).

    By the fewest users that a stage is climbed to for: within Option A a rung follows for memory or credits, with no
    user more; beyond it, those with whom the row `daily-users` leaves Option A. Rather too few than too many: a
    window that is longer than need be speaks later, one that traffic cannot fill never.
    """
    from infra.core.thresholds import TABLE, Severity

    (leaves,) = (
        level.value
        for row in TABLE
        if row.key == "daily-users"
        for level in row.levels
        if level.severity is Severity.REVIEW and isinstance(level.value, Decimal)
    )
    users = _DOCUMENT_USERS if facts.single else leaves
    mean = _RECEIPTS_A_DAY / 86_400 if objective == "model" else _DOCUMENT_PEAK / _MEAN_OF_PEAK
    return mean * users / _DOCUMENT_USERS


def burn_rates(facts: Facts) -> Iterator[BurnRate]:
    """The burn rates of a stack's objectives, with windows that its traffic fills.

    Raises:
        TerraceError: a factor that cannot be reached: the whole budget is too large a share of all events.
    """
    from infra.core.thresholds import Severity

    for raw in _raw():
        if not _stands(raw, facts):
            continue
        objective = _objective(raw, facts)
        fewer = [f"{objective.name}: {raw['fewer']}"] if "fewer" in raw else []
        for policy in raw["alertPolicies"]:
            factor = Decimal(policy["factor"])
            if factor * objective.budget >= 1:
                raise TerraceError(
                    Fault(
                        f"slo.yaml: {objective.name}",
                        f"a burn rate of {factor} at {objective.target_percent} % needs more bad events than events",
                        "Lower the factor or raise the objective",
                    )
                )
            windows, notes, fewer = [], fewer, []
            for name in policy["windows"]:
                window, note = _filled(Window(name), factor, objective, facts)
                if window not in windows:
                    windows.append(window)
                notes += [note] if note else []
            yield BurnRate(
                objective, policy["pace"], factor, tuple(windows), Severity(policy["severity"]), tuple(notes)
            )


def objectives(facts: Facts) -> Iterator[Objective]:
    """The objectives that a stack has."""
    yield from (_objective(raw, facts) for raw in _raw() if _stands(raw, facts))


def _stands(raw: Mapping[str, Any], facts: Facts) -> bool:
    """A model's objective needs a GPU."""
    return facts.gpu or raw["service"] != "model"


def _objective(raw: Mapping[str, Any], facts: Facts) -> Objective:
    by_name = {metric.name: metric for metric in (*metrics.LOG_METRICS, *metrics.GPU_METRICS)}
    promised = facts.shape.stage.objectives
    target = {
        "availability": promised.availability_percent,
        "latency": Decimal(95),  # a p95: 95 of 100 requests are faster than the stage's api_p95_ms
        "model": 100 - promised.llm_failures_percent,
    }[raw["name"]]
    total, bad = (Counted(by_name[raw["indicator"][part]]) for part in ("total", "bad"))
    if facts.balanced:
        total, bad = _balanced(promised.api_p95_ms).get(raw["name"], (total, bad))
    return Objective(raw["name"], raw["description"], target, total, bad)


def _balanced(p95_ms: int) -> Mapping[str, tuple[Counted, Counted]]:
    """What counts instead of Nginx's log behind a balancer, by objective: all events, bad ones.

    PR(x:) is the percentage of values above x (CloudWatch User Guide, "CloudWatch statistics definitions"), which the
    balancer's own metric gives where it has no count of slow answers.
    """
    slow = Counted(metrics.BALANCER_RESPONSE, f"PR({Decimal(p95_ms) / 1000:f}:)", share=True)
    return {
        "availability": (Counted(metrics.BALANCER_REQUESTS), Counted(metrics.BALANCER_5XX)),
        "latency": (Counted(metrics.BALANCER_RESPONSE, "SampleCount"), slow),
    }


def _filled(window: Window, factor: Decimal, objective: Objective, facts: Facts) -> tuple[Window, str]:
    """The window, or the shortest longer one in which traffic can bring enough bad events at that rate."""
    rps = expected_rps(facts, objective.name)
    for name in WINDOWS[WINDOWS.index(window.name) :]:
        longer = Window(name)
        events = rps * longer.seconds * min(factor * objective.budget, Decimal(1))
        if events >= LEAST_BAD_EVENTS:
            break
    else:
        return longer, (
            f"{objective.name}: even {longer.name} at {factor} would see {rps * longer.seconds:.0f} requests at the "
            f"stage's expected mean of {rps:.4f} a second, too few: it speaks with more of them only"
        )
    note = (
        f"{objective.name}: {window.name} at {factor} would see {rps * window.seconds:.0f} requests at the stage's "
        f"expected mean of {rps:.3f} a second, too few; {longer.name} is used"
        if longer != window
        else ""
    )
    return longer, note


@cache
def _raw() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(
        Path(__file__).with_name("slo.yaml").read_text(encoding="utf-8")
    )
    return found
