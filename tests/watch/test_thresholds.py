"""The table of thresholds: what the document says, what can be reached, what it costs, and whose metric it reads."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from embedded.alarms.definition import metric_alarm
from embedded.alarms.evaluator import Evaluator, replay
from embedded.alarms.rules import State
from infra.core import metrics, notice, slo
from infra.core.alarms import Alarm, alarm_set
from infra.core.instances import DATABASE_CLASSES, instance_type
from infra.core.metrics import Metric
from infra.core.shape import Climb, Phase, Sizes, shape
from infra.core.stages import LADDER, Option, find
from infra.core.thresholds import TABLE, Facts, Severity
from ops.alarmcalls import dimensions, metric_call

from .support import MONDAY, WATCHED, at, key_of

STAGES = [stage for stage in LADDER if stage.option is not Option.ELASTIC]
SETS = [
    Facts(shape(stage), mode, gpu=gpu, budget=gpu, webhook=gpu)
    for stage in STAGES
    for mode in ("unlimited", "standard")
    for gpu in (False, True)
]
LONG = notice.About(
    "ap-northeast-2",
    "a-long-project-name-staging",
    notice.next_stage("single-16g-fixed", Decimal("152.83"), Decimal("15.76")),
)
SINGLE = alarm_set(Facts(shape(find("single-8g"))))


def by_name(facts: Facts) -> dict[str, Alarm]:
    return {alarm.name: alarm for alarm in alarm_set(facts).alarms}


@pytest.mark.parametrize(
    ("name", "comparison", "value", "period", "datapoints", "periods"),
    [
        # Table F.1 of the founding document, with the holds of the issue.
        ("app-credits-warn", "Less", "259.2", 300, 3, 3),
        ("app-credits-review", "Less", "172.8", 300, 3, 3),
        ("app-cpu-warn", "Greater", "60", 604_800, 1, 1),
        ("app-cpu-review", "Greater", "70", 604_800, 1, 1),
        ("app-memory-warn", "Greater", "70", 300, 3, 3),
        ("app-memory-review", "Greater", "80", 300, 6, 6),
        ("stack-response-warn", "Greater", "0.3", 300, 3, 4),
        ("stack-response-review", "Greater", "0.5", 300, 3, 4),
        ("app-connections-warn", "Greater", "70", 300, 3, 3),
        ("app-connections-review", "Greater", "80", 300, 3, 3),
        ("stack-requests-warn", "Greater", "6000", 300, 3, 3),
        ("stack-requests-review", "Greater", "9000", 300, 3, 3),
        ("app-daily-users-warn", "Greater", "400", 86_400, 1, 1),
        ("app-daily-users-review", "Greater", "500", 86_400, 1, 1),
    ],
)  # fmt: skip
def test_the_documents_thresholds_are_the_alarms(
    name: str, comparison: str, value: str, period: int, datapoints: int, periods: int
) -> None:
    alarm = by_name(Facts(shape(find("single-8g"))))[name]
    assert alarm.comparison == f"{comparison}ThanThreshold"
    assert (alarm.value, alarm.period_seconds) == (Decimal(value), period)
    assert (alarm.datapoints, alarm.periods) == (datapoints, periods)


@pytest.mark.parametrize(
    ("stage", "warn"), [("single-8g", "259.2"), ("single-16g", "691.2"), ("single-8g-fixed", None)]
)
def test_credits_follow_the_type(stage: str, warn: str | None) -> None:
    found = by_name(Facts(shape(find(stage)))).get("app-credits-warn")
    assert (found.value if found else None) == (Decimal(warn) if warn else None)


def test_in_standard_mode_a_mean_that_cannot_be_is_not_waited_for() -> None:
    names = set(by_name(Facts(shape(find("single-8g")), "standard")))
    assert {"app-credits-gone-warn", "app-credits-gone-review"} <= names
    assert not {"app-cpu-warn", "app-surplus-warn"} & names


@pytest.mark.parametrize(
    "facts", SETS, ids=lambda facts: f"{facts.shape.stage}-{facts.cpu_credits}-{facts.gpu}"
)
def test_names_are_unique_and_hold_no_number_and_no_stage(facts: Facts) -> None:
    made = alarm_set(facts)
    names = [alarm.name for alarm in made.alarms] + [composite.name for composite in made.composites]
    assert len(set(names)) == len(names)
    for name in names:
        assert not any(character.isdigit() for character in name.replace("5xx", "").replace("4xx", "")), name
        assert not any(word in name for word in ("single", "split", "fixed", "elastic")), name


@pytest.mark.parametrize(
    "facts", SETS, ids=lambda facts: f"{facts.shape.stage}-{facts.cpu_credits}-{facts.gpu}"
)
def test_cloudwatch_takes_every_window(facts: Facts) -> None:
    """PutMetricAlarm: at most a day for periods below an hour, at most seven days beyond."""
    for alarm in alarm_set(facts).alarms:
        window = alarm.period_seconds * alarm.periods
        assert alarm.period_seconds % 60 == 0, alarm.name
        assert window <= (86_400 if alarm.period_seconds < 3_600 else 604_800), alarm.name
        assert alarm.datapoints <= alarm.periods, alarm.name
        assert alarm.warm_up_minutes <= 2880, alarm.name
        assert len(notice.of_alarm(alarm, LONG)) < 1024, alarm.name


EVERY = {
    alarm: facts
    for facts in SETS
    for alarm in alarm_set(facts).alarms
    # The two boxes of B and C are watched by the same rows as the single one.
    if alarm.subject not in ("frontend-private", "backend-private", "backend-public")
}
"""Every definition of every stage, and a stack that has it: of one name there are several, by what stands."""


def most_credits(facts: Facts) -> float:
    return max(box.instance.most_credits for box in facts.shape.boxes)


DEPENDENT: dict[Metric, Callable[[Facts], float]] = {
    metrics.CREDITS: most_credits,
    metrics.DB_CONNECTIONS: lambda facts: float(facts.database_connections),
}
"""What bounds a metric that depends on what stands."""


def highest(metric: Metric, facts: Facts) -> float:
    """The highest that a machine can produce; where nothing bounds it, as time or load, far beyond any row."""
    if metric in DEPENDENT:
        return DEPENDENT[metric](facts)
    return metric.highest if metric.highest is not None else 1e12


def extremes(alarm: Alarm) -> dict[str, float]:
    """The worst that a machine can produce, by the name of a part."""
    lowest = "Less" in alarm.comparison
    found = {}
    for part in alarm.parts:
        found[part.id] = part.metric.lowest if lowest else highest(part.metric, EVERY[alarm])
    if alarm.expression:  # as many bad events as events; or every answer slower than any bound
        found = {"m1": 1000.0, "m2": 1000.0}
    return found


@pytest.mark.parametrize("alarm", EVERY, ids=lambda alarm: alarm.name)
def test_every_alarm_can_be_reached_by_a_series_that_the_machine_can_produce(alarm: Alarm) -> None:
    evaluator = Evaluator()
    evaluator.put(
        metric_alarm(metric_call(alarm, "terrace", "dev", WATCHED) | {"WarmUpConfiguration": {}}), MONDAY
    )
    worst = extremes(alarm)
    silent = alarm.parts[0].statistic == "SampleCount"
    # Long enough for the whole window to be bad, in steps of what the metric's publisher takes.
    last = max(alarm.period_seconds * (alarm.periods + 1), 3 * alarm.parts[0].metric.every_seconds) // 60
    for part in alarm.parts:
        step = max(part.metric.every_seconds // 60, last // 2000, 1)
        for minute in range(0, last + 1, step):
            if not silent:
                count = 250 if part.statistic.startswith("p") else 1
                evaluator.add(
                    key_of(part.metric, alarm.subject), at(minute), worst[part.id], count, now=at(minute)
                )
    states = [change.new for change in replay(evaluator, at(last - 120), at(last + 60))]
    assert State.ALARM in states


@pytest.mark.parametrize("alarm", EVERY, ids=lambda alarm: alarm.name)
def test_every_alarm_is_quiet_over_a_healthy_series(alarm: Alarm) -> None:
    evaluator = Evaluator()
    evaluator.put(
        metric_alarm(metric_call(alarm, "terrace", "dev", WATCHED) | {"WarmUpConfiguration": {}}), MONDAY
    )
    above = "Greater" in alarm.comparison
    value = float(alarm.value) / 2 if above else float(alarm.value) * 2
    value = min(value, highest(alarm.parts[0].metric, EVERY[alarm]))
    last = alarm.period_seconds * (alarm.periods + 3) // 60
    for part in alarm.parts:
        # What a share is of is the same metric: both parts are of quick answers.
        one = len({part.metric for part in alarm.parts}) == 1
        healthy = {"m1": 0.0, "m2": 0.0 if one else 1000.0}[part.id] if alarm.expression else value
        if part.statistic == "Sum" and not alarm.expression:
            healthy = value / (alarm.period_seconds / max(60, part.metric.every_seconds))
        step = max(part.metric.every_seconds // 60, 1)
        for minute in range(0, last + 1, step):
            evaluator.add(key_of(part.metric, alarm.subject), at(minute), healthy, now=at(minute))
    states = [change.new for change in replay(evaluator, at(max(last - 90, last * 7 // 8)), at(last))]
    assert State.ALARM not in states


# -- a metric with other dimensions than the alarm's ----------------------------------------------------------------


def test_a_metric_of_the_log_has_no_dimension_because_a_default_value_excludes_them() -> None:
    assert all(metric.dimensions == () for metric in metrics.LOG_METRICS)


def test_a_dimension_that_nothing_gives_is_an_error_and_no_alarm() -> None:
    with pytest.raises(KeyError):
        dimensions(metrics.MEMORY, "unknown-box", "dev", WATCHED)


# -- options B and C ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "there", "absent"),
    [
        ("single-8g", {"app-disk-data-page", "app-connections-warn"}, {"database-storage-page"}),
        ("split", {"database-storage-page", "database-connections-review", "backend-public-memory-warn"},
         {"app-memory-warn", "targets-backend-targets-page"}),
        ("private", {"targets-frontend-targets-page", "balancer-errors-5xx-page", "nat-nat-ports-warn",
          "frontend-private-heartbeat-page", "stack-latency-burn-slow-long", "balancer-certificate-warn"},
         {"app-backup-age-page", "frontend-private-certificate-warn"}),
    ],
)  # fmt: skip
def test_alarms_stand_with_what_they_watch(stage: str, there: set[str], absent: set[str]) -> None:
    (row,) = [each for each in LADDER if each.name == stage]
    names = set(by_name(Facts(shape(row))))
    assert there <= names
    assert not absent & names


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_users_at_once_ask_for_the_next_stage_where_the_document_leaves_one_for_them(stage: Any) -> None:
    asked = [name for name in by_name(Facts(shape(stage))) if name.endswith("concurrent-users-review")]
    assert asked == (["frontend-public-concurrent-users-review"] if "400+" in stage.leave_when else [])


@pytest.mark.parametrize("name", DATABASE_CLASSES)
def test_every_database_class_has_the_credits_of_its_own_size(name: str) -> None:
    standing = shape(find("split"), sizes=Sizes(database_class=name))
    alarm = by_name(Facts(standing))["database-database-credits-warn"]
    assert alarm.value == Decimal(instance_type(name.removeprefix("db.")).most_credits) / 5


@pytest.mark.parametrize("phase", Phase)
def test_while_a_climb_has_two_sides_the_certificate_of_each_is_watched(phase: Phase) -> None:
    names = by_name(Facts(shape(find("split"), climb=Climb(find("private"), phase))))
    assert {name for name in names if "certificate" in name} == {
        "frontend-public-certificate-warn", "balancer-certificate-warn",
    }  # fmt: skip


@pytest.mark.parametrize(
    "facts", SETS, ids=lambda facts: f"{facts.shape.stage}-{facts.cpu_credits}-{facts.gpu}"
)
def test_every_objective_has_the_whole_set_of_windows_or_it_is_said_why_not(facts: Facts) -> None:
    whole = {("14.4", ("1h", "5m")), ("6", ("6h", "30m")), ("1", ("3d",))}
    notes = alarm_set(facts).notes
    rates = list(slo.burn_rates(facts))
    for objective in {each.objective.name for each in rates}:
        made = {
            (str(each.factor), tuple(window.name for window in each.windows))
            for each in rates
            if each.objective.name == objective
        }
        said = [note for note in notes if note.startswith(f"{objective}: ")]
        assert bool(said) == (made != whole), (objective, made, said)


def test_the_expected_mean_stays_below_what_warns_and_falls_on_no_rung() -> None:
    (requests,) = [row for row in TABLE if row.metric is metrics.REQUESTS]
    warns = requests.levels[0].value
    assert isinstance(warns, Decimal)
    for objective in ("availability", "latency", "model"):
        means = [slo.expected_rps(Facts(shape(stage)), objective) for stage in STAGES]
        assert means == sorted(means)
        assert max(means) < warns * requests.scale
    assert slo.expected_rps(SETS[0], "model") < slo.expected_rps(SETS[0])


def test_where_even_three_days_are_too_short_for_the_models_requests_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = Facts(shape(find("single-8g")), gpu=True)
    assert not [note for note in alarm_set(facts).notes if "even 3d" in note]
    monkeypatch.setattr(slo, "_RECEIPTS_A_DAY", Decimal(100))
    assert [note for note in alarm_set(facts).notes if "even 3d" in note] == [
        "model: even 3d at 1 would see 300 requests at the stage's expected mean of 0.0012 a second, too few: "
        "it speaks with more of them only"
    ]


def test_every_review_speaks_in_the_composite_and_every_page_of_a_dead_service_in_the_other() -> None:
    review, down = SINGLE.composites
    reviews = {alarm.name for alarm in SINGLE.alarms if alarm.severity is Severity.REVIEW}
    assert {name for group in review.any_of for name in group} == reviews
    assert ("app-heartbeat-page",) in down.any_of
    assert ("stack-availability-burn-fast-long", "stack-availability-burn-fast-short") in down.any_of


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_a_composites_message_says_meaning_and_threshold_of_its_members_and_is_short_enough(
    stage: Any,
) -> None:
    made = alarm_set(Facts(shape(stage)))
    for composite in made.composites:
        said = notice.of_composite(composite, made.alarms, LONG)
        assert len(said) <= notice.MOST_CHARACTERS
        assert composite.means in said
        assert "\nDo: " in said
        assert said.splitlines()[-1].startswith(f"More: scripts/watch.py explain {composite.name}; https://")
    review = notice.of_composite(made.composites[0], made.alarms, LONG)
    assert "Memory above 80 % in 6 of 6 × 5 min" in review
    assert LONG.next_stage in review


def test_what_speaks_for_the_next_stage_is_told_once_by_the_composite() -> None:
    review, down = SINGLE.composites
    told = {alarm.name for alarm in SINGLE.alarms if alarm.notifies}
    assert not told & set(review.members)
    # A dead box is told at once and during a deploy too; windows of a burn rate speak together or not at all.
    assert {name for group in down.any_of if len(group) == 1 for name in group} <= told


def test_a_row_says_what_it_means_and_each_of_its_levels_what_to_do() -> None:
    for row in TABLE:
        assert row.means.endswith("."), row.key
        for level in row.levels:
            assert len(level.do) > 5, row.key


def metric_names() -> list[Metric]:
    return [
        *metrics.BOX_METRICS,
        *metrics.LOG_METRICS,
        *metrics.BALANCER_METRICS,
        *metrics.GPU_METRICS,
        metrics.BUDGET_USED,
        *metrics.BUDGET_LEFT.values(),
    ]


def test_every_metric_of_ours_has_a_name_of_its_own() -> None:
    keys: list[Any] = [(each.space, each.name, each.fixed) for each in metric_names()]
    assert len(set(keys)) == len(keys)
