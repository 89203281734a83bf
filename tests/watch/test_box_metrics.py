"""What a box tells of itself: the agent's configuration against the alarms, its stand-in, users, probes, deploys."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.components.observability import Log
from infra.core import metrics as m
from infra.core.alarms import alarm_set
from infra.core.errors import TerraceError
from infra.core.metrics import Metric, Space
from infra.core.shape import shape
from infra.core.stages import LADDER, Option, find
from infra.core.thresholds import Facts
from infra.host.box.backup import telling
from infra.host.box.metrics import agent, command, deploying, place, probes
from infra.host.box.metrics.translator import Translator, used_disk_percent, used_memory_percent
from infra.host.box.metrics.users import Users
from ops.alarmcalls import metric_call

from .support import WATCHED

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
ALICE, BOB = "a" * 32, "b" * 32


@dataclass
class Told:
    """Takes metrics as CloudWatch does."""

    values: list[tuple[str, float]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, values: Mapping[Metric, float]) -> None:
        self.values += [(metric.key, value) for metric, value in values.items()]

    def put_metric_data(self, **given: Any) -> None:
        self.data.append(given)


# -- the agent's configuration against every alarm ------------------------------------------------------------------


@pytest.mark.parametrize("stage", [each for each in LADDER if each.option is not Option.ELASTIC], ids=str)
def test_every_alarm_on_an_agents_metric_reads_what_the_agent_of_that_box_publishes(stage: Any) -> None:
    standing = shape(stage)
    for alarm in alarm_set(Facts(standing)).alarms:
        for part in alarm.parts:
            if part.metric.space is Space.AGENT:
                (box,) = [each for each in standing.boxes if each.name == alarm.subject]
                role = "single" if stage.option is Option.SINGLE else box.name.partition("-")[0]
                published = agent.published(agent.configuration(role, "/terrace/dev/logs"))
                assert agent.as_published(part.metric) in published, alarm.name


def test_a_configuration_that_keeps_the_device_would_be_caught() -> None:
    configured = agent.configuration("single", "/l")
    configured["metrics"]["metrics_collected"]["disk"]["drop_device"] = False
    assert agent.as_published(m.DATA) not in agent.published(configured)


def test_logs_go_to_groups_that_the_stack_has_and_only_from_files_of_the_role() -> None:
    assert {each.group for each in agent.LOGS} <= {each.value for each in Log}
    listed = agent.configuration("frontend", "/terrace/dev/logs")["logs"]["logs_collected"]["files"][
        "collect_list"
    ]
    assert {each["log_group_name"] for each in listed} == {
        f"/terrace/dev/logs/{name}" for name in ("nginx/access", "nginx/error", "frontend")
    }


def test_every_metric_that_terrace_metrics_publishes_is_one_of_its_probes() -> None:
    probe = probes.Probes(
        {"role": "single", "budget_usd": "9", "gpu_budget_usd": "50"},
        Users(Path(), Path()),
        Path(),
        str,
        str,
        NOW,
    )
    listed = {metric for metric, _ in probe._table()}
    table = {
        each
        for each in (*m.BOX_METRICS, m.BUDGET_USED, *m.BUDGET_LEFT.values())
        if each.by == "terrace-metrics"
    }
    assert listed == table


def test_every_box_metric_of_ours_goes_out_with_exactly_the_dimensions_of_the_alarms() -> None:
    told = Told()
    teller = place.CloudWatch(told, "terrace", "dev", "i-1")
    own = [
        each
        for each in (*m.BOX_METRICS, m.BUDGET_USED, *m.BUDGET_LEFT.values(), m.DEPLOYING)
        if each.space in (Space.PROJECT, Space.AGENT)
    ]
    teller.tell(dict.fromkeys(own, 1.0))
    sent = {
        (call["Namespace"], datum["MetricName"], tuple(each["Name"] for each in datum["Dimensions"]))
        for call in told.data
        for datum in call["MetricData"]
    }
    assert sent == {(each.space.named("terrace", "dev"), each.name, each.dimensions) for each in own}


# -- the stand-in for the agent -------------------------------------------------------------------------------------


@dataclass
class Logs:
    """CloudWatch Logs with one group and no stream yet."""

    lines: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    streams: set[str] = field(default_factory=set)
    fails: bool = False

    class exceptions:  # noqa: N801
        class ResourceNotFoundException(Exception):  # noqa: N818
            """As boto3's."""

    def put_log_events(self, **given: Any) -> None:
        if self.fails:
            raise ConnectionResetError
        if given["logStreamName"] not in self.streams:
            raise self.exceptions.ResourceNotFoundException
        assert given["logGroupName"].startswith("/l/")
        self.lines += [each["message"] for each in given["logEvents"]]
        self.told.append((given["logGroupName"], given["logStreamName"]))

    def create_log_stream(self, **given: Any) -> None:
        self.streams.add(given["logStreamName"])


