"""Instances and volumes."""

from __future__ import annotations

import base64
from typing import Any

from embedded.provider.table import (
    ID,
    Call,
    Expression,
    Kind,
    Look,
    Read,
    Scope,
    Update,
    Wait,
    before,
    found,
    from_inputs,
    given,
    tag_list,
    tag_specification,
    text,
)
from embedded.provider.tables.network import EC2_TAGS, ec2_arn

ROOT_DEVICE = "/dev/xvda"
"""The root device of Debian's own images (Debian wiki, Cloud/AmazonEC2Image) (verify)."""


def _state_is(state: str) -> Wait:
    return Wait(Expression(lambda s: (s.answer.get("State") or {}).get("Name") == state), f"state {state}")


def _root(inputs: Any) -> list[dict[str, Any]] | None:
    root = inputs.get("rootBlockDevice")
    if not root:
        return None
    names = {
        "deleteOnTermination": "DeleteOnTermination",
        "encrypted": "Encrypted",
        "iops": "Iops",
        "kmsKeyId": "KmsKeyId",
        "throughput": "Throughput",
        "volumeSize": "VolumeSize",
        "volumeType": "VolumeType",
    }
    ebs = {names[name]: value for name, value in root.items() if name in names and value is not None}
    return [{"DeviceName": ROOT_DEVICE, "Ebs": ebs}]


def _tag_specifications(scope: Scope) -> list[dict[str, Any]]:
    specifications = []
    if scope.inputs.get("tags"):
        specifications.append({"ResourceType": "instance", "Tags": tag_list(scope.inputs["tags"])})
    if volume := (scope.inputs.get("rootBlockDevice") or {}).get("tags") or scope.inputs.get("volumeTags"):
        specifications.append({"ResourceType": "volume", "Tags": tag_list(volume)})
    return specifications


def _changed(path: str) -> Expression:
    """Whether that input differs from before; the value itself may be falsy."""
    return Expression(lambda scope: given(path)(scope) != before(path)(scope))


def _stopped(*calls: Call) -> tuple[Call | Wait, ...]:
    """Stops the instance, makes the calls, starts it: what AWS asks for before a type or user data change."""
    return (
        Call("ec2.stop_instances", {"InstanceIds": [ID]}),
        _state_is("stopped"),
        *calls,
        Call("ec2.start_instances", {"InstanceIds": [ID]}),
        _state_is("running"),
    )


def _modify(name: str, value: Any, **when: Any) -> Call:
    return Call("ec2.modify_instance_attribute", {"InstanceId": ID, name: value}, **when)


def _user_data_sent(inputs: Any) -> str | bytes | None:
    """boto3 encodes user data for RunInstances itself; what is encoded already is decoded for it."""
    if inputs.get("userDataBase64") is not None:
        return base64.b64decode(inputs["userDataBase64"])
    text: str | None = inputs.get("userData")
    return text


def _without_interface(name: str) -> Expression:
    return Expression(
        lambda s: None if s.inputs.get("associatePublicIpAddress") is not None else s.inputs.get(name),
        (name,),
    )


def _interface(inputs: Any) -> list[dict[str, Any]] | None:
    if inputs.get("associatePublicIpAddress") is None:
        return None
    return [
        {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": inputs["associatePublicIpAddress"],
            "SubnetId": inputs.get("subnetId"),
            "Groups": inputs.get("vpcSecurityGroupIds"),
        }
    ]


def _root_update(scope: Scope) -> dict[str, Any]:
    root = scope.inputs.get("rootBlockDevice") or {}
    return {"Size": root.get("volumeSize"), "VolumeType": root.get("volumeType"), "Iops": root.get("iops")}


