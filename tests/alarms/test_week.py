"""How long a week takes: in seconds of the processor, so that a busy machine fails nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bench.watch import LARGEST, MINUTES, MONDAY, SMALLEST, replay_week, week
from infra.core.alarms import alarm_set
from infra.core.thresholds import Facts

MOST_SECONDS = 20
"""Twice what `make bench` holds it to; a rule that looks at every datum anew takes minutes."""


@pytest.mark.parametrize("facts", [SMALLEST, LARGEST], ids=["smallest", "largest"])
def test_every_metric_that_an_alarm_of_the_week_reads_has_data_in_it(facts: Facts) -> None:
    evaluator, keys = week(facts)
    for _, key in keys:
        evaluator.add(key, MONDAY, 1, now=MONDAY)
    evaluator.tick(MONDAY + timedelta(minutes=1))
    assert len(evaluator.names()) == len(alarm_set(facts).names)
    assert set(evaluator.series) == {key for _, key in keys}


@pytest.mark.drill
def test_a_week_of_one_minute_metrics_of_a_stack_replays_in_seconds() -> None:
    found = replay_week()
    assert found["alarms"] >= 40
    assert found["data"] > 10 * MINUTES
    assert found["changes"] > 10
    assert found["seconds"] <= MOST_SECONDS, found
