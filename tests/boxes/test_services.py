"""What a real box finds on its link: metadata, keys, names, other boxes; asked with the tools that a box has."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import httpx
import pytest

from embedded.boxes import ENDPOINT, BoxSpec, MetadataOptions, Record, Reply, Rule, SecurityGroup
from embedded.boxes import dns as resolving
from tests.boxes.support import Cloud, fetch

pytestmark = pytest.mark.box

IMDS = "http://169.254.169.254/latest"
TOKEN = f"$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {IMDS}/api/token)"
ANY = IPv4Network("0.0.0.0/0")


def _get(path: str) -> str:
    return f'curl -sf -H "X-aws-ec2-metadata-token: {TOKEN}" {IMDS}/{path}'


def test_without_a_token_401_and_with_one_the_keys_of_the_role(cloud: Cloud, web: BoxSpec) -> None:
    role = f"{IMDS}/meta-data/iam/security-credentials/web"
    assert cloud.sh(web, f"curl -s -o /dev/null -w '%{{http_code}}' {role}") == "401"
    keys = json.loads(cloud.sh(web, _get("meta-data/iam/security-credentials/web")))
    assert (keys["Code"], keys["AccessKeyId"]) == ("Success", f"KEY-OF-{web.instance_id}")


def test_the_aws_command_line_takes_its_keys_and_region_from_the_box(cloud: Cloud, web: BoxSpec) -> None:
    keys = json.loads(cloud.sh(web, "aws configure export-credentials"))
    assert (keys["AccessKeyId"], keys["SessionToken"]) == (f"KEY-OF-{web.instance_id}", "session")
    assert cloud.sh(web, "aws configure get region") == "ap-northeast-2"


def test_the_metadata_service_tells_boxes_apart(cloud: Cloud, web: BoxSpec, box: BoxSpec) -> None:
    for spec in (web, box):
        assert cloud.sh(spec, _get("meta-data/instance-id")) == spec.instance_id
        assert cloud.sh(spec, _get("meta-data/local-ipv4")) == str(spec.private_ip)
    assert cloud.sh(web, _get("meta-data/public-ipv4")) == str(web.public_ip)
    assert cloud.host.run(box.instance_id, _get("meta-data/public-ipv4")).returncode == 22


def test_a_container_in_a_box_gets_a_token_only_with_a_hop_limit_of_two(cloud: Cloud, box: BoxSpec) -> None:
    cloud.sh(
        box,
        "ip netns add c && ip link add c0 type veth peer name c1 netns c && ip addr add 172.17.0.1/24 dev c0 && "
        "ip link set c0 up && ip -n c addr add 172.17.0.2/24 dev c1 && ip -n c link set c1 up && "
        "ip -n c route add default via 172.17.0.1 && echo 1 > /proc/sys/net/ipv4/ip_forward && "
        "iptables -t nat -A POSTROUTING -s 172.17.0.0/24 -j MASQUERADE",
    )
    header = "X-aws-ec2-metadata-token-ttl-seconds: 60"
    inside = f"ip netns exec c curl -sf -m 2 -X PUT -H '{header}' {IMDS}/api/token"
    assert cloud.host.run(box.instance_id, inside).returncode == 28
    cloud.put(replace(box, metadata=MetadataOptions(http_put_response_hop_limit=2)))
    assert cloud.host.run(box.instance_id, inside).returncode == 0


def test_names_of_the_supervisor_of_boxes_and_of_nobody_are_told_apart(cloud: Cloud, web: BoxSpec) -> None:
    assert cloud.sh(web, "getent ahostsv4 db.embedded.test | head -1").split()[0] == "10.20.9.9"
    assert cloud.host.run(web.instance_id, "getent hosts no.embedded.test").returncode == 2
    name = f"{web.hostname}.ap-northeast-2.compute.internal"
    query = f"import socket; print(socket.gethostbyname({name!r}))"
    # /etc/hosts of the box has its own name; ask the resolver itself.
    assert cloud.sh(web, f'mv /etc/hosts /tmp/h; python3 -c "{query}"; mv /tmp/h /etc/hosts') == str(
        web.private_ip
    )


def test_other_names_go_to_this_machines_resolver_even_on_a_loopback_address(
    cloud: Cloud, web: BoxSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.77.0.3\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.77.0.3", 0))
        upstream.settimeout(10)
        monkeypatch.setattr(resolving, "RESOLV_CONF", conf)
        monkeypatch.setattr(resolving, "UPSTREAM_PORT", upstream.getsockname()[1])

        def answer() -> None:
            message, caller = upstream.recvfrom(512)
            end = message.index(b"\0", 12) + 5
            upstream.sendto(resolving._build(message, end, Reply((Record("A", "203.0.113.9"),)), 0), caller)

        thread = threading.Thread(target=answer)
        thread.start()
        query = "import socket; print(socket.gethostbyname('elsewhere.invalid'))"
        assert cloud.sh(web, f'python3 -c "{query}"') == "203.0.113.9"
        thread.join()


def test_a_box_reaches_what_the_supervisor_serves_as_aws(cloud: Cloud, web: BoxSpec) -> None:
    with cloud.host.listen(ENDPOINT, 80) as listening:

        def answer() -> None:
            with listening.accept()[0] as caller:
                caller.recv(4096)
                caller.sendall(b"HTTP/1.0 200 OK\r\n\r\nmoto")

        thread = threading.Thread(target=answer)
        thread.start()
        assert cloud.sh(web, "curl -sf $AWS_ENDPOINT_URL") == "moto"
        thread.join()
    # Where nobody listens the answer is a refusal, at once.
    assert cloud.host.run(web.instance_id, "curl -s -m 5 http://169.254.169.249/").returncode == 7


def test_boxes_reach_each_other_by_private_address_as_far_as_security_groups_let_them(
    cloud: Cloud, web: BoxSpec, box: BoxSpec
) -> None:
    page = f"curl -sf -m 2 http://{web.private_ip}/"
    assert cloud.sh(box, page) == web.hostname
    shut = SecurityGroup(group_id="sg-web", egress=(Rule(protocol="-1", peer=ANY),))
    caller = SecurityGroup(group_id="sg-caller", egress=(Rule(protocol="-1", peer=ANY),))
    cloud.put(
        shut, caller, replace(web, security_groups=("sg-web",)), replace(box, security_groups=("sg-caller",))
    )
    try:
        assert cloud.host.run(box.instance_id, page).returncode == 28
        with pytest.raises(httpx.ConnectTimeout):
            fetch(f"http://{web.public_ip}/", seconds=0)
        rule = Rule(protocol="tcp", ports=(80, 80), peer="sg-caller")
        cloud.put(replace(shut, ingress=(rule,)))
        assert cloud.sh(box, page) == web.hostname
        with pytest.raises(httpx.ConnectTimeout):
            fetch(f"http://{web.public_ip}/", seconds=0)
        cloud.put(replace(shut, ingress=(replace(rule, peer=ANY),)))
        assert fetch(f"http://{web.public_ip}/", seconds=0).strip() == web.hostname
    finally:
        cloud.put(web, box)
        cloud.drop("sg-web", "sg-caller")


def test_a_box_reaches_its_own_elastic_ip(cloud: Cloud, web: BoxSpec) -> None:
    assert cloud.sh(web, f"curl -sf -m 5 http://{web.public_ip}/") == web.hostname


def test_a_box_has_no_device_of_this_machine_and_can_make_none(cloud: Cloud, web: BoxSpec) -> None:
    for how in ("", "systemd-run -q --pipe --wait "):
        made = cloud.host.run(web.instance_id, f"{how}mknod /tmp/disk b 8 0")
        assert "Operation not permitted" in made.stderr
    assert cloud.sh(web, "find /dev -type b") == ""
