"""Option B standing: two boxes that installed themselves, RDS, one domain; each of them may die alone.

In the order of the file.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from bench.projects import Project, option_a
from bench.served import CACHE, ROOT, environment, note
from embedded import sample
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine]

DOMAIN = "app.example.com"
READY_SECONDS = 300.0
RECEIPT = json.dumps(
    {
        "merchant": "Gimbap House",
        "paid_on": "2026-11-20",
        "items": [{"name": "g", "quantity": 1, "price_krw": 9000}],
    }
)


@dataclass
class Two:
    """The stack, its outputs, its directory."""

    directory: Path
    cloud: Cloud
    project: Project
    outputs: dict[str, Any]
    head: str = ""

    def tried(self, role: str, script: str) -> tuple[int, str]:
        """How a script on that box ended, and what it said."""
        machines = self.cloud.machines
        assert machines is not None
        done = machines.host.run(self.outputs["boxes"][role], script, timeout_seconds=300)
        return done.returncode, f"{done.stdout}{done.stderr}".strip()

    def sh(self, role: str, script: str) -> str:
        """What a script on that box says."""
        code, said = self.tried(role, script)
        assert code == 0, f"{script!r} on {role} ended with {code}: {said}"
        return said

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as a person gives it."""
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments],
            env=self.project.environment, capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip

    def asked(self, path: str, body: str = "", *, host: str = DOMAIN) -> tuple[int, str]:
        """Status and text over HTTPS by the address and the domain's own certificate, with no retry."""
        machines = self.cloud.machines
        assert machines is not None
        authority = self.directory / "authority.pem"
        authority.write_bytes(machines.acme.authority.certificate)
        trusting = ssl.create_default_context(cafile=str(authority))
        method = "POST" if body else "GET"
        lines = [
            f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", "X-User: kim",
            "Content-Type: application/json", f"Content-Length: {len(body)}",
        ]  # fmt: skip
        with (
            socket.create_connection((self.outputs["eip"], 443), timeout=30) as wire,
            trusting.wrap_socket(wire, server_hostname=host) as stream,
        ):
            stream.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            with stream.makefile("rb") as answer:
                head, _, text = answer.read().decode().partition("\r\n\r\n")
        self.head = head
        return int(head.split()[1]), text

    def until(self, path: str, status: int, *, seconds: float = 120.0) -> str:
        """The text, once that path answers with that status."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found, text = self.asked(path)
            except OSError as error:
                found, text = 0, str(error)
            if found == status:
                return text
            assert time.monotonic() < deadline, f"{path}: {found} {text}"
            time.sleep(0.5)

    def installed(self, role: str) -> None:
        """Waits until the box's own installer is through."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            said = self.tried(role, "terrace-host status --json 2>/dev/null")[1]
            if said.startswith("{") and json.loads(said)["state"] == "done":
                return
            log = self.tried(role, "journalctl -u terrace-host --no-pager | tail -20")[1]
            assert time.monotonic() < deadline, f"{role}: {said} {log}"
            time.sleep(1)

    def power(self, role: str, *, on: bool) -> None:
        """Takes a box's power away, or gives it back."""
        machines = self.cloud.machines
        assert machines is not None
        instance = self.outputs["boxes"][role]
        if on:
            boots = machines.host.box(instance).boots
            machines.host.power_on(instance)
            machines.host.wait(instance, lambda box: box.booted and box.boots > boots, timeout_seconds=120)
        else:
            machines.host.power_cut(instance)


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
        assert cloud.machines is not None
        for instance in made.outputs["boxes"].values():
            cloud.machines.host.wait(instance, lambda each: each.booted, timeout_seconds=180)
        for role in ("backend", "frontend"):
            made.installed(role)
        yield made


def test_a_fresh_stack_gets_its_database_and_a_release_onto_both_boxes_by_the_scripts(two: Two) -> None:
    provided = two.script("data", "provide", "--stack", "dev", "--yes")
    assert provided.returncode == 0, provided.stderr
    packed = sample.lay_out(two.directory / "v1", "v1", cache=CACHE)
    published = two.script("deploy", "publish", str(packed), "--stack", "dev")
    assert published.returncode == 0, published.stderr
    done = two.script(
        "deploy", "release", "v1", "--stack", "dev", "--yes", "--output", "json", "--soak-seconds", "2"
    )
    assert done.returncode == 0, done.stderr
    assert [each["role"] for each in json.loads(done.stdout)] == ["backend", "frontend"]


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


def test_what_must_not_be_reached_is_not(two: Two) -> None:
    backend = two.sh("backend", "hostname -I").split()[0]
    database, _, port = two.outputs["database"]["endpoint"].partition(":")
    reach = "timeout 3 bash -c '</dev/tcp/{}/{}'"
    assert two.tried("frontend", reach.format(backend, 8090))[0] == 0
    assert two.tried("backend", reach.format(database, port))[0] == 0
    assert two.tried("frontend", reach.format(backend, 8080))[0] != 0
    assert two.tried("frontend", reach.format(database, port))[0] != 0


def test_where_two_jvms_do_not_fit_a_release_is_refused_or_interrupts_the_backend_alone(two: Two) -> None:
    packed = sample.lay_out(two.directory / "v2", "v2", cache=CACHE)
    assert two.script("deploy", "publish", str(packed), "--stack", "dev").returncode == 0
    release = (
        "deploy",
        "release",
        "v2",
        "--stack",
        "dev",
        "--yes",
        "--output",
        "json",
        "--soak-seconds",
        "2",
    )
    refused = two.script(*release)
    assert refused.returncode == 4, refused.stderr
    assert "a second backend" in refused.stderr
    done = two.script(*release, "--or-interrupt")
    assert done.returncode == 0, done.stderr
    backend, frontend = json.loads(done.stdout)
    assert backend["downtime_seconds"] > 0
    note(
        f"two boxes of 2 GB: backend {backend['downtime_seconds']} s without service, frontend "
        f"{frontend['downtime_seconds']} s"
    )
    assert json.loads(two.until("/api/version", 200))["version"] == "v2"


def test_a_dead_database_takes_the_rows_down_and_neither_the_frontend_nor_what_needs_none(two: Two) -> None:
    machines = two.cloud.machines
    assert machines is not None
    (instance,) = [each.instance_id for each in machines.host.status() if each.instance_id.startswith("rds-")]
    machines.host.power_cut(instance)
    try:
        two.until("/api/totals", 503)
        assert two.asked("/healthz")[0] == 200
        assert two.asked("/api/version")[0] == 200
    finally:
        machines.host.power_on(instance)
    two.until("/api/totals", 200)


def test_a_dead_backend_takes_down_the_api_alone_and_comes_back_by_itself(two: Two) -> None:
    two.power("backend", on=False)
    began = time.monotonic()
    assert two.asked("/api/totals")[0] in (502, 504)
    assert time.monotonic() - began < 20, "a request hung on a box that is gone"
    assert two.asked("/healthz")[0] == 200
    assert two.sh("frontend", "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:3000/_health") == "200"
    two.power("backend", on=True)
    two.until("/api/totals", 200)


def test_a_dead_frontend_leaves_backend_and_database_serving_and_comes_back_by_itself(two: Two) -> None:
    two.power("frontend", on=False)
    assert two.sh("backend", "curl -sf http://127.0.0.1:8090/api/totals | head -c 1") == "{"
    two.power("frontend", on=True)
    assert "Gimbap House" in two.until("/", 200)
