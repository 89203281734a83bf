"""The only place for machines behind load balancers: an ALB is one Nginx machine with one public address.

What it does as an ALB does: TLS with a certificate for the names of the one that its listener has (by the cloud's own
authority), rules by path, a redirect, health checks, 503 without targets, and what is pending on a target that was
taken out goes on for the longest deregistration delay. What it does not: a second zone, access logs, stickiness,
weights, conditions other than the path, its TLS policy, `drop_invalid_header_fields` and desync modes beyond what
Nginx does by itself; a target that was taken out is not shown as draining.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from embedded import boxes
from embedded.aws.balancers import LoadBalancer
from embedded.managed import RESERVED_ADDRESSES, Certificate

MIB = 1024**2
MEMORY_MIB = 256
AGENT = Path(__file__).with_name("balancer_agent.py")
_WANTED = "/etc/balancer/wanted.json"
ASK_HEALTH = "cat /etc/balancer/health.json 2>/dev/null || echo '[]'"
"""A script for the machine: what it found, for `health`."""


def machine_id(balancer: LoadBalancer) -> str:
    """The box's id, derived from the ARN."""
    return f"alb-{hashlib.sha256(balancer.arn.encode()).hexdigest()[:12]}"


def public(found: Sequence[LoadBalancer], assignable: Sequence[IPv4Address]) -> dict[str, IPv4Address]:
    """The public address of each by its DNS name: from the far end of the block that addresses are handed out of."""
    return {each.dns_name: address for each, address in zip(found, reversed(assignable), strict=False)}


def private(found: Sequence[LoadBalancer], taken: Collection[IPv4Address]) -> dict[str, IPv4Address]:
    """The private address of each by its DNS name, from the far end of its subnet."""
    used, placed = set(taken), {}
    for each in found:
        network = IPv4Network(each.subnet_cidr)
        for offset in range(2, network.num_addresses - RESERVED_ADDRESSES):
            if (address := network[-offset]) not in used:
                used.add(address)
                placed[each.dns_name] = address
                break
    return placed


def box(balancer: LoadBalancer, private_ip: IPv4Address, public_ip: IPv4Address) -> boxes.BoxSpec:
    """The machine of a load balancer; it makes itself ready, and is told what to do by `told`."""
    digest = hashlib.sha256(balancer.arn.encode()).digest()
    return boxes.BoxSpec(
        instance_id=machine_id(balancer),
        vpc_id=balancer.vpc_id,
        vpc_cidr=IPv4Network(balancer.vpc_cidr),
        private_ip=private_ip,
        public_ip=public_ip,
        mac="0a:1b:" + ":".join(f"{byte:02x}" for byte in digest[:4]),
        memory_bytes=MEMORY_MIB * MIB,
        vcpus=1,
        user_data=_SCRIPT.replace("@AGENT@", AGENT.read_text(encoding="utf-8")).encode(),
        security_groups=balancer.security_group_ids,
        identity=boxes.Identity(region=balancer.region),
    )


def wanted(balancer: LoadBalancer, addresses: Mapping[str, str], certificate: Certificate) -> str:
    """What the machine is to do, as JSON; `addresses` of instances by their id."""
    return json.dumps(
        {
            "idle_seconds": balancer.idle_seconds,
            "listeners": [
                {
                    "port": each.port,
                    "certificate": certificate(each.names[0]).decode() if each.names else "",
                    "default": each.default,
                    "rules": each.rules,
                }
                for each in balancer.listeners
            ],
            "groups": [
                {
                    "name": each.name,
                    "path": each.path,
                    "interval_seconds": each.interval_seconds,
                    "timeout_seconds": each.timeout_seconds,
                    "healthy": each.healthy,
                    "unhealthy": each.unhealthy,
                    "drain_seconds": each.drain_seconds,
                    "targets": [(addresses[name], port) for name, port in each.targets if name in addresses],
                }
                for each in balancer.groups
            ],
        },
        sort_keys=True,
    )


def health(text: str, group: str, address: str) -> str:
    """The state of a target, of what its machine says; one that it has not asked yet is `initial`."""
    for each in json.loads(text or "[]"):
        if (each["group"], each["address"]) == (group, address):
            return str(each["state"])
    return "initial"


class Told:
    """What each machine was told last; a machine that is not ready, or was made anew, is told again."""

    def __init__(self, run: Callable[[str, str], int]) -> None:
        """`run` lets a machine run a script; its exit code."""
        self._run = run
        self._told: dict[str, str] = {}

    def tell(self, machine: str, text: str) -> None:
        """Hands it over where it is new."""
        if self._told.get(machine) == text:
            return
        script = (
            f"umask 077; cat > {_WANTED}.part <<'WANTED' && mv {_WANTED}.part {_WANTED}\n{text}\nWANTED\n"
        )
        if self._run(machine, f"test -d /etc/balancer || exit 1\n{script}") == 0:
            self._told[machine] = text

    def forget(self, standing: Collection[str]) -> None:
        """Machines that are gone."""
        for machine in set(self._told) - set(standing):
            del self._told[machine]


_SCRIPT = """\
#!/bin/sh
# A load balancer of the embedded cloud.
set -eu
export DEBIAN_FRONTEND=noninteractive
cat > /usr/local/sbin/balancer.py <<'PROGRAM'
@AGENT@
PROGRAM
cat > /etc/systemd/system/balancer.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 /usr/local/sbin/balancer.py
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
# Until it knows what it is to serve, it serves nothing.
systemctl mask nginx
apt-get install --yes --no-install-recommends nginx
systemctl unmask nginx
mkdir -p /etc/balancer
systemctl daemon-reload
systemctl enable --now balancer
"""
