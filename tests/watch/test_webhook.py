"""The chat: what the function sends for real messages, what it keeps back, and what a chat that is down costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from embedded.alarms.schedules import due
from embedded.alarms.service import AlarmService
from embedded.aws.server import ApiServer
from embedded.provider.table import Scope
from embedded.provider.tables.lambdas import KINDS
from infra.components.observability import WORTH_A_MAIL
from infra.components.webhook import CODE
from infra.core import notice
from infra.core.alarms import alarm_set
from infra.core.notice import QuietHours
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.storage import TOLD_PREFIX
from infra.core.thresholds import Facts, Severity
from infra.lambda_ import webhook

REGION = "ap-northeast-2"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
ABOUT = notice.About(
    REGION, "terrace-dev", notice.next_stage("single-16g", Decimal("137.07"), Decimal("60.74"))
)
SET = alarm_set(Facts(shape(find("single-8g")), webhook=True))
ALARMS = {alarm.name: alarm for alarm in SET.alarms}
PREFIX = "terrace-dev-"
BUCKET = "terrace-dev-logs"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:terrace-dev-webhook"


@dataclass
class Chat:
    """A chat on a loopback port: what it got, and what it answers."""

    address: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        return [str(each["text"]) for each in self.got]


@pytest.fixture
def chat() -> Iterator[Chat]:
    found = Chat()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = found.answers.pop(0) if found.answers else 200
            if code == 200:
                found.got.append(json.loads(body))
            self.send_response(code)
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    found.address = f"http://127.0.0.1:{server.server_address[1]}/services/T0/B0/a-secret"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with ApiServer() as started:
        yield started


@dataclass
class Rig:
    """A topic with mail and chat, alarms of the table, and a clock that stands still."""

    api: ApiServer
    service: AlarmService
    mail: Path
    quiet: str = ""

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(
            service, endpoint_url=self.api.url, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
        )  # fmt: skip

    def stand(self, address: str, *, kind: str = "slack", quiet: str = "") -> None:
        iam, functions, sns = self.client("iam"), self.client("lambda"), self.client("sns")
        role = iam.create_role(RoleName="webhook", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self.client("ssm").put_parameter(
            Name="/terrace/dev/alarms/webhook", Type="SecureString", Value=address, Overwrite=True
        )
        (made,) = [each for each in KINDS if each.token == "aws:lambda/function:Function"]
        inputs = {"code": {"assets": {"webhook.py": {"text": CODE.read_text(encoding="utf-8")}}}}
        archive = made.create.params["Code"]["ZipFile"](Scope(inputs))
        self.client("logs").create_log_group(logGroupName="/terrace/dev/logs/webhook")
        variables = {
            "KIND": kind, "PARAMETER": "/terrace/dev/alarms/webhook", "PREFIX": PREFIX, "BUCKET": BUCKET,
            "FOLDER": TOLD_PREFIX,
        }  # fmt: skip
        self.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        if quiet:
            hours = QuietHours.parse(quiet)
            variables["QUIET_MINUTES"] = f"{hours.first}-{hours.last}"
            events = self.client("events")
            events.put_rule(Name="over", ScheduleExpression=hours.cron_of_end)
            events.put_targets(Rule="over", Targets=[{"Id": "webhook", "Arn": FUNCTION}])
        functions.create_function(
            FunctionName="terrace-dev-webhook", Role=role, Runtime="python3.13", Handler="webhook.handler",
            Code={"ZipFile": archive}, Timeout=30, Environment={"Variables": variables},
            LoggingConfig={"LogFormat": "Text", "LogGroup": "/terrace/dev/logs/webhook"},
        )  # fmt: skip
        topic = sns.create_topic(Name="terrace-dev-alarms")["TopicArn"]
        filters = {"FilterPolicy": json.dumps(WORTH_A_MAIL), "FilterPolicyScope": "MessageBody"}
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com", Attributes=filters)
        sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        for name in ("app-memory-warn", "app-memory-review", "app-heartbeat-page", "app-oom-warn"):
            alarm = ALARMS[name]
            self.client("cloudwatch").put_metric_alarm(
                AlarmName=PREFIX + name, AlarmDescription=notice.of_alarm(alarm, ABOUT), AlarmActions=[topic],
                OKActions=[topic], Namespace="t", MetricName=name, Statistic="Maximum", Period=60,
                EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold",
                TreatMissingData="notBreaching",
            )  # fmt: skip

    def happen(self, name: str, *minutes: int) -> None:
        """The alarm's condition holds in those minutes after NOW."""
        self.client("cloudwatch").put_metric_data(
            Namespace="t",
            MetricData=[
                {"MetricName": name, "Value": 1, "Timestamp": NOW + timedelta(minutes=minute)}
                for minute in minutes
            ],
        )

    def run(self, last: int, first: int = 0) -> None:
        for minute in range(first, last + 1):
            self.service.evaluate(NOW + timedelta(minutes=minute))
            self.service.settle()

    @property
    def mails(self) -> int:
        return len(list(self.mail.glob("*.eml")))

    def logged(self) -> str:
        found = self.client("logs").filter_log_events(logGroupName="/terrace/dev/logs/webhook")["events"]
        return "\n".join(each["message"] for each in found)


