"""The metadata service's rules, over HTTP on the loopback interface; the cases are those of the EC2 user guide."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import pytest

from embedded.boxes import BoxSpec, Credentials, Identity, MetadataOptions
from embedded.boxes.imds import MetadataService

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"

SPEC = BoxSpec(
    instance_id="i-0123456789abcdef0",
    vpc_id="vpc-1",
    vpc_cidr=IPv4Network("10.20.0.0/16"),
    private_ip=IPv4Address("10.20.0.5"),
    public_ip=IPv4Address("198.18.0.4"),
    mac="0a:00:00:00:00:05",
    memory_bytes=1 << 30,
    vcpus=2,
    user_data=b"#!/bin/sh\n\xff",
    identity=Identity(
        account_id="123456789012",
        region="ap-northeast-2",
        availability_zone="ap-northeast-2a",
        image_id="ami-1",
        instance_type="t4g.large",
        role_name="app",
        instance_profile_arn="arn:aws:iam::123456789012:instance-profile/app",
        launched_at=datetime(2026, 11, 21, tzinfo=UTC),
        tags={"Name": "box", "a/b": "slash"},
    ),
)


class Service:
    """The service, asked by one box: `spec`."""

    def __init__(self) -> None:
        self.spec: BoxSpec | None = SPEC
        self.keys: Credentials | None = Credentials(
            access_key_id="AKIA",
            secret_access_key="secret",
            token="session",
            expires_at=datetime(2026, 11, 21, 6, tzinfo=UTC),
        )
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.metadata = MetadataService(lambda _vpc, _address: self.spec, lambda _spec: self.keys)
        self.metadata.serve("vpc-1", self._listening)

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def token(self, seconds: int = 60) -> str:
        return self.ask("PUT", "/latest/api/token", **{TTL: str(seconds)})[1]

    def get(self, path: str, *, token: str | None = None) -> tuple[int, str]:
        return self.ask("GET", f"/latest/{path}", **{TOKEN: token or self.token()})


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.metadata.close()


def test_without_a_token_nothing_is_told_where_one_is_required(service: Service) -> None:
    for path in ("/", "/latest/meta-data/", "/latest/user-data", "/latest/meta-data/no-such"):
        assert service.ask("GET", path)[0] == 401


def test_a_wrong_token_is_refused_even_where_none_is_required(service: Service) -> None:
    service.spec = replace(SPEC, metadata=MetadataOptions(http_tokens="optional"))
    assert service.ask("GET", "/latest/meta-data/instance-id") == (200, SPEC.instance_id)
    assert service.ask("GET", "/latest/meta-data/instance-id", **{TOKEN: "wrong"})[0] == 401


def test_a_token_is_good_for_its_time_and_its_instance_only(service: Service) -> None:
    short, long = service.token(1), service.token(21_600)
    assert service.get("meta-data/instance-id", token=short) == (200, SPEC.instance_id)
    time.sleep(1.1)
    assert service.get("meta-data/instance-id", token=short)[0] == 401
    assert service.get("meta-data/instance-id", token=long)[0] == 200
    service.spec = replace(SPEC, instance_id="i-other")
    assert service.get("meta-data/instance-id", token=long)[0] == 401


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "an hour"])
def test_a_lifetime_outside_of_its_bounds_is_a_bad_request(service: Service, seconds: str) -> None:
    assert service.ask("PUT", "/latest/api/token", **{TTL: seconds})[0] == 400


def test_a_put_without_a_lifetime_is_a_bad_request(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token")[0] == 400


def test_a_put_through_a_proxy_or_to_a_dated_path_is_forbidden(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token", **{TTL: "60", "X-Forwarded-For": "10.0.0.1"})[0] == 403
    assert service.ask("PUT", "/2021-03-23/api/token", **{TTL: "60"})[0] == 403


def test_a_switched_off_endpoint_forbids_all(service: Service) -> None:
    token = service.token()
    service.spec = replace(SPEC, metadata=MetadataOptions(http_endpoint=False))
    assert service.get("meta-data/", token=token)[0] == 403
    assert service.ask("PUT", "/latest/api/token", **{TTL: "60"})[0] == 403


def test_what_is_asked_by_nobody_known_is_not_found(service: Service) -> None:
    service.spec = None
    assert service.ask("PUT", "/latest/api/token", **{TTL: "60"})[0] == 404


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("meta-data/instance-id", "i-0123456789abcdef0"),
        ("meta-data/instance-type", "t4g.large"),
        ("meta-data/local-ipv4", "10.20.0.5"),
        ("meta-data/public-ipv4", "198.18.0.4"),
        ("meta-data/mac", "0a:00:00:00:00:05"),
        ("meta-data/network/interfaces/macs/0a:00:00:00:00:05/vpc-id", "vpc-1"),
        ("meta-data/placement/availability-zone", "ap-northeast-2a"),
        ("meta-data/placement/region", "ap-northeast-2"),
        ("meta-data/ami-id", "ami-1"),
        ("meta-data/hostname", "ip-10-20-0-5.ap-northeast-2.compute.internal"),
        ("meta-data/iam/security-credentials/", "app"),
        ("meta-data/network/interfaces/macs/", "0a:00:00:00:00:05/"),
        ("meta-data/placement", "availability-zone\nregion"),
    ],
)
def test_each_category_is_told(service: Service, path: str, value: str) -> None:
    assert service.get(path) == (200, value)


def test_directories_end_with_a_slash_in_a_listing(service: Service) -> None:
    assert {"instance-id", "iam/", "network/", "placement/"} <= set(service.get("meta-data/")[1].splitlines())
    assert set(service.get("")[1].splitlines()) == {"meta-data/", "dynamic/", "user-data"}


def test_what_is_not_there_is_not_found(service: Service) -> None:
    service.spec = replace(SPEC, public_ip=None, user_data=b"", identity=Identity())
    for path in ("meta-data/public-ipv4", "meta-data/iam/", "user-data", "meta-data/no-such", "no-such"):
        assert service.get(path)[0] == 404


def test_the_role_has_its_keys_and_a_role_without_keys_is_not_found(service: Service) -> None:
    status, text = service.get("meta-data/iam/security-credentials/app")
    assert status == 200
    assert json.loads(text) | {"LastUpdated": ""} == {
        "Code": "Success",
        "LastUpdated": "",
        "Type": "AWS-HMAC",
        "AccessKeyId": "AKIA",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2026-11-21T06:00:00Z",
    }
    assert json.loads(service.get("meta-data/iam/info")[1])["InstanceProfileArn"].endswith(
        "instance-profile/app"
    )
    service.keys = None
    assert service.get("meta-data/iam/security-credentials/app")[0] == 404


def test_the_identity_document_says_who_and_where(service: Service) -> None:
    document = json.loads(service.get("dynamic/instance-identity/document")[1])
    assert document["accountId"] == "123456789012"
    assert document["region"] == "ap-northeast-2"
    assert document["pendingTime"] == "2026-11-21T00:00:00Z"
    assert document["privateIp"] == "10.20.0.5"


def test_user_data_comes_byte_for_byte(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    connection.request("GET", "/latest/user-data", headers={TOKEN: service.token()})
    assert connection.getresponse().read() == SPEC.user_data
    connection.close()


def test_tags_are_told_only_where_that_is_switched_on(service: Service) -> None:
    assert service.get("meta-data/tags/instance/")[0] == 404
    service.spec = replace(SPEC, metadata=MetadataOptions(instance_metadata_tags=True))
    assert service.get("meta-data/tags/instance/") == (200, "Name\na/b")
    assert service.get("meta-data/tags/instance/Name") == (200, "box")


def test_one_connection_serves_several_requests(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    for _ in range(3):
        connection.request("GET", "/latest/meta-data/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
    connection.close()
