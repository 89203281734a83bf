"""Alarms in the words of the API, and an evaluator on a clock that begins on a Monday."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.alarms.definition import MetricKey, metric_alarm, metric_key
from embedded.alarms.evaluator import Evaluator, Transition, replay

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
KEY: MetricKey = metric_key("Test", "value", {"InstanceId": "i-1"})
ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "Namespace": "Test",
    "MetricName": "value",
    "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 10.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def at(minutes: float) -> datetime:
    """That many minutes after the Monday."""
    return MONDAY + timedelta(minutes=minutes)


def with_alarm(**changes: Any) -> Evaluator:
    """An evaluator that knows one alarm, since Monday."""
    evaluator = Evaluator()
    asked = {key: value for key, value in (ALARM | changes).items() if value is not None}
    evaluator.put(metric_alarm(asked), MONDAY)
    return evaluator


def feed(evaluator: Evaluator, minutes: range, value: float, key: MetricKey = KEY) -> None:
    """One datum a minute."""
    for minute in minutes:
        assert evaluator.add(key, at(minute), value, now=at(minute))


def run(evaluator: Evaluator, first: int, last: int) -> list[Transition]:
    """Every change from minute to minute."""
    return list(replay(evaluator, at(first), at(last)))


def told(changes: list[Transition]) -> list[tuple[str, str, int]]:
    """Name, new state, and minute after Monday of each change."""
    return [(each.name, str(each.new), int((each.at - MONDAY).total_seconds()) // 60) for each in changes]
