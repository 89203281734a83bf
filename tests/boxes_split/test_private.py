"""Option C standing: two boxes without an address behind a load balancer. In the order of the file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from bench.projects import private
from bench.served import CACHE, environment
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_split.support import RECEIPT, Two

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine, pytest.mark.matrix]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """A stack that began at `private`, with a name in Route 53."""
    directory = tmp_path_factory.mktemp("private")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        project = private(directory / "project", cloud)
        project.stand()
        made = Two(directory, cloud, project, project.outputs())
        made.ready()
        yield made


def test_the_domain_answers_through_the_load_balancer_by_its_certificate(two: Two) -> None:
    assert "eip" not in two.outputs
    two.until("/api/totals", 200)
    assert two.asked("/api/receipts", RECEIPT)[0] == 201
    status, page = two.asked("/")
    assert status == 200
    assert "Gimbap House" in page
    assert "Strict-Transport-Security" in two.head


def test_boxes_know_the_client_and_log_each_request_once(two: Two) -> None:
    two.asked("/api/totals")
    line = 'grep \'"path":"/api/totals"\' /var/log/nginx/access.json | tail -1'
    assert len(json.loads(two.sh("backend", line))["user"]) == 16
    assert two.tried("frontend", "grep -c api/totals /var/log/nginx/access.json")[1] == "0"


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
