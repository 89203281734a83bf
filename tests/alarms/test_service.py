"""The evaluator inside the embedded cloud: boto3 in, states, history, messages and events out."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from embedded.alarms.service import AlarmService
from embedded.aws.hooks import HOOKS
from embedded.aws.posts import POSTS
from embedded.aws.server import ApiServer
from infra.core.alarms import alarm_set
from infra.core.naming import FAKE_AMI
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops.alarmcalls import metric_call

REGION = "ap-northeast-2"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
Aws = Callable[[str], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as started:
        yield started


@pytest.fixture
def aws(server: ApiServer) -> Iterator[Aws]:
    HOOKS.clear()
    server.reset()
    yield lambda service: _client(server.url, service)
    HOOKS.clear()


@cache
def _client(url: str, service: str) -> Any:
    make: Any = boto3.client
    return make(
        service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.fixture
def service(tmp_path: Path) -> AlarmService:
    """A service whose clock stands still until it is told to go on."""
    return AlarmService(tmp_path / "mail", clock=lambda: NOW)


def put_alarm(aws: Aws, **changes: Any) -> None:
    asked = {
        "AlarmName": "memory", "Namespace": "CWAgent", "MetricName": "mem_used_percent",
        "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}], "Statistic": "Average", "Period": 60,
        "EvaluationPeriods": 3, "Threshold": 80.0, "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    aws("cloudwatch").put_metric_alarm(**asked | changes)


def put_data(aws: Aws, value: float, *, minutes_ago: range) -> None:
    aws("cloudwatch").put_metric_data(
        Namespace="CWAgent",
        MetricData=[
            {
                "MetricName": "mem_used_percent", "Value": value, "Timestamp": NOW - timedelta(minutes=minute),
                "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
            }
            for minute in minutes_ago
        ],
    )  # fmt: skip


def shown(aws: Aws, name: str = "memory") -> dict[str, Any]:
    (found,) = aws("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(found)


def topic(aws: Aws, *subscriptions: tuple[str, str]) -> str:
    arn = str(aws("sns").create_topic(Name="alarms")["TopicArn"])
    for protocol, endpoint in subscriptions:
        aws("sns").subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)
    return arn


def mails(service: AlarmService) -> list[Any]:
    return [message_from_bytes(path.read_bytes()) for path in sorted(service._mail.glob("*.eml"))]


def test_an_alarm_goes_from_no_data_to_alarm_with_reason_time_and_history(
    aws: Aws, service: AlarmService
) -> None:
    put_alarm(aws)
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    found = shown(aws)
    assert (found["StateValue"], found["StateTransitionedTimestamp"]) == ("ALARM", NOW)
    assert "3 of the last 3 datapoints [93, 93, 93] breach 80" in found["StateReason"]
    summaries = aws("cloudwatch").describe_alarm_history(AlarmName="memory")["AlarmHistoryItems"]
    assert [each["HistorySummary"] for each in summaries] == [
        "Actions of ALARM carried out",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "memory" created',
    ]


def test_a_queue_gets_the_message_in_cloudwatchs_own_words(aws: Aws, service: AlarmService) -> None:
    sqs = aws("sqs")
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    put_alarm(aws, AlarmActions=[topic(aws, ("sqs", arn))], AlarmDescription="Memory. Do: look.")
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    service.evaluate(NOW + timedelta(minutes=1))
    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    body = json.loads(json.loads(message["Body"])["Message"])
    assert (body["AlarmName"], body["NewStateValue"], body["OldStateValue"]) == (
        "memory",
        "ALARM",
        "INSUFFICIENT_DATA",
    )
    assert body["Trigger"]["MetricName"] == "mem_used_percent"
    assert body["AlarmDescription"] == "Memory. Do: look."


def test_the_mail_still_comes_when_a_webhook_and_a_lambda_are_down(aws: Aws, service: AlarmService) -> None:
    arn = topic(
        aws,
        ("http", "http://127.0.0.1:9/dead"),
        ("lambda", f"arn:aws:lambda:{REGION}:123456789012:function:gone"),
        ("email", "ops@example.com"),
    )
    put_alarm(aws, AlarmActions=[arn])
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    (mail,) = mails(service)
    assert (mail["To"], mail["Subject"]) == ("ops@example.com", f'ALARM: "memory" in {REGION}')


@dataclass
class Endpoint:
    """Somebody's HTTP endpoint: what it got, and what it answers to each notification (200 when that ran out)."""

    url: str
    got: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def of(self, kind: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
        return [each for each in self.got if each[0]["x-amz-sns-message-type"] == kind]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            asks = body["Type"] == "SubscriptionConfirmation"
            self.send_response(200 if asks or not made.answers else made.answers.pop(0))
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            """Says nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    made = Endpoint(f"http://127.0.0.1:{http.server_address[1]}/alarms")
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield made
    POSTS.settle()
    http.shutdown()
    thread.join()
    http.server_close()


def confirm(endpoint: Endpoint) -> str:
    """Follows the link, as the endpoint's owner does; what is answered."""
    POSTS.settle()
    (_, asked) = endpoint.of("SubscriptionConfirmation")[-1]
    return httpx.get(asked["SubscribeURL"], timeout=30).raise_for_status().text


def test_an_http_endpoint_confirms_by_the_link_and_is_told_with_the_headers_of_sns(
    aws: Aws, service: AlarmService, endpoint: Endpoint
) -> None:
    sns = aws("sns")
    arn = topic(aws)
    said = sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=endpoint.url)["SubscriptionArn"]
    assert said == "pending confirmation"
    put_alarm(aws, AlarmActions=[arn], OKActions=[arn])
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    service.settle()
    # Not yet confirmed: asked, and told nothing.
    ((headers, asked),) = endpoint.got
    assert headers["x-amz-sns-message-type"] == asked["Type"] == "SubscriptionConfirmation"
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    assert f"<SubscriptionArn>{arn}:" in confirm(endpoint)
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    put_data(aws, 10, minutes_ago=range(1))
    service.evaluate(NOW + timedelta(minutes=1))
    service.settle()
    ((headers, told),) = endpoint.of("Notification")
    assert headers["x-amz-sns-topic-arn"] == told["TopicArn"] == arn
    assert headers["x-amz-sns-subscription-arn"] == listed["SubscriptionArn"]
    assert headers["x-amz-sns-message-id"] == told["MessageId"]
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert json.loads(told["Message"])["NewStateValue"] == "OK"
    assert told["Subject"].startswith('OK: "memory"')
    # Whoever verifies is to refuse it, and whoever reads it is to see why.
    assert told["SigningCertURL"] == "https://embedded.invalid/not-signed-by-aws.pem"
    assert b64decode(told["Signature"]) == b"of terrace's embedded cloud, not of AWS"
    httpx.get(told["UnsubscribeURL"], timeout=30).raise_for_status()
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []


