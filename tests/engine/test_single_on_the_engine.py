"""Option A by the real engine on the embedded cloud: what a Pulumi user expects of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.engine

INSTANCE = "aws:ec2/instance:Instance"
STATEFUL = (
    "aws:ebs/volume:Volume", "aws:ec2/eip:Eip", "aws:kms/key:Key", "aws:s3/bucket:Bucket",
)  # fmt: skip
GOLDEN = {
    "urn:pulumi:dev::terrace::terrace:layout:Layout$terrace:data:DataVolume$aws:ebs/volume:Volume::data",
    "urn:pulumi:dev::terrace::terrace:layout:Layout$terrace:edge:Address$aws:ec2/eip:Eip::address",
    "urn:pulumi:dev::terrace::terrace:layout:Layout$terrace:secrets:Secrets$aws:kms/key:Key::key",
    *(
        "urn:pulumi:dev::terrace::terrace:layout:Layout$terrace:storage:Buckets$terrace:storage:Bucket"
        f"$aws:s3/bucket:Bucket::{role}"
        for role in ("uploads", "backups", "artifacts", "logs")
    ),
}


def test_a_second_up_changes_nothing_and_neither_does_a_refresh(standing: Any) -> None:
    standing.up("--expect-no-changes")
    standing.pulumi("refresh", "--yes", "--expect-no-changes")
    assert standing.steps() == {}


def test_what_holds_data_has_the_urns_of_the_golden_list(standing: Any) -> None:
    assert set(standing.urns(*STATEFUL)) == GOLDEN


def test_the_outputs_name_what_stands(standing: Any) -> None:
    outputs = standing.outputs()
    instances = standing.client("ec2").describe_instances(InstanceIds=[outputs["instance_id"]])
    (box,) = instances["Reservations"][0]["Instances"]
    assert (box["InstanceType"], box["State"]["Name"]) == ("t4g.large", "running")
    assert box["PublicIpAddress"] == outputs["eip"]
    assert outputs["volume_id"] in [each["Ebs"]["VolumeId"] for each in box["BlockDeviceMappings"]]
    assert (outputs["stage"], outputs["option"]) == ("single-8g", "A")
    assert outputs["url"] == f"https://{outputs['eip']}"


@pytest.mark.parametrize(
    "stage",
    [
        "single-16g",
        pytest.param("single-8g-fixed", marks=pytest.mark.drill),
        pytest.param("single-16g-fixed", marks=pytest.mark.drill),
    ],
)
def test_a_change_of_the_word_resizes_in_place(standing: Any, stage: str) -> None:
    before, box = standing.urns(*STATEFUL), standing.urns(INSTANCE)
    standing.write(stage=stage)
    steps = standing.steps()
    gone = {name for name, op in steps.items() if op == "delete"}
    assert all("MetricAlarm::app-credits" in name or "MetricAlarm::app-surplus" in name for name in gone)
    assert set(steps.values()) - {"delete"} == {"update"}
    standing.up()
    assert (standing.urns(*STATEFUL), standing.urns(INSTANCE)) == (before, box)
    standing.up("--expect-no-changes")


def test_refresh_sees_a_drift_that_boto3_made_and_up_heals_it(standing: Any) -> None:
    ec2, instance_id = standing.client("ec2"), standing.outputs()["instance_id"]
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
    ec2.create_tags(Resources=[standing.outputs()["volume_id"]], Tags=[{"Key": "Owner", "Value": "nobody"}])
    standing.client("logs").delete_retention_policy(logGroupName="/terrace/dev/logs/backend")
    standing.client("s3").delete_bucket_lifecycle(Bucket=standing.outputs()["buckets"]["uploads"])
    standing.pulumi("refresh", "--yes")
    assert standing.steps() == {
        "aws:ec2/instance:Instance::app": "update",
        "aws:ebs/volume:Volume::data": "update",
        "aws:cloudwatch/logGroup:LogGroup::backend": "update",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration::uploads": "create",
    }
    standing.up()
    standing.pulumi("refresh", "--yes", "--expect-no-changes")
    tokens = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    assert tokens["MetadataOptions"]["HttpTokens"] == "required"


def test_a_tag_that_somebody_added_is_seen_and_taken_away(standing: Any) -> None:
    ec2 = standing.client("ec2")
    (vpc,) = standing.urns("aws:ec2/vpc:Vpc").values()
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Stray", "Value": "1"}])
    standing.pulumi("refresh", "--yes")
    standing.up()
    (found,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert "Stray" not in {tag["Key"] for tag in found["Tags"]}


def test_destroy_is_refused_while_protection_is_on_and_leaves_nothing_once_it_is_off(standing: Any) -> None:
    refused = standing.pulumi("destroy", "--yes", check=False)
    assert refused.returncode != 0
    assert standing.up("--expect-no-changes").returncode == 0
    standing.write(deletionProtection=False)
    standing.up()
    standing.pulumi("destroy", "--yes")
    ec2 = standing.client("ec2")
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert [each for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]] == []
    assert standing.client("s3").list_buckets()["Buckets"] == []
    assert standing.client("iam").list_roles()["Roles"] == []
    assert standing.client("iam").list_instance_profiles()["InstanceProfiles"] == []
    assert standing.client("logs").describe_log_groups()["logGroups"] == []
    assert standing.client("ssm").describe_parameters()["Parameters"] == []
    assert standing.client("sns").list_topics()["Topics"] == []
    assert standing.client("dlm").get_lifecycle_policies()["Policies"] == []
    kms = standing.client("kms")
    states = [
        kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"] for each in kms.list_keys()["Keys"]
    ]
    assert states == ["PendingDeletion"]


def test_a_secret_that_was_filled_in_is_in_no_state_and_no_update_takes_it_away(standing: Any) -> None:
    ssm, name = standing.client("ssm"), "/terrace/dev/app/JWT_SECRET"
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "unset"
    ssm.put_parameter(Name=name, Value="sentinel-5b1e", Overwrite=True, Type="SecureString")
    standing.pulumi("refresh", "--yes", "--expect-no-changes")
    standing.write(logRetentionDays=90)
    standing.up()
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "sentinel-5b1e"
    shown = standing.pulumi("stack", "export", "--show-secrets").stdout
    everything = "".join(path.read_text(errors="replace") for path in standing.state.rglob("*.json*"))
    assert "sentinel-5b1e" not in shown + everything


def test_prod_takes_an_image_of_the_publisher_and_retains_its_data_after_destroy(project: Any) -> None:
    ami = project.client("ssm").get_parameter(Name="/aws/service/debian/release/13/latest/arm64")
    project.write(environment="prod", ami=ami["Parameter"]["Value"])
    project.up()
    project.write(deletionProtection=False)
    project.up()
    volume = project.outputs()["volume_id"]
    project.pulumi("destroy", "--yes", check=False)
    assert [each["VolumeId"] for each in project.client("ec2").describe_volumes()["Volumes"]] == [volume]
    assert len(project.client("s3").list_buckets()["Buckets"]) == 4


@pytest.mark.drill
@pytest.mark.parametrize(
    ("setting", "before", "after"),
    [("backup", None, {"awsBackup": True, "offsiteRegion": "ap-northeast-1"})],
)
def test_a_switch_adds_its_resources_and_takes_them_back(
    standing: Any, setting: str, before: Any, after: Any
) -> None:
    standing.write(**{setting: after})
    standing.up()
    assert len(standing.client("backup").list_backup_plans()["BackupPlansList"]) == 1
    s3, copy = standing.client("s3"), standing.outputs()["offsite_bucket"]
    assert s3.head_bucket(Bucket=copy)["BucketRegion"] == "ap-northeast-1"
    (rule,) = s3.get_bucket_replication(Bucket=standing.outputs()["buckets"]["backups"])[
        "ReplicationConfiguration"
    ]["Rules"]
    assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::{copy}"
    assert ":kms:ap-northeast-1:" in rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"]
    standing.up("--expect-no-changes")
    standing.pulumi("refresh", "--yes", "--expect-no-changes")


def test_what_the_stack_exports_is_valid_json_without_unknowns(standing: Any) -> None:
    exported = json.loads(standing.pulumi("stack", "export").stdout)
    assert "04da6b54-80e4-46f7-96ec-b56ff0331ba9" not in json.dumps(exported)
    assert exported["deployment"].get("pending_operations") in (None, [])
