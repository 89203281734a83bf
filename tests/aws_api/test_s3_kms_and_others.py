"""Buckets, keys, load balancers and queues behave as on AWS where moto would let a mistake through."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from embedded.aws.environment import DEFAULT_REGION

from .support import Network

Aws = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def bucket(aws: Aws) -> str:
    aws("s3").create_bucket(
        Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": DEFAULT_REGION}
    )
    return "uploads"


def test_a_new_bucket_is_encrypted_and_closed_without_asking(aws: Aws, bucket: str) -> None:
    s3 = aws("s3")
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_what_is_taken_from_a_bucket_is_gone_except_its_encryption(
    aws: Aws, bucket: str, refused: Refused
) -> None:
    s3 = aws("s3")
    s3.delete_public_access_block(Bucket=bucket)
    refused("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block, Bucket=bucket)
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    refused("OwnershipControlsNotFoundError", s3.get_bucket_ownership_controls, Bucket=bucket)
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3.delete_bucket_encryption(Bucket=bucket)
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_a_replicated_bucket_copies_what_is_written_from_then_on_and_follows_deletions(
    aws: Aws, bucket: str
) -> None:
    s3, away = aws("s3"), aws("s3", "ap-northeast-1")
    away.create_bucket(Bucket="away", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    for each in (bucket, "away"):
        s3.put_bucket_versioning(Bucket=each, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="earlier", Body=b"1")
    rule = {
        "ID": "everything", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
        "Destination": {
            "Bucket": "arn:aws:s3:::away", "EncryptionConfiguration": {"ReplicaKmsKeyID": "arn:there"},
        },
    }  # fmt: skip
    role = "arn:aws:iam::123456789012:role/copies"
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": [rule]})

    written = s3.put_object(
        Bucket=bucket, Key="wal", Body=b"2", Metadata={"a": "b"}, ServerSideEncryption="aws:kms",
        SSEKMSKeyId="arn:here",
    )  # fmt: skip
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"3")
    s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    assert {each["Key"] for each in away.list_objects_v2(Bucket="away")["Contents"]} == {"wal", "parts"}
    copy = away.get_object(Bucket="away", Key="wal")
    assert (copy["Body"].read(), copy["Metadata"], copy["SSEKMSKeyId"]) == (b"2", {"a": "b"}, "arn:there")
    assert copy["VersionId"] == written["VersionId"]
    assert away.get_object(Bucket="away", Key="parts")["Body"].read() == b"3"

    s3.delete_object(
        Bucket=bucket, Key="parts", VersionId=s3.head_object(Bucket=bucket, Key="parts")["VersionId"]
    )
    s3.delete_object(Bucket=bucket, Key="wal")
    assert [each["Key"] for each in away.list_objects_v2(Bucket="away")["Contents"]] == ["parts"]
    assert away.get_object(Bucket="away", Key="wal", VersionId=written["VersionId"])["Body"].read() == b"2"


RULES: list[dict[str, Any]] = [
    {
        "ID": "tiers",
        "Status": "Enabled",
        "Filter": {
            "And": {
                "Prefix": "receipts/",
                "ObjectSizeGreaterThan": 131_072,
                "Tags": [{"Key": "a", "Value": "b"}],
            }
        },
        "Transitions": [
            {"Days": 30, "StorageClass": "STANDARD_IA"},
            {"Days": 90, "StorageClass": "GLACIER_IR"},
            {"Days": 365, "StorageClass": "DEEP_ARCHIVE"},
        ],
        "Expiration": {"Days": 2555},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 3},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
    {"ID": "small", "Status": "Disabled", "Filter": {"ObjectSizeLessThan": 1024}, "Expiration": {"Days": 1}},
    {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionTransitions": [
            {"NoncurrentDays": 30, "StorageClass": "GLACIER_IR", "NewerNoncurrentVersions": 1}
        ],
    },
]


def test_a_lifecycle_rule_keeps_every_part(aws: Aws, bucket: str) -> None:
    s3 = aws("s3")
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": RULES},
        TransitionDefaultMinimumObjectSize="varies_by_storage_class",
    )
    shown = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert shown["Rules"] == RULES
    assert shown["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Transitions": [{"Days": 7, "StorageClass": "STANDARD_IA"}]},
        {"Transitions": [{"Days": 90, "StorageClass": "GLACIER_IR"}], "Expiration": {"Days": 60}},
    ],
)
def test_a_lifecycle_rule_that_cannot_be_is_refused(
    aws: Aws, bucket: str, refused: Refused, wrong: dict[str, Any]
) -> None:
    rule = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}} | wrong
    put = aws("s3").put_bucket_lifecycle_configuration
    refused("InvalidArgument", put, Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})


def test_a_versioned_bucket_with_only_delete_markers_and_old_versions_is_not_empty(
    aws: Aws, bucket: str, refused: Refused
) -> None:
    s3 = aws("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="receipt", Body=b"1")
    s3.delete_object(Bucket=bucket, Key="receipt")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    found = s3.list_object_versions(Bucket=bucket)
    for version in (*found["Versions"], *found["DeleteMarkers"]):
        s3.delete_object(Bucket=bucket, Key="receipt", VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def test_flow_logs_go_to_a_prefix_of_a_bucket(aws: Aws, bucket: str, network: Network) -> None:
    destination = f"arn:aws:s3:::{bucket}/flow-logs/"
    ec2 = aws("ec2")
    made = ec2.create_flow_logs(
        ResourceIds=[network.vpc],
        ResourceType="VPC",
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination=destination,
    )
    assert made["Unsuccessful"] == []
    shown = ec2.describe_flow_logs(FlowLogIds=made["FlowLogIds"])["FlowLogs"][0]
    assert shown["LogDestination"] == destination


def test_a_policy_that_asks_for_tls_lets_requests_through_and_any_other_refusal_stands(
    aws: Aws, bucket: str, refused: Refused
) -> None:
    s3, arn = aws("s3"), f"arn:aws:s3:::{bucket}"
    tls_only = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }  # fmt: skip
    closed = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/closed/*"}
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls_only, closed]})
    )
    s3.put_object(Bucket=bucket, Key="open", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key="open")["Body"].read() == b"1"
    refused("403", s3.put_object, Bucket=bucket, Key="closed/x", Body=b"1")
    assert len(json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]) == 2


def test_a_presigned_upload_is_there(aws: Aws, bucket: str) -> None:
    import urllib.request

    s3 = aws("s3")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/ü.jpg"})
    urllib.request.urlopen(urllib.request.Request(url, data=b"jpeg", method="PUT")).close()  # noqa: S310
    assert s3.get_object(Bucket=bucket, Key="a b/ü.jpg")["Body"].read() == b"jpeg"


@pytest.fixture
def key(aws: Aws) -> str:
    made = aws("kms").create_key()["KeyMetadata"]["KeyId"]
    aws("kms").create_alias(AliasName="alias/data", TargetKeyId=made)
    return str(made)


def test_a_key_that_awaits_deletion_does_nothing(aws: Aws, key: str, refused: Refused) -> None:
    kms = aws("kms")
    secret = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    code = "KMSInvalidStateException"
    refused(code, kms.encrypt, KeyId="alias/data", Plaintext=b"x")
    refused(code, kms.decrypt, CiphertextBlob=secret)
    refused(code, kms.generate_data_key, KeyId=key, KeySpec="AES_256")
    refused(code, kms.enable_key, KeyId=key)
    refused(code, kms.enable_key_rotation, KeyId=key)
    refused(code, kms.create_alias, AliasName="alias/other", TargetKeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_key_is_disabled_after_its_deletion_was_called_off(aws: Aws, key: str, refused: Refused) -> None:
    kms = aws("kms")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    kms.cancel_key_deletion(KeyId=key)
    refused("DisabledException", kms.encrypt, KeyId=key, Plaintext=b"x")
    kms.enable_key(KeyId=key)
    assert (
        kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"])["Plaintext"]
        == b"x"
    )


def test_a_protected_load_balancer_cannot_be_deleted(aws: Aws, network: Network, refused: Refused) -> None:
    elb = aws("elbv2")
    made = elb.create_load_balancer(Name="web", Subnets=network.subnets)["LoadBalancers"][0][
        "LoadBalancerArn"
    ]

    def protect(value: str) -> None:
        attribute = {"Key": "deletion_protection.enabled", "Value": value}
        elb.modify_load_balancer_attributes(LoadBalancerArn=made, Attributes=[attribute])

    protect("true")
    refused("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=made)
    protect("false")
    elb.delete_load_balancer(LoadBalancerArn=made)


def test_a_log_group_keeps_logs_only_for_times_that_there_are(aws: Aws, refused: Refused) -> None:
    logs = aws("logs")
    logs.create_log_group(logGroupName="app")
    refused("InvalidParameterException", logs.put_retention_policy, logGroupName="app", retentionInDays=33)
    logs.put_retention_policy(logGroupName="app", retentionInDays=30)


def test_who_waits_for_a_message_holds_up_nobody(aws: Aws) -> None:
    sqs = aws("sqs")
    queue = sqs.create_queue(QueueName="mails")["QueueUrl"]
    got: list[Any] = []
    waiting = threading.Thread(
        target=lambda: got.append(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)), daemon=True
    )
    waiting.start()
    time.sleep(0.3)
    started = time.monotonic()
    aws("ec2").describe_vpcs()
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert time.monotonic() - started < 5
    waiting.join(10)
    assert [message["Body"] for message in got[0]["Messages"]] == ["hello"]