def translator(tmp_path: Path, told: Told, logs: Logs, role: str = "frontend") -> Translator:
    configured = agent.configuration(role, "/l")
    return Translator(
        configured, told, logs, "i-1", tmp_path / "state", memory_percent=lambda: 42.0, root=tmp_path
    )


def test_the_workers_lines_stand_beside_the_backends_in_a_stream_of_their_own(tmp_path: Path) -> None:
    for name in ("backend", "worker"):
        log = tmp_path / f"var/log/terrace/{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{name} says\n")
    logs = Logs()
    translator(tmp_path, Told(), logs, "backend").once()
    translator(tmp_path, Told(), logs, "backend").once()
    assert list(zip(logs.told, logs.lines, strict=True)) == [
        (("/l/backend", "i-1"), "backend says"),
        (("/l/backend", "i-1-worker"), "worker says"),
    ], "each once"


def test_the_stand_in_sends_memory_disks_and_each_line_of_a_log_once(tmp_path: Path) -> None:
    log = tmp_path / "var/log/nginx/access.json"
    log.parent.mkdir(parents=True)
    told, logs = Told(), Logs()
    log.write_text("one\ntwo\nhal", encoding="utf-8")
    translator(tmp_path, told, logs).once()
    assert [key for key, _ in told.values] == ["mem_used_percent", "disk_used_percent-root"]
    assert logs.lines == ["one", "two"]
    with log.open("a", encoding="utf-8") as file:
        file.write("f\n")
    log.rename(log.with_name("access.json.1"))
    log.write_text("four\n", encoding="utf-8")
    translator(tmp_path, told, logs).once()
    assert logs.lines == ["one", "two", "half", "four"]


def test_lines_that_could_not_be_sent_are_sent_later(tmp_path: Path) -> None:
    log = tmp_path / "var/log/nginx/access.json"
    log.parent.mkdir(parents=True)
    log.write_text("one\n", encoding="utf-8")
    logs = Logs(fails=True)
    with pytest.raises(ConnectionResetError):
        translator(tmp_path, Told(), logs).once()
    logs.fails = False
    translator(tmp_path, Told(), logs).once()
    assert logs.lines == ["one"]


def test_what_the_stand_in_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    configured = agent.configuration("single", "/l")
    configured["metrics"]["metrics_collected"]["swap"] = {"measurement": ["swap_used_percent"]}
    with pytest.raises(TerraceError, match="swap swap_used_percent"):
        Translator(configured, Told(), Logs(), "i-1", tmp_path)


def test_memory_and_disk_are_shares_of_what_is_there(tmp_path: Path) -> None:
    assert 0 < used_memory_percent() <= 100
    assert 0 < used_disk_percent(tmp_path) <= 100


# -- users ----------------------------------------------------------------------------------------------------------


def line(user: str, at: datetime) -> str:
    return json.dumps({"time": at.isoformat(), "status": 200, "rt": 0.1, "llm": 0, "user": user}) + "\n"


