"""scripts/watch.py's report: CloudWatch's states, and values, trend and forecast, in at most five calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from infra.core.alarms import alarm_set
from infra.core.errors import TerraceError
from infra.core.naming import Naming
from ops import watch, watchpage
from ops.adapters.aws_watch import AwsWatch

from .conftest import NOW, REGION, Imagined

NAMING = Naming("terrace", "dev")


@pytest.fixture
def cloud(imagined: Imagined, monkeypatch: pytest.MonkeyPatch) -> AwsWatch:
    for key, value in {
        "AWS_ENDPOINT_URL": imagined.server.url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    return AwsWatch(REGION)


@pytest.fixture
def report(imagined: Imagined, cloud: AwsWatch) -> watch.Report:
    return watch.look(cloud, imagined.facts, NAMING, stage="single-8g", now=NOW)


def row(report: watch.Report, name: str) -> watch.Row:
    (found,) = [each for each in report.rows if each.name == name]
    return found


def test_a_report_takes_at_most_five_calls(report: watch.Report, cloud: AwsWatch) -> None:
    assert cloud.calls <= 5
    assert len(report.rows) > 20


def test_what_speaks_comes_first_with_its_level_and_since_when(report: watch.Report) -> None:
    memory = row(report, "app-memory")
    assert report.rows[0].state == "ALARM"
    assert (memory.state, memory.severity) == ("ALARM", "warn")
    assert memory.since is not None
    assert NOW - timedelta(minutes=40) < memory.since <= NOW


def test_value_distance_trend_and_forecast_are_those_of_the_series(report: watch.Report) -> None:
    memory = row(report, "app-memory")
    assert memory.value == pytest.approx(76)
    assert memory.distance_percent == pytest.approx(5)
    assert memory.per_day == pytest.approx(1.5, abs=0.2)
    # Four points to go at one and a half a day.
    assert memory.crosses_on in {(NOW + timedelta(days=days)).date().isoformat() for days in (2, 3)}


def test_what_hardly_moves_has_no_trend_and_a_page_is_called_one(report: watch.Report) -> None:
    assert watchpage.trend(row(report, "app-disk-root")) == "+0/day"
    assert watchpage.trend(row(report, "app-memory")).startswith("+1.")
    html = watchpage.page(report)
    assert "page below 1 samples" in html
    assert "warn above 70 %" in html


def test_requests_are_shown_a_second(report: watch.Report) -> None:
    requests = row(report, "stack-requests")
    assert (requests.warn, requests.review, requests.unit) == (20, 30, "/s")
    assert requests.value is not None
    assert 0 < requests.value < 6  # up to 1 500 in the five minutes of the last datum


def test_a_count_is_shown_for_the_alarms_own_period(report: watch.Report) -> None:
    assert row(report, "app-heartbeat").value == pytest.approx(1, abs=0.2)


def test_an_alarm_without_data_says_so_and_shows_no_value(report: watch.Report) -> None:
    connections = row(report, "app-connections")
    assert (connections.state, connections.value) == ("INSUFFICIENT_DATA", None)


def test_the_error_budget_is_that_of_the_requests(report: watch.Report) -> None:
    hours = 13 * 24
    assert report.budgets["availability"] == pytest.approx(
        100 - 100 * 2 * hours / (0.01 * 900 * hours), abs=1
    )


def test_the_page_has_a_chart_for_each_series_and_escapes_what_it_shows(report: watch.Report) -> None:
    html = watchpage.page(report)
    assert html.count("<polyline") == sum(len(each.series) > 1 for each in report.rows)
    assert "Memory" in html
    assert "<script" not in html


def test_a_report_is_plain_json(report: watch.Report) -> None:
    found = json.loads(json.dumps(report.as_json(), default=str))
    assert found["thresholds"][0]["state"] == "ALARM"
    assert "series" not in found["thresholds"][0]


class Pretended:
    """A cloud that answers what it is told to."""

    def __init__(self, cloud: AwsWatch, **changes: Callable[..., Any]) -> None:
        self._cloud, self._changes = cloud, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes.get(name) or getattr(self._cloud, name)


def test_an_address_that_has_not_confirmed_is_said(imagined: Imagined, cloud: AwsWatch) -> None:
    pretended: Any = Pretended(cloud, unconfirmed=lambda _: ["ops@example.com"])
    report = watch.look(pretended, imagined.facts, NAMING, stage="single-8g", now=NOW)
    assert any("ops@example.com has not confirmed" in each for each in watchpage.sentences(report))


def test_a_deploy_under_way_is_said(imagined: Imagined, cloud: AwsWatch) -> None:
    cloudwatch = imagined.client("cloudwatch")
    cloudwatch.set_alarm_state(
        AlarmName="terrace-dev-stack-deploying", StateValue="ALARM", StateReason="a deploy"
    )
    try:
        report = watch.look(cloud, imagined.facts, NAMING, stage="single-8g", now=NOW)
        assert any("A deploy or a climb is under way" in each for each in watchpage.sentences(report))
    finally:
        cloudwatch.set_alarm_state(
            AlarmName="terrace-dev-stack-deploying", StateValue="OK", StateReason="over"
        )


def test_a_stack_without_alarms_is_refused_with_the_remedy(imagined: Imagined, cloud: AwsWatch) -> None:
    with pytest.raises(TerraceError, match="pulumi up -s prod"):
        watch.look(cloud, imagined.facts, Naming("terrace", "prod"), stage="single-8g", now=NOW)


@pytest.mark.parametrize("name", ["app-memory-review", "app-memory", "memory"])
def test_an_alarm_is_explained_by_its_name_with_or_without_its_level(imagined: Imagined, name: str) -> None:
    assert watch.explain(imagined.facts, name)["title"] == "Memory"


def test_whatever_a_message_names_can_be_explained_composites_too(imagined: Imagined) -> None:
    made = alarm_set(imagined.facts)
    for alarm in made.alarms:
        assert watch.explain(imagined.facts, alarm.name)["alarm"] == alarm.name
    for composite in made.composites:
        said = watch.explain(imagined.facts, composite.name)
        assert said["means"].endswith(".")
        assert all(member in said["members"] for member in composite.members)
    review = watch.explain(imagined.facts, "scale-up-review")
    assert "Memory above 80 % in 6 of 6 × 5 min" in review["speaks when"]
    assert watch.explain(imagined.facts, "app-memory-review")["tells"] == "through scale-up-review"
    assert watch.explain(imagined.facts, "app-memory-warn")["tells"] == "by itself"
    assert (
        watch.explain(imagined.facts, "app-heartbeat-page")["tells"] == "by itself and through service-down"
    )
    assert watch.explain(imagined.facts, "stack-deploying")["tells"] == "nobody"


def test_an_unknown_alarm_is_refused_with_the_nearest(imagined: Imagined) -> None:
    with pytest.raises(TerraceError, match="did you mean 'app-memory-warn'"):
        watch.explain(imagined.facts, "app-memory-wran")


@pytest.mark.parametrize(
    ("value", "per_day", "bound", "above", "days"),
    [
        (60, 2, 70, True, 5), (60, -2, 70, True, None), (60, 0, 70, True, None), (80, 1, 70, True, None),
        (300, -10, 250, False, 5), (300, 10, 250, False, None), (1, 0.001, 70, True, None), (None, 1, 70, True, None),
    ],
)  # fmt: skip
def test_a_forecast_is_the_day_on_which_the_trend_meets_the_bound_or_nothing(
    value: float | None, per_day: float, bound: float, above: bool, days: int | None
) -> None:
    found = watch.forecast(value, per_day, bound, above=above, now=NOW)
    assert found == ("" if days is None else (NOW + timedelta(days=days)).date().isoformat())


def test_deploys_are_shaded_where_they_were(report: watch.Report) -> None:
    memory = row(report, "app-memory")
    moment = memory.series[len(memory.series) // 2][0]
    assert "<rect" not in watchpage.chart(memory)
    assert watchpage.chart(memory, [moment, NOW - timedelta(days=300)]).count("<rect") == 1