def test_nobody_confirms_with_a_token_that_was_not_sent(aws: Aws, endpoint: Endpoint) -> None:
    arn = topic(aws, ("http", endpoint.url))
    with pytest.raises(aws("sns").exceptions.InvalidParameterException, match="Token"):
        aws("sns").confirm_subscription(TopicArn=arn, Token="0" * 128)
    aws("sns").publish(TopicArn=arn, Message="x")
    POSTS.settle()
    assert endpoint.of("Notification") == []


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [([], 1), ([500, 503], 3), ([429], 2), ([500] * 9, 4), ([403], 1)],
    ids=["well", "fails-twice", "too-many", "always-fails", "refuses"],
)
def test_a_message_is_sent_again_as_sns_does_and_the_mail_waits_for_none_of_it(
    aws: Aws, service: AlarmService, endpoint: Endpoint, answers: list[int], attempts: int
) -> None:
    endpoint.answers = answers
    arn = topic(aws, ("http", endpoint.url), ("email", "ops@example.com"))
    confirm(endpoint)
    put_alarm(aws, AlarmActions=[arn])
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    (mail,) = mails(service)
    assert mail["Subject"].startswith("ALARM")
    for minute in range(1, 7):
        service.settle()
        service.evaluate(NOW + timedelta(minutes=minute))
    told = endpoint.of("Notification")
    assert len(told) == attempts
    assert len({body["MessageId"] for _, body in told}) == 1
    assert len(mails(service)) == 1


