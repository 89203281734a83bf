"""Volumes grow and never shrink; what is in use cannot be deleted; addresses come from the pool."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from embedded.aws.extensions import ec2_volumes
from embedded.aws.hooks import HOOKS, addresses_from

from .support import ZONE, Network

Aws = Callable[..., Any]
Launch = Callable[..., str]
Refused = Callable[..., str]


def make_volume(aws: Aws, **more: Any) -> str:
    arguments = {"AvailabilityZone": ZONE, "Size": 100, "VolumeType": "gp3"} | more
    return str(aws("ec2").create_volume(**arguments)["VolumeId"])


def volume_of(aws: Aws, volume_id: str) -> dict[str, Any]:
    volume: dict[str, Any] = aws("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    return volume


def test_a_gp3_volume_has_its_types_speed_when_nothing_is_said(aws: Aws) -> None:
    volume = volume_of(aws, make_volume(aws))
    assert (volume["Iops"], volume["Throughput"]) == (3000, 125)


def test_a_key_named_by_its_alias_is_shown_by_its_arn(aws: Aws) -> None:
    kms = aws("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/data", TargetKeyId=key["KeyId"])
    assert volume_of(aws, make_volume(aws, Encrypted=True, KmsKeyId="alias/data"))["KmsKeyId"] == key["Arn"]


def test_encryption_by_default_encrypts_what_does_not_ask_for_it(aws: Aws, launch: Launch) -> None:
    ec2 = aws("ec2")
    ec2.enable_ebs_encryption_by_default()
    make_volume(aws)
    launch()
    assert [volume["Encrypted"] for volume in ec2.describe_volumes()["Volumes"]] == [True, True]


def test_a_volume_grows_and_never_shrinks(aws: Aws, refused: Refused) -> None:
    ec2, volume_id = aws("ec2"), make_volume(aws)
    ec2.modify_volume(VolumeId=volume_id, Size=120, Throughput=250)
    refused("InvalidParameterValue", ec2.modify_volume, VolumeId=volume_id, Size=100)
    volume = volume_of(aws, volume_id)
    assert (volume["Size"], volume["Throughput"]) == (120, 250)


def test_the_newest_modification_is_shown(aws: Aws) -> None:
    ec2, volume_id = aws("ec2"), make_volume(aws)
    for size in (110, 120):
        ec2.modify_volume(VolumeId=volume_id, Size=size)
    shown = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    assert [(each["OriginalSize"], each["TargetSize"]) for each in shown] == [(110, 120)]


def test_a_fifth_modification_within_a_day_is_refused_unless_the_limit_is_off(
    aws: Aws, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2, volume_id = aws("ec2"), make_volume(aws)
    for size in range(101, 105):
        ec2.modify_volume(VolumeId=volume_id, Size=size)
    message = refused("VolumeModificationRateExceeded", ec2.modify_volume, VolumeId=volume_id, Size=105)
    assert "can be modified again at" in message
    monkeypatch.setattr(ec2_volumes, "limit_modifications", False)
    ec2.modify_volume(VolumeId=volume_id, Size=105)


def test_a_volume_cannot_be_attached_across_zones(
    aws: Aws, launch: Launch, network: Network, refused: Refused
) -> None:
    volume_id, instance_id = make_volume(aws), launch(SubnetId=network.subnets[1])
    attach = aws("ec2").attach_volume
    refused(
        "InvalidVolume.ZoneMismatch", attach, VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf"
    )


def test_a_volume_is_attached_once_and_a_device_taken_once(
    aws: Aws, launch: Launch, refused: Refused
) -> None:
    ec2, volume_id, instance_id = aws("ec2"), make_volume(aws), launch()
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    refused("VolumeInUse", ec2.attach_volume, VolumeId=volume_id, InstanceId=launch(), Device="/dev/sdf")
    other = make_volume(aws)
    refused(
        "InvalidParameterValue", ec2.attach_volume, VolumeId=other, InstanceId=instance_id, Device="/dev/sdf"
    )
    ec2.detach_volume(VolumeId=volume_id)
    assert volume_of(aws, volume_id)["State"] == "available"


def test_the_root_volume_of_a_running_instance_cannot_be_detached(
    aws: Aws, launch: Launch, refused: Refused
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    root = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    refused("OperationNotPermitted", ec2.detach_volume, VolumeId=root)


def test_a_snapshot_keeps_the_size_that_it_was_taken_at_and_its_key(aws: Aws, refused: Refused) -> None:
    ec2, key = aws("ec2"), aws("kms").create_key()["KeyMetadata"]["Arn"]
    volume_id = make_volume(aws, Encrypted=True, KmsKeyId=key)
    snapshot = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    ec2.modify_volume(VolumeId=volume_id, Size=200)
    ec2.delete_volume(VolumeId=volume_id)
    shown = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
    assert (shown["VolumeSize"], shown["KmsKeyId"]) == (100, key)
    restored = volume_of(aws, make_volume(aws, SnapshotId=snapshot, Size=150))
    assert (restored["Size"], restored["Encrypted"], restored["KmsKeyId"]) == (150, True, key)
    create = aws("ec2").create_volume
    refused("InvalidParameterValue", create, AvailabilityZone=ZONE, SnapshotId=snapshot, Size=50)


def test_a_subnet_in_a_zone_of_another_region_is_refused(
    aws: Aws, network: Network, refused: Refused
) -> None:
    create = aws("ec2").create_subnet
    wrong = {"VpcId": network.vpc, "CidrBlock": "10.20.9.0/24", "AvailabilityZone": "us-east-1a"}
    assert ZONE in refused("InvalidParameterValue", create, **wrong)


def test_nothing_that_an_instance_uses_can_be_deleted(
    aws: Aws, launch: Launch, network: Network, refused: Refused
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=network.subnets[0])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=network.group)
    refused("DependencyViolation", ec2.delete_vpc, VpcId=network.vpc)
    ec2.terminate_instances(InstanceIds=[instance_id])
    ec2.delete_security_group(GroupId=network.group)
    for subnet in network.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=network.vpc)


def test_a_vpc_with_a_gateway_or_a_group_of_its_own_cannot_be_deleted(aws: Aws, refused: Refused) -> None:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    group = ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
    refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)


def test_a_group_that_another_groups_rule_names_cannot_be_deleted(
    aws: Aws, network: Network, refused: Refused
) -> None:
    ec2 = aws("ec2")
    frontend = ec2.create_security_group(GroupName="frontend", Description="f", VpcId=network.vpc)["GroupId"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "UserIdGroupPairs": [{"GroupId": frontend, "Description": "from the frontend"}],
    }
    ec2.authorize_security_group_ingress(GroupId=network.group, IpPermissions=[rule])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=frontend)
    shown = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [network.group]}])
    assert "from the frontend" in [each.get("Description") for each in shown["SecurityGroupRules"]]
    ec2.revoke_security_group_ingress(GroupId=network.group, IpPermissions=[rule])
    ec2.delete_security_group(GroupId=frontend)


def test_the_default_group_of_a_vpc_cannot_be_deleted(aws: Aws, network: Network, refused: Refused) -> None:
    ec2 = aws("ec2")
    mine = [{"Name": "vpc-id", "Values": [network.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    group = ec2.describe_security_groups(Filters=mine)["SecurityGroups"][0]["GroupId"]
    refused("CannotDelete", ec2.delete_security_group, GroupId=group)


def test_what_a_database_uses_cannot_be_deleted(aws: Aws, network: Network, refused: Refused) -> None:
    ec2, rds = aws("ec2"), aws("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=network.subnets
    )
    rds.create_db_instance(
        DBInstanceIdentifier="db",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="17.6",
        AllocatedStorage=20,
        MasterUsername="owner",
        ManageMasterUserPassword=True,
        DBSubnetGroupName="db",
        VpcSecurityGroupIds=[network.group],
    )
    refused("DependencyViolation", ec2.delete_security_group, GroupId=network.group)
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=network.subnets[1])
    rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
    ec2.delete_security_group(GroupId=network.group)
    ec2.delete_subnet(SubnetId=network.subnets[1])


def test_what_a_load_balancer_uses_cannot_be_deleted(aws: Aws, network: Network, refused: Refused) -> None:
    ec2, elb = aws("ec2"), aws("elbv2")
    made = elb.create_load_balancer(Name="web", Subnets=network.subnets, SecurityGroups=[network.group])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=network.group)
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=network.subnets[0])
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"])
    ec2.delete_security_group(GroupId=network.group)


def test_a_nat_gateway_gives_its_address_and_its_subnet_back(
    aws: Aws, network: Network, refused: Refused
) -> None:
    ec2 = aws("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=network.subnets[0], AllocationId=address)["NatGateway"][
        "NatGatewayId"
    ]
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address)
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=network.subnets[0])
    ec2.delete_nat_gateway(NatGatewayId=made)
    ec2.release_address(AllocationId=address)
    ec2.delete_subnet(SubnetId=network.subnets[0])


def test_an_address_in_use_cannot_be_released_until_it_is_let_go(
    aws: Aws, launch: Launch, refused: Refused
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    association = ec2.associate_address(AllocationId=address, InstanceId=instance_id)["AssociationId"]
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address)
    ec2.disassociate_address(AssociationId=association)
    ec2.release_address(AllocationId=address)


def test_a_terminated_instance_lets_its_address_go(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=instance_id)
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    ec2.release_address(AllocationId=address)


def test_an_address_that_moves_to_another_instance_is_on_no_two(aws: Aws, launch: Launch) -> None:
    ec2, old, new = aws("ec2"), launch(), launch()
    address = ec2.allocate_address(Domain="vpc")
    for target in (old, new):
        ec2.associate_address(
            AllocationId=address["AllocationId"], InstanceId=target, AllowReassociation=True
        )
    found = ec2.describe_instances(InstanceIds=[old, new])["Reservations"]
    shown = {
        each["InstanceId"]: each.get("PublicIpAddress") for group in found for each in group["Instances"]
    }
    assert shown[new] == address["PublicIp"]
    assert shown[old] != address["PublicIp"]


def test_addresses_come_from_the_pool_and_go_back_to_it(aws: Aws, refused: Refused) -> None:
    ec2 = aws("ec2")
    HOOKS.public_address = addresses_from(ipaddress.ip_network("198.18.7.0/30").hosts())
    first, second = (ec2.allocate_address(Domain="vpc") for _ in range(2))
    assert [first["PublicIp"], second["PublicIp"]] == ["198.18.7.1", "198.18.7.2"]
    refused("AddressLimitExceeded", ec2.allocate_address, Domain="vpc")
    ec2.release_address(AllocationId=first["AllocationId"])
    assert ec2.allocate_address(Domain="vpc")["PublicIp"] == "198.18.7.1"


def test_an_automatic_public_address_comes_from_the_pool_too(
    aws: Aws, launch: Launch, network: Network
) -> None:
    HOOKS.public_address = addresses_from(ipaddress.ip_network("198.18.7.0/30").hosts())
    interface = {
        "DeviceIndex": 0,
        "SubnetId": network.subnets[0],
        "Groups": [network.group],
        "AssociatePublicIpAddress": True,
    }
    answer = aws("ec2").run_instances(
        ImageId="ami-00000000000000000",
        InstanceType="t4g.small",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[interface],
    )
    instance_id = answer["Instances"][0]["InstanceId"]
    shown = aws("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    assert shown["PublicIpAddress"] == "198.18.7.1"