def test_users_are_counted_once_by_day_by_month_and_of_five_minutes(tmp_path: Path) -> None:
    log = tmp_path / "access.json"
    users = Users(tmp_path / "users", log)
    yesterday = NOW - timedelta(days=1)
    log.write_text(
        line(ALICE, yesterday) * 3
        + line(BOB, yesterday)
        + line("", NOW)
        + line("<b>", NOW)
        + "{broken\n"
        + line(ALICE, NOW - timedelta(minutes=4))
        + line(BOB, NOW - timedelta(minutes=6)),
        encoding="utf-8",
    )
    users.take(NOW)
    assert (users.of_day(yesterday.date()), users.of_day(NOW.date()), users.at_once()) == (2, 2, 1)
    users.take(NOW + timedelta(minutes=2))
    assert users.at_once() == 0
    assert users.of_month(NOW.date()) == 2
    assert users.of_day((NOW - timedelta(days=2)).date()) is None


def test_reading_the_same_lines_again_after_a_kill_counts_nobody_twice(tmp_path: Path) -> None:
    log = tmp_path / "access.json"
    log.write_text(line(ALICE, NOW), encoding="utf-8")
    users = Users(tmp_path / "users", log)
    users.take(NOW)
    (tmp_path / "users" / "place.json").unlink()  # killed between the count and the place
    users.take(NOW)
    assert users.of_day(NOW.date()) == 1


def test_days_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    log = tmp_path / "access.json"
    log.write_text(line(ALICE, NOW - timedelta(days=50)), encoding="utf-8")
    users = Users(tmp_path / "users", log)
    users.take(NOW)
    assert list((tmp_path / "users").glob("*.users")) == []


# -- probes ---------------------------------------------------------------------------------------------------------

CERTIFICATE_DAYS = 20


@dataclass
class Aws:
    """CloudWatch and Budgets with answers of the test."""

    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """As PutMetricAlarm takes them."""
    hours: dict[str, list[float]] = field(default_factory=dict)
    """What a statistic of a metric was in each hour, by `statistic of name`."""

    def describe_alarms(self, **given: Any) -> dict[str, Any]:
        assert given["AlarmTypes"] == ["MetricAlarm"]
        return {"MetricAlarms": [each for each in self.alarms if each["AlarmName"] in given["AlarmNames"]]}

    def get_metric_data(self, **given: Any) -> dict[str, Any]:
        assert given["EndTime"] - given["StartTime"] == timedelta(days=30)
        found = []
        for query in given["MetricDataQueries"]:
            asked = query["MetricStat"]
            assert asked["Period"] == 3600
            values = self.hours[f"{asked['Stat']} of {asked['Metric']['MetricName']}"]
            times = [NOW - timedelta(hours=hour) for hour in range(len(values))]
            found.append({"Id": query["Id"], "Timestamps": times, "Values": values})
        return {"MetricDataResults": found}

    def get_metric_statistics(self, **given: Any) -> dict[str, Any]:
        return {"Datapoints": self.points.get(given["MetricName"], [])}

    def describe_budget(self, **given: Any) -> dict[str, Any]:
        assert given["BudgetName"] == "terrace-dev-monthly"
        return {"Budget": {"CalculatedSpend": {"ActualSpend": {"Amount": "54.0"}}}}


FACTS = {
    "project": "terrace", "stack": "dev", "region": "r", "role": "single", "budget_usd": "100",
    "gpu_budget_usd": "50", "account_id": "123456789012",
}  # fmt: skip


def made(tmp_path: Path, now: datetime = NOW, *, aws: Aws | None = None, **facts: str) -> probes.Probes:
    said = {"psql": "12.5\n", "journalctl": "A process of unit x was killed\n"}
    return probes.Probes(
        {**FACTS, **facts}, Users(tmp_path / "users", tmp_path / "log"), tmp_path,
        lambda argv: said[argv[0]], lambda _: aws or Aws(), now, served=lambda: "",
    )  # fmt: skip


QUIET: dict[str, list[float]] = {
    f"Sum of {name}": [] for name in ("requests", "errors_5xx", "slow_requests", "llm_requests", "llm_failed")
}


def definitions(stage: str) -> list[dict[str, Any]]:
    """Every alarm of a stage as CloudWatch has it."""
    facts = Facts(shape(find(stage)), gpu=True)
    return [metric_call(alarm, "terrace", "dev", WATCHED) for alarm in alarm_set(facts).alarms]