@pytest.fixture
def rig(api: ApiServer, tmp_path: Path) -> Rig:
    api.reset()
    service = AlarmService(tmp_path / "mail", clock=lambda: NOW, endpoint=lambda: api.url)
    return Rig(api, service, tmp_path / "mail")


def test_an_alarm_reaches_the_chat_with_meaning_deed_price_and_link(rig: Rig, chat: Chat) -> None:
    rig.stand(chat.address)
    rig.happen("app-memory-review", 0)
    rig.run(6)
    assert chat.titles == [
        "REVIEW: Memory above 80 % in 6 of 6 × 5 min",
        "OK: Memory above 80 % in 6 of 6 × 5 min",
    ]
    (block,) = chat.got[0]["attachments"][0]["blocks"]
    text = block["text"]["text"]
    for part in (
        "page cache",
        "Do: Run scripts/scale_up.py",
        "single-16g, 137.07 USD",
        "datapoint",
        "Since 20",
    ):
        assert part in text
    assert f"<{ABOUT.link}|" in text
    assert rig.mails == 2
    first = message_from_bytes(sorted(rig.mail.glob("*.eml"))[0].read_bytes()).get_payload(decode=True)
    assert isinstance(first, bytes)
    for part in (
        b"entered the ALARM state",
        b"Do: Run scripts/scale_up.py",
        b"single-16g, 137.07 USD",
        b"#dashboards",
    ):
        assert part in first


def test_the_mail_comes_when_the_chat_is_down_and_the_functions_errors_are_counted(
    rig: Rig, chat: Chat
) -> None:
    rig.stand(chat.address)
    chat.answers = [500, 500, 503]
    rig.happen("app-heartbeat-page", 0)
    rig.run(1)
    assert chat.got == []
    assert rig.mails == 1
    (point,) = rig.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda", MetricName="Errors", Period=300, Statistics=["Sum"],
        Dimensions=[{"Name": "FunctionName", "Value": "terrace-dev-webhook"}],
        StartTime=NOW - timedelta(minutes=5), EndTime=NOW + timedelta(minutes=10),
    )["Datapoints"]  # fmt: skip
    assert point["Sum"] == 3
    assert "the chat answered 503" in rig.logged()
    assert "a-secret" not in rig.logged()


def test_a_chat_that_fails_once_is_told_by_the_second_attempt_and_not_twice(rig: Rig, chat: Chat) -> None:
    rig.stand(chat.address)
    chat.answers = [429]
    rig.happen("app-heartbeat-page", 0)
    rig.run(1)
    assert len(chat.got) == 1