def test_a_filter_policy_keeps_the_first_ok_of_a_new_alarm_out_of_the_mail(
    aws: Aws, service: AlarmService
) -> None:
    from infra.components.observability import WORTH_A_MAIL

    arn = topic(aws, ("email", "ops@example.com"))
    (subscription,) = aws("sns").list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    for name, value in (("FilterPolicyScope", "MessageBody"), ("FilterPolicy", json.dumps(WORTH_A_MAIL))):
        aws("sns").set_subscription_attributes(
            SubscriptionArn=subscription["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )
    put_alarm(aws, AlarmActions=[arn], OKActions=[arn])
    put_data(aws, 20, minutes_ago=range(4, 8))
    put_data(aws, 93, minutes_ago=range(1, 4))
    for minute in range(-5, 1):
        service.evaluate(NOW + timedelta(minutes=minute))
    put_data(aws, 20, minutes_ago=range(1))
    service.evaluate(NOW + timedelta(minutes=1))
    assert [each["Subject"].split(":")[0] for each in mails(service)] == ["ALARM", "OK"]


def test_a_forced_state_lasts_until_the_next_evaluation(aws: Aws, service: AlarmService) -> None:
    put_alarm(aws)
    put_data(aws, 10, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    aws("cloudwatch").set_alarm_state(AlarmName="memory", StateValue="ALARM", StateReason="a test")
    assert shown(aws)["StateValue"] == "ALARM"
    service.evaluate(NOW + timedelta(minutes=1))
    assert shown(aws)["StateValue"] == "OK"


def test_a_forced_state_is_told_so_that_the_way_to_people_can_be_tried(
    aws: Aws, service: AlarmService
) -> None:
    arn = topic(aws, ("email", "ops@example.com"))
    put_alarm(aws, AlarmActions=[arn], OKActions=[arn])
    put_data(aws, 10, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    aws("cloudwatch").set_alarm_state(AlarmName="memory", StateValue="ALARM", StateReason="a test")
    service.evaluate(NOW + timedelta(minutes=1))
    assert [each["Subject"].split(":")[0] for each in mails(service)] == ["OK", "ALARM", "OK"]


def test_an_event_goes_to_the_bus(aws: Aws, service: AlarmService) -> None:
    sqs, events = aws("sqs"), aws("events")
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="alarms", EventPattern=json.dumps({"source": ["aws.cloudwatch"]}))
    events.put_targets(Rule="alarms", Targets=[{"Id": "q", "Arn": arn}])
    put_alarm(aws)
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert (event["detail"]["alarmName"], event["detail"]["state"]["value"]) == ("memory", "ALARM")


def test_a_failed_check_reboots_the_instance(aws: Aws, service: AlarmService) -> None:
    from moto.ec2.models import ec2_backends

    (made,) = aws("ec2").run_instances(ImageId=FAKE_AMI, InstanceType="t4g.large", MinCount=1, MaxCount=1)[
        "Instances"
    ]
    put_alarm(
        aws, AlarmActions=[f"arn:aws:automate:{REGION}:ec2:reboot"], EvaluationPeriods=1,
        TreatMissingData="breaching", Dimensions=[{"Name": "InstanceId", "Value": made["InstanceId"]}],
    )  # fmt: skip
    service.evaluate(NOW)
    instance: Any = ec2_backends["123456789012"][REGION].get_instance(made["InstanceId"])
    assert instance.reboots == 1


def imported(aws: Aws, ends: datetime) -> str:
    """The ARN of a certificate that somebody brought, good until then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example.com")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), NOW - timedelta(days=1), ends
    ).sign(key, hashes.SHA256())
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return str(
        aws("acm").import_certificate(
            Certificate=made.public_bytes(serialization.Encoding.PEM),
            PrivateKey=key.private_bytes(serialization.Encoding.PEM, *plain),
        )["CertificateArn"]
    )


def test_a_certificate_that_nobody_renews_is_told_two_weeks_ahead_and_stays_told_after_its_end(
    aws: Aws, service: AlarmService
) -> None:
    arn = imported(aws, NOW + timedelta(days=17))
    (row,) = [each for each in alarm_set(Facts(shape(find("private")))).alarms if "certificate" in each.name]
    call = metric_call(row, "terrace", "dev", {"balancer": {"LoadBalancer": "b", "CertificateArn": arn}})
    aws("cloudwatch").put_metric_alarm(**call)
    changes = [
        (change.new, (change.at - NOW) // timedelta(days=1))
        for hour in range(24 * 20)
        for change in service.evaluate(NOW + timedelta(hours=hour))
    ]
    # Silent for its first two days; below fourteen in the fourth; after the seventeenth nothing is published.
    assert changes == [("OK", 2), ("ALARM", 3)]
    told = aws("cloudwatch").get_metric_statistics(
        Namespace="AWS/CertificateManager", MetricName="DaysToExpiry", Period=86_400, Statistics=["Minimum"],
        Dimensions=[{"Name": "CertificateArn", "Value": arn}],
        StartTime=NOW - timedelta(days=1), EndTime=NOW + timedelta(days=20),
    )["Datapoints"]  # fmt: skip
    assert min(each["Minimum"] for each in told) == 0
    assert max(each["Timestamp"] for each in told) < NOW + timedelta(days=17)


def test_a_line_of_the_access_log_becomes_a_metric_and_a_latency_has_no_zeros(
    aws: Aws, service: AlarmService
) -> None:
    logs, cloudwatch = aws("logs"), aws("cloudwatch")
    logs.create_log_group(logGroupName="/access")
    logs.create_log_stream(logGroupName="/access", logStreamName="i-1")
    for name, pattern, value, default in (
        ("errors", "{ $.status >= 500 }", "1", 0.0),
        ("seconds", "{ $.rt >= 0 && $.llm = 0 }", "$.rt", None),
    ):
        more = {} if default is None else {"defaultValue": default}
        logs.put_metric_filter(
            logGroupName="/access", filterName=name, filterPattern=pattern,
            metricTransformations=[{"metricName": name, "metricNamespace": "t/dev", "metricValue": value, **more}],
        )  # fmt: skip
    lines = [
        {"status": 200, "rt": 0.25, "llm": 0},
        {"status": 200, "rt": 4.5, "llm": 1},
        {"status": 502, "rt": 0.05, "llm": 0},
    ]
    stamp = int((NOW - timedelta(minutes=2)).timestamp() * 1000)
    for index, line in enumerate(lines):
        logs.put_log_events(
            logGroupName="/access", logStreamName="i-1",
            logEvents=[{"timestamp": stamp + index, "message": json.dumps(line)}],
        )  # fmt: skip

    def statistics(name: str) -> tuple[float, float]:
        (point,) = cloudwatch.get_metric_statistics(
            Namespace="t/dev", MetricName=name, Period=60, Statistics=["Sum", "SampleCount"],
            StartTime=NOW - timedelta(minutes=5), EndTime=NOW,
        )["Datapoints"]  # fmt: skip
        return point["Sum"], point["SampleCount"]

    assert statistics("errors") == (1, 3)
    assert statistics("seconds") == (pytest.approx(0.3), 2)


def test_the_clock_runs_ahead_when_it_is_told_to_and_never_back(aws: Aws, service: AlarmService) -> None:
    put_alarm(aws, TreatMissingData="breaching", EvaluationPeriods=5)
    put_data(aws, 10, minutes_ago=range(30))
    changes = service.advance(NOW + timedelta(hours=2))
    assert [(each.new, each.at - NOW) for each in changes][-1] == ("ALARM", timedelta(minutes=8))
    assert service.now == NOW + timedelta(hours=2)
    with pytest.raises(ValueError, match="time does not run backwards"):
        service.advance(NOW)


def test_a_reset_of_the_cloud_forgets_what_was_evaluated(
    aws: Aws, service: AlarmService, server: ApiServer
) -> None:
    put_alarm(aws)
    put_data(aws, 93, minutes_ago=range(1, 5))
    service.evaluate(NOW)
    server.reset()
    put_alarm(aws)
    assert service.evaluate(NOW + timedelta(minutes=1)) == []
    assert shown(aws)["StateValue"] == "INSUFFICIENT_DATA"
