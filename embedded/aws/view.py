"""The only place that shows what stands in EC2 as plain frozen data, read in process: what a supervisor makes real.

One ``snapshot`` is taken under the lock, so it is consistent; it holds nothing of moto and may be kept.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.world import WORLD

InstanceState = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]
VolumeState = Literal["creating", "available", "in-use", "deleting"]


@dataclass(frozen=True, slots=True)
class MetadataOptions:
    """How the instance may read its metadata."""

    is_enabled: bool
    needs_token: bool
    hop_limit: int
    shows_tags: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a security group. ``protocol`` is ``tcp``, ``udp``, ``icmp`` or ``-1`` (all, without ports)."""

    is_egress: bool
    protocol: str
    from_port: int | None
    to_port: int | None
    cidrs: tuple[str, ...]
    group_ids: tuple[str, ...]
    prefix_list_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group with its rules."""

    id: str
    name: str
    vpc_id: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance, terminated ones included for as long as the API shows them.

    ``generation`` is 1 at the launch and grows with every start after a stop; ``reboots`` with every reboot asked
    for. ``nat_ip`` is the address of the NAT gateway that its subnet leads to. ``memory_mib`` and ``vcpus`` are its
    type's. ``root_volume_id`` is ``None`` once it is terminated.
    """

    id: str
    region: str
    state: InstanceState
    instance_type: str
    memory_mib: int
    vcpus: int
    image_id: str
    architecture: str
    zone: str
    vpc_id: str | None
    vpc_cidr: str | None
    subnet_id: str | None
    subnet_cidr: str | None
    private_ip: str | None
    public_ip: str | None
    nat_ip: str | None
    mac_address: str | None
    hostname: str
    user_data: bytes
    profile_arn: str | None
    role_name: str | None
    metadata_options: MetadataOptions
    security_group_ids: tuple[str, ...]
    root_device: str
    root_volume_id: str | None
    tags: tuple[tuple[str, str], ...]
    launched_at: datetime
    generation: int
    reboots: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a volume is attached, and under which device name."""

    instance_id: str
    device: str
    is_deleted_with_instance: bool


@dataclass(frozen=True, slots=True)
class Volume:
    """An EBS volume."""

    id: str
    region: str
    zone: str
    state: VolumeState
    size_gib: int
    volume_type: str
    snapshot_id: str | None
    is_encrypted: bool
    attachment: Attachment | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that somebody took; those behind images are left out. ``size_gib`` is the volume's at that time."""

    id: str
    region: str
    volume_id: str
    size_gib: int
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Address:
    """An Elastic IP address, and what it leads to."""

    allocation_id: str
    region: str
    public_ip: str
    association_id: str | None
    instance_id: str | None
    private_ip: str | None


@dataclass(frozen=True, slots=True)
class World:
    """Everything that stands, in the order of its making."""

    instances: tuple[Instance, ...]
    volumes: tuple[Volume, ...]
    snapshots: tuple[Snapshot, ...]
    addresses: tuple[Address, ...]
    security_groups: tuple[SecurityGroup, ...]


def record_address(domain: str, account_id: str = ACCOUNT_ID) -> str | None:
    """The first address of a domain's A record in Route 53; None where there is none, or it is an alias."""
    from moto.route53.models import route53_backends

    with WORLD:
        zones = route53_backends[account_id]["aws"].zones.values()
        sets = [each for zone in zones for each in zone.rrsets]
        found = [
            str(each.records[0]) for each in sets if each.type == "A" and each.name.rstrip(".") == domain
        ]
    return found[0] if found else None


def snapshot(account_id: str = ACCOUNT_ID) -> World:
    """What stands now in every region of an account."""
    from moto.ec2.models import ec2_backends

    with WORLD:
        regions = list(ec2_backends[account_id].values())
        return World(
            instances=tuple(each for backend in regions for each in _instances(backend)),
            volumes=tuple(_volume(backend, each) for backend in regions for each in backend.volumes.values()),
            snapshots=tuple(_snapshot(backend, each) for backend in regions for each in _taken(backend)),
            addresses=tuple(_address(backend, each) for backend in regions for each in backend.addresses),
            security_groups=tuple(
                _group(group)
                for backend in regions
                for groups in backend.groups.values()
                for group in groups.values()
            ),
        )


