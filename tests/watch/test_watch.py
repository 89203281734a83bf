"""scripts/watch.py's report: CloudWatch's states, and values, trend and forecast, in at most five calls."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from botocore.client import BaseClient
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.sns import models as moto_sns
from moto.sns.models import sns_backends
from rich.console import Console

from infra.core.alarms import alarm_set
from infra.core.errors import Fault, TerraceError
from infra.core.naming import Naming
from infra.core.shape import Climb, Phase, shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops import watch, watchpage
from ops.adapters.aws_watch import PENDING, AwsWatch
from ops.adapters.climb_cloud import CloudOfClimb
from ops.alarmcalls import metric_call
from ops.climb import status as climb_status
from ops.talk import Output

from .conftest import NOW, REGION, Imagined

ROOT = Path(__file__).parents[2]
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
    assert cloud.calls <= 5 + 1  # one of them of SNS
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


@pytest.mark.parametrize(("today", "days"), [(60, 10), (75, 5), (85, None)])
def test_the_forecast_is_for_the_next_level_that_is_not_crossed(today: int, days: int | None) -> None:
    alarms = [
        each
        for each in alarm_set(Facts(shape(find("single-8g")))).alarms
        if each.name.startswith("app-memory-")
    ]
    history = [(NOW - timedelta(days=ago), float(today - ago)) for ago in range(9, -1, -1)]
    found = watch._row(alarms, {}, history, [], NOW)
    assert found.crosses_on == ("" if days is None else (NOW + timedelta(days=days)).date().isoformat())


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


def subscriptions(imagined: Imagined) -> Any:
    """What moto holds of the topic's subscriptions; it never shows one that waits for its link by itself."""
    return sns_backends[ACCOUNT_ID][REGION].subscriptions


def test_whom_mails_reach_is_read_from_every_page(
    imagined: Imagined, cloud: AwsWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moto_sns, "DEFAULT_PAGE_SIZE", 1)
    sns = imagined.client("sns")
    second, third = (
        sns.subscribe(TopicArn=imagined.topic, Protocol="email", Endpoint=f"{name}@example.com")[
            "SubscriptionArn"
        ]
        for name in ("second", "third")
    )
    with monkeypatch.context() as pending:
        pending.setattr(subscriptions(imagined)[second], "arn", PENDING)
        found = cloud_after_alarms(cloud).recipients("terrace-dev-alarms")
    for each in (second, third):
        sns.unsubscribe(SubscriptionArn=each)
    assert (found.pending, found.confirmed, found.unknown) == (("second@example.com",), 2, "")


def cloud_after_alarms(cloud: AwsWatch) -> AwsWatch:
    """The account is known by the alarms, which are always asked first."""
    cloud.alarms(NAMING.physical(""), ["app-memory-warn"])
    return cloud


def test_a_topic_that_nobody_reads_is_said_and_one_that_cannot_be_asked_is_not_called_good(
    imagined: Imagined, cloud: AwsWatch
) -> None:
    imagined.client("sns").create_topic(Name="terrace-dev-empty")
    empty, none = (cloud_after_alarms(cloud).recipients(f"terrace-dev-{name}") for name in ("empty", "none"))
    assert empty == watch.Recipients()
    assert "Topic does not exist" in none.unknown
    for found, said in ((empty, "No mail address is subscribed"), (none, "could not be asked")):
        pretended: Any = Pretended(cloud, recipients=lambda _, found=found: found)
        report = watch.look(pretended, imagined.facts, NAMING, stage="single-8g", now=NOW)
        assert any(said in each for each in watchpage.sentences(report))


def test_an_address_that_has_not_confirmed_is_said(imagined: Imagined, cloud: AwsWatch) -> None:
    pretended: Any = Pretended(cloud, recipients=lambda _: watch.Recipients(0, ("ops@example.com",)))
    report = watch.look(pretended, imagined.facts, NAMING, stage="single-8g", now=NOW)
    assert any("ops@example.com has not confirmed" in each for each in watchpage.sentences(report))


def test_the_processor_shows_the_mean_of_seven_days_that_its_alarm_judges(report: watch.Report) -> None:
    cpu = row(report, "app-cpu")
    assert cpu.value == pytest.approx((40 * 4 + 80 * 3) / 7, abs=0.3)
    assert cpu.series[-1][1] == 80


def test_the_room_is_said_to_warn_and_to_review(report: watch.Report) -> None:
    memory = row(report, "app-memory")
    assert (memory.to_warn_percent, memory.to_review_percent) == (
        pytest.approx(100 * (70 - 76) / 70), pytest.approx(5),
    )  # fmt: skip
    html = watchpage.page(report)
    assert "to warn -9 %" in html
    assert "to review +5 %" in html


