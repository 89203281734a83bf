"""What the tests of boxes are written with: a cloud to add to and take from, and patience."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import httpx

from embedded.boxes import (
    BoxSpec,
    BoxStatus,
    Credentials,
    Host,
    Identity,
    Record,
    Reply,
    SecurityGroup,
    State,
    VolumeSpec,
    World,
)
from embedded.boxes.model import GIBIBYTE

CIDR = IPv4Network("10.20.0.0/16")
BOOT_SECONDS = 60.0
WEB_SERVER = b"""\
#!/bin/sh
echo ran >> /root/ran
apt-get install -y nginx
hostname > /var/www/html/index.html
"""


class Cloud:
    """A host with a world that tests add to and take from."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.boxes: dict[str, BoxSpec] = {}
        self.volumes: dict[str, VolumeSpec] = {}
        self.groups: dict[str, SecurityGroup] = {}
        self._numbers = itertools.count(10)

    def spec(self, **changes: Any) -> BoxSpec:
        number = next(self._numbers)
        values: dict[str, Any] = {
            "instance_id": f"i-{number:017x}",
            "vpc_id": "vpc-1",
            "vpc_cidr": CIDR,
            "private_ip": CIDR[number],
            "mac": f"0a:00:00:00:00:{number:02x}",
            "memory_bytes": GIBIBYTE,
            "vcpus": 2,
            "identity": Identity(region="ap-northeast-2"),
        }
        return BoxSpec(**(values | changes))

    def public(self) -> IPv4Address:
        taken = {box.public_ip for box in self.boxes.values()}
        return next(address for address in self.host.assignable() if address not in taken)

    def put(self, *specs: BoxSpec | VolumeSpec | SecurityGroup) -> None:
        for spec in specs:
            if isinstance(spec, BoxSpec):
                self.boxes[spec.instance_id] = spec
            elif isinstance(spec, VolumeSpec):
                self.volumes[spec.volume_id] = spec
            else:
                self.groups[spec.group_id] = spec
        self.apply()

    def drop(self, *ids: str) -> None:
        """Take boxes (whose volumes are detached), volumes and groups out of the world."""
        for gone in ids:
            for volume in [v for v in self.volumes.values() if v.attached_to == gone]:
                self.volumes[volume.volume_id] = replace(volume, attached_to=None, device=None)
            for known in (self.boxes, self.volumes, self.groups):
                known.pop(gone, None)
        self.apply()

    def apply(self) -> None:
        self.host.apply(
            World(tuple(self.boxes.values()), tuple(self.volumes.values()), tuple(self.groups.values()))
        )

    def booted(self, spec: BoxSpec, *, boots: int = 1) -> BoxStatus:
        return self.host.wait(
            spec.instance_id, lambda s: s.booted and s.boots >= boots, timeout_seconds=BOOT_SECONDS
        )

    def until(self, spec: BoxSpec, state: State) -> BoxStatus:
        return self.host.wait(spec.instance_id, lambda s: s.state is state, timeout_seconds=BOOT_SECONDS)

    def sh(self, spec: BoxSpec, script: str) -> str:
        """What the script writes to stdout in the box; fails when it fails."""
        done = self.host.run(spec.instance_id, script, timeout_seconds=BOOT_SECONDS)
        assert done.returncode == 0, f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


def keys(spec: BoxSpec) -> Credentials:
    return Credentials(
        access_key_id=f"KEY-OF-{spec.instance_id}",
        secret_access_key="secret",
        token="session",
        expires_at=datetime.now(UTC) + timedelta(hours=6),
    )


def names(_vpc: str, name: str, kind: str) -> Reply | None:
    """What the supervisor knows: one name below embedded.test, and that there are no others."""
    if not name.endswith("embedded.test"):
        return None
    if name == "db.embedded.test":
        return Reply((Record("A", "10.20.9.9"),) if kind == "A" else ())
    return Reply(exists=False)


def eventually(check: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait until `check` is true."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, f"not so within {seconds:g} s"
        time.sleep(0.05)


def fetch(url: str, *, seconds: float = BOOT_SECONDS) -> str:
    """The page, as soon as somebody serves it."""
    until = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=2).raise_for_status().text
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
