"""The only place for a burn rate as metric math, and for what is left of an error budget: written and read back here.

Carried to the boxes, so the standard library alone. An alarm's definition in CloudWatch says what its objective
counts, with every dimension: who publishes what is left asks it, and nothing is written down a second time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

LEAST_BAD_EVENTS = 5
"""Fewer bad answers than this in a window are nobody's night: one 5xx at 3 o'clock pages nobody."""
PERIOD_DAYS = 30
"""Over which a budget is counted; `timeWindow` of slo.yaml."""
SLOWEST = "slow"
"""The pace of which every objective has an alarm."""

_LEAST = re.compile(r"< (\d+), 0, ")
_BUDGET = re.compile(r"/ ([0-9.]+)\)$")
_SHARE = "m1 / 100"


@dataclass(frozen=True, slots=True)
class Burn:
    """What such an expression says. `m1` counts bad events, or with `share` is their percentage; `m2` counts all."""

    budget: Decimal
    share: bool
    least: int = LEAST_BAD_EVENTS

    @property
    def expression(self) -> str:
        """How many times too fast the budget is spent; 0 with fewer than `least` bad events."""
        bad, ratio = ("FILL(m1,0) * m2 / 100", _SHARE) if self.share else ("FILL(m1,0)", "m1 / m2")
        return f"IF({bad} < {self.least}, 0, {ratio} / {self.budget.normalize():f})"

    @staticmethod
    def read(expression: str) -> Burn | None:
        """The same from an alarm's expression; None for one that is no burn rate."""
        least, budget = _LEAST.search(expression), _BUDGET.search(expression)
        if least is None or budget is None:
            return None
        return Burn(Decimal(budget[1]), _SHARE in expression, int(least[1]))

    def rate(self, bad: Mapping[datetime, float], total: Mapping[datetime, float]) -> float:
        """How many times too fast it was spent, by what came in each span of time; 0 with fewer than `least` bad."""
        spoiled, events = self._spoiled(bad, total), sum(total.values())
        return spoiled / events / float(self.budget) if events and spoiled >= self.least else 0.0

    def _spoiled(self, bad: Mapping[datetime, float], total: Mapping[datetime, float]) -> float:
        return sum(value * total.get(span, 0.0) / 100 if self.share else value for span, value in bad.items())

    def left_percent(self, bad: Mapping[datetime, float], total: Mapping[datetime, float]) -> float:
        """What is left of the budget, by what came in each span of time; 100 without events, below 0 overspent."""
        events, spoiled = sum(total.values()), self._spoiled(bad, total)
        allowed = events * float(self.budget)
        return 100 - 100 * spoiled / allowed if allowed else 100.0


def alarm_name(objective: str, pace: str, reach: str = "long") -> str:
    """The logical name of a burn rate's alarm; `reach` is `long` or `short`."""
    return f"stack-{objective}-burn-{pace}-{reach}"
