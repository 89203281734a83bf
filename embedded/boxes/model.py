"""The only place for what a supervisor says about machines: a described world, as plain values.

Nothing here touches the machine; every bad value is refused with its bound when the value is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from embedded.boxes.errors import SpecError

MEBIBYTE = 1024**2
GIBIBYTE = 1024**3
LEAST_MEMORY_BYTES = 96 * MEBIBYTE
"""The least that a first boot with an installation of nginx was tried with; it went well."""

MOST_USER_DATA_BYTES = 16_384
"""EC2 user guide, "Run commands when you launch an EC2 instance": 16 KB in raw form."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DEVICE = re.compile(r"/dev/(sd[a-z]|xvd[a-z]|nvme[0-9]+n1)")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


class Power(StrEnum):
    """What a box is meant to be."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """`MetadataOptions` of an instance (EC2 API reference, `InstanceMetadataOptionsRequest`)."""

    http_endpoint: bool = True
    http_tokens: Literal["required", "optional"] = "required"
    http_put_response_hop_limit: int = 1
    instance_metadata_tags: bool = False

    def __post_init__(self) -> None:
        _within("http_put_response_hop_limit", self.http_put_response_hop_limit, 1, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What only the metadata service tells a box about itself; empty strings are left out of its answers."""

    account_id: str = ""
    region: str = ""
    availability_zone: str = ""
    image_id: str = ""
    instance_type: str = ""
    architecture: str = "arm64"
    reservation_id: str = ""
    interface_id: str = ""
    subnet_id: str = ""
    subnet_cidr: str = ""
    instance_profile_arn: str = ""
    instance_profile_id: str = ""
    role_name: str = ""
    security_group_names: tuple[str, ...] = ()
    launched_at: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """One machine: an EC2 instance, or a machine behind RDS or an ALB.

    `nat_ip` is the public address of the NAT gateway that the subnet's route table leads to. A box with neither
    `public_ip` nor `nat_ip` has no way out, as on AWS. `security_groups=None` means that nothing is filtered.
    """

    instance_id: str
    power: Power = Power.RUNNING
    vpc_id: str
    vpc_cidr: IPv4Network
    private_ip: IPv4Address
    public_ip: IPv4Address | None = None
    nat_ip: IPv4Address | None = None
    mac: str
    memory_bytes: int
    vcpus: int
    user_data: bytes = b""
    security_groups: tuple[str, ...] | None = None
    identity: Identity = field(default_factory=Identity)
    metadata: MetadataOptions = field(default_factory=MetadataOptions)

    def __post_init__(self) -> None:
        _matches("instance_id", self.instance_id, _ID, "lower-case letters, digits and dashes, at most 63")
        _matches("vpc_id", self.vpc_id, _ID, "lower-case letters, digits and dashes, at most 63")
        _matches(f"mac of {self.instance_id}", self.mac, _MAC, "six pairs of lower-case hex digits")
        _within(f"memory_bytes of {self.instance_id}", self.memory_bytes, LEAST_MEMORY_BYTES, 2**50)
        _within(f"vcpus of {self.instance_id}", self.vcpus, 1, 1024)
        _within(f"size of the user data of {self.instance_id}", len(self.user_data), 0, MOST_USER_DATA_BYTES)
        if self.private_ip not in self.vpc_cidr:
            raise SpecError(
                f"private_ip of {self.instance_id} is {self.private_ip}, outside of {self.vpc_cidr} of "
                f"{self.vpc_id}",
                "Give an address of a subnet of that VPC.",
            )

    @property
    def hostname(self) -> str:
        """EC2's name by address, such as `ip-10-20-0-5` (EC2 user guide, "EC2 instance hostnames")."""
        return "ip-" + str(self.private_ip).replace(".", "-")

    @property
    def domain(self) -> str:
        """EC2's private domain: `ec2.internal` in us-east-1, else `REGION.compute.internal` (same source)."""
        region = self.identity.region or "local"
        return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """One EBS volume; `size_bytes` only ever grows. With `snapshot_id` it starts as that snapshot's copy."""

    volume_id: str
    size_bytes: int
    snapshot_id: str | None = None
    attached_to: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        _matches("volume_id", self.volume_id, _ID, "lower-case letters, digits and dashes, at most 63")
        _within(f"size_bytes of {self.volume_id}", self.size_bytes, MEBIBYTE, 2**46)
        if (self.attached_to is None) != (self.device is None):
            raise SpecError(
                f"{self.volume_id} has attached_to={self.attached_to!r} and device={self.device!r}",
                "Give both or neither.",
            )
        if self.device is not None:
            _matches(f"device of {self.volume_id}", self.device, _DEVICE, "such as /dev/sdf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One permission of a security group.

    `protocol` is `tcp`, `udp`, `icmp`, a protocol number, or `-1` for all. `ports` counts for tcp and udp only;
    `None` means all. `peer` is a network, or the id of a group whose members are meant. A peer that is neither
    (a prefix list) allows nothing here.
    """

    protocol: str
    ports: tuple[int, int] | None = None
    peer: IPv4Network | str

    def __post_init__(self) -> None:
        if self.protocol not in ("tcp", "udp", "icmp", "-1") and not self.protocol.isdecimal():
            raise SpecError(
                f"protocol of a rule is {self.protocol!r}",
                "Use tcp, udp, icmp, a protocol number, or -1 for all.",
            )
        if self.ports is not None:
            _within("first port of a rule", self.ports[0], 0, 65_535)
            _within("last port of a rule", self.ports[1], self.ports[0], 65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """Who may reach the members, and what the members may reach; what no rule allows is dropped silently."""

    group_id: str
    name: str = ""
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """All that is meant to be. A box that is not named is terminated; a volume that is not named is detached
    and kept (only `Host.delete_volume` deletes data)."""

    boxes: tuple[BoxSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()

    def __post_init__(self) -> None:
        _unique("instance_id", (b.instance_id for b in self.boxes))
        _unique("volume_id", (v.volume_id for v in self.volumes))
        _unique("group_id", (g.group_id for g in self.groups))
        _unique("private address", (f"{b.private_ip} in {b.vpc_id}" for b in self.boxes))
        _unique("public address", (str(b.public_ip) for b in self.boxes if b.public_ip))
        _unique("device", (f"{v.device} of {v.attached_to}" for v in self.volumes if v.device))
        known = {b.instance_id for b in self.boxes}
        for volume in self.volumes:
            if volume.attached_to is not None and volume.attached_to not in known:
                raise SpecError(
                    f"{volume.volume_id} is attached to {volume.attached_to}, which is not in the world",
                    "Name the box, or detach the volume.",
                )
        groups = {g.group_id for g in self.groups}
        for box in self.boxes:
            missing = set(box.security_groups or ()) - groups
            if missing:
                raise SpecError(
                    f"{box.instance_id} has security groups that are not in the world: {', '.join(sorted(missing))}",
                    "Describe them, or take them off the box.",
                )

    def volumes_of(self, instance_id: str) -> tuple[VolumeSpec, ...]:
        """The volumes that are meant to be attached to that box, by device name."""
        mine = (v for v in self.volumes if v.attached_to == instance_id)
        return tuple(sorted(mine, key=lambda v: v.device or ""))


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SpecError(f"{name} is {value}", f"It has to lie between {least} and {most}.")


def _matches(name: str, value: str, pattern: re.Pattern[str], form: str) -> None:
    if not pattern.fullmatch(value):
        raise SpecError(f"{name} is {value!r}", f"Its form: {form}.")


def _unique(name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise SpecError(f"{name} {value} is given twice", "Each may stand once in a world.")
        seen.add(value)
