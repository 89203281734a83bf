"""The only place for what data points mean for an alarm's state: M of N, missing data, too few samples.

Source: CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data", its two tables and "Avoiding
premature transitions to alarm state"; "Percentile-based CloudWatch alarms and low data samples". The golden tests
hold every row of the tables.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from enum import StrEnum

EXTRA_POINTS = 2
"""Points beyond EvaluationPeriods that are looked at. The guide says that the number depends on period and
resolution and shows 5 for 3; it states no other."""

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class State(StrEnum):
    """What an alarm is in."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """How missing data is treated."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


def decide(points: Sequence[bool | None], *, evaluated: int, to_alarm: int, missing: Missing) -> State | None:
    """The state that the points ask for, or None where the alarm keeps the one that it has.

    `points` are those of the evaluation range, newest first: breaching, not breaching, or None where there is no
    datum; at least `evaluated` of them. `to_alarm` breaching ones of `evaluated` mean ALARM.
    """
    real = [(age, point) for age, point in enumerate(points) if point is not None]
    breaching = sum(point for _, point in real[:evaluated])
    absent = evaluated - len(real)
    if absent <= 0:
        return State.ALARM if breaching >= to_alarm else State.OK
    if missing is Missing.BREACHING:
        return State.ALARM if breaching + absent >= to_alarm else State.OK
    if missing is Missing.NOT_BREACHING or breaching >= to_alarm:
        return State.ALARM if breaching >= to_alarm else State.OK
    if breaching < len(real):
        return State.OK
    if missing is Missing.IGNORE:
        return None
    # Nothing but breaching points, fewer than asked for: once the oldest is old enough the others were waited for.
    premature = bool(real) and real[-1][0] + 1 >= to_alarm
    return State.ALARM if premature else State.INSUFFICIENT_DATA


def samples_needed(percentile: float) -> float:
    """The fewest samples for a percentile (0 to 100) to be statistically significant."""
    share = percentile / 100
    return 10 / (1 - share) if share >= 0.5 else 10 / share