@pytest.fixture
def container(rig: Rig, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """One container more that gets the same message: nothing of it is shared with the others but the cloud."""
    rig.stand(chat.address)
    for name, value in {
        "KIND": "slack", "PARAMETER": "/terrace/dev/alarms/webhook", "PREFIX": PREFIX, "BUCKET": BUCKET,
        "FOLDER": TOLD_PREFIX, "AWS_ENDPOINT_URL": rig.api.url, "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return lambda: webhook.handler({"Records": [record("app-heartbeat-page")]})


def test_a_message_that_comes_to_eight_containers_at_once_is_told_once(
    container: Callable[[], dict[str, int]], chat: Chat
) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = [each.result() for each in [pool.submit(container) for _ in range(8)]]
    assert sum(each["sent"] for each in told) == 1
    assert len(chat.got) == 1
    assert container() == {"sent": 0, "kept": 1}


def test_what_a_container_died_over_is_told_by_a_later_attempt_and_then_never_again(
    rig: Rig, container: Callable[[], dict[str, int]], chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """Lambda ends a container without asking."""

    def killed(*_: Any) -> None:
        raise KilledError

    monkeypatch.setattr(webhook, "CLAIM_SECONDS", 3600)
    with monkeypatch.context() as dying:
        dying.setattr(webhook, "_send", killed)
        with pytest.raises(KilledError):
            container()
    assert container() == {"sent": 0, "kept": 1}  # it may still be at it
    monkeypatch.setattr(webhook, "CLAIM_SECONDS", 0)
    assert container() == {"sent": 1, "kept": 0}
    assert container() == {"sent": 0, "kept": 1}
    assert len(chat.got) == 1


def test_where_the_note_cannot_be_written_people_are_told_all_the_same(
    container: Callable[[], dict[str, int]], chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET", "somebody-elses")
    assert container() == {"sent": 1, "kept": 0}
    assert len(chat.got) == 1


def test_an_address_that_was_never_set_is_said_and_the_mail_comes(rig: Rig) -> None:
    rig.stand("unset")
    rig.happen("app-heartbeat-page", 0)
    rig.run(1)
    assert "scripts/watch.py webhook --set" in rig.logged()
    assert rig.mails == 1


def test_quiet_hours_keep_warnings_for_the_morning_and_let_pages_through(rig: Rig, chat: Chat) -> None:
    end = NOW + timedelta(minutes=20)
    rig.stand(chat.address, quiet=f"{NOW - timedelta(hours=1):%H:%M}-{end:%H:%M}+00:00")
    rig.happen("app-memory-warn", *range(30))
    rig.happen("app-oom-warn", 1)
    rig.happen("app-heartbeat-page", 2)
    # Another stack's, whose name begins as this one's.
    said = notice.of_alarm(ALARMS["app-disk-root-warn"], replace(ABOUT, dashboard="terrace-dev-2"))
    rig.client("cloudwatch").put_metric_alarm(
        AlarmName="terrace-dev-2-app-disk-root-warn", AlarmDescription=said, Namespace="t",
        MetricName="app-memory-warn", Statistic="Maximum", Period=60, EvaluationPeriods=1, Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    # Members of a composite have no actions, nor has the suppressor; what a climb holds back told nobody either.
    for name in ("app-cpu-review", "stack-deploying"):
        rig.client("cloudwatch").put_metric_alarm(
            AlarmName=PREFIX + name, AlarmDescription=notice.of_alarm(ALARMS[name], ABOUT), Namespace="t",
            MetricName="app-memory-warn", Statistic="Maximum", Period=60, EvaluationPeriods=1, Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
    topic = rig.client("sns").list_topics()["Topics"][0]["TopicArn"]
    review = SET.composites[0]
    rig.client("cloudwatch").put_composite_alarm(
        AlarmName=PREFIX + review.name, AlarmRule=f'ALARM("{PREFIX}app-cpu-review")', AlarmActions=[topic],
        OKActions=[topic], AlarmDescription=notice.of_composite(review, SET.alarms, ABOUT),
        ActionsSuppressor=f"{PREFIX}stack-deploying", ActionsSuppressorWaitPeriod=60,
        ActionsSuppressorExtensionPeriod=600,
    )  # fmt: skip
    rig.run(19)
    assert [title.partition(":")[0] for title in chat.titles] == ["PAGE", "OK"]
    rig.run(20, 20)
    assert chat.titles[2:] == ["WARN: While it was quiet"]
    text = chat.got[2]["attachments"][0]["blocks"][0]["text"]["text"]
    assert "in ALARM: WARN: Memory above 70 %" in text
    for silent in ("CPU, mean", "under way", "Scale up"):
        assert silent not in text
    assert "Root disk" not in text
    assert "Out-of-memory" not in text  # came and went unseen by anybody
    assert rig.mails == 5


def test_a_warning_that_flaps_is_told_twice_in_an_hour_and_says_so(rig: Rig, chat: Chat) -> None:
    rig.stand(chat.address)
    rig.happen("app-oom-warn", 0, 7, 14)
    rig.run(15)
    assert [title.partition(":")[0] for title in chat.titles] == ["WARN", "OK", "WARN"]
    assert "for an hour no more is told" in json.dumps(chat.got[2])


# -- the function by itself -----------------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[webhook.Message]:
    """The function with neither history nor chat; what it would send."""
    sent: list[webhook.Message] = []
    for name, value in {
        "KIND": "slack", "PARAMETER": "/p", "PREFIX": PREFIX, "BUCKET": BUCKET, "FOLDER": TOLD_PREFIX,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    claimed: set[str] = set()

    def first(_: str, name: str) -> bool:
        new = name not in claimed
        claimed.add(name)
        return new

    monkeypatch.setattr(webhook, "_claimed", first)
    monkeypatch.setattr(webhook, "_quietly", lambda *_, **__: None)
    monkeypatch.setattr(webhook, "earlier_alarms", lambda *_: 0)
    monkeypatch.setattr(webhook, "_send", lambda _, message: sent.append(message))
    return sent


def record(name: str = "app-memory-warn", **changes: str) -> dict[str, Any]:
    """One record of SNS as CloudWatch's message fills it."""
    body = {
        "AlarmName": PREFIX + name,
        "AlarmDescription": notice.of_alarm(ALARMS[name], ABOUT),
        "NewStateValue": "ALARM",
        "OldStateValue": "OK",
        "NewStateReason": "Threshold Crossed: 1 datapoint [93.0] was greater than the threshold (70.0).",
        "StateChangeTime": "2026-11-21T03:04:05.000+0000",
    }
    return {"Sns": {"Message": json.dumps(body | changes)}}


def test_a_page_that_flaps_is_told_every_time(
    alone: list[webhook.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "earlier_alarms", lambda *_: 9)
    webhook.handler({"Records": [record("app-heartbeat-page"), record("app-memory-warn")]})
    assert [message.word for message in alone] == ["PAGE"]


def test_the_same_message_twice_is_told_once(alone: list[webhook.Message]) -> None:
    assert webhook.handler({"Records": [record(), record()]}) == {"sent": 1, "kept": 1}
    assert webhook.handler({"Records": [record()]}) == {"sent": 0, "kept": 1}
    assert len(alone) == 1


def test_what_is_not_an_alarm_or_no_news_is_not_told(alone: list[webhook.Message]) -> None:
    records = [
        {"Sns": {"Message": "AWS Budgets: …"}},
        {"Sns": {"Message": "[1]"}},
        {},
        record(NewStateValue="OK", OldStateValue="INSUFFICIENT_DATA"),
        record(NewStateValue="INSUFFICIENT_DATA"),
        record("webhook-webhook-warn"),
    ]
    assert webhook.handler({"Records": records}) == {"sent": 0, "kept": 6}
    assert alone == []


def test_an_alarm_without_a_description_counts_as_a_page(alone: list[webhook.Message]) -> None:
    webhook.handler({"Records": [record(AlarmDescription="")]})
    assert alone[0].word == "PAGE"


def test_the_functions_words_are_the_descriptions_words() -> None:
    assert {each.value.upper() for each in Severity} == {webhook.PAGE, webhook.REVIEW, webhook.WARN}
    for alarm in ALARMS.values():
        assert webhook.severity_of(notice.of_alarm(alarm, ABOUT)) == alarm.severity.value.upper()


def test_discord_and_slack_take_the_message_and_nobody_is_called_by_it() -> None:
    message = webhook.Message("WARN", "a <b> & @everyone", "x" * 9000, "https://e.example/", NOW)
    discord = webhook.payload("discord", message)
    assert discord["allowed_mentions"] == {"parse": []}
    assert len(discord["embeds"][0]["title"]) <= 256
    slack = webhook.payload("slack", message)
    assert slack["text"] == "WARN: a &lt;b&gt; &amp; @everyone"
    assert len(slack["attachments"][0]["blocks"][0]["text"]["text"]) <= 3000


@pytest.mark.parametrize(
    ("text", "first", "last", "cron"),
    [
        ("22:00-08:00+09:00", 780, 1380, "cron(0 23 * * ? *)"),
        ("00:30-06:15+00:00", 30, 375, "cron(15 6 * * ? *)"),
        ("22:00-08:00-05:30", 210, 810, "cron(30 13 * * ? *)"),
    ],
)
def test_quiet_hours_are_minutes_of_the_utc_day(text: str, first: int, last: int, cron: str) -> None:
    hours = QuietHours.parse(text)
    assert (hours.first, hours.last, hours.cron_of_end) == (first, last, cron)
    assert due(cron, NOW.replace(hour=last // 60, minute=last % 60))
    assert not due(cron, NOW.replace(hour=last // 60, minute=last % 60) + timedelta(minutes=1))


@pytest.mark.parametrize("text", ["22-8", "22:00-08:00", "22:00-22:00+09:00", "25:00-08:00+09:00"])
def test_quiet_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text[:5]):
        QuietHours.parse(text)


def test_the_function_imports_nothing_that_lambda_does_not_have() -> None:
    source = CODE.read_text(encoding="utf-8")
    assert "infra" not in source.replace("infra/lambda_", "")
    assert len(source) < 16_000