KINDS = (
    Kind(
        "aws:ec2/instance:Instance",
        create=Call(
            "ec2.run_instances",
            {
                "ImageId": given("ami"),
                "MinCount": 1,
                "MaxCount": 1,
                # Where the address is asked for, EC2 wants subnet and groups with the interface alone.
                "SubnetId": _without_interface("subnetId"),
                "SecurityGroupIds": _without_interface("vpcSecurityGroupIds"),
                "NetworkInterfaces": from_inputs(
                    "associatePublicIpAddress", "subnetId", "vpcSecurityGroupIds"
                )(_interface),
                "IamInstanceProfile": {"Name": given("iamInstanceProfile")},
                "UserData": from_inputs("userData", "userDataBase64")(_user_data_sent),
                "MetadataOptions": {
                    "HttpEndpoint": given("metadataOptions.httpEndpoint"),
                    "HttpTokens": given("metadataOptions.httpTokens"),
                    "HttpPutResponseHopLimit": given("metadataOptions.httpPutResponseHopLimit"),
                    "InstanceMetadataTags": given("metadataOptions.instanceMetadataTags"),
                },
                "CreditSpecification": {"CpuCredits": given("creditSpecification.cpuCredits")},
                "Monitoring": {"Enabled": given("monitoring")},
                "Placement": {"AvailabilityZone": given("availabilityZone")},
                "BlockDeviceMappings": from_inputs("rootBlockDevice")(_root),
                "TagSpecifications": Expression(_tag_specifications, ("tags", "volumeTags")),
            },
            auto=True,
        ),
        id=found("Instances[0].InstanceId"),
        then=(_state_is("running"),),
        read=(
            Read(
                "ec2.describe_instances",
                {"InstanceIds": [ID]},
                at="Reservations[0].Instances[?State.Name!='terminated'] | [0]",
            ),
            Read(
                "ec2.describe_instance_credit_specifications",
                {"InstanceIds": [ID]},
                at="{Credits: InstanceCreditSpecifications[0].CpuCredits}",
                optional=True,
            ),
            Read(
                "ec2.describe_iam_instance_profile_associations",
                {"Filters": [{"Name": "instance-id", "Values": [ID]}]},
                at="{ProfileAssociation: IamInstanceProfileAssociations[0].AssociationId}",
                optional=True,
            ),
            Read(
                "ec2.describe_instance_attribute",
                {"InstanceId": ID, "Attribute": "userData"},
                at="{UserDataBase64: UserData.Value}",
            ),
            Read(
                "ec2.describe_instance_attribute",
                {"InstanceId": ID, "Attribute": "disableApiTermination"},
                at="{DisableApiTermination: DisableApiTermination.Value}",
            ),
            Read(
                "ec2.describe_volumes",
                {"Filters": [{"Name": "attachment.instance-id", "Values": [ID]}]},
                at="{AttachedVolumes: Volumes}",
            ),
        ),
        updates=(
            Update(
                ("instanceType", "userData", "userDataBase64"),
                _stopped(
                    _modify("InstanceType", {"Value": given("instanceType")}, when=_changed("instanceType")),
                    _modify(
                        "UserData",
                        {"Value": from_inputs("userData")(_user_data_sent)},
                        when=_changed("userData"),
                    ),
                ),
            ),
            Update(
                ("vpcSecurityGroupIds",),
                (_modify("Groups", given("vpcSecurityGroupIds")),),
            ),
            Update(
                ("metadataOptions",),
                (
                    Call(
                        "ec2.modify_instance_metadata_options",
                        {
                            "InstanceId": ID,
                            "HttpEndpoint": given("metadataOptions.httpEndpoint"),
                            "HttpTokens": given("metadataOptions.httpTokens"),
                            "HttpPutResponseHopLimit": given("metadataOptions.httpPutResponseHopLimit"),
                        },
                    ),
                ),
            ),
            Update(
                ("creditSpecification",),
                (
                    # Removing the block changes nothing on AWS: it only ends the watching (aws_instance).
                    Call(
                        "ec2.modify_instance_credit_specification",
                        {
                            "InstanceCreditSpecifications": [
                                {"InstanceId": ID, "CpuCredits": given("creditSpecification.cpuCredits")}
                            ]
                        },
                        when=given("creditSpecification.cpuCredits"),
                    ),
                ),
            ),
            Update(
                ("disableApiTermination",),
                (_modify("DisableApiTermination", {"Value": given("disableApiTermination")}),),
            ),
            Update(
                ("monitoring",),
                (
                    Call("ec2.monitor_instances", {"InstanceIds": [ID]}, when=given("monitoring")),
                    Call(
                        "ec2.unmonitor_instances",
                        {"InstanceIds": [ID]},
                        when=Expression(lambda s: not s.inputs.get("monitoring")),
                    ),
                ),
            ),
            Update(
                ("iamInstanceProfile",),
                (
                    Look(),
                    Call(
                        "ec2.replace_iam_instance_profile_association",
                        {
                            "AssociationId": found("ProfileAssociation"),
                            "IamInstanceProfile": {"Name": given("iamInstanceProfile")},
                        },
                    ),
                ),
            ),
            Update(("sourceDestCheck",), (_modify("SourceDestCheck", {"Value": given("sourceDestCheck")}),)),
            Update(
                ("rootBlockDevice",),
                (
                    Call(
                        "ec2.modify_volume",
                        {
                            "VolumeId": Expression(
                                lambda s: (s.outputs.get("rootBlockDevice") or {}).get("volumeId")
                            ),
                            "Size": Expression(lambda s: _root_update(s)["Size"]),
                            "VolumeType": Expression(lambda s: _root_update(s)["VolumeType"]),
                            "Iops": Expression(lambda s: _root_update(s)["Iops"]),
                        },
                        when=_changed("rootBlockDevice.volumeSize"),
                    ),
                    Call(
                        "ec2.create_tags",
                        {
                            "Resources": [
                                Expression(lambda s: (s.outputs.get("rootBlockDevice") or {}).get("volumeId"))
                            ],
                            "Tags": Expression(
                                lambda s: tag_list((s.inputs.get("rootBlockDevice") or {}).get("tags"))
                            ),
                        },
                        when=_changed("rootBlockDevice.tags"),
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={
            "arn": ec2_arn("instance"),
            "ami": found("ImageId"),
            "availabilityZone": found("Placement.AvailabilityZone"),
            "tenancy": found("Placement.Tenancy"),
            "iamInstanceProfile": Expression(lambda s: _profile_name(s)),
            "instanceState": found("State.Name"),
            "monitoring": Expression(lambda s: (s.answer.get("Monitoring") or {}).get("State") == "enabled"),
            "primaryNetworkInterfaceId": found("NetworkInterfaces[0].NetworkInterfaceId"),
            "privateIp": found("PrivateIpAddress"),
            "privateDns": found("PrivateDnsName"),
            "publicIp": found("PublicIpAddress"),
            "publicDns": found("PublicDnsName"),
            "vpcSecurityGroupIds": found("SecurityGroups[].GroupId"),
            "securityGroups": Expression(lambda _: None),
            "creditSpecification": Expression(
                lambda s: {"cpuCredits": s.answer["Credits"]} if s.answer.get("Credits") else None
            ),
            "userData": Expression(lambda s: _user_data(s)),
            "userDataBase64": given("userDataBase64"),
            "rootBlockDevice": Expression(lambda s: _root_seen(s)),
            # The address of the box is an Elastic IP, which EC2 shows as the box's public one.
            "associatePublicIpAddress": given("associatePublicIpAddress"),
            "ebsBlockDevices": Expression(lambda _: None),
        },
        write_only=("userDataReplaceOnChange", "forceDestroy"),
        not_carried={
            "userDataReplaceOnChange": "decides in the provider, tells AWS nothing",
            "forceDestroy": "decides in the provider, tells AWS nothing",
        },
        delete=(
            Call("ec2.terminate_instances", {"InstanceIds": [ID]}),
            Wait(Expression(lambda s: not s.answer), "termination"),
        ),
    ),
    Kind(
        "aws:ebs/volume:Volume",
        create=Call(
            "ec2.create_volume",
            {"VolumeType": given("type"), "TagSpecifications": tag_specification("volume")},
            auto=True,
        ),
        id=found("VolumeId"),
        then=(Wait(Expression(lambda s: s.answer.get("State") == "available"), "the volume"),),
        read=(Read("ec2.describe_volumes", {"VolumeIds": [ID]}, at="Volumes[0]"),),
        updates=(
            Update(
                ("size", "type", "iops", "throughput"),
                (
                    Call(
                        "ec2.modify_volume",
                        {
                            "VolumeId": ID,
                            "Size": given("size"),
                            "VolumeType": given("type"),
                            "Iops": given("iops"),
                            "Throughput": given("throughput"),
                        },
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={"arn": ec2_arn("volume"), "type": found("VolumeType"), "createTime": found("CreateTime")},
        write_only=("finalSnapshot",),
        not_carried={"finalSnapshot": "read at deletion"},
        delete=(
            Call(
                "ec2.create_snapshot",
                {
                    "VolumeId": ID,
                    "Description": text("final snapshot of {id}"),
                    "TagSpecifications": tag_specification("snapshot"),
                },
                when=given("finalSnapshot"),
            ),
            Call("ec2.delete_volume", {"VolumeId": ID}),
        ),
    ),
    Kind(
        "aws:ec2/volumeAttachment:VolumeAttachment",
        create=Call("ec2.attach_volume", {"Device": given("deviceName")}, auto=True),
        id=from_inputs("volumeId", "instanceId", "deviceName")(
            lambda i: f"vai-{i['volumeId']}-{i['instanceId']}"
        ),
        read=(
            Read(
                "ec2.describe_volumes",
                {
                    "VolumeIds": [given("volumeId")],
                    "Filters": [
                        {"Name": "attachment.instance-id", "Values": [given("instanceId")]},
                    ],
                },
                at="Volumes[0].Attachments[0]",
            ),
        ),
        outputs={"deviceName": found("Device")},
        write_only=("stopInstanceBeforeDetaching", "forceDetach", "skipDestroy"),
        not_carried={
            "stopInstanceBeforeDetaching": "read at deletion",
            "forceDetach": "read at deletion",
            "skipDestroy": "read at deletion",
        },
        delete=(
            Call(
                "ec2.stop_instances",
                {"InstanceIds": [given("instanceId")]},
                when=given("stopInstanceBeforeDetaching"),
                missing_is_fine=True,
            ),
            Call(
                "ec2.detach_volume",
                {"VolumeId": given("volumeId"), "InstanceId": given("instanceId")},
                missing_is_fine=True,
            ),
            Wait(Expression(lambda s: not s.answer), "the detachment"),
        ),
    ),
)


def _profile_name(scope: Scope) -> str | None:
    arn = (scope.answer.get("IamInstanceProfile") or {}).get("Arn")
    return str(arn).rpartition("/")[2] if arn else None


def _user_data(scope: Scope) -> str | None:
    encoded = scope.answer.get("UserDataBase64")
    return base64.b64decode(encoded).decode() if encoded else None


def _root_seen(scope: Scope) -> dict[str, Any] | None:
    device = scope.answer.get("RootDeviceName")
    volume = next(
        (
            each
            for each in scope.answer.get("AttachedVolumes") or []
            if any(attachment["Device"] == device for attachment in each["Attachments"])
        ),
        None,
    )
    if volume is None:
        return None
    return {
        "volumeId": volume["VolumeId"],
        "volumeSize": volume["Size"],
        "volumeType": volume.get("VolumeType"),
        "iops": volume.get("Iops"),
        "throughput": volume.get("Throughput"),
        "encrypted": volume.get("Encrypted"),
        "kmsKeyId": volume.get("KmsKeyId"),
        "deleteOnTermination": True,
        "deviceName": device,
        "tags": {each["Key"]: each["Value"] for each in volume.get("Tags") or []},
    }
