"""What is saved is loaded as it was, and a damaged file changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.aws import state
from embedded.aws.errors import StateFileError
from embedded.aws.server import ApiServer

from . import stack
from .support import FAKE_AMI

Aws = Callable[..., Any]


def test_everything_is_there_after_a_save_a_reset_and_a_load(
    api: ApiServer, aws: Aws, tmp_path: Path
) -> None:
    made = stack.build(aws)
    before = stack.answers(aws, made)
    body = aws("s3").get_object(Bucket="uploads", Key="big")["Body"].read()
    api.save(tmp_path / "cloud.state")
    api.reset()
    assert aws("ec2").describe_instances()["Reservations"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    api.load(tmp_path / "cloud.state")
    after = stack.answers(aws, made)
    assert list(after) == list(before)
    for call, answer in before.items():
        assert after[call] == answer, call
    assert aws("s3").get_object(Bucket="uploads", Key="big")["Body"].read() == body
    versions = aws("s3").list_object_versions(Bucket="uploads", Prefix="bundle/")["Versions"]
    old = next(version["VersionId"] for version in versions if not version["IsLatest"])
    assert (
        aws("s3").get_object(Bucket="uploads", Key="bundle/host.tar", VersionId=old)["Body"].read() == b"old"
    )


def test_a_loaded_cloud_goes_on_as_the_saved_one_would(
    api: ApiServer, aws: Aws, tmp_path: Path, refused: Callable[..., str]
) -> None:
    made = stack.build(aws)
    ec2, kms, s3 = aws("ec2"), aws("kms"), aws("s3")
    secret = kms.encrypt(KeyId=made["key"], Plaintext=b"x")["CiphertextBlob"]
    first = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    api.save(tmp_path / "cloud.state")
    api.load(tmp_path / "cloud.state")
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"
    again = ec2.run_instances(
        ImageId=FAKE_AMI, InstanceType="t4g.small", MinCount=1, MaxCount=1, SubnetId=first["SubnetId"]
    )["Instances"][0]
    assert again["PrivateIpAddress"] != first["PrivateIpAddress"]
    refused("VolumeInUse", ec2.delete_volume, VolumeId=made["volume"])
    s3.put_object(Bucket="uploads", Key="bundle/host.tar", Body=b"newest")
    assert len(s3.list_object_versions(Bucket="uploads", Prefix="bundle/")["Versions"]) == 3
    location = {"LocationConstraint": "ap-northeast-2"}
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket="uploads", CreateBucketConfiguration=location)
    ec2.terminate_instances(InstanceIds=[made["instance"]])
    ec2.delete_volume(VolumeId=made["volume"])
    received = aws("sqs").receive_message(QueueUrl=made["queue"])
    assert "hello" in received["Messages"][0]["Body"]
    aws("iam").detach_role_policy(
        RoleName="role-0", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    )
    policy = aws("iam").get_policy(PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")["Policy"]
    assert policy["AttachmentCount"] == 3
    aws("ssm").put_parameter(Name="/new", Value="1", Type="String")


LOAD_ELSEWHERE = """
import sys
from pathlib import Path
from embedded.aws.server import ApiServer
from embedded.aws import view
with ApiServer() as server:
    server.load(Path(sys.argv[1]))
    print(",".join(instance.id for instance in view.snapshot().instances))
"""


def test_another_process_loads_what_this_one_saved(api: ApiServer, aws: Aws, tmp_path: Path) -> None:
    made = stack.build(aws)
    api.save(tmp_path / "cloud.state")
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ELSEWHERE, str(tmp_path / "cloud.state")],
        env={"PYTHONPATH": root, "PATH": os.environ["PATH"]},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == made["instance"]


def test_dirty_counts_changes_since_the_last_save(api: ApiServer, aws: Aws, tmp_path: Path) -> None:
    api.save(tmp_path / "cloud.state")
    assert api.dirty == 0
    aws("ec2").describe_vpcs()
    assert api.dirty == 0
    aws("ssm").put_parameter(Name="/a", Value="1", Type="String")
    aws("ssm").put_parameter(Name="/b", Value="1", Type="String")
    assert api.dirty == 2
    api.save(tmp_path / "cloud.state")
    assert api.dirty == 0
    api.reset()
    assert api.dirty == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match=r"nowhere\.state"):
        state.load(tmp_path / "nowhere.state")


@pytest.mark.parametrize("damage", ["cut", "flip", "other-moto", "other-format", "no-header", "empty"])
def test_a_damaged_file_is_refused_and_the_cloud_stays_as_it_is(
    api: ApiServer, aws: Aws, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "cloud.state"
    aws("ssm").put_parameter(Name="/saved", Value="1", Type="String")
    api.save(path)
    aws("ssm").put_parameter(Name="/after", Value="1", Type="String")
    line, payload = path.read_bytes().split(b"\n", 1)
    header = json.loads(line)
    broken = {
        "cut": line + b"\n" + payload[:-100],
        "flip": line + b"\n" + payload[:100] + bytes([payload[100] ^ 1]) + payload[101:],
        "other-moto": json.dumps(header | {"moto": "4.0.0"}).encode() + b"\n" + payload,
        "other-format": json.dumps(header | {"format": 99}).encode() + b"\n" + payload,
        "no-header": payload,
        "empty": b"",
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(StateFileError, match=r"cloud\.state"):
        api.load(path)
    assert aws("ssm").get_parameter(Name="/after")["Parameter"]["Value"] == "1"


def test_a_save_that_fails_leaves_the_last_file(
    api: ApiServer, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cloud.state"
    aws("ssm").put_parameter(Name="/saved", Value="1", Type="String")
    api.save(path)
    before = path.read_bytes()
    aws("ssm").put_parameter(Name="/after", Value="1", Type="String")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateFileError, match="No space left on device"):
        api.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert api.dirty == 1


def test_a_reset_cloud_is_like_new(api: ApiServer, aws: Aws) -> None:
    fresh = {
        "vpcs": len(aws("ec2").describe_vpcs()["Vpcs"]),
        "images": len(aws("ec2").describe_images()["Images"]),
        "policies": len(aws("iam").list_policies(Scope="AWS", MaxItems=1000)["Policies"]),
    }
    stack.build(aws)
    api.reset()
    assert fresh == {
        "vpcs": len(aws("ec2").describe_vpcs()["Vpcs"]),
        "images": len(aws("ec2").describe_images()["Images"]),
        "policies": len(aws("iam").list_policies(Scope="AWS", MaxItems=1000)["Policies"]),
    }
    assert aws("dlm").get_lifecycle_policies()["Policies"] == []
    assert aws("cloudwatch").describe_alarm_history()["AlarmHistoryItems"] == []
    stack.build(aws)
