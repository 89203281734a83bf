"""Launches keep what was asked of them, and what AWS refuses is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from embedded.aws.hooks import HOOKS

from .support import AMD64_AMI, FAKE_AMI, Network

Aws = Callable[..., Any]
Launch = Callable[..., str]
Refused = Callable[..., str]


def described(aws: Aws, instance_id: str) -> dict[str, Any]:
    reservations = aws("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    instance: dict[str, Any] = reservations[0]["Instances"][0]
    return instance


def credits_of(aws: Aws, instance_id: str) -> str:
    answer = aws("ec2").describe_instance_credit_specifications(InstanceIds=[instance_id])
    return str(answer["InstanceCreditSpecifications"][0]["CpuCredits"])


def test_the_fake_debian_image_is_there_and_says_that_it_is_fake(aws: Aws) -> None:
    image = aws("ec2").describe_images(ImageIds=[FAKE_AMI])["Images"][0]
    assert image["Architecture"] == "arm64"
    assert image["OwnerId"] == "136693071363"
    assert "embedded cloud only" in image["Description"]
    assert image["RootDeviceName"] == image["BlockDeviceMappings"][0]["DeviceName"]
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 8


@pytest.mark.parametrize(("name", "architecture"), [("arm64", "arm64"), ("amd64", "x86_64")])
def test_debians_public_parameters_name_an_image_that_debian_owns(
    aws: Aws, name: str, architecture: str
) -> None:
    parameter = aws("ssm").get_parameter(Name=f"/aws/service/debian/release/13/latest/{name}")["Parameter"]
    found = aws("ec2").describe_images(ImageIds=[parameter["Value"]], Owners=["136693071363"])["Images"]
    assert [image["Architecture"] for image in found] == [architecture]
    assert found[0]["Name"].startswith(f"debian-13-{name}-2026")
    assert found[0]["CreationDate"].startswith("2026-10-05")


def test_amazon_linux_can_still_be_found_and_launched(aws: Aws, launch: Launch) -> None:
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    image_id = aws("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert described(aws, launch(ImageId=image_id))["Architecture"] == "arm64"


def test_an_unknown_image_is_refused(launch: Launch, refused: Refused) -> None:
    refused("InvalidAMIID.NotFound", launch, ImageId="ami-0123456789abcdef0")


def test_an_image_of_another_architecture_than_the_type_is_refused(launch: Launch, refused: Refused) -> None:
    message = refused("InvalidParameterValue", launch, ImageId=AMD64_AMI)
    assert (
        "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64'"
        in message
    )


def test_an_unknown_instance_type_is_refused(launch: Launch, refused: Refused) -> None:
    refused("InvalidParameterValue", launch, InstanceType="t99g.enormous")


@pytest.mark.parametrize(
    ("instance_type", "asked", "got"),
    [
        ("t4g.large", None, "unlimited"),
        ("t4g.large", "standard", "standard"),
        ("t4g.large", "unlimited", "unlimited"),
        ("m6g.large", None, "standard"),
    ],
)
def test_the_credit_mode_is_what_was_asked_for_or_the_familys_own(
    aws: Aws, launch: Launch, instance_type: str, asked: str | None, got: str
) -> None:
    more = {"CreditSpecification": {"CpuCredits": asked}} if asked else {}
    assert credits_of(aws, launch(InstanceType=instance_type, **more)) == got


def test_the_credit_mode_can_be_changed_while_the_instance_runs(aws: Aws, launch: Launch) -> None:
    instance_id = launch()
    change = [{"InstanceId": instance_id, "CpuCredits": "standard"}]
    answer = aws("ec2").modify_instance_credit_specification(InstanceCreditSpecifications=change)
    assert answer["SuccessfulInstanceCreditSpecifications"] == [{"InstanceId": instance_id}]
    assert credits_of(aws, instance_id) == "standard"


def test_credits_are_refused_where_the_type_has_none(aws: Aws, launch: Launch, refused: Refused) -> None:
    mode = {"CpuCredits": "unlimited"}
    refused("InvalidParameterCombination", launch, InstanceType="m6g.large", CreditSpecification=mode)
    instance_id = launch(InstanceType="m6g.large")
    answer = aws("ec2").modify_instance_credit_specification(
        InstanceCreditSpecifications=[{"InstanceId": instance_id, **mode}]
    )
    failed = answer["UnsuccessfulInstanceCreditSpecifications"][0]
    assert failed["Error"]["Code"] == "InstanceCreditSpecification.NotSupported"


def test_a_resize_to_a_family_with_credits_and_back_follows_the_family(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch(InstanceType="m6g.large")
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t4g.xlarge"})
    assert credits_of(aws, instance_id) == "unlimited"
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "m6g.xlarge"})
    assert credits_of(aws, instance_id) == "standard"


def test_detailed_monitoring_can_be_switched_on_and_off(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    answer = ec2.monitor_instances(InstanceIds=[instance_id])
    assert answer["InstanceMonitorings"] == [{"InstanceId": instance_id, "Monitoring": {"State": "enabled"}}]
    assert described(aws, instance_id)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[instance_id])
    assert described(aws, instance_id)["Monitoring"]["State"] == "disabled"


def test_the_root_volume_is_the_one_that_was_asked_for(aws: Aws, launch: Launch) -> None:
    key = aws("kms").create_key()["KeyMetadata"]["Arn"]
    ebs = {
        "VolumeSize": 20,
        "VolumeType": "gp3",
        "Iops": 4000,
        "Throughput": 250,
        "Encrypted": True,
        "KmsKeyId": key,
    }
    instance_id = launch(BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": ebs}])
    mappings = described(aws, instance_id)["BlockDeviceMappings"]
    assert [(each["DeviceName"], each["Ebs"]["DeleteOnTermination"]) for each in mappings] == [
        ("/dev/xvda", True)
    ]
    volume = aws("ec2").describe_volumes(VolumeIds=[mappings[0]["Ebs"]["VolumeId"]])["Volumes"][0]
    shown = {
        key: volume[key] for key in ("Size", "VolumeType", "Iops", "Throughput", "Encrypted", "KmsKeyId")
    }
    assert shown == {
        "Size": 20,
        "VolumeType": "gp3",
        "Iops": 4000,
        "Throughput": 250,
        "Encrypted": True,
        "KmsKeyId": key,
    }


def test_a_launch_without_devices_has_the_images_root_volume(aws: Aws, launch: Launch) -> None:
    mappings = described(aws, launch())["BlockDeviceMappings"]
    volume = aws("ec2").describe_volumes(VolumeIds=[mappings[0]["Ebs"]["VolumeId"]])["Volumes"][0]
    assert [mapping["DeviceName"] for mapping in mappings] == ["/dev/xvda"]
    assert (volume["Size"], volume["VolumeType"], volume["Throughput"]) == (8, "gp3", 125)


def test_another_device_comes_beside_the_root_and_stays_when_the_instance_goes(
    aws: Aws, launch: Launch
) -> None:
    ec2 = aws("ec2")
    extra = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5}}
    instance_id = launch(BlockDeviceMappings=[extra])
    devices = {
        each["DeviceName"]: each["Ebs"]["VolumeId"]
        for each in described(aws, instance_id)["BlockDeviceMappings"]
    }
    assert set(devices) == {"/dev/xvda", "/dev/sdf"}
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert [volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]] == [devices["/dev/sdf"]]


def test_throughput_outside_what_gp3_has_is_refused(launch: Launch, refused: Refused) -> None:
    root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Throughput": 5000}}
    refused("InvalidParameterValue", launch, BlockDeviceMappings=[root])


def test_termination_protection_given_at_launch_holds(aws: Aws, launch: Launch, refused: Refused) -> None:
    ec2, instance_id = aws("ec2"), launch(DisableApiTermination=True)
    shown = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="disableApiTermination")
    assert shown["DisableApiTermination"] == {"Value": True}
    refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[instance_id])
    ec2.modify_instance_attribute(InstanceId=instance_id, Attribute="disableApiTermination", Value="false")
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert described(aws, instance_id)["State"]["Name"] == "terminated"


@pytest.mark.parametrize(
    "change", [{"InstanceType": {"Value": "t4g.xlarge"}}, {"UserData": {"Value": b"#!/bin/sh"}}]
)
def test_what_needs_a_stopped_instance_is_refused_while_it_runs(
    aws: Aws, launch: Launch, refused: Refused, change: dict[str, Any]
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    refused("IncorrectInstanceState", ec2.modify_instance_attribute, InstanceId=instance_id, **change)
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.modify_instance_attribute(InstanceId=instance_id, **change)


def test_a_resize_to_another_architecture_is_refused(aws: Aws, launch: Launch, refused: Refused) -> None:
    ec2, instance_id = aws("ec2"), launch()
    ec2.stop_instances(InstanceIds=[instance_id])
    wanted = {"Value": "t3.large"}
    refused(
        "InvalidParameterValue", ec2.modify_instance_attribute, InstanceId=instance_id, InstanceType=wanted
    )


def test_a_terminated_instance_cannot_be_started(aws: Aws, launch: Launch, refused: Refused) -> None:
    ec2, instance_id = aws("ec2"), launch()
    ec2.terminate_instances(InstanceIds=[instance_id])
    refused("IncorrectInstanceState", ec2.start_instances, InstanceIds=[instance_id])


def test_a_change_of_one_metadata_option_leaves_the_others(aws: Aws, launch: Launch) -> None:
    options = {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"}
    instance_id = launch(MetadataOptions=options)
    aws("ec2").modify_instance_metadata_options(InstanceId=instance_id, HttpPutResponseHopLimit=1)
    shown = described(aws, instance_id)["MetadataOptions"]
    assert {key: shown[key] for key in options} == options | {"HttpPutResponseHopLimit": 1}


def test_new_security_groups_take_the_place_of_the_old_ones(
    aws: Aws, launch: Launch, network: Network
) -> None:
    ec2, instance_id = aws("ec2"), launch()
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=network.vpc)["GroupId"]
    ec2.modify_instance_attribute(InstanceId=instance_id, Groups=[other])
    interface = described(aws, instance_id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["Groups"]
    assert [group["GroupId"] for group in shown] == [other]


def test_an_unknown_security_group_cannot_be_given(aws: Aws, launch: Launch, refused: Refused) -> None:
    modify = aws("ec2").modify_instance_attribute
    refused("InvalidGroup.NotFound", modify, InstanceId=launch(), Groups=["sg-0123456789abcdef0"])


def test_the_interface_of_a_launch_goes_with_its_instance(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_repeated_request_with_the_same_client_token_launches_nothing_twice(
    aws: Aws, launch: Launch
) -> None:
    token = "the-same-token-again"
    assert launch(ClientToken=token) == launch(ClientToken=token)
    assert len(aws("ec2").describe_instances()["Reservations"]) == 1


def test_the_console_shows_what_the_machine_wrote(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch()
    assert "Output" not in ec2.get_console_output(InstanceId=instance_id)
    HOOKS.console_output = lambda asked: f"{asked} login: "
    assert ec2.get_console_output(InstanceId=instance_id)["Output"] == f"{instance_id} login: "


def test_an_instance_passes_its_checks_when_its_machine_answers(aws: Aws, launch: Launch) -> None:
    ec2, instance_id, up = aws("ec2"), launch(), False
    HOOKS.instance_online = lambda _: up

    def status() -> str:
        found = ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"][0]
        return str(found["InstanceStatus"]["Status"])

    assert status() == "initializing"
    up = True
    assert status() == "ok"


def test_user_data_comes_back_as_it_was_given(aws: Aws, launch: Launch) -> None:
    text = "#cloud-config\nruncmd: [[touch, /done]]\n"
    instance_id = launch(UserData=text)
    shown = aws("ec2").describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert base64.b64decode(shown["UserData"]["Value"]).decode() == text


def test_changed_user_data_comes_back_as_it_was_given(aws: Aws, launch: Launch) -> None:
    ec2, instance_id = aws("ec2"), launch(UserData="old")
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.modify_instance_attribute(InstanceId=instance_id, UserData={"Value": b"#!/bin/sh\n"})
    shown = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert base64.b64decode(shown["UserData"]["Value"]) == b"#!/bin/sh\n"


def test_user_data_over_16_kib_is_refused_and_16_kib_is_not(launch: Launch, refused: Refused) -> None:
    refused("InvalidParameterValue", launch, UserData="x" * 16_385)
    launch(UserData="x" * 16_384)
