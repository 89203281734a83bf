"""Trails and detectors live as on AWS: no trail to a bucket that does not let it in, one detector to a region."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Aws = Callable[..., Any]
Refused = Callable[..., str]
SERVICE = {"Service": "cloudtrail.amazonaws.com"}


def bucket(aws: Aws, *actions: str) -> str:
    aws("s3").create_bucket(
        Bucket="trails", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    statement = {"Effect": "Allow", "Principal": SERVICE, "Action": list(actions), "Resource": "*"}
    aws("s3").put_bucket_policy(Bucket="trails", Policy=json.dumps({"Statement": [statement]}))
    return "trails"


def test_a_trail_is_refused_by_a_bucket_that_does_not_let_it_write(aws: Aws, refused: Refused) -> None:
    """CloudTrail API reference, CreateTrail: InsufficientS3BucketPolicyException."""
    name, trails = bucket(aws, "s3:GetBucketAcl"), aws("cloudtrail")
    refused("InsufficientS3BucketPolicyException", trails.create_trail, Name="trail", S3BucketName=name)
    assert trails.describe_trails()["trailList"] == []


def test_a_trail_goes_by_its_arn(aws: Aws) -> None:
    trails = aws("cloudtrail")
    made = trails.create_trail(Name="trail", S3BucketName=bucket(aws, "s3:GetBucketAcl", "s3:PutObject"))
    trails.delete_trail(Name=made["TrailARN"])
    assert trails.describe_trails()["trailList"] == []


def test_a_region_has_one_detector_whose_tags_change(aws: Aws, refused: Refused) -> None:
    guard = aws("guardduty")
    detector = guard.create_detector(Enable=True, Tags={"Team": "a", "Owner": "b"})["DetectorId"]
    assert "already exists" in refused("BadRequestException", guard.create_detector, Enable=True)
    arn = f"arn:aws:guardduty:ap-northeast-2:123456789012:detector/{detector}"
    guard.tag_resource(ResourceArn=arn, Tags={"Team": "c"})
    guard.untag_resource(ResourceArn=arn, TagKeys=["Owner"])
    assert guard.get_detector(DetectorId=detector)["Tags"] == {"Team": "c"}
