"""A box with a domain gets its certificate from an authority by itself, keeps it, and brings it to its successor."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from bench.instances import Instance
from bench.projects import option_a
from bench.served import CACHE, Served, environment
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

pytestmark = [pytest.mark.box, pytest.mark.drill]

DOMAIN = "app.example.com"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Option A with a domain in Route 53, its box installed by its own user data."""
    directory = tmp_path_factory.mktemp("certificate")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        zone = boto3.client("route53").create_hosted_zone(Name="example.com", CallerReference="a")
        project = option_a(directory / "project", cloud, "single-8g")
        file = project.directory / "Pulumi.dev.yaml"
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings["config"] |= {
            "terrace:domain": DOMAIN,
            "terrace:dns": {"zoneId": zone["HostedZone"]["Id"].rpartition("/")[2]},
        }
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        project.stand()
        made = Served(directory, cloud, project, project.outputs())
        assert cloud.machines is not None
        cloud.machines.host.wait(made.box.instance_id, lambda each: each.booted, timeout_seconds=300)
        made.prepare()
        yield made


def authority(box: Served) -> Path:
    """What a browser would have to trust: the embedded authority's own certificate."""
    assert box.cloud.machines is not None
    path = box.directory / "authority.pem"
    path.write_bytes(box.cloud.machines.acme.authority.certificate)
    return path


def shown(box: Served) -> tuple[str, str]:
    """Serial number and issuer of what Nginx shows for the domain, checked as a browser checks it."""
    trusting = ssl.create_default_context(cafile=str(authority(box)))
    with (
        socket.create_connection((box.outputs["eip"], 443), timeout=5) as wire,
        trusting.wrap_socket(wire, server_hostname=DOMAIN) as stream,
    ):
        told: Any = stream.getpeercert()
        stream.sendall(f"GET /healthz HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        with stream.makefile("rb") as answer:
            said = answer.read().decode()
    assert said.startswith("HTTP/1.1 200")
    assert said.endswith("ok\n")
    return told["serialNumber"], str(told["issuer"])


def comes(box: Served, *, seconds: float = 60.0) -> str:
    """The serial number, once a trusted certificate is shown."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return shown(box)[0]
        except OSError:
            assert time.monotonic() < deadline, journal(box)
            time.sleep(0.5)


def journal(box: Served) -> str:
    return box.tried("journalctl -u terrace-certificate -u terrace-host --no-pager | tail -40")[1]


def signed(box: Served) -> int:
    """How many certificates the authority gave."""
    assert box.cloud.machines is not None
    return box.cloud.machines.acme.authority.signed


def test_a_new_box_with_a_domain_shows_a_certificate_that_an_authority_signed(box: Served) -> None:
    comes(box)
    assert "terrace embedded certificates" in shown(box)[1]
    status = json.loads(box.sh("terrace-certificate status --json"))
    assert (status["domain"], status["authority"]) == (DOMAIN, "production")


def test_a_second_run_asks_nobody_and_changes_nothing(box: Served) -> None:
    serial, before = comes(box), signed(box)
    told = json.loads(box.sh("terrace-certificate renew --json"))
    assert told == {"wanted": True, "restored": False, "placed": False, "copied": False}
    box.sh("terrace-host install")
    assert (comes(box), signed(box)) == (serial, before)


def test_the_copy_in_the_bucket_is_encrypted_by_the_stacks_key(box: Served) -> None:
    comes(box)
    found = boto3.client("s3").head_object(
        Bucket=box.outputs["buckets"]["backups"], Key=f"certificates/production/{DOMAIN}.tar"
    )
    assert found["ServerSideEncryption"] == "aws:kms"
    assert found["SSEKMSKeyId"] == box.outputs["key_arn"]


def test_a_box_that_lost_its_disk_brings_its_certificate_back_and_asks_for_none(box: Served) -> None:
    serial, before = comes(box), signed(box)
    box.sh(
        "systemctl stop nginx; rm -rf /var/lib/terrace/certificates* /etc/terrace/tls; terrace-host install"
    )
    # The copy is in place before Nginx answers at all.
    assert (shown(box)[0], signed(box)) == (serial, before)


def test_without_copy_and_with_an_authority_that_refuses_the_box_serves_by_its_own_certificate(
    box: Served,
) -> None:
    assert box.cloud.machines is not None
    comes(box)
    bucket, key = box.outputs["buckets"]["backups"], f"certificates/production/{DOMAIN}.tar"
    boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    box.cloud.machines.acme.authority.refuses = True
    try:
        box.sh(
            "systemctl stop terrace-certificate nginx; rm -rf /var/lib/terrace/certificates* /etc/terrace/tls"
        )
        box.sh("terrace-host install")
        deadline = time.monotonic() + 60
        while "NoSuchKey" not in (said := journal(box)):
            assert time.monotonic() < deadline, said
            time.sleep(1)
        box.sh("systemctl stop terrace-certificate")
        code, said = box.tried("terrace-certificate renew")
        assert code == 4
        assert "too many certificates" in said
        assert "Traceback" not in said
        served = box.sh("curl -sk --resolve app.example.com:443:127.0.0.1 https://app.example.com/healthz")
        assert served == "ok"
        assert (
            json.loads(box.sh("terrace-certificate status --json"))["issuer"].replace(" ", "") == "CN=terrace"
        )
    finally:
        box.cloud.machines.acme.authority.refuses = False
    box.sh("terrace-certificate renew")
    comes(box)


def test_a_certificate_near_its_end_is_renewed_and_when_that_fails_the_old_one_is_shown_on(
    box: Served,
) -> None:
    assert box.cloud.machines is not None
    ca = box.cloud.machines.acme.authority
    box.sh("systemctl stop terrace-certificate; rm -rf /var/lib/terrace/certificates*")
    boto3.client("s3").delete_object(
        Bucket=box.outputs["buckets"]["backups"], Key=f"certificates/production/{DOMAIN}.tar"
    )
    ca.age = timedelta(days=80)
    box.sh("terrace-certificate renew")
    ca.age = timedelta()
    old, before = comes(box), signed(box)
    ca.refuses = True
    try:
        assert box.tried("terrace-certificate renew")[0] == 4
        assert shown(box)[0] == old
    finally:
        ca.refuses = False
    told = json.loads(box.sh("terrace-certificate renew --json"))
    assert (told["placed"], told["copied"], signed(box)) == (True, True, before + 1)
    assert comes(box) != old


@pytest.mark.matrix
def test_a_replaced_instance_shows_its_predecessors_certificate_and_asks_for_none(box: Served) -> None:
    box.sh("systemctl stop terrace-certificate; terrace-certificate renew")
    serial, before = comes(box), signed(box)
    Instance(box.cloud).terminate()
    box.project.pulumi("refresh", "--yes", "--skip-preview")
    box.project.pulumi("up", "--yes", "--skip-preview")
    former, box.outputs = box.box.instance_id, box.project.outputs()
    assert box.box.instance_id != former
    assert box.cloud.machines is not None
    box.cloud.machines.host.wait(box.box.instance_id, lambda each: each.booted, timeout_seconds=240)
    box.prepare()
    assert (shown(box)[0], signed(box)) == (serial, before)
    assert f"certificate of {DOMAIN} brought back" in box.sh("journalctl -u terrace-host --no-pager")
