"""The only place for the data of one metric: statistics over any window of whole minutes, late data included."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

MINUTES_BACK = 14 * 24 * 60
MINUTES_AHEAD = 120
"""PutMetricData takes time stamps up to two weeks back and two hours ahead (API reference)."""

EXACT_MINUTES = 60
"""Sums over longer windows are differences of running sums: right to about 15 digits, and quick."""


@dataclass(slots=True)
class _Minute:
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    values: list[float] | None = field(default_factory=list)
    """Sorted; None once a statistic set came, of which no percentile can be told."""


class Series:
    """The data of one metric with exactly one set of dimensions, by minute since the epoch.

    `revision` grows when data come for a minute that a statistic was asked of already: what was computed is stale.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._asked_until = 0
        self._base = 0
        self._sums: list[float] = [0.0]
        self._counts: list[float] = [0.0]
        self._minutes: dict[int, _Minute] = {}
        self._order: list[int] = []

    @property
    def newest(self) -> int | None:
        """The newest minute that has data."""
        return self._order[-1] if self._order else None

    def add(self, minute: int, value: float, count: float = 1) -> bool:
        """One value, `count` times; False where it is no finite number, which CloudWatch refuses too."""
        if not math.isfinite(value) or count <= 0:
            return False
        kept = self._at(minute, value * count, count)
        kept.lowest, kept.highest = min(kept.lowest, value), max(kept.highest, value)
        if kept.values is not None:
            for _ in range(int(count)):
                insort(kept.values, value)
        return True

    def add_set(self, minute: int, *, total: float, count: float, lowest: float, highest: float) -> bool:
        """A statistic set; False where a part of it is no finite number."""
        if not all(math.isfinite(each) for each in (total, count, lowest, highest)) or count <= 0:
            return False
        kept = self._at(minute, total, count)
        kept.lowest, kept.highest = min(kept.lowest, lowest), max(kept.highest, highest)
        # The API lets a percentile be told of a set of one value, or of equal ones.
        if kept.values is not None and lowest == highest:
            kept.values.extend([lowest] * int(count))
        else:
            kept.values = None
        return True

    def _at(self, minute: int, total: float, count: float) -> _Minute:
        if not self._minutes:
            self._base = minute
        index = minute - self._base
        if index < 0:
            self._sums[0:0] = [0.0] * -index
            self._counts[0:0] = [0.0] * -index
            self._base, index = minute, 0
        if minute < self._asked_until:
            self.revision += 1
        while len(self._sums) < index + 2:
            self._sums.append(self._sums[-1])
            self._counts.append(self._counts[-1])
        for later in range(index + 1, len(self._sums)):
            self._sums[later] += total
            self._counts[later] += count
        kept = self._minutes.get(minute)
        if kept is None:
            kept = self._minutes[minute] = _Minute()
            insort(self._order, minute)
        kept.total += total
        return kept

    def samples(self, end: int, minutes: int) -> float:
        """How many samples the window of `minutes` before the minute `end` holds."""
        return self._between(self._counts, end, minutes)

    def statistic(self, name: str, end: int, minutes: int) -> float | None:
        """A statistic of the window of `minutes` that ends where the minute `end` begins; None without data.

        `name` is Sum, Average, SampleCount, Minimum, Maximum, a percentile such as p95 or p99.9, or a percentile rank
        such as PR(0.3:) or PR(:300).
        """
        self._asked_until = max(self._asked_until, end)
        count = self._between(self._counts, end, minutes)
        if count <= 0:
            return None
        if name == "SampleCount":
            return count
        if name in ("Sum", "Average") and minutes > EXACT_MINUTES:
            total = self._between(self._sums, end, minutes)
            return total if name == "Sum" else total / count
        order = self._order
        within = order[bisect_left(order, end - minutes) : bisect_left(order, end)]
        held = [self._minutes[minute] for minute in within]
        if name in ("Sum", "Average"):
            total = math.fsum(each.total for each in held)
            return total if name == "Sum" else total / count
        if name == "Minimum":
            return min(each.lowest for each in held)
        if name == "Maximum":
            return max(each.highest for each in held)
        values: list[float] = []
        for each in held:
            if each.values is None:
                return None
            values.extend(each.values)
        if name.startswith("PR("):
            return _rank(values, name)
        return percentile(sorted(values), float(name.removeprefix("p")))

    def _between(self, sums: list[float], end: int, minutes: int) -> float:
        last = len(sums) - 1
        first_index = min(max(end - minutes - self._base, 0), last)
        last_index = min(max(end - self._base, 0), last)
        return sums[last_index] - sums[first_index]


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile of sorted values by nearest rank; how CloudWatch estimates it is not documented."""
    rank = max(1, math.ceil(percent / 100 * len(values) - 1e-9))
    return values[rank - 1]


def _rank(values: Sequence[float], name: str) -> float:
    """PR(lower:upper): the percentage of values above the lower bound and not above the upper; either can be absent.

    CloudWatch User Guide, "CloudWatch statistics definitions".
    """
    lower, upper = name.removeprefix("PR(").removesuffix(")").split(":")
    lowest, highest = float(lower or "-inf"), float(upper or "inf")
    return 100 * sum(lowest < value <= highest for value in values) / len(values)
