"""From the breaching datum to the mail: what the definition demands, and at most sixty virtual seconds more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from embedded.alarms.definition import composite_alarm, metric_alarm
from embedded.alarms.evaluator import Evaluator
from embedded.alarms.rules import State
from embedded.alarms.service import AlarmService
from embedded.aws.server import ApiServer
from infra.core.alarms import Alarm, AlarmSet, alarm_set
from infra.core.metrics import MEMORY
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops.alarmcalls import composite_call, metric_call

from .conftest import Imagined
from .support import MONDAY, WATCHED, at, key_of

BEYOND_SECONDS = 60
LOOK_BACK_SECONDS = 120
"""Where the sign is that nothing comes, CloudWatch looks for late data first (docs/adr/0050)."""
SETS = {
    stage: alarm_set(Facts(shape(find(stage)), gpu=True, budget=True, webhook=True))
    for stage in ("single-8g", "private")
}
LONGEST_PERIOD_SECONDS = 3_600
"""A longer period is evaluated once an hour (verify), and by itself longer than any way to a person."""


def cases() -> list[tuple[str, Alarm]]:
    return [
        (stage, alarm)
        for stage, made in SETS.items()
        for alarm in made.alarms
        if alarm.period_seconds <= LONGEST_PERIOD_SECONDS
        and (alarm.notifies or any(alarm.name in each.members for each in made.composites))
        # Each row once: the two boxes of an option have the same, and windows of one burn rate speak together.
        and not alarm.name.startswith("backend-")
        and "-burn-" not in alarm.name
    ]


def waited_seconds(made: AlarmSet, alarm: Alarm) -> dict[str, int]:
    """From the first breaching datum on, by who told of it: the alarm itself, its composites."""
    evaluator = Evaluator()
    ready = metric_call(alarm, "terrace", "dev", WATCHED) | {"WarmUpConfiguration": {}}
    evaluator.put(metric_alarm(ready), MONDAY)
    mine = [each for each in made.composites if alarm.name in each.members]
    for each in mine:
        evaluator.put(
            composite_alarm(composite_call(replace(each, any_of=((alarm.name,),)), "terrace", "dev")), MONDAY
        )
    demanded = alarm.datapoints * alarm.period_seconds // 60
    begin = -(-2 * alarm.periods * alarm.period_seconds // 3_600) * 60 + 1
    told: dict[str, int] = {}
    silent = alarm.parts[0].statistic == "SampleCount"
    good, bad = (0.0, 1e9) if "Greater" in alarm.comparison else (1e15, 0.0)
    for minute in range(1, begin + demanded + 120):
        now = at(minute)
        for part in alarm.parts:
            value = bad if minute >= begin else good
            if alarm.expression:
                value = 1000.0 if part.id == "m2" or minute >= begin else 0.0
            if not (silent and minute >= begin):
                count = 250 if part.statistic.startswith("p") else 1
                evaluator.add(key_of(part.metric, alarm.subject), now, value, count, now=now)
        for change in evaluator.tick(now):
            if change.new is State.ALARM and change.acts and minute >= begin:
                told.setdefault(
                    change.name.removeprefix("terrace-dev-"), int((now - at(begin)) / timedelta(seconds=1))
                )
        if len(told) == 1 + len(mine):
            break
    return told


@pytest.mark.parametrize(("stage", "alarm"), cases(), ids=lambda each: getattr(each, "name", each))
def test_a_breach_is_told_within_what_its_definition_demands_and_a_minute(stage: str, alarm: Alarm) -> None:
    made = SETS[stage]
    told = waited_seconds(made, alarm)
    expected = {alarm.name, *(each.name for each in made.composites if alarm.name in each.members)}
    assert set(told) == expected
    demanded = alarm.datapoints * alarm.period_seconds
    silent = LOOK_BACK_SECONDS if alarm.parts[0].statistic == "SampleCount" else 0
    assert max(told.values()) <= demanded + silent + BEYOND_SECONDS, told


def test_the_mail_of_a_composite_lies_there_a_minute_after_its_member_has_changed(tmp_path: Path) -> None:
    made = SETS["single-8g"]
    (review,) = [each for each in made.composites if each.name == "scale-up-review"]
    (member,) = [each for each in made.alarms if each.name == "app-memory-review"]
    with ApiServer() as server:
        server.reset()
        service = AlarmService(tmp_path, clock=lambda: MONDAY)
        stack = Imagined(server, service, Facts(shape(find("single-8g"))))
        cloudwatch, sns = stack.client("cloudwatch"), stack.client("sns")
        topic = sns.create_topic(Name="terrace-dev-alarms")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
        for alarm in (member, *(each for each in made.alarms if each.name == review.suppressor)):
            cloudwatch.put_metric_alarm(**metric_call(alarm, "terrace", "dev", WATCHED))
        only = replace(review, any_of=((member.name,),))
        cloudwatch.put_composite_alarm(**composite_call(only, "terrace", "dev"), AlarmActions=[topic])
        begin = 60
        stack.put(MEMORY, [(at(minute), 90 if minute >= begin else 50) for minute in range(120)])
        for minute in range(begin - 5, 120):
            service.evaluate(at(minute))
            if mails := list(tmp_path.rglob("*.eml")):
                break
    assert (minute - begin) * 60 <= member.datapoints * member.period_seconds + BEYOND_SECONDS
    (mail,) = mails
    assert "scale-up-review" in mail.read_text()