def _instances(backend: Any) -> Iterator[Instance]:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    for reservation in backend.reservations.values():
        for each in reservation.instances:
            facts = INSTANCE_TYPES.get(each.instance_type, {})
            nic = each.nics.get(0)
            root = each.block_device_mapping.get(each.root_device_name)
            subnet = nic.subnet if nic else None
            profile_arn, role_name = _role(backend, each)
            options = each.metadata_options
            yield Instance(
                id=each.id,
                region=backend.region_name,
                state=each._state.name,
                instance_type=each.instance_type,
                memory_mib=int(facts.get("MemoryInfo", {}).get("SizeInMiB", 0)),
                vcpus=int(facts.get("VCpuInfo", {}).get("DefaultVCpus", 0)),
                image_id=each.image_id,
                architecture=each.architecture,
                zone=str(each.availability_zone),
                vpc_id=subnet.vpc_id if subnet else None,
                vpc_cidr=backend.get_vpc(subnet.vpc_id).cidr_block if subnet else None,
                subnet_id=subnet.id if subnet else None,
                subnet_cidr=subnet.cidr_block if subnet else None,
                private_ip=nic.private_ip_address if nic else None,
                public_ip=nic.public_ip if nic else None,
                nat_ip=_nat_address(backend, subnet) if subnet else None,
                mac_address=nic.mac_address if nic else None,
                hostname=each.private_dns_name if nic else "",
                user_data=base64.b64decode(str(each.user_data)) if each.user_data else b"",
                profile_arn=profile_arn,
                role_name=role_name,
                metadata_options=MetadataOptions(
                    is_enabled=options.http_endpoint != "disabled",
                    needs_token=options.http_tokens == "required",
                    hop_limit=options.http_put_response_hop_limit,
                    shows_tags=options.instance_metadata_tags == "enabled",
                ),
                security_group_ids=tuple(sorted(group.id for group in nic.group_set)) if nic else (),
                root_device=each.root_device_name,
                root_volume_id=root.volume_id if root else None,
                tags=tuple((tag["key"], tag["value"]) for tag in each.get_tags()),
                launched_at=_utc(each.launch_time),
                generation=getattr(each, "generation", 1),
                reboots=getattr(each, "reboots", 0),
            )


def _nat_address(backend: Any, subnet: Any) -> str | None:
    """By the subnet's own route table, else the VPC's main one (VPC User Guide, "Subnet route tables")."""
    tables = [each for each in backend.route_tables.values() if each.vpc_id == subnet.vpc_id]
    own = [each for each in tables if subnet.id in each._associations.values()]
    for table in own or [each for each in tables if each.main_association_id]:
        for route in table.routes:
            if route.destination_cidr_block == "0.0.0.0/0" and route.nat_gateway is not None:
                addresses = route.nat_gateway.address_set
                return next((str(each["publicIp"]) for each in addresses if each.get("publicIp")), None)
    return None


def _role(backend: Any, instance: Any) -> tuple[str | None, str | None]:
    """The instance profile and the role in it."""
    from moto.iam.models import iam_backends

    association = backend.iam_instance_profile_associations.get(instance.id)
    if association is None:
        return None, None
    # Asked of IAM and not of the association: a profile's role can be changed after the launch.
    profiles = iam_backends[backend.account_id][backend.partition].instance_profiles.values()
    arn = association.iam_instance_profile.arn
    profile = next((each for each in profiles if each.arn == arn), None)
    return arn, profile.roles[0].name if profile is not None and profile.roles else None


def _volume(backend: Any, volume: Any) -> Volume:
    attachment = None
    if volume.attachment is not None:
        instance, device = volume.attachment.instance, volume.attachment.device
        block = instance.block_device_mapping.get(device)
        attachment = Attachment(instance.id, device, bool(block and block.delete_on_termination))
    return Volume(
        id=volume.id,
        region=backend.region_name,
        zone=volume.zone.name,
        state=volume.status,
        size_gib=int(volume.size),
        volume_type=volume.volume_type,
        snapshot_id=volume.snapshot_id,
        is_encrypted=bool(volume.encrypted),
        attachment=attachment,
    )


def _taken(backend: Any) -> Iterator[Any]:
    return (each for each in backend.snapshots.values() if each.from_ami is None)


def _snapshot(backend: Any, taken: Any) -> Snapshot:
    return Snapshot(
        taken.id, backend.region_name, taken.volume.id, int(taken.volume_size), _utc(taken.start_time)
    )


def _address(backend: Any, address: Any) -> Address:
    nic = address.eni
    instance = address.instance or (nic.instance if nic else None)
    return Address(
        allocation_id=str(address.allocation_id),
        region=backend.region_name,
        public_ip=address.public_ip,
        association_id=address.association_id,
        instance_id=instance.id if instance else None,
        private_ip=nic.private_ip_address if nic else None,
    )


def _group(group: Any) -> SecurityGroup:
    rules = (
        *(_rule(rule, is_egress=False) for rule in group.ingress_rules),
        *(_rule(rule, is_egress=True) for rule in group.egress_rules),
    )
    return SecurityGroup(group.id, group.name, str(group.vpc_id), rules)


def _rule(rule: Any, *, is_egress: bool) -> Rule:
    cidrs = (rule.ip_range.get("CidrIp"), rule.ip_range.get("CidrIpv6"))
    source = rule.source_group.get("GroupId")
    return Rule(
        is_egress=is_egress,
        protocol=str(rule.ip_protocol),
        from_port=rule.from_port,
        to_port=rule.to_port,
        cidrs=tuple(cidr for cidr in cidrs if cidr),
        group_ids=(source,) if source else (),
        prefix_list_ids=(rule.prefix_list_id,) if rule.prefix_list_id else (),
    )


def _utc(moment: datetime) -> datetime:
    """moto keeps UTC times without a zone."""
    return moment.replace(tzinfo=UTC)