def test_each_burn_rate_is_a_row_with_the_rate_over_its_window(report: watch.Report) -> None:
    rows = {each.name: each for each in report.rows if "-burn-" in each.name}
    assert set(rows) == {
        "stack-availability-burn-fast", "stack-availability-burn-middle", "stack-availability-burn-slow",
        "stack-latency-burn-middle", "stack-latency-burn-slow",
    }  # fmt: skip
    slow = rows["stack-availability-burn-slow"]
    # Two of nine hundred an hour fail, of which one in a hundred may; the requests have a day and a night.
    assert slow.value == pytest.approx(2 / 900 / 0.01, rel=0.2)
    assert (slow.warn, slow.first, slow.unit) == (1, "warn", "x")
    assert rows["stack-availability-burn-fast"].first == "page"


def test_the_spend_of_the_gpu_shows_where_it_warns_and_where_it_pages(
    imagined: Imagined, cloud: AwsWatch
) -> None:
    facts = replace(imagined.facts, gpu=True)
    spend = row(watch.look(cloud, facts, NAMING, stage="single-8g", now=NOW), "stack-gpu-spend")
    assert (spend.warn, spend.first, spend.review, spend.second) == (75, "warn", 100, "page")


def test_who_follows_sees_a_call_that_failed_and_then_the_next_one(report: watch.Report) -> None:
    fault = TerraceError(Fault("AWS", "does not answer", "wait"))
    answers: list[Any] = [report, fault, report]

    def look() -> watch.Report:
        answer = answers.pop(0)
        if isinstance(answer, TerraceError):
            raise answer
        return cast("watch.Report", answer)

    waited: list[int] = []
    found = list(islice(watch.looks(look, lambda: waited.append(1)), 3))
    assert found == [report, fault, report]
    assert len(waited) == 2
    shown = Console(width=200, record=True, file=StringIO())
    shown.print(watchpage.followed(report, str(fault)))
    assert "The last look failed: AWS" in shown.export_text()
    answers[:] = [fault]
    with pytest.raises(TerraceError):
        next(watch.looks(look, lambda: None))