def test_a_box_behind_a_load_balancer_does_not_tell_of_a_pair_that_nobody_sees(tmp_path: Path) -> None:
    probe = made(tmp_path, role="frontend")
    assert m.CERTIFICATE in dict(probe.due())
    probe.public = lambda: False
    assert m.CERTIFICATE not in dict(probe.due())
    assert m.DAILY_USERS in dict(probe.due())


def test_a_box_knows_by_its_subnet_whether_the_world_reaches_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"role": "frontend", "balanced_subnets": ["10.0.64.0/20"]}
    for subnet, public in (("10.0.64.0/20", False), ("10.0.0.0/20", True)):
        monkeypatch.setattr(command, "own_subnet", lambda subnet=subnet: subnet)
        assert command._public(facts) is public

    def silent() -> str:
        raise OSError("no route")

    monkeypatch.setattr(command, "own_subnet", silent)
    assert command._public(facts) is False
    assert "does not say which subnet" in capsys.readouterr().err
    assert command._public({"role": "single"}) is True


def test_a_probe_that_fails_is_said_and_keeps_no_other_back(tmp_path: Path) -> None:
    said: list[str] = []
    aws = Aws(alarms=definitions("single-8g"), hours=QUIET)
    found = probes.collect(made(tmp_path, aws=aws), said.append)
    assert found[m.CONNECTIONS] == 12.5
    assert found[m.OOM] == 1
    assert len(said) == 1
    assert said[0].startswith("certificate_days_left cannot be measured")


def test_what_was_told_comes_again_only_when_its_time_has_come(tmp_path: Path) -> None:
    first = made(tmp_path)
    first.told(probes.collect(first, lambda _: None))
    minute, day = made(tmp_path, NOW + timedelta(minutes=1)), made(tmp_path, NOW + timedelta(days=1))
    assert m.CONNECTIONS in dict(minute.due())
    assert m.DRILL_AGE not in dict(minute.due())
    assert m.DRILL_AGE in dict(day.due())


def test_kills_an_hour_apart_are_each_told_within_a_minute_and_nothing_between(tmp_path: Path) -> None:
    told = []
    for minute in range(121):
        look = made(tmp_path, NOW + timedelta(minutes=minute), role="backend", gpu_budget_usd="")
        killed = "A process of unit x was killed\n" if minute in (30, 90) else ""
        look.run = lambda _, killed=killed: killed
        look.client = lambda _: Aws(alarms=[])
        found = probes.collect(look, lambda _: None)
        look.told(found)
        told += [(minute, found[m.OOM])] if m.OOM in found else []
    assert told == [(30, 1), (90, 1)]


def test_the_budget_is_both_shares_together(tmp_path: Path) -> None:
    aws = Aws({"gpu_spend_percent": [{"Timestamp": NOW, "Maximum": 80.0}]})
    assert made(tmp_path, aws=aws).budget() == 54 + 40
    assert made(tmp_path).budget() == 54
    for facts in (made(tmp_path, budget_usd=""), made(tmp_path, gpu_budget_usd="")):
        assert m.BUDGET_USED not in dict(facts.due())


@pytest.mark.parametrize(
    ("stage", "hours", "left"),
    [
        # 99 % promised: 20 of 2 000 may fail; 95 % within the p95: 100 of 2 000 may be slow.
        ("single-8g",
         {"Sum of requests": [1000, 1000], "Sum of errors_5xx": [5, 0], "Sum of slow_requests": [0, 150]},
         {"availability": 75.0, "latency": -50.0}),
        ("split", {"Sum of requests": [1000], "Sum of errors_5xx": [], "Sum of slow_requests": [25]},
         {"availability": 100.0, "latency": 50.0}),
        # Behind a balancer slowness is a share of each hour's answers: 10 % of 100 and 1 % of 1 900.
        ("private", {"Sum of RequestCount": [100, 1900], "Sum of HTTPCode_Target_5XX_Count": [10, 0],
                     "PR(0.3:) of TargetResponseTime": [10, 1], "SampleCount of TargetResponseTime": [100, 1900]},
         {"availability": 50.0, "latency": 71.0}),
        ("private", {"Sum of RequestCount": [], "Sum of HTTPCode_Target_5XX_Count": [],
                     "PR(0.3:) of TargetResponseTime": [], "SampleCount of TargetResponseTime": []},
         {"availability": 100.0, "latency": 100.0}),
    ],
)  # fmt: skip
def test_the_box_tells_what_is_left_of_error_budgets_by_what_the_alarms_count(
    tmp_path: Path, stage: str, hours: dict[str, list[float]], left: dict[str, float]
) -> None:
    aws = Aws(alarms=definitions(stage), hours=hours)
    role = "single" if stage == "single-8g" else "backend"
    due = dict(made(tmp_path, aws=aws, role=role, gpu_budget_usd="").due())
    told = {name: due[metric]() for name, metric in m.BUDGET_LEFT.items() if metric in due}
    assert told == pytest.approx(left)


