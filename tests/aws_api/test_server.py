"""The server: faults by name, the admin surface, what is not implemented, many clients at once, its sockets."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from embedded.aws.errors import FaultError, ServerError
from embedded.aws.faults import Fault, FaultKind, fault_from
from embedded.aws.server import ApiServer

from .support import FAKE_AMI, Network, make_client

Aws = Callable[..., Any]
Refused = Callable[..., str]
ROOT = Path(__file__).parents[2]


# -- faults ---


def test_a_call_fails_as_told_after_the_first_and_twice(api: ApiServer, aws: Aws, refused: Refused) -> None:
    fault = Fault(
        FaultKind.API_FAILS,
        "ec2",
        "DescribeVpcs",
        after=1,
        times=2,
        error_code="Unavailable",
        http_status=503,
    )
    named = api.faults.add(fault)
    describe = aws("ec2").describe_vpcs
    describe()
    for _ in range(2):
        assert named.id in refused("Unavailable", describe)
    describe()
    aws("ec2").describe_subnets()
    assert [(report.seen, report.hit) for report in api.faults.standing()] == [(4, 2)]


@pytest.mark.parametrize(
    ("service", "call", "arguments", "code"),
    [
        ("ec2", "describe_vpcs", {}, "RequestLimitExceeded"),
        ("s3", "list_buckets", {}, "SlowDown"),
        ("ssm", "describe_parameters", {}, "ThrottlingException"),
        ("rds", "describe_db_instances", {}, "Throttling"),
        ("cloudwatch", "describe_alarms", {}, "Throttling"),
        ("route53", "list_hosted_zones", {}, "Throttling"),
        ("backup", "list_backup_vaults", {}, "Throttling"),
        ("dlm", "get_lifecycle_policies", {}, "Throttling"),
    ],
)
def test_every_protocol_says_throttling_in_its_own_words(
    api: ApiServer, aws: Aws, refused: Refused, service: str, call: str, arguments: dict[str, Any], code: str
) -> None:
    api.faults.add(Fault(FaultKind.API_THROTTLES, service))
    refused(code, getattr(aws(service), call), **arguments)
    getattr(aws(service), call)(**arguments)


@pytest.mark.parametrize(
    ("service", "action", "call"),
    [
        ("s3", "PutBucketVersioning", lambda aws: aws("s3").put_bucket_versioning),
        ("s3", "PutObject", lambda aws: aws("s3").put_object),
        ("elbv2", "DescribeLoadBalancers", lambda aws: aws("elbv2").describe_load_balancers),
        ("cloudwatch", "PutMetricData", lambda aws: aws("cloudwatch").put_metric_data),
        ("dlm", "GetLifecyclePolicy", lambda aws: aws("dlm").get_lifecycle_policy),
        ("backup", "ListTags", lambda aws: aws("backup").list_tags),
        ("budgets", "DescribeBudgets", lambda aws: aws("budgets").describe_budgets),
        ("ce", "GetAnomalyMonitors", lambda aws: aws("ce", "us-east-1").get_anomaly_monitors),
        ("events", "PutRule", lambda aws: aws("events").put_rule),
        ("lambda", "GetFunction", lambda aws: aws("lambda").get_function),
        ("sts", "GetCallerIdentity", lambda aws: aws("sts").get_caller_identity),
    ],
)
def test_a_fault_finds_its_action_however_the_service_names_it(
    api: ApiServer, aws: Aws, refused: Refused, service: str, action: str, call: Callable[[Aws], Any]
) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "PutBucketVersioning": {"Bucket": "abc", "VersioningConfiguration": {"Status": "Enabled"}},
        "PutObject": {"Bucket": "abc", "Key": "a/b c", "Body": b"x"},
        "PutMetricData": {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0}]},
        "GetLifecyclePolicy": {"PolicyId": "policy-1"},
        "ListTags": {"ResourceArn": "arn:aws:backup:ap-northeast-2:123456789012:backup-vault:v"},
        "DescribeBudgets": {"AccountId": "123456789012"},
        "PutRule": {"Name": "r"},
        "GetFunction": {"FunctionName": "f"},
    }
    api.faults.add(Fault(FaultKind.API_FAILS, service, action, error_code="Struck", http_status=400))
    refused("Struck", call(aws), **arguments.get(action, {}))


def test_a_slow_call_is_carried_out_late(api: ApiServer, aws: Aws) -> None:
    api.faults.add(Fault(FaultKind.API_SLOW, "ssm", "PutParameter", seconds=0.5))
    started = time.monotonic()
    aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
    assert time.monotonic() - started >= 0.5
    assert aws("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"


def test_a_call_whose_answer_is_lost_was_carried_out(api: ApiServer, aws: Aws) -> None:
    api.faults.add(Fault(FaultKind.ANSWER_LOST, "ssm", "PutParameter"))
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
    assert aws("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"


def test_a_launch_whose_answer_is_lost_is_not_made_twice_by_a_retry(api: ApiServer, network: Network) -> None:
    retrying = make_client(api.url, "ec2", retries={"max_attempts": 3, "mode": "standard"})
    api.faults.add(Fault(FaultKind.ANSWER_LOST, "ec2", "RunInstances"))
    arguments = {"ImageId": FAKE_AMI, "InstanceType": "t4g.small", "MinCount": 1, "MaxCount": 1}
    launched = retrying.run_instances(**arguments, SubnetId=network.subnets[0])["Instances"][0]["InstanceId"]
    found = retrying.describe_instances()["Reservations"]
    assert [instance["InstanceId"] for each in found for instance in each["Instances"]] == [launched]


def test_a_call_that_hangs_is_not_carried_out_and_is_let_go_when_the_fault_goes(
    api: ApiServer, aws: Aws
) -> None:
    api.faults.add(Fault(FaultKind.API_HANGS, "ssm", "PutParameter", seconds=60))
    raised: list[Exception] = []

    def put() -> None:
        try:
            aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
        except botocore.exceptions.BotoCoreError as error:
            raised.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    while not api.faults.standing()[0].hit:
        time.sleep(0.01)
    aws("ec2").describe_vpcs()
    api.faults.clear()
    thread.join(5)
    assert [type(error) for error in raised] == [botocore.exceptions.ConnectionClosedError]
    with pytest.raises(ClientError, match="ParameterNotFound"):
        aws("ssm").get_parameter(Name="/a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "api-explodes"}, "Kinds: api-fails"),
        ({"kind": "api-fails", "servise": "ec2"}, "'servise' is no part of a fault"),
        ({"kind": "api-fails", "times": 0}, "times is 0, must be a whole number from 1"),
        ({"kind": "api-fails", "after": True}, "after is True"),
        (
            {"kind": "api-fails", "http_status": 200},
            "http_status is 200, must be a whole number from 400 to 599",
        ),
        ({"kind": "api-hangs"}, "api-hangs needs seconds greater than 0"),
        ({"kind": "api-slow", "seconds": 7200}, "must be a number from 0 to 3600"),
        ({"kind": "api-fails", "action": 5}, "action is 5, must be text"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(FaultError, match=message.replace("(", r"\(")):
        fault_from(values)


# -- the admin surface ---


def ask(
    url: str, method: str = "GET", body: Any = None, content_type: str = "application/json"
) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": content_type})  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_faults_are_asked_for_and_taken_away_over_http(api: ApiServer, aws: Aws, refused: Refused) -> None:
    wanted = {
        "kind": "api-fails",
        "service": "ec2",
        "action": "Describe*",
        "times": None,
        "error_code": "Struck",
    }
    status, made = ask(f"{api.url}/_terrace/faults", "POST", wanted)
    assert (status, made) == (200, {"id": made["id"]})
    refused("Struck", aws("ec2").describe_vpcs)
    standing = ask(f"{api.url}/_terrace/faults")[1]
    assert [(each["id"], each["kind"], each["hit"]) for each in standing] == [(made["id"], "api-fails", 1)]
    assert ask(f"{api.url}/_terrace/faults/{made['id']}", "DELETE") == (200, {"cleared": 1})
    assert ask(f"{api.url}/_terrace/faults", "DELETE") == (200, {"cleared": 0})
    aws("ec2").describe_vpcs()


def test_the_cloud_is_saved_emptied_and_loaded_over_http(api: ApiServer, aws: Aws, tmp_path: Path) -> None:
    aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
    place = {"path": str(tmp_path / "cloud.state")}
    status, header = ask(f"{api.url}/_terrace/save", "POST", place)
    assert (status, header["moto"], header["size_bytes"] > 0) == (200, "5.2.5", True)
    assert ask(f"{api.url}/_terrace/reset", "POST", {}) == (200, {"reset": True})
    assert aws("ssm").describe_parameters()["Parameters"] == []
    assert ask(f"{api.url}/_terrace/load", "POST", place)[0] == 200
    assert len(aws("ssm").describe_parameters()["Parameters"]) == 1


def test_the_status_and_the_last_requests_can_be_read(api: ApiServer, aws: Aws) -> None:
    aws("ec2").describe_vpcs()
    last = ask(f"{api.url}/_terrace/requests?limit=1")[1]
    assert [(each["service"], each["action"], each["status"]) for each in last] == [
        ("ec2", "DescribeVpcs", 200)
    ]
    status = ask(f"{api.url}/_terrace/status")[1]
    assert (status["url"], status["faults"]) == (api.url, 0)
    assert status["resident_bytes"] > 1_000_000


@pytest.mark.parametrize(
    ("path", "method", "body", "content_type", "status"),
    [
        ("nothing", "GET", None, "application/json", 404),
        ("status", "POST", {}, "application/json", 404),
        ("reset", "POST", {}, "text/plain", 415),
        ("save", "POST", {"path": "relative"}, "application/json", 400),
        ("save", "POST", {}, "application/json", 400),
        ("load", "POST", {"path": "/nowhere/at.all"}, "application/json", 400),
        ("faults", "POST", ["api-fails"], "application/json", 400),
        ("faults", "POST", {"kind": "x"}, "application/json", 400),
    ],
)
def test_a_wrong_admin_request_is_refused_with_a_reason(
    api: ApiServer, path: str, method: str, body: Any, content_type: str, status: int
) -> None:
    got, answer = ask(f"{api.url}/_terrace/{path}", method, body, content_type)
    assert got == status
    assert answer["error"]


# -- what is not implemented ---


@pytest.mark.parametrize(
    ("service", "call", "arguments", "named"),
    [
        ("ec2", "describe_volume_status", {}, "ec2:DescribeVolumeStatus"),
        (
            "cloudwatch",
            "put_anomaly_detector",
            {"Namespace": "a", "MetricName": "b", "Stat": "Sum"},
            "PutAnomalyDetector",
        ),
        ("route53", "list_cidr_collections", {}, "route53:ListCidrCollections"),
        ("backup", "list_backup_jobs", {}, "backup:ListBackupJobs"),
        ("pricing", "describe_services", {}, "pricing:DescribeServices"),
        ("service-quotas", "list_services", {}, "service-quotas:ListServices"),
        ("compute-optimizer", "get_enrollment_status", {}, "GetEnrollmentStatus"),
        ("cloudwatch", "describe_anomaly_detectors", {}, "DescribeAnomalyDetectors"),
        ("rds", "describe_db_engine_versions", {"Engine": "mysql"}, "not of mysql"),
    ],
)
def test_an_action_that_is_missing_is_named_at_once_and_not_retried(
    api: ApiServer, service: str, call: str, arguments: dict[str, Any], named: str
) -> None:
    client = make_client(api.url, service, retries={"max_attempts": 4, "mode": "legacy"})
    before = api.requests.count
    with pytest.raises(ClientError) as caught:
        getattr(client, call)(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == "NotImplementedByEmbeddedCloud"
    assert named in error["Message"]
    assert "docs/adding-a-resource.md" in error["Message"]
    assert api.requests.count == before + 1


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_a_crash_of_the_cloud_is_told_and_not_retried(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    from moto.ec2.models.vpcs import VPCBackend

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(VPCBackend, "describe_vpcs", broken)
    client = make_client(api.url, "ec2", retries={"max_attempts": 4, "mode": mode})
    before = api.requests.count
    with pytest.raises(ClientError, match=r"EmbeddedCloudFault.*ZeroDivisionError: by zero"):
        client.describe_vpcs()
    assert api.requests.count == before + 1
    assert "in broken" in (next(iter(api.requests.last(1))).trouble or "")


# -- many at once, and the server's life ---


def test_thirty_two_clients_at_once_lose_nothing(api: ApiServer, aws: Aws) -> None:
    ec2, ssm, iam = aws("ec2"), aws("ssm"), aws("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})

    def work(number: int) -> list[str]:
        made = []
        for step in range(2):
            tags = [{"ResourceType": "volume", "Tags": [{"Key": "n", "Value": f"{number}-{step}"}]}]
            made.append(
                ec2.create_volume(AvailabilityZone="ap-northeast-2a", Size=1, TagSpecifications=tags)[
                    "VolumeId"
                ]
            )
            ssm.put_parameter(Name=f"/p/{number}/{step}", Value="1", Type="String")
            ec2.describe_volumes()
        iam.create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument=trust)
        return made

    with ThreadPoolExecutor(32) as pool:
        made = [volume for volumes in pool.map(work, range(32)) for volume in volumes]
    shown = ec2.describe_volumes()["Volumes"]
    assert sorted(volume["VolumeId"] for volume in shown) == sorted(made)
    assert len({volume["Tags"][0]["Value"] for volume in shown}) == 64
    pages = ssm.get_paginator("describe_parameters").paginate()
    assert sum(len(page["Parameters"]) for page in pages) == 64
    assert len(iam.list_roles()["Roles"]) == 32


def test_a_save_in_the_middle_of_work_is_consistent(api: ApiServer, aws: Aws, tmp_path: Path) -> None:
    ec2, stop = aws("ec2"), threading.Event()

    def work() -> None:
        while not stop.is_set():
            ec2.create_volume(AvailabilityZone="ap-northeast-2a", Size=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            api.save(tmp_path / f"{number}.state")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for number in range(5):
        api.load(tmp_path / f"{number}.state")
        ec2.describe_volumes()


def listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


def test_another_socket_serves_the_same_cloud_without_the_admin_surface(api: ApiServer, aws: Aws) -> None:
    link = listening()
    url = f"http://127.0.0.1:{link.getsockname()[1]}"
    aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
    with ApiServer(extra_sockets=[link]) as other:
        assert make_client(url, "ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
        assert ask(f"{url}/_terrace/status") == (404, {"error": "not served here"})
        assert ask(f"{url}/_terrace/reset", "POST", {})[0] == 404
        assert ask(f"{url}/moto-api/reset", "POST", {})[0] == 404
        assert ask(f"{other.url}/_terrace/status")[0] == 200
    assert aws("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"


def test_a_stopped_server_serves_nobody_not_even_who_is_connected(api: ApiServer) -> None:
    server = ApiServer()
    server.start()
    client = make_client(server.url, "ec2")
    client.describe_vpcs()
    port = server.port
    server.stop()
    # The first call may still find the connection that was closed, the next find no port.
    for _ in range(2):
        with pytest.raises(botocore.exceptions.BotoCoreError):
            client.describe_vpcs()
    with pytest.raises(ServerError, match="does not listen"):
        server.port  # noqa: B018
    again = ApiServer(port=port)
    again.start()
    client.describe_vpcs()
    again.stop()


def test_a_taken_port_is_said_with_a_remedy(api: ApiServer) -> None:
    with pytest.raises(ServerError, match=rf"port {api.port} .* take port 0"):
        ApiServer(port=api.port).start()


def test_an_upload_in_pieces_of_unknown_length_arrives_whole(api: ApiServer, aws: Aws) -> None:
    aws("s3").create_bucket(
        Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        head = "PUT /uploads/pieces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + b"5\r\nhello\r\n" + b"6\r\n world\r\n0\r\n\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert aws("s3").get_object(Bucket="uploads", Key="pieces")["Body"].read() == b"hello world"


STANDS_ALONE = """
import sys
import embedded.aws, embedded.aws.hooks, embedded.aws.faults, embedded.aws.server
assert "moto" not in sys.modules and "boto3" not in sys.modules
server = embedded.aws.server.ApiServer()
server.start()
assert "pulumi" not in sys.modules and "infra" not in sys.modules
server.stop()
server.start()
server.stop()
print("fine")
"""


def test_nothing_is_loaded_before_the_start_and_pulumi_never() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STANDS_ALONE],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


AFTER_BOTO = """
import boto3, moto, moto.ec2.models, moto.iam.models
from botocore.config import Config
from embedded.aws.server import ApiServer
with ApiServer() as server:
    client = boto3.client("ec2", endpoint_url=server.url, region_name="ap-northeast-2", aws_access_key_id="a",
        aws_secret_access_key="b", config=Config(retries={"max_attempts": 0}))
    assert client.describe_images(ImageIds=["ami-00000000000000000"])["Images"]
    print(len(client.describe_instance_type_offerings(Filters=[{"Name": "instance-type", "Values": ["t4g.*"]}])
        ["InstanceTypeOfferings"]))
"""


def test_the_extensions_stand_also_where_moto_was_loaded_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_BOTO],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
