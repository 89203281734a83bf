"""A week of one-minute metrics of a whole stack, replayed through the alarms of a stage: `python -m bench.watch`."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from embedded.alarms.definition import MetricKey, composite_alarm, metric_alarm, metric_key
from embedded.alarms.evaluator import Evaluator
from embedded.alarms.rules import State
from infra.core.alarms import alarm_set
from infra.core.cost import stage_resources, watching_monthly
from infra.core.metrics import SPACE_DIMENSIONS, SUBJECT_DIMENSIONS, Metric
from infra.core.naming import Naming
from infra.core.prices import load
from infra.core.shape import shape
from infra.core.stages import LADDER, Option, find
from infra.core.thresholds import Facts
from ops import watch
from ops.alarmcalls import composite_call, dimensions, metric_call

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
MINUTES = 7 * 24 * 60
REQUESTS_A_MINUTE = 10
KNOWN = sorted(
    {name for names in (*SUBJECT_DIMENSIONS.values(), *SPACE_DIMENSIONS.values()) for name in names}
    - {"Stack"}
)


SMALLEST = Facts(shape(find("single-8g")))
LARGEST = Facts(shape(find("private")), gpu=True)
"""The most that stands: two boxes, a balancer, a database, a NAT gateway, and a GPU."""


def week(facts: Facts = SMALLEST) -> tuple[Evaluator, list[tuple[Metric, MetricKey]]]:
    """An evaluator with every alarm of the stack, and the metrics that they read."""
    alarms, evaluator = alarm_set(facts), Evaluator()
    watched = {alarm.subject: dict.fromkeys(KNOWN, f"{alarm.subject}-1") for alarm in alarms.alarms}
    for alarm in alarms.alarms:
        evaluator.put(metric_alarm(metric_call(alarm, "terrace", "dev", watched)), MONDAY)
    for composite in alarms.composites:
        evaluator.put(composite_alarm(composite_call(composite, "terrace", "dev")), MONDAY)
    read = {(part.metric, alarm.subject) for alarm in alarms.alarms for part in alarm.parts}
    filtered = {(each.metric, "stack") for each in alarms.filters}
    keys = {
        metric_key(
            metric.space.named("terrace", "dev"), metric.name, dimensions(metric, subject, "dev", watched)
        ): metric
        for metric, subject in sorted(read | filtered, key=str)
    }
    return evaluator, [(metric, key) for key, metric in keys.items()]


def replay_week(facts: Facts = SMALLEST) -> dict[str, float]:
    """CPU seconds for a week, and what it consisted of."""
    evaluator, keys = week(facts)
    dice = random.Random(7)  # noqa: S311 the same week in every run
    data = changes = 0
    started = time.process_time()
    for minute in range(MINUTES):
        now = MONDAY + timedelta(minutes=minute)
        level = 50 + 30 * math.sin(2 * math.pi * minute / 1440)
        for metric, key in keys:
            if minute * 60 % metric.every_seconds == 0:
                for _ in range(REQUESTS_A_MINUTE if metric.name.endswith("response_seconds") else 1):
                    data += evaluator.add(key, now, level * dice.uniform(0.8, 1.2), now=now)
        changes += len(evaluator.tick(now))
    return {
        "seconds": time.process_time() - started,
        "alarms": len(evaluator.names()),
        "data": data,
        "changes": changes,
    }


def latest_notification() -> tuple[float, str]:
    """From the first breaching datum on: the longest wait beyond one period, in virtual seconds, and whose it was.

    Alarms of one datapoint and one period of at most an hour, each with data at every minute that its metric has one.
    """
    worst, whose = 0.0, ""
    for alarm in alarm_set(Facts(shape(find("single-8g")))).alarms:
        single = (alarm.datapoints, alarm.periods) == (1, 1) and not alarm.expression
        if not single or alarm.period_seconds > 3_600 or "Less" in alarm.comparison:
            continue
        asked = metric_call(alarm, "terrace", "dev", {"app": {"InstanceId": "i-1"}}) | {
            "WarmUpConfiguration": {}
        }
        (part,) = alarm.parts
        known = {"InstanceId": "i-1", "Stack": "dev", **dict(part.metric.fixed)}
        names = {name: known[name] for name in part.metric.dimensions}
        key = metric_key(part.metric.space.named("terrace", "dev"), part.metric.name, names)
        evaluator = Evaluator()
        evaluator.put(metric_alarm(asked), MONDAY)
        for minute in range(1, 200):
            now = MONDAY + timedelta(minutes=minute)
            evaluator.add(key, now, 1e9 if minute >= 61 else 0, now=now)
            if any(change.new is State.ALARM for change in evaluator.tick(now)):
                beyond = (minute - 61) * 60 - alarm.period_seconds
                worst, whose = max((worst, whose), (beyond, alarm.name))
                break
        else:
            raise AssertionError(f"{alarm.name} was never told")
    return worst, whose


def calls_of_status() -> int:
    """Calls of CloudWatch that one `scripts/watch.py status` makes, on a stack with every alarm of single-8g."""
    cloud = _Counted()
    facts = Facts(shape(find("single-8g")))
    watch.look(cloud, facts, Naming("terrace", "dev"), stage="single-8g", now=MONDAY)
    return cloud.calls


class _Counted:
    """A cloud that counts what it is asked: a call for each hundred alarms."""

    def __init__(self) -> None:
        self.calls = 0

    def alarms(self, prefix: str, names: Sequence[str]) -> Mapping[str, watch.Standing]:
        """Every alarm, without data."""
        self.calls += math.ceil(len(names) / 100)
        return {name: watch.Standing(name, "OK", MONDAY, prefix, None, {}) for name in names}

    def series(
        self, wanted: Sequence[watch.Wanted], start: datetime, end: datetime, period_seconds: int
    ) -> Mapping[str, list[tuple[datetime, float]]]:
        """No data; GetMetricData takes 500 queries at once (CloudWatch API reference)."""
        assert start < end
        self.calls += math.ceil(len(wanted) / 500) if period_seconds else 0
        return {}

    def recipients(self, topic_name: str) -> watch.Recipients:
        """One; SNS is asked, which is no call of CloudWatch."""
        assert topic_name
        return watch.Recipients(1)


def figures(_: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """What `make bench` prints of alarms."""
    for facts, which, target in ((SMALLEST, "", "≤ 10 s CPU"), (LARGEST, " (private with a GPU)", "")):
        found = replay_week(facts)
        said = f"a week, {found['alarms']:.0f} alarms{which}, {found['data'] / 1000:.0f} k data"
        yield said, f"{found['seconds']:.1f} s", "", "", target
    seconds, _whose = latest_notification()
    yield "datum to notification, beyond a period", f"{max(seconds, 0):.0f} s", "", "", "≤ 60 s, virtual"
    yield "calls of the API for a status", f"{calls_of_status()}", "", "", "≤ 5"
    book = load()
    for stage in LADDER:
        if stage.option is not Option.ELASTIC:
            usd = watching_monthly(stage_resources(stage), book)
            target = "≤ 5 USD" if stage.name == "single-8g" else ""
            yield f"alarms of {stage.name}, a month", f"{usd:.2f} USD", "", "", target


if __name__ == "__main__":
    for row in figures(Path()):
        print("  ".join(row))
    sys.exit(0)
