"""What a supervisor may describe, and what is refused with its value, its bound and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from embedded.boxes import BoxSpec, MetadataOptions, Rule, SecurityGroup, SpecError, VolumeSpec, World
from embedded.boxes.model import GIBIBYTE, MOST_USER_DATA_BYTES

BOX = BoxSpec(
    instance_id="i-1",
    vpc_id="vpc-1",
    vpc_cidr=IPv4Network("10.20.0.0/16"),
    private_ip=IPv4Address("10.20.0.5"),
    mac="0a:00:00:00:00:05",
    memory_bytes=GIBIBYTE,
    vcpus=1,
)
DISK = VolumeSpec(volume_id="vol-1", size_bytes=GIBIBYTE, attached_to="i-1", device="/dev/sdf")
OTHER = replace(BOX, instance_id="i-2", private_ip=IPv4Address("10.20.0.6"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(BOX, instance_id="../etc"), "instance_id is '../etc'"),
        (lambda: replace(BOX, private_ip=IPv4Address("10.21.0.5")), "10.21.0.5, outside of 10.20.0.0/16"),
        (lambda: replace(BOX, mac="no"), "mac of i-1 is 'no'"),
        (lambda: replace(BOX, memory_bytes=1), "memory_bytes of i-1 is 1"),
        (lambda: replace(BOX, vcpus=0), "vcpus of i-1 is 0"),
        (lambda: replace(BOX, user_data=b"x" * (MOST_USER_DATA_BYTES + 1)), "is 16385"),
        (lambda: MetadataOptions(http_put_response_hop_limit=65), "is 65"),
        (lambda: VolumeSpec(volume_id="vol/1", size_bytes=GIBIBYTE), "'vol/1'"),
        (lambda: VolumeSpec(volume_id="vol-1", size_bytes=0), "size_bytes of vol-1 is 0"),
        (lambda: replace(DISK, device=None), "Give both or neither"),
        (lambda: replace(DISK, device="/dev/../sda"), "device of vol-1"),
        (lambda: Rule(protocol="http", peer="sg-1"), "'http'"),
        (lambda: Rule(protocol="tcp", ports=(90, 80), peer="sg-1"), "last port of a rule is 80"),
        (lambda: World((BOX, BOX)), "instance_id i-1 is given twice"),
        (
            lambda: World((BOX, replace(OTHER, private_ip=BOX.private_ip))),
            "private address 10.20.0.5 in vpc-1",
        ),
        (lambda: World((), (DISK,)), "vol-1 is attached to i-1, which is not in the world"),
        (lambda: World((BOX,), (DISK, replace(DISK, volume_id="vol-2"))), "device /dev/sdf of i-1"),
        (lambda: World((replace(BOX, security_groups=("sg-1",)),)), "not in the world: sg-1"),
        (lambda: World((), (), (SecurityGroup(group_id="sg-1"),) * 2), "group_id sg-1 is given twice"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(SpecError) as refusal:
        make()
    assert words in str(refusal.value)
    assert refusal.value.remedy


def test_two_vpcs_may_have_the_same_address_and_volumes_come_by_device() -> None:
    twin = replace(OTHER, vpc_id="vpc-2", private_ip=BOX.private_ip)
    later = replace(DISK, volume_id="vol-0", device="/dev/sdg")
    assert World((BOX, twin), (later, DISK)).volumes_of("i-1") == (DISK, later)


@pytest.mark.parametrize(
    ("region", "domain"),
    [("us-east-1", "ec2.internal"), ("ap-northeast-2", "ap-northeast-2.compute.internal")],
)
def test_a_box_is_named_as_on_ec2(region: str, domain: str) -> None:
    box = replace(BOX, identity=replace(BOX.identity, region=region))
    assert (box.hostname, box.domain) == ("ip-10-20-0-5", domain)
