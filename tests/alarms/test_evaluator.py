"""Windows, warm-up, late and bad data, metric math, composites with their suppressor, on a virtual clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from embedded.alarms.definition import composite_alarm, metric_alarm, metric_key, parse_rule
from embedded.alarms.evaluator import Evaluator, replay
from embedded.alarms.expressions import ExpressionError, compile_expression
from embedded.alarms.rules import State

from .support import ALARM, KEY, MONDAY, at, feed, run, told, with_alarm

WEEK = 7 * 24 * 60


def test_from_the_breaching_datum_to_the_change_is_one_period_at_most() -> None:
    evaluator = with_alarm(Period=300, Statistic="Maximum")
    feed(evaluator, range(-30, 12), 1)
    evaluator.add(KEY, at(12), 99, now=at(12))
    changes = [each for each in run(evaluator, 0, 20) if each.new is State.ALARM]
    assert told(changes) == [("a", "ALARM", 13)]


def test_a_seven_day_mean_is_evaluated_every_hour_and_follows_the_last_seven_days() -> None:
    evaluator = with_alarm(Period=604_800, Threshold=60.0)
    feed(evaluator, range(WEEK), 50)
    feed(evaluator, range(WEEK, 2 * WEEK), 90)
    changes = told(run(evaluator, 60, 2 * WEEK))
    # 50 and 90 mix to more than 60 once a quarter of the window is new: 42 hours, and one datum beyond it.
    assert changes == [("a", "OK", 60), ("a", "ALARM", WEEK + 43 * 60)]


def test_a_wall_clock_day_in_seoul_is_judged_when_it_is_over_there() -> None:
    zone = {"WallClockWindow": {"Timezone": "Asia/Seoul"}}
    evaluator = with_alarm(Period=86_400, Statistic="Maximum", EvaluationWindow=zone)
    feed(evaluator, range(2 * 1440), 1)
    evaluator.add(KEY, at(1440), 99, now=at(1440))  # Tuesday 09:00 in Seoul, midnight in UTC
    changes = told([each for each in run(evaluator, 900, 2 * 1440 + 960) if each.new is State.ALARM])
    assert changes == [("a", "ALARM", 2 * 1440 - 9 * 60)]  # Wednesday 00:00 in Seoul


def test_a_wall_clock_week_begins_on_monday() -> None:
    evaluator = with_alarm(
        Period=604_800,
        Statistic="Sum",
        Threshold=5.0,
        EvaluationWindow={"WallClockWindow": {"Timezone": "UTC"}},
    )
    feed(evaluator, range(WEEK - 10, WEEK + 10), 1)
    assert told(run(evaluator, WEEK - 60, WEEK + 60))[-1] == ("a", "ALARM", WEEK)


def test_a_wall_clock_day_has_twenty_five_hours_when_clocks_go_back() -> None:
    evaluator = Evaluator()
    window = {"WallClockWindow": {"Timezone": "Europe/Berlin"}}
    evaluator.put(
        metric_alarm(
            ALARM | {"Period": 86_400, "Statistic": "Sum", "Threshold": 0.0, "EvaluationWindow": window}
        ),
        MONDAY,
    )
    now = datetime(2026, 10, 25, 23, 0, tzinfo=UTC)  # the day of the change ends in Berlin
    evaluator.add(KEY, now - timedelta(minutes=1), 1, now=now)
    assert [each.new for each in evaluator.tick(now)] == [State.ALARM]


def test_during_the_warm_up_nothing_is_told_and_a_change_begins_it_again() -> None:
    warm = {"WarmUpPeriodDurationInMinutes": 60, "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True}
    asked = ALARM | {"WarmUpConfiguration": warm}
    evaluator = with_alarm(WarmUpConfiguration=warm)
    feed(evaluator, range(300), 99)
    assert told(run(evaluator, 1, 120)) == [("a", "ALARM", 60)]
    evaluator.put(metric_alarm(asked | {"Threshold": 20.0}), at(121))
    assert told(run(evaluator, 121, 250)) == [("a", "INSUFFICIENT_DATA", 121), ("a", "ALARM", 181)]


def test_a_warm_up_may_end_once_the_window_is_full() -> None:
    evaluator = with_alarm(EvaluationPeriods=3, WarmUpConfiguration={"WarmUpPeriodDurationInMinutes": 60})
    feed(evaluator, range(30), 99)
    assert told(run(evaluator, 1, 30)) == [("a", "ALARM", 3)]


def test_late_data_change_what_was_decided_and_very_late_data_are_not_taken() -> None:
    evaluator = with_alarm(EvaluationPeriods=3, DatapointsToAlarm=3)
    for minute in (0, 2, 3):
        evaluator.add(KEY, at(minute), 1 if minute == 0 else 99, now=at(minute))
    assert told(run(evaluator, 1, 4)) == [("a", "OK", 1)]
    evaluator.add(KEY, at(1), 99, now=at(4))
    assert evaluator.tick(at(4))[0].new is State.ALARM
    assert not evaluator.add(KEY, at(-15 * 1440), 99, now=at(4))
    summed = {"total": 99.0, "count": 1.0, "lowest": 99.0, "highest": 99.0}
    assert not evaluator.add_set(KEY, at(-15 * 1440), **summed, now=at(4))
    assert evaluator.add_set(KEY, at(-13 * 1440), **summed, now=at(4))


def test_a_clock_that_is_wrong_by_more_than_two_hours_is_not_believed() -> None:
    evaluator = with_alarm()
    assert not evaluator.add(KEY, at(121), 99, now=at(0))
    assert evaluator.add(KEY, at(119), 99, now=at(0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_datum(value: float) -> None:
    evaluator = with_alarm()
    assert not evaluator.add(KEY, at(0), value, now=at(0))
    assert evaluator.tick(at(1)) == []


def test_a_datum_that_comes_twice_counts_twice_in_a_sum_and_changes_no_mean() -> None:
    sums, means = with_alarm(Statistic="Sum"), with_alarm()
    for evaluator in (sums, means):
        for _ in range(2):
            evaluator.add(KEY, at(0), 8, now=at(0))
    assert [each.new for each in sums.tick(at(1))] == [State.ALARM]
    assert [each.new for each in means.tick(at(1))] == [State.OK]


def test_one_dimension_more_is_another_metric() -> None:
    evaluator = with_alarm()
    other = metric_key("Test", "value", {"InstanceId": "i-1", "ImageId": "ami-1"})
    feed(evaluator, range(10), 99, other)
    assert run(evaluator, 1, 10) == []


def test_too_few_samples_for_a_percentile_keep_the_state() -> None:
    asked = {"Statistic": None, "ExtendedStatistic": "p95", "EvaluateLowSampleCountPercentile": "ignore"}
    evaluator = with_alarm(**asked)
    evaluator.of(KEY).add(int(at(0).timestamp()) // 60, 99, 199)
    assert evaluator.tick(at(1)) == []
    evaluator.of(KEY).add(int(at(1).timestamp()) // 60, 99, 200)
    assert [each.new for each in evaluator.tick(at(2))] == [State.ALARM]


# -- metric math ----------------------------------------------------------------------------------------------------

RATIO = "IF(FILL(m1,0) < 5, 0, 100 * m1 / m2)"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        (RATIO, {"m1": 6.0, "m2": 300.0}, 2.0),
        (RATIO, {"m1": 1.0, "m2": 1.0}, 0.0),
        (RATIO, {"m1": None, "m2": 300.0}, 0.0),
        ("m1 / m2", {"m1": 1.0, "m2": 0.0}, None),
        ("m1 + m2", {"m1": 1.0, "m2": None}, None),
        ("FILL(m1, 7)", {"m1": None}, 7.0),
        ("MAX(m1, m2)", {"m1": None, "m2": 3.0}, 3.0),
        ("m1 > 2 AND m2 < 3", {"m1": 3.0, "m2": 2.0}, 1.0),
        ("m1 > 2 OR m2 < 3", {"m1": 1.0, "m2": 5.0}, 0.0),
        ("-m1 ^ 2", {"m1": 3.0}, -9.0),
    ],
)
def test_metric_math_is_computed(text: str, values: dict[str, float | None], expected: float | None) -> None:
    assert compile_expression(text)(values) == expected


@pytest.mark.parametrize(
    "text", ["ANOMALY_DETECTION_BAND(m1)", "m1.real", "__import__('os')", "m1 +", "[m1]", "IF(m1)"]
)
def test_metric_math_that_is_not_carried_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text)


# -- composites -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "alarmed", "holds"),
    [
        ("ALARM(a) OR ALARM(b)", {"b"}, True),
        ("ALARM(a) AND ALARM(b)", {"b"}, False),
        ('ALARM("a") AND NOT ALARM("b")', {"a"}, True),
        ("(ALARM(a) OR ALARM(b)) AND OK(c)", {"a", "c"}, False),
        ("ALARM(a) OR ALARM(b) AND ALARM(c)", {"a"}, True),
        ("ALARM(arn:aws:cloudwatch:ap-northeast-2:123456789012:alarm:a)", {"a"}, True),
        ("TRUE AND NOT FALSE", set(), True),
        ("INSUFFICIENT_DATA(a)", set(), False),
    ],
)
def test_a_rule_holds_as_it_says(rule: str, alarmed: set[str], holds: bool) -> None:
    states = {name: "ALARM" if name in alarmed else "OK" for name in "abc"}
    assert parse_rule(rule)[1](states) is holds


@pytest.mark.parametrize(
    "rule", ["ALARM(a) ALARM(b)", "(ALARM(a)) (ALARM(b))", "a OR b", "ALARM(a", "__import__('os')"]
)
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="cannot be understood"):
        parse_rule(rule)


def suppressed(wait: int = 120, extension: int = 180) -> Evaluator:
    evaluator = Evaluator()
    for name in ("child", "deploying"):
        evaluator.put(
            metric_alarm(ALARM | {"AlarmName": name, "MetricName": name, "TreatMissingData": "notBreaching"}),
            MONDAY,
        )
    more: dict[str, Any] = {
        "ActionsSuppressorWaitPeriod": wait,
        "ActionsSuppressorExtensionPeriod": extension,
    }
    rule = {"AlarmName": "both", "AlarmRule": "ALARM(child)", "ActionsSuppressor": "deploying", **more}
    evaluator.put(composite_alarm(rule), MONDAY)
    return evaluator


def breach(evaluator: Evaluator, name: str, minutes: range) -> None:
    feed(evaluator, minutes, 99, metric_key("Test", name, {"InstanceId": "i-1"}))


def acted(evaluator: Evaluator, last: int) -> list[tuple[str, int]]:
    changes = [each for each in replay(evaluator, at(1), at(last)) if each.name == "both" and each.acts]
    return [(state, minute) for _, state, minute in told(changes)]


def test_without_a_deploy_the_action_comes_after_the_wait_period() -> None:
    evaluator = suppressed()
    breach(evaluator, "child", range(10, 40))
    assert acted(evaluator, 30)[1:] == [("ALARM", 13)]


def test_a_deploy_suppresses_the_action_and_its_end_releases_it_if_the_alarm_stays() -> None:
    evaluator = suppressed()
    breach(evaluator, "deploying", range(5, 20))
    breach(evaluator, "child", range(10, 40))
    assert acted(evaluator, 60)[1:] == [("ALARM", 26), ("OK", 45)]


def test_what_began_and_ended_during_a_deploy_is_told_to_nobody() -> None:
    evaluator = suppressed()
    breach(evaluator, "deploying", range(5, 30))
    breach(evaluator, "child", range(10, 20))
    assert acted(evaluator, 60)[1:] == []
    assert evaluator.state("both") is State.OK


def test_a_suppressed_change_says_by_what() -> None:
    evaluator = suppressed()
    breach(evaluator, "deploying", range(5, 30))
    breach(evaluator, "child", range(10, 20))
    said = [each.suppressed_by for each in run(evaluator, 1, 40) if each.name == "both"]
    assert said[-2:] == ["Alarm", "Alarm"]


def test_composites_that_name_each_other_do_not_hang() -> None:
    evaluator = Evaluator()
    for one, other in (("x", "y"), ("y", "x")):
        evaluator.put(composite_alarm({"AlarmName": one, "AlarmRule": f"NOT ALARM({other})"}), MONDAY)
    assert evaluator.tick(at(1))