def test_a_stack_without_the_objectives_alarm_tells_no_budget_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="terrace-dev-stack-latency-burn-slow-long"):
        made(tmp_path).error_budget_left("latency")


def test_the_age_of_the_last_good_drill_counts_from_the_first_look_where_there_was_none(
    tmp_path: Path,
) -> None:
    assert made(tmp_path).drill_age() == 0
    assert made(tmp_path, NOW + timedelta(days=2)).drill_age() == 2 * 86_400
    points = [
        {"Timestamp": NOW - timedelta(days=3), "Minimum": 0.0},
        {"Timestamp": NOW - timedelta(days=1), "Minimum": 1.0},
    ]
    assert made(tmp_path, aws=Aws({"restore_drill_failed": points})).drill_age() == 3 * 86_400


def test_users_at_once_are_told_in_every_look_only_where_they_are_many(tmp_path: Path) -> None:
    few = made(tmp_path)
    place.remember(tmp_path / "users/place.json", {"recent": {str(n): 1 for n in range(40)}})
    assert few.at_once() is None
    later = made(tmp_path, NOW + timedelta(days=1))
    place.remember(tmp_path / "users/place.json", {"recent": {}})
    assert later.at_once() == 40
    place.remember(tmp_path / "users/place.json", {"recent": {str(n): 1 for n in range(150)}})
    assert made(tmp_path, NOW + timedelta(hours=7)).at_once() == 150


# -- deploys and backups --------------------------------------------------------------------------------------------


def test_a_deploy_is_told_while_it_lasts_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploying, "EVERY_SECONDS", 0.01)
    told = Told()
    with deploying.announced(lambda: told):
        time.sleep(0.1)
    count = len(told.values)
    assert count > 1
    assert set(told.values) == {("deploying", 1)}
    time.sleep(0.05)
    assert len(told.values) <= count + 1


def test_a_deploy_that_cannot_be_told_goes_on(tmp_path: Path) -> None:
    with deploying.announced(lambda: place.CloudWatch(None, "", "", str(place.facts(tmp_path / "none")))):
        pass


def test_backups_tell_what_is_0_only_when_it_ends_something() -> None:
    quiet = {m.BACKUP_FAILED: 0.0, m.ARCHIVE_GAP: 0.0, m.ARCHIVE_QUEUE: 0.0, m.BACKUP_AGE: 60.0}
    first = telling.worth(quiet, {}, NOW)
    assert set(first) == {m.ARCHIVE_QUEUE, m.BACKUP_AGE}
    told = telling.noted({}, first, NOW)
    assert telling.worth(quiet | {m.BACKUP_AGE: 120.0}, told, NOW + timedelta(minutes=1)) == {}
    failed = telling.worth(quiet | {m.BACKUP_FAILED: 1.0}, told, NOW)
    assert failed == {m.BACKUP_FAILED: 1.0}
    again = telling.worth(quiet, telling.noted(told, failed, NOW), NOW)
    assert again == {m.BACKUP_FAILED: 0.0}
    assert telling.worth(quiet | {m.BACKUP_AGE: 5.0}, told, NOW + timedelta(minutes=1)) == {m.BACKUP_AGE: 5.0}
