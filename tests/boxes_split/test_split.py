"""Option B standing: two boxes that installed themselves, RDS, one domain; each of them may die alone.

In the order of the file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial

import boto3
import pytest

from bench.figures import note
from bench.projects import option_a
from bench.served import CACHE, environment
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_host.shut_in import complaints, worse
from tests.boxes_split.support import DOMAIN, RECEIPT, Two

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """A stack that began at `split`, its boxes installed, its database provided."""
    directory = tmp_path_factory.mktemp("split")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        zone = boto3.client("route53").create_hosted_zone(Name="example.com", CallerReference="a")
        project = option_a(
            directory / "project", cloud, "split",
            domain=DOMAIN, dns={"zoneId": zone["HostedZone"]["Id"].rpartition("/")[2]},
        )  # fmt: skip
        project.stand()
        made = Two(directory, cloud, project, project.outputs())
        made.ready()
        yield made


def test_the_domain_answers_with_its_own_certificate_and_rows_go_through_both_boxes_into_rds(
    two: Two,
) -> None:
    two.until("/api/totals", 200)
    status, said = two.asked("/api/receipts", RECEIPT)
    assert status == 201, said
    number = json.loads(said)["id"]
    assert json.loads(two.asked(f"/api/receipts/{number}")[1])["merchant"] == "Gimbap House"
    page = two.asked("/")
    assert page[0] == 200
    assert "Gimbap House" in page[1]
    assert "X-Terrace-User" not in two.head
    environment_file = two.sh("backend", "cat /run/terrace/app.env")
    assert f"//{two.outputs['database']['endpoint']}/app?sslmode=verify-full" in environment_file
    assert "DATASOURCE" not in two.sh("frontend", "cat /run/terrace/app.env")


def test_a_request_is_logged_once_with_its_user_and_the_clients_own_address(two: Two) -> None:
    two.asked("/api/totals?once=1")
    line = 'grep \'"path":"/api/totals"\' /var/log/nginx/access.json | tail -1'
    assert len(json.loads(two.sh("frontend", line))["user"]) == 16
    assert two.tried("backend", "grep -c api/totals /var/log/nginx/access.json")[1] == "0"


@pytest.mark.parametrize("role", ["frontend", "backend"])
def test_the_units_of_both_boxes_hold_and_none_is_less_shut_in_than_on_one_box(two: Two, role: str) -> None:
    sh = partial(two.sh, role)
    assert complaints(sh) == ""
    assert worse(sh) == {}


def test_what_must_not_be_reached_is_not(two: Two) -> None:
    backend = two.sh("backend", "hostname -I").split()[0]
    database, _, port = two.outputs["database"]["endpoint"].partition(":")
    reach = "timeout 3 bash -c '</dev/tcp/{}/{}'"
    assert two.tried("frontend", reach.format(backend, 8090))[0] == 0
    assert two.tried("backend", reach.format(database, port))[0] == 0
    assert two.tried("frontend", reach.format(backend, 8080))[0] != 0
    assert two.tried("frontend", reach.format(database, port))[0] != 0


def test_the_applications_password_is_changed_in_one_word_and_the_old_one_opens_nothing(two: Two) -> None:
    """The passwords stay on the box: what is compared here is what each of them opens."""
    opens = (
        "old=$(cat /root/old); now=$(sed -n 's/^SPRING_DATASOURCE_PASSWORD=\"\\(.*\\)\"/\\1/p' /run/terrace/app.env);"
        "url=$(sed -n 's/^DATABASE_URL=\"[^@]*@\\(.*\\)\"/\\1/p' /run/terrace/app.env);"
        'for each in "$old" "$now"; do PGPASSWORD="$each" psql -w -XAtc "select 7" "postgresql://app@$url" 2>&1'
        " | tail -1 | cut -c1-60; done"
    )
    two.sh(
        "backend",
        "umask 077; sed -n 's/^SPRING_DATASOURCE_PASSWORD=\"\\(.*\\)\"/\\1/p' /run/terrace/app.env > /root/old",
    )
    assert two.sh("backend", opens).split() == ["7", "7"]
    done = two.script("data", "password", "--stack", "dev", "--yes")
    assert done.returncode == 0, done.stderr
    old, now = two.sh("backend", opens).strip().splitlines()
    assert ("7" not in old.split(), now) == (True, "7"), old
    two.until("/api/totals", 200)
    assert two.sh("backend", "cat /root/old").strip() not in done.stdout + done.stderr


@pytest.mark.matrix
def test_where_two_jvms_do_not_fit_a_release_is_refused_or_interrupts_the_backend_alone(two: Two) -> None:
    refused = two.release("v2")
    assert refused.returncode == 4, refused.stderr
    assert "a second backend" in refused.stderr
    done = two.release("v2", "--or-interrupt")
    assert done.returncode == 0, done.stderr
    backend, frontend = json.loads(done.stdout)
    assert backend["downtime_seconds"] > 0
    note(
        f"two boxes of 2 GB: backend {backend['downtime_seconds']} s without service, frontend "
        f"{frontend['downtime_seconds']} s"
    )
    assert json.loads(two.until("/api/version", 200))["version"] == "v2"


@pytest.mark.matrix
def test_a_dead_database_takes_the_rows_down_and_neither_the_frontend_nor_what_needs_none(two: Two) -> None:
    with two.database_down():
        two.until("/api/totals", 503)
        assert two.asked("/healthz")[0] == 200
        assert two.asked("/api/version")[0] == 200
    two.until("/api/totals", 200)


@pytest.mark.matrix
def test_a_dead_backend_takes_down_the_api_alone_and_comes_back_by_itself(two: Two) -> None:
    two.power("backend", on=False)
    began = time.monotonic()
    assert two.asked("/api/totals")[0] in (502, 504)
    assert time.monotonic() - began < 20, "a request hung on a box that is gone"
    assert two.asked("/healthz")[0] == 200
    assert two.sh("frontend", "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/_health") == "200"
    two.power("backend", on=True)
    two.until("/api/totals", 200)


@pytest.mark.matrix
def test_a_dead_frontend_leaves_backend_and_database_serving_and_comes_back_by_itself(two: Two) -> None:
    two.power("frontend", on=False)
    assert two.sh("backend", "curl -sf http://127.0.0.1:8090/api/totals | head -c 1") == "{"
    two.power("frontend", on=True)
    assert "Gimbap House" in two.until("/", 200)
