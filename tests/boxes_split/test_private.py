"""Option C standing: two boxes without an address behind a load balancer. In the order of the file.

Both boxes have 4 GB: two services of each part fit, so a release interrupts nothing.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import boto3
import pytest

from bench.figures import note
from bench.projects import private
from bench.served import CACHE, environment
from embedded.boxes.addresses import host_end
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_split.support import DOMAIN, RECEIPT, Two

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine, pytest.mark.matrix]

MACHINES = {"frontend": "t4g.medium", "backend": "t4g.medium"}
REACH = "timeout 3 bash -c '</dev/tcp/{}/{}'"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """A stack that began at `private`, with a name in Route 53."""
    directory = tmp_path_factory.mktemp("private")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        project = private(directory / "project", cloud, machines=MACHINES)
        project.stand()
        made = Two(directory, cloud, project, project.outputs())
        made.ready()
        yield made


def test_page_rows_and_a_vector_query_come_through_the_load_balancer_by_its_certificate(two: Two) -> None:
    assert "eip" not in two.outputs
    two.until("/api/totals", 200)
    status, said = two.asked("/api/receipts", RECEIPT)
    assert status == 201, said
    assert two.asked("/api/receipts", RECEIPT)[0] == 201
    status, nearest = two.asked(f"/api/receipts/{json.loads(said)['id']}/nearest")
    assert status == 200
    assert json.loads(nearest)["receipts"]
    status, page = two.asked("/")
    assert status == 200
    assert "Gimbap House" in page
    assert "Strict-Transport-Security" in two.head


def test_an_upload_goes_into_the_bucket_by_a_link_that_came_through_the_load_balancer(two: Two) -> None:
    status, said = two.asked("/api/uploads", "{}")
    assert status == 201, said
    link = json.loads(said)
    two.sh("frontend", f"curl -sf -X PUT --data-binary 'a picture' '{link['url']}'")
    s3 = boto3.client("s3", region_name="ap-northeast-2")
    kept = s3.get_object(Bucket=two.outputs["buckets"]["uploads"], Key=link["key"])
    assert kept["Body"].read() == b"a picture"


def test_http_is_sent_to_https_and_sockets_are_answered(two: Two) -> None:
    with socket.create_connection((two.address(), 80), timeout=10) as wire:
        wire.sendall(f"GET /a?b=c HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        with wire.makefile("rb") as stream:
            head = stream.read().decode()
    assert head.startswith("HTTP/1.1 301 ")
    assert f"Location: https://{DOMAIN}/a?b=c" in head
    with two.under_load(rate=10, sockets=5) as load:
        load.until(100)
    report = load.report
    assert report is not None
    assert (report.failed, report.sockets.faults) == (0, ()), report.errors
    assert report.sockets.asked == report.sockets.answered > 0


def test_nothing_but_the_load_balancer_has_an_address_that_answers(two: Two) -> None:
    ec2, elb = (boto3.client(name, region_name="ap-northeast-2") for name in ("ec2", "elbv2"))
    shown = ec2.describe_instances(InstanceIds=list(two.outputs["boxes"].values()))["Reservations"]
    boxes = [each for group in shown for each in group["Instances"]]
    assert [each.get("PublicIpAddress") for each in boxes] == [None, None]
    (nat,) = ec2.describe_addresses()["Addresses"]
    for address, ports in ((nat["PublicIp"], (22, 80, 443, 8090)), (two.address(), (22, 8080, 8090))):
        for port in ports:
            with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
                socket.create_connection((address, port), timeout=1)
    assert elb.describe_load_balancers()["LoadBalancers"][0]["Scheme"] == "internet-facing"


def test_the_way_out_is_the_nat_gateways_address(two: Two) -> None:
    machines = two.cloud.machines
    assert machines is not None
    (nat,) = boto3.client("ec2", region_name="ap-northeast-2").describe_addresses()["Addresses"]
    here = str(host_end(machines.host.public_network))
    with socket.create_server((here, 0)) as listening:
        listening.settimeout(20)
        two.sh("backend", REACH.format(here, listening.getsockname()[1]))
        met, (came_from, _) = listening.accept()
        met.close()
    assert came_from == nat["PublicIp"]


def test_each_reaches_only_what_it_needs(two: Two) -> None:
    machines = two.cloud.machines
    assert machines is not None
    (balancer,) = [each.instance_id for each in machines.host.status() if each.instance_id.startswith("alb-")]
    frontend, backend = (two.sh(role, "hostname -I").split()[0] for role in ("frontend", "backend"))
    database, _, port = two.outputs["database"]["endpoint"].partition(":")

    def balancer_reaches(address: str, to: int) -> bool:
        script = REACH.format(address, to)
        return machines.host.run(balancer, script, timeout_seconds=20).returncode == 0

    assert balancer_reaches(frontend, 80)
    assert balancer_reaches(backend, 8090)
    assert not balancer_reaches(backend, 8080)
    assert not balancer_reaches(database, int(port))
    assert two.tried("frontend", REACH.format(backend, 8090))[0] == 0
    assert two.tried("frontend", REACH.format(backend, 8080))[0] != 0
    assert two.tried("frontend", REACH.format(database, port))[0] != 0
    assert two.tried("backend", REACH.format(database, port))[0] == 0
    assert two.tried("backend", REACH.format(frontend, 80))[0] != 0


def test_boxes_know_the_client_and_log_each_request_once(two: Two) -> None:
    two.asked("/api/totals")
    line = 'grep \'"path":"/api/totals"\' /var/log/nginx/access.json | tail -1'
    assert len(json.loads(two.sh("backend", line))["user"]) == 16
    assert two.tried("frontend", "grep -c api/totals /var/log/nginx/access.json")[1] == "0"


def test_a_release_under_load_fails_no_request_and_no_question(two: Two) -> None:
    with two.under_load(rate=50, sockets=10) as load:
        load.until(250)
        done = two.release("v2")
        assert done.returncode == 0, done.stderr
        load.until(load.sent() + 250)
    report = load.report
    assert report is not None
    note(f"a release of two boxes behind the load balancer: {report.sentence()}")
    assert (report.failed, report.sockets.faults) == (0, ()), report.errors
    assert set(report.versions) == {"v1", "v2"}


def test_a_target_that_is_taken_out_ends_what_it_has_begun(two: Two) -> None:
    """A question over a WebSocket takes three seconds; a group without targets answers 503."""
    elb = boto3.client("elbv2", region_name="ap-northeast-2")
    groups = {each["TargetGroupName"]: each for each in elb.describe_target_groups()["TargetGroups"]}
    group = next(each for name, each in groups.items() if name.endswith("backend"))
    arn, target = group["TargetGroupArn"], [{"Id": two.outputs["boxes"]["backend"]}]
    with two.under_load(rate=1, sockets=10) as load:
        load.until(3)
        elb.deregister_targets(TargetGroupArn=arn, Targets=target)
        two.until("/api/version", 503)
        assert two.asked("/")[0] == 200, "the frontend reaches its backend without the load balancer"
    elb.register_targets(TargetGroupArn=arn, Targets=target)
    two.until("/api/version", 200)
    report = load.report
    assert report is not None
    assert report.sockets.asked == report.sockets.answered > 0, report.sockets.faults
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert [each["TargetHealth"]["State"] for each in found] == ["healthy"]


def test_a_dead_backend_takes_down_the_api_alone_and_a_dead_frontend_the_pages_alone(two: Two) -> None:
    two.power("backend", on=False)
    began = time.monotonic()
    assert two.asked("/api/version")[0] in (502, 504)
    assert time.monotonic() - began < 20
    assert two.asked("/nowhere")[0] == 404, "the frontend still answers"
    two.power("backend", on=True)
    two.until("/api/version", 200)
    two.power("frontend", on=False)
    assert two.asked("/api/version")[0] == 200
    assert two.asked("/nowhere")[0] in (502, 504)
    two.power("frontend", on=True)
    two.until("/", 200)


def test_a_dead_database_takes_the_rows_down_and_neither_the_pages_nor_what_needs_none(two: Two) -> None:
    with two.database_down():
        two.until("/api/totals", 503)
        assert two.asked("/api/version")[0] == 200
        assert two.asked("/nowhere")[0] == 404
    two.until("/api/totals", 200)
    two.until("/", 200)