def test_following_as_json_prints_a_line_for_each_look_and_writes_the_page_each_time(
    report: watch.Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location("watch_script", ROOT / "scripts" / "watch.py")
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    fault = TerraceError(Fault("AWS", "does not answer", "wait"))
    answers = iter([report, fault, replace(report, stage="single-16g")])
    page = tmp_path / "page.html"

    def look(*_: Any) -> watch.Report:
        answer = next(answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, TerraceError):
            raise answer
        return answer

    monkeypatch.setattr(script, "_look", look)
    monkeypatch.setattr(script, "_settings", lambda _: None)
    monkeypatch.setattr(script, "time", SimpleNamespace(sleep=lambda _: None))
    with contextlib.suppress(KeyboardInterrupt, typer.Exit, SystemExit):
        script.status(stack="dev", output=Output.JSON, follow=10, html=page)
    said = capsys.readouterr()
    assert [json.loads(line)["stage"] for line in said.out.splitlines()] == ["single-8g", "single-16g"]
    assert "does not answer" in said.err
    assert "dev at single-16g" in page.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every call of AWS that is made, as `service:Operation`."""
    found: list[str] = []
    ask: Any = vars(BaseClient)["_make_api_call"]

    def counted(self: Any, operation: str, given: Any) -> Any:
        found.append(f"{self.meta.service_model.service_name}:{operation}")
        return ask(self, operation, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    return found


@dataclass
class Site:
    """What a status of `scripts/scale_up.py` asks of its place, with the cloud for real."""

    cloud: CloudOfClimb
    facts: Facts
    stack: str = "dev"

    def __getattr__(self, name: str) -> Any:
        config = SimpleNamespace(stage="s", climb_to="", phase="", kept=(), said=dict)
        journal = SimpleNamespace(records=[])
        budget = SimpleNamespace(budget=SimpleNamespace(aws_usd=50))
        found = {
            "words": config, "stands": config, "journal": journal, "settings": budget, "account": ACCOUNT_ID,
            "lock": SimpleNamespace(holder=lambda: None),
        }  # fmt: skip
        return lambda: found[name]

    def report(self) -> watch.Report:
        return watch.look(AwsWatch(REGION), self.facts, NAMING, stage="single-8g", now=NOW)


def test_a_whole_status_asks_cloudwatch_at_most_five_times_at_the_largest_set_of_alarms_too(
    imagined: Imagined, cloud: AwsWatch, operations: list[str]
) -> None:
    climb = Climb(find("private"), Phase.EXPANDED)
    facts = Facts(shape(find("split"), climb=climb), gpu=True, budget=True, webhook=True)
    operations.clear()
    found = climb_status.look(Site(CloudOfClimb(REGION, NAMING), facts), now=NOW)
    asked = list(operations)
    assert len(found["thresholds"]) > 60
    # Alarms, a hundred names at once, and three times data.
    assert sum(each.startswith("cloudwatch:") for each in asked) <= 5, asked
    assert sorted(each for each in asked if not each.startswith("cloudwatch:")) == [
        "budgets:DescribeBudget", "sns:ListSubscriptionsByTopic",
    ]  # fmt: skip


@pytest.fixture
def second(imagined: Imagined) -> Iterator[Naming]:
    """Another stack of the account, at `private`, whose name begins as the first one's; and one beside no `prod`."""
    cloudwatch = imagined.client("cloudwatch")
    made = [
        metric_call(alarm, "terrace", stack, {"balancer": {"LoadBalancer": "another", "CertificateArn": "a"}})
        for stack in ("dev-2", "prod-2")
        for alarm in alarm_set(Facts(shape(find("private")))).alarms
        if alarm.subject in ("stack", "balancer")
    ]
    for call in made:
        cloudwatch.put_metric_alarm(**call)
    yield Naming("terrace", "dev-2")
    cloudwatch.delete_alarms(AlarmNames=[call["AlarmName"] for call in made])


def test_a_stack_whose_name_begins_as_another_ones_is_not_mixed_with_it(
    imagined: Imagined, cloud: AwsWatch, report: watch.Report, second: Naming
) -> None:
    again = watch.look(cloud, imagined.facts, NAMING, stage="single-8g", now=NOW)
    assert again == report
    theirs = cloud.alarms(second.physical(""), alarm_set(Facts(shape(find("private")))).names)
    assert theirs["balancer-own-5xx-page"].dimensions == {"LoadBalancer": "another"}
    # A stack that does not stand is not taken for standing because of the other one's alarms.
    with pytest.raises(TerraceError, match="stack prod  has no alarms"):
        watch.look(cloud, imagined.facts, Naming("terrace", "prod"), stage="single-8g", now=NOW)
    faults = CloudOfClimb(REGION, Naming("terrace", "prod")).alarm_faults(imagined.facts)
    assert len(faults) == len(alarm_set(imagined.facts).names)


def test_alarms_beyond_the_first_hundred_names_are_found_too(cloud: AwsWatch) -> None:
    found = cloud.alarms(NAMING.physical(""), [*(f"none-{count}" for count in range(120)), "app-memory-warn"])
    assert (list(found), cloud.calls) == (["app-memory-warn"], 2)


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


def test_a_climb_tells_what_holds_the_composites_back(imagined: Imagined, cloud: AwsWatch) -> None:
    cloudwatch = imagined.client("cloudwatch")
    (suppressor,) = cloudwatch.describe_alarms(AlarmNames=[NAMING.physical("stack-deploying")])[
        "MetricAlarms"
    ]
    asked = {key: suppressor[key] for key in ("Namespace", "MetricName", "Dimensions")}
    now = datetime.now(UTC)
    window = {"StartTime": now - timedelta(minutes=2), "EndTime": now + timedelta(minutes=2), "Period": 60}

    def told() -> list[float]:
        data = cloudwatch.get_metric_statistics(**asked, **window, Statistics=[suppressor["Statistic"]])
        return [each[suppressor["Statistic"]] for each in data["Datapoints"]]

    assert told() == []
    CloudOfClimb(REGION, NAMING).suppress()
    assert told() == [1]
    assert suppressor["Threshold"] < 1


def test_a_stack_without_alarms_is_refused_with_the_remedy(imagined: Imagined, cloud: AwsWatch) -> None:
    with pytest.raises(TerraceError, match="pulumi up -s prod"):
        watch.look(cloud, imagined.facts, Naming("terrace", "prod"), stage="single-8g", now=NOW)


@pytest.mark.parametrize("name", ["app-memory-review", "app-memory", "memory"])
def test_an_alarm_is_explained_by_its_name_with_or_without_its_level(imagined: Imagined, name: str) -> None:
    assert watch.explain(imagined.facts, name)["title"] == "Memory"


@pytest.mark.parametrize("stage", ["single-8g", "split", "private"])
def test_every_row_of_the_table_is_explained_by_its_key_at_every_option(stage: str) -> None:
    facts = Facts(shape(find(stage)), gpu=True, budget=True, webhook=True)
    for row in {alarm.threshold.key for alarm in alarm_set(facts).alarms if alarm.threshold is not None}:
        assert f"-{row}-" in watch.explain(facts, row)["alarm"]


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


@pytest.mark.parametrize(("columns", "rooms"), [(100, False), (140, True)])
def test_a_terminal_shows_each_threshold_on_one_line(
    report: watch.Report, *, columns: int, rooms: bool
) -> None:
    console = Console(width=columns, record=True, file=StringIO())
    console.print(watchpage.rendered(report))
    lines = console.export_text().splitlines()
    (head,) = [index for index, line in enumerate(lines) if line.startswith("state")]
    assert ("to review" in lines[head]) is rooms
    shown = lines[head + 1 :]
    assert len(shown) == len(report.rows)
    for line, each in zip(shown, report.rows, strict=True):
        assert f" {each.name} " in line
        assert len(line) <= columns
    (memory,) = [line for line in shown if " app-memory " in line]
    assert memory.startswith("warn ")
    assert "76 %" in memory
    assert ("-9 %" in memory and "+5 %" in memory) if rooms else "-9/+5 %" in memory
    assert "+1." in memory


def test_deploys_are_shaded_where_they_were(report: watch.Report) -> None:
    memory = row(report, "app-memory")
    moment = memory.series[len(memory.series) // 2][0]
    assert "<rect" not in watchpage.chart(memory)
    assert watchpage.chart(memory, [moment, NOW - timedelta(days=300)]).count("<rect") == 1
