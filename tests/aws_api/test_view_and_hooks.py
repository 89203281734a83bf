"""The supervisor sees what stands, and is told when it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.aws import view
from embedded.aws.hooks import HOOKS
from embedded.aws.server import ApiServer

from .support import FAKE_AMI, ZONE, Network

Aws = Callable[..., Any]
Launch = Callable[..., str]


def test_an_instance_is_seen_as_it_was_asked_for(aws: Aws, launch: Launch, network: Network) -> None:
    iam, ec2 = aws("iam"), aws("ec2")
    trust = {"Version": "2012-10-17", "Statement": []}
    for role in ("box", "other"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="box")
    instance_id = launch(
        InstanceType="t4g.xlarge",
        UserData="#!/bin/sh\necho ü\n",
        IamInstanceProfile={"Name": "profile"},
        PrivateIpAddress="10.20.0.10",
        MetadataOptions={
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "app"}]}],
    )
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance_id)
    world = view.snapshot()
    seen = world.instances[0]
    assert (seen.id, seen.state, seen.image_id, seen.architecture) == (
        instance_id,
        "running",
        FAKE_AMI,
        "arm64",
    )
    assert (seen.memory_mib, seen.vcpus, seen.zone) == (16_384, 4, ZONE)
    assert (seen.vpc_cidr, seen.subnet_cidr, seen.private_ip, seen.public_ip) == (
        "10.20.0.0/16",
        "10.20.0.0/24",
        "10.20.0.10",
        address["PublicIp"],
    )
    assert seen.hostname == "ip-10-20-0-10.ap-northeast-2.compute.internal"
    assert seen.user_data == "#!/bin/sh\necho ü\n".encode()
    assert seen.profile_arn == "arn:aws:iam::123456789012:instance-profile/profile"
    assert seen.role_name == "box"
    assert seen.metadata_options == view.MetadataOptions(
        is_enabled=True, needs_token=True, hop_limit=1, shows_tags=True
    )
    assert (seen.security_group_ids, seen.tags) == ((network.group,), (("Name", "app"),))
    root = next(volume for volume in world.volumes if volume.id == seen.root_volume_id)
    assert root.attachment == view.Attachment(instance_id, "/dev/xvda", is_deleted_with_instance=True)
    assert [(each.public_ip, each.instance_id) for each in world.addresses] == [
        (address["PublicIp"], instance_id)
    ]
    iam.remove_role_from_instance_profile(InstanceProfileName="profile", RoleName="box")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="other")
    assert view.snapshot().instances[0].role_name == "other"


def test_stops_starts_reboots_and_the_end_are_seen(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    history = []

    def see() -> None:
        seen = view.snapshot().instances[0]
        history.append((seen.state, seen.instance_type, seen.generation, seen.reboots))

    see()
    ec2.stop_instances(InstanceIds=[instance_id])
    see()
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t4g.xlarge"})
    ec2.start_instances(InstanceIds=[instance_id])
    ec2.start_instances(InstanceIds=[instance_id])
    see()
    ec2.reboot_instances(InstanceIds=[instance_id])
    see()
    ec2.terminate_instances(InstanceIds=[instance_id])
    see()
    assert history == [
        ("running", "t4g.large", 1, 0),
        ("stopped", "t4g.large", 1, 0),
        ("running", "t4g.xlarge", 2, 0),
        ("running", "t4g.xlarge", 2, 1),
        ("terminated", "t4g.xlarge", 2, 1),
    ]


def test_a_volume_its_attachment_and_its_snapshot_are_seen(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    volume_id = ec2.create_volume(AvailabilityZone=ZONE, Size=100, VolumeType="gp3", Encrypted=True)[
        "VolumeId"
    ]
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    ec2.modify_volume(VolumeId=volume_id, Size=120)
    world = view.snapshot()
    seen = next(volume for volume in world.volumes if volume.id == volume_id)
    assert (seen.state, seen.size_gib, seen.zone, seen.is_encrypted) == ("in-use", 120, ZONE, True)
    assert seen.attachment == view.Attachment(instance_id, "/dev/sdf", is_deleted_with_instance=False)
    assert [(each.id, each.volume_id, each.size_gib) for each in world.snapshots] == [
        (snapshot_id, volume_id, 100)
    ]
    ec2.detach_volume(VolumeId=volume_id)
    seen = next(volume for volume in view.snapshot().volumes if volume.id == volume_id)
    assert (seen.state, seen.attachment) == ("available", None)


def test_the_rules_of_a_security_group_are_seen(aws: Aws, network: Network) -> None:
    ec2 = aws("ec2")
    other = ec2.create_security_group(GroupName="other", Description="o", VpcId=network.vpc)["GroupId"]
    ports = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
    ec2.authorize_security_group_ingress(
        GroupId=network.group,
        IpPermissions=[
            ports | {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            ports | {"FromPort": 8080, "ToPort": 8081, "UserIdGroupPairs": [{"GroupId": other}]},
        ],
    )
    group = next(group for group in view.snapshot().security_groups if group.id == network.group)
    assert group.rules == (
        view.Rule(
            is_egress=False,
            protocol="tcp",
            from_port=80,
            to_port=80,
            cidrs=("0.0.0.0/0",),
            group_ids=(),
            prefix_list_ids=(),
        ),
        view.Rule(
            is_egress=False,
            protocol="tcp",
            from_port=8080,
            to_port=8081,
            cidrs=(),
            group_ids=(other,),
            prefix_list_ids=(),
        ),
        view.Rule(
            is_egress=True,
            protocol="-1",
            from_port=None,
            to_port=None,
            cidrs=("0.0.0.0/0",),
            group_ids=(),
            prefix_list_ids=(),
        ),
    )


def test_a_supervisor_that_raises_is_noted_and_the_client_served(
    aws: Aws, launch: Launch, api: ApiServer
) -> None:
    def broken() -> None:
        raise OSError("no room for a box")

    HOOKS.world_changed = broken
    launch()
    assert "no room for a box" in (next(iter(api.requests.last(1))).trouble or "")


def test_the_supervisor_is_told_of_changes_alone(
    aws: Aws, launch: Launch, api: ApiServer, refused: Callable[..., str], tmp_path: Path
) -> None:
    instance_id, told = launch(), []
    HOOKS.world_changed = lambda: told.append(
        view.snapshot().instances[0].state if view.snapshot().instances else "none"
    )
    aws("ec2").describe_instances()
    refused("InvalidAMIID.NotFound", launch, ImageId="ami-0123456789abcdef0")
    aws("ssm").put_parameter(Name="/a", Value="b", Type="String")
    assert told == []
    aws("ec2").stop_instances(InstanceIds=[instance_id])
    api.save(tmp_path / "state")
    aws("ec2").terminate_instances(InstanceIds=[instance_id])
    api.load(tmp_path / "state")
    api.reset()
    assert told == ["stopped", "terminated", "stopped", "none"]


@pytest.mark.parametrize(
    ("asked", "machine", "shown"),
    [
        ("running", None, "pending"),
        ("running", "pending", "pending"),
        ("running", "running", "running"),
        ("stopped", "running", "stopping"),
        ("stopped", "stopping", "stopping"),
        ("stopped", "stopped", "stopped"),
        ("terminated", "shutting-down", "shutting-down"),
        ("terminated", None, "terminated"),
    ],
)
def test_an_instance_is_on_its_way_for_as_long_as_its_machine_is(
    aws: Aws, launch: Launch, asked: str, machine: str | None, shown: str
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    if asked == "stopped":
        ec2.stop_instances(InstanceIds=[instance_id])
    if asked == "terminated":
        ec2.terminate_instances(InstanceIds=[instance_id])
    HOOKS.machine_state = lambda _: machine
    (found,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    assert found["State"]["Name"] == shown


def test_an_instance_cannot_be_started_or_resized_while_its_machine_still_stops(
    aws: Aws, launch: Launch, refused: Callable[..., str]
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    ec2.stop_instances(InstanceIds=[instance_id])
    HOOKS.machine_state = lambda _: "stopping"
    refused("IncorrectInstanceState", ec2.start_instances, InstanceIds=[instance_id])
    refused(
        "IncorrectInstanceState",
        ec2.modify_instance_attribute,
        InstanceId=instance_id,
        InstanceType={"Value": "t4g.xlarge"},
    )
    HOOKS.machine_state = lambda _: "stopped"
    ec2.start_instances(InstanceIds=[instance_id])


def test_an_instance_behind_a_nat_gateway_goes_out_by_its_address(
    aws: Aws, network: Network, launch: Launch
) -> None:
    ec2 = aws("ec2")
    inside = launch()
    assert view.snapshot().instances[0].nat_ip is None
    address = ec2.allocate_address(Domain="vpc")
    gateway = ec2.create_nat_gateway(SubnetId=network.subnets[0], AllocationId=address["AllocationId"])
    table = ec2.create_route_table(VpcId=network.vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=network.subnets[0])
    ec2.create_route(
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        NatGatewayId=gateway["NatGateway"]["NatGatewayId"],
    )
    (seen,) = [each for each in view.snapshot().instances if each.id == inside]
    assert seen.nat_ip == address["PublicIp"]
