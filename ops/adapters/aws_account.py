"""The account port on boto3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from ops.account import Image
from ops.adapters.aws import TIMEOUTS, speaking


class AwsAccount:
    """One account in one region, by the credentials that boto3 finds."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._session: Any = boto3.Session(region_name=region)

    def account_id(self) -> str:
        """Whose credentials these are."""
        with speaking("sts:GetCallerIdentity"):
            return str(self._client("sts").get_caller_identity()["Account"])

    def ensure_key(self, alias: str, description: str) -> bool:
        """A key with rotation under that alias."""
        kms = self._client("kms")
        with speaking("kms"):
            try:
                kms.describe_key(KeyId=alias)
            except kms.exceptions.NotFoundException:
                key = kms.create_key(Description=description)["KeyMetadata"]["KeyId"]
                kms.create_alias(AliasName=alias, TargetKeyId=key)
            else:
                return False
            kms.enable_key_rotation(KeyId=key)
        return True

    def ensure_state_bucket(self, name: str, key_alias: str) -> bool:
        """A versioned, encrypted, private bucket that takes TLS only; settings are put each time."""
        s3 = self._client("s3")
        with speaking(f"s3 bucket {name}"):
            made = not _exists(s3, name)
            if made:
                where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
                s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}))
            s3.put_public_access_block(
                Bucket=name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
            )
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            key = self._client("kms").describe_key(KeyId=key_alias)["KeyMetadata"]["Arn"]
            s3.put_bucket_encryption(
                Bucket=name,
                ServerSideEncryptionConfiguration={
                    "Rules": [
                        {
                            "ApplyServerSideEncryptionByDefault": {
                                "SSEAlgorithm": "aws:kms",
                                "KMSMasterKeyID": key,
                            },
                            "BucketKeyEnabled": True,
                        }
                    ]
                },
            )
            s3.put_bucket_policy(Bucket=name, Policy=_tls_only(name))
        return made

    def activate_tags(self, keys: Sequence[str]) -> Sequence[str]:
        """Activates cost-allocation tags; returns those that billing has not seen yet."""
        with speaking("ce:UpdateCostAllocationTagsStatus"):
            answer = self._client("ce").update_cost_allocation_tags_status(
                CostAllocationTagsStatus=[{"TagKey": key, "Status": "Active"} for key in keys]
            )
        return [each["TagKey"] for each in answer.get("Errors") or []]

    def image(self, parameter: str, owner: str) -> Image | None:
        """The image that the parameter names, or the owner's newest Debian 13 arm64 one."""
        ssm, ec2 = self._client("ssm"), self._client("ec2")
        with speaking("the publisher's images"):
            try:
                named = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
                found = ec2.describe_images(ImageIds=[named])["Images"]
            except ssm.exceptions.ParameterNotFound:
                found = ec2.describe_images(
                    Owners=[owner],
                    Filters=[
                        {"Name": "name", "Values": ["debian-13-arm64-*"]},
                        {"Name": "architecture", "Values": ["arm64"]},
                        {"Name": "state", "Values": ["available"]},
                    ],
                )["Images"]
        images = [
            Image(
                each["ImageId"],
                each.get("Name", ""),
                each["OwnerId"],
                each["Architecture"],
                datetime.fromisoformat(each["CreationDate"].replace("Z", "+00:00")),
            )
            for each in found
        ]
        return max(images, key=lambda image: image.created, default=None)

    def parameter_version(self, name: str) -> int | None:
        """How often a parameter was written, or None where there is none."""
        ssm = self._client("ssm")
        with speaking("ssm:GetParameter"):
            try:
                return int(ssm.get_parameter(Name=name)["Parameter"]["Version"])
            except ssm.exceptions.ParameterNotFound:
                return None

    def put_secret(self, name: str, value: str) -> None:
        """Writes a secret into a parameter that exists, under the key that it has."""
        ssm = self._client("ssm")
        with speaking("ssm:PutParameter"):
            (about,) = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])[
                "Parameters"
            ]
            key = {"KeyId": about["KeyId"]} if about.get("KeyId") else {}
            ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True, **key)

    def _client(self, service: str) -> Any:
        # Cost Explorer answers in us-east-1 alone.
        region = "us-east-1" if service == "ce" else self.region
        return self._session.client(service, region_name=region, config=TIMEOUTS)


def _exists(s3: Any, name: str) -> bool:
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _tls_only(name: str) -> str:
    arn = f"arn:aws:s3:::{name}"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [arn, f"{arn}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )
