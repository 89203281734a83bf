"""Bad days, through the table's own alarms: what pages, what does not, and what is held back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from embedded.alarms.definition import composite_alarm, metric_alarm
from embedded.alarms.evaluator import Evaluator, Transition, replay
from embedded.alarms.rules import State
from infra.core import metrics as m
from infra.core.alarms import SUPPRESSOR_METRIC, alarm_set
from infra.core.metrics import Metric
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import TABLE, Facts
from ops.alarmcalls import composite_call, metric_call

from .support import MONDAY, WATCHED, at, key_of

DAY = 1440
PREFIX = "terrace-dev-"


@dataclass
class Stack:
    """Every alarm of a stage since Monday, and what it is told."""

    evaluator: Evaluator = field(default_factory=Evaluator)

    def stand(self, stage: str, since: datetime = MONDAY) -> Stack:
        """The alarms of a stage; a second time, those of another."""
        alarms = alarm_set(Facts(shape(find(stage))))
        for alarm in alarms.alarms:
            self.evaluator.put(metric_alarm(metric_call(alarm, "terrace", "dev", WATCHED)), since)
        for composite in alarms.composites:
            self.evaluator.put(composite_alarm(composite_call(composite, "terrace", "dev")), since)
        return self

    def put(self, metric: Metric, minutes: Iterable[int], value: float, subject: str = "app") -> None:
        for minute in minutes:
            self.evaluator.add(key_of(metric, subject), at(minute), value, now=at(minute))

    def told(self, first: int, last: int) -> list[Transition]:
        """What goes to people."""
        return [each for each in replay(self.evaluator, at(first), at(last)) if each.acts]

    def state(self, name: str) -> State:
        return self.evaluator.state(PREFIX + name)


@pytest.fixture
def stack() -> Stack:
    return Stack().stand("single-8g")


def alarmed(changes: list[Transition]) -> list[str]:
    return [each.name.removeprefix(PREFIX) for each in changes if each.new is State.ALARM]


def ended(changes: list[Transition]) -> list[str]:
    """Whose end a mail tells: the subscription's filter wants ALARM before OK."""
    return [
        each.name.removeprefix(PREFIX)
        for each in changes
        if (each.old, each.new) == (State.ALARM, State.OK) and each.acts
    ]


def test_a_dead_agent_fires_the_heartbeat_and_turns_no_memory_alarm_green(stack: Stack) -> None:
    stack.put(m.MEMORY, range(60), 85)
    changes = stack.told(20, 60)
    assert "app-memory-review" in alarmed(changes)
    changes = stack.told(61, 120)
    assert "app-heartbeat-page" in alarmed(changes)
    assert State.OK not in [each.new for each in changes if "memory" in each.name]
    first = next(each.at for each in changes if each.name.endswith("heartbeat-page"))
    assert first - at(60) <= timedelta(minutes=7)


def test_a_dead_agent_mails_no_green_review_and_the_end_is_told_when_there_are_data_again(
    stack: Stack,
) -> None:
    stack.put(m.MEMORY, range(60), 85)
    assert "scale-up-review" in alarmed(stack.told(20, 62))
    dead = stack.told(63, 600)
    assert [each for each in dead if "memory" in each.name or "review" in each.name] == []
    assert stack.state("scale-up-review") is State.ALARM
    stack.put(m.MEMORY, range(601, 640), 40)
    assert {"scale-up-review", "app-memory-warn"} <= set(ended(stack.told(601, 640)))


def test_what_is_silent_for_a_while_and_then_well_is_told_to_have_ended(stack: Stack) -> None:
    stack.put(m.DISK, range(60), 90)
    stack.put(m.CHECK_SYSTEM, range(60), 1)
    stack.told(1, 60)
    stack.put(m.DISK, range(300, 340), 30)
    stack.put(m.CHECK_SYSTEM, range(300, 340), 0)
    assert {"app-disk-root-warn", "app-check-system-page"} <= set(ended(stack.told(61, 340)))


def test_no_row_of_the_table_forgets_by_silence_that_it_was_in_alarm() -> None:
    assert [row.key for row in TABLE if row.missing == "missing"] == []


def test_a_fresh_instance_with_no_credits_pages_nobody_in_its_first_day(stack: Stack) -> None:
    stack.put(m.CREDITS, range(0, DAY - 5, 5), 0)
    assert [name for name in alarmed(stack.told(5, DAY - 1)) if "credits" in name] == []


def test_credits_that_stay_low_after_the_first_day_are_told(stack: Stack) -> None:
    stack.put(m.CREDITS, range(0, DAY + 60, 5), 100)
    assert {"app-credits-warn", "app-credits-review"} <= set(alarmed(stack.told(DAY - 30, DAY + 60)))


def test_after_a_resize_the_new_types_threshold_holds_at_once_and_its_day_begins_again(stack: Stack) -> None:
    stack.put(m.CREDITS, range(0, 3 * DAY, 5), 600)
    assert [name for name in alarmed(stack.told(DAY, DAY + 60)) if "credits" in name] == []
    stack.stand("single-16g", at(DAY + 61))
    assert [name for name in alarmed(stack.told(DAY + 61, 2 * DAY)) if "credits" in name] == []
    # 600 credits were 69 % of t4g.large's, and are 26 % of t4g.xlarge's.
    assert [name for name in alarmed(stack.told(2 * DAY + 1, 2 * DAY + 120)) if "credits" in name] == [
        "app-credits-warn"
    ]


def test_a_certificate_that_nobody_looks_at_any_more_is_told(stack: Stack) -> None:
    stack.put(m.CERTIFICATE, range(0, 2 * DAY + 1, DAY), 60)
    assert "app-certificate-warn" not in alarmed(stack.told(2 * DAY, 4 * DAY))
    assert "app-certificate-warn" in alarmed(stack.told(4 * DAY + 1, 6 * DAY))


def test_one_5xx_at_night_pages_nobody(stack: Stack) -> None:
    stack.put(m.REQUESTS, range(0, 180, 20), 1, "stack")
    stack.put(m.ERRORS_5XX, [60], 1, "stack")
    assert [name for name in alarmed(stack.told(1, 180)) if "errors" in name or "burn" in name] == []


def test_a_total_outage_pages_within_a_quarter_of_an_hour(stack: Stack) -> None:
    stack.put(m.REQUESTS, range(240), 10, "stack")
    stack.put(m.ERRORS_5XX, range(120, 240), 10, "stack")
    changes = stack.told(1, 240)
    first = next(
        each for each in changes if each.name.endswith("errors-5xx-page") and each.new is State.ALARM
    )
    assert first.at - at(120) <= timedelta(minutes=15)
    assert "service-down" in alarmed(changes)


@pytest.mark.parametrize(("name", "level"), [("warn", 75.0), ("review", 85.0)])
def test_memory_speaks_at_the_level_that_it_has_reached(stack: Stack, name: str, level: float) -> None:
    stack.put(m.MEMORY, range(120), level)
    expected = {"app-memory-warn"} | ({"app-memory-review"} if name == "review" else set())
    assert {each for each in alarmed(stack.told(1, 120)) if "memory" in each} == expected


def test_during_a_deploy_or_a_climb_the_composite_is_silent_and_speaks_after_it_if_the_cause_stays(
    stack: Stack,
) -> None:
    stack.put(m.MEMORY, range(300), 90)
    stack.put(SUPPRESSOR_METRIC, range(100), 1, "stack")
    changes = stack.told(1, 100)
    assert stack.state("scale-up-review") is State.ALARM
    assert "scale-up-review" not in alarmed(changes)
    assert "scale-up-review" in alarmed(stack.told(101, 140))


def test_two_clean_days_tell_nobody_of_anything(stack: Stack) -> None:
    healthy: dict[Metric, tuple[float, str, Callable[[], Iterable[int]]]] = {
        m.MEMORY: (55, "app", lambda: range(2 * DAY)),
        m.CPU: (20, "app", lambda: range(0, 2 * DAY, 5)),
        m.CREDITS: (864, "app", lambda: range(0, 2 * DAY, 5)),
        m.DISK: (30, "app", lambda: range(2 * DAY)),
        m.DATA: (30, "app", lambda: range(2 * DAY)),
        m.CHECK_SYSTEM: (0, "app", lambda: range(2 * DAY)),
        m.CHECK_INSTANCE: (0, "app", lambda: range(2 * DAY)),
        m.REQUESTS: (60, "stack", lambda: range(2 * DAY)),
        m.CERTIFICATE: (60, "app", lambda: range(0, 2 * DAY, DAY)),
        m.BACKUP_AGE: (3600, "app", lambda: range(0, 2 * DAY, 360)),
    }
    for metric, (value, subject, minutes) in healthy.items():
        stack.put(metric, minutes(), value, subject)
    assert alarmed(stack.told(5, 2 * DAY)) == []
