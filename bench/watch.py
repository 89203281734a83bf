"""A week of one-minute metrics of a whole stack, replayed through the alarms of a stage: `python -m bench.watch`."""

from __future__ import annotations

import math
import random
import sys
import time
from datetime import UTC, datetime, timedelta

from embedded.alarms.definition import MetricKey, composite_alarm, metric_alarm, metric_key
from embedded.alarms.evaluator import Evaluator
from infra.core.alarms import alarm_set
from infra.core.metrics import Metric
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops.alarmcalls import composite_call, metric_call

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
MINUTES = 7 * 24 * 60
REQUESTS_A_MINUTE = 10


def week(stage: str = "single-8g") -> tuple[Evaluator, list[tuple[Metric, MetricKey]]]:
    """An evaluator with every alarm of the stage, and the metrics that they read."""
    alarms, evaluator = alarm_set(Facts(shape(find(stage)))), Evaluator()
    for alarm in alarms.alarms:
        evaluator.put(
            metric_alarm(metric_call(alarm, "terrace", "dev", {"app": {"InstanceId": "i-1"}})), MONDAY
        )
    for composite in alarms.composites:
        evaluator.put(composite_alarm(composite_call(composite, "terrace", "dev")), MONDAY)
    keys = [
        (
            metric,
            metric_key(
                metric.space.named("terrace", "dev"),
                metric.name,
                {
                    name: {"InstanceId": "i-1", "Stack": "dev", **dict(metric.fixed)}[name]
                    for name in metric.dimensions
                },
            ),
        )
        for metric in alarms.metrics()
    ]
    return evaluator, keys


def replay_week() -> dict[str, float]:
    """CPU seconds for a week, and what it consisted of."""
    evaluator, keys = week()
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


if __name__ == "__main__":
    found = replay_week()
    print(
        f"a week of {found['data']:.0f} data through {found['alarms']:.0f} alarms: {found['seconds']:.2f} CPU s "
        f"({MINUTES / found['seconds']:.0f} minutes a second), {found['changes']:.0f} changes of state"
    )
    sys.exit(0)
