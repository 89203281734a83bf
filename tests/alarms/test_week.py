"""How long a week takes: in seconds of the processor, so that a busy machine fails nobody."""

from __future__ import annotations

import pytest

from bench.watch import MINUTES, replay_week

MOST_SECONDS = 20
"""Twice what `make bench` holds it to; a rule that looks at every datum anew takes minutes."""


@pytest.mark.drill
def test_a_week_of_one_minute_metrics_of_a_stack_replays_in_seconds() -> None:
    found = replay_week()
    assert found["alarms"] >= 40
    assert found["data"] > 10 * MINUTES
    assert found["changes"] > 10
    assert found["seconds"] <= MOST_SECONDS, found
