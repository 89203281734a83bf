"""The only place for how a bucket is made: versioned, TLS only, private, aged as infra/core/storage.py says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import s3

from infra.components.base import Component, Context, policy
from infra.core.storage import BUCKETS, BucketPlan, BucketRole, Rule

ABORT_UPLOAD_DAYS = 7
TRAIL_PREFIX = "trail"
"""Where in the logs bucket CloudTrail writes."""


class Buckets(Component):
    """The stack's four buckets.

    Attributes:
        buckets, names, arns: by role.
    """

    buckets: Mapping[BucketRole, Bucket]
    names: Mapping[BucketRole, pulumi.Output[str]]
    arns: Mapping[BucketRole, pulumi.Output[str]]

    def __init__(self, context: Context, *, key_arn: pulumi.Input[str], parent: pulumi.Resource) -> None:
        super().__init__("storage:Buckets", "buckets", parent)
        buckets = {
            role: Bucket(context, plan, key_arn=key_arn, parent=self) for role, plan in BUCKETS.items()
        }
        self.buckets = buckets
        self.names = {role: bucket.bucket_name for role, bucket in buckets.items()}
        self.arns = {role: bucket.arn for role, bucket in buckets.items()}
        self.register_outputs({})


class Bucket(Component):
    """One bucket and what makes it safe; `name` and `region` where they are not the role's and the stack's.

    Attributes:
        bucket_name, arn: ready to be written to once its policy stands.
    """

    bucket_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        plan: BucketPlan,
        *,
        key_arn: pulumi.Input[str],
        parent: pulumi.Resource,
        name: str = "",
        region: str | None = None,
    ) -> None:
        role = name or plan.role.value
        super().__init__("storage:Bucket", role, parent)
        bucket = s3.Bucket(
            role,
            region=region,
            bucket=context.naming.bucket(role, context.account_id),
            tags=context.tags(role, Purpose=plan.purpose),
            opts=context.holding_data(self),
        )
        s3.BucketVersioning(
            role,
            bucket=bucket.id,
            region=region,
            versioning_configuration={"status": "Enabled"},
            opts=self.child,
        )
        s3.BucketOwnershipControls(
            role,
            bucket=bucket.id,
            region=region,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=self.child,
        )
        s3.BucketServerSideEncryptionConfiguration(
            role, bucket=bucket.id, region=region, rules=[_encryption(plan, key_arn)], opts=self.child
        )
        blocked = s3.BucketPublicAccessBlock(
            role,
            bucket=bucket.id,
            region=region,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child,
        )
        s3.BucketLifecycleConfiguration(
            role,
            bucket=bucket.id,
            region=region,
            rules=[_lifecycle(rule) for rule in plan.rules],
            opts=self.child,
        )
        allowed = s3.BucketPolicy(
            role,
            bucket=bucket.id,
            region=region,
            policy=policy(*_statements(context, plan, bucket.arn)),
            # S3 answers OperationAborted where policy and public access block are changed at once.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[blocked]),
        )
        self.bucket_name = pulumi.Output.all(bucket.id, allowed.id).apply(lambda both: str(both[0]))
        self.arn = pulumi.Output.all(bucket.arn, allowed.id).apply(lambda both: str(both[0]))
        self.register_outputs({})


def _encryption(
    plan: BucketPlan, key_arn: pulumi.Input[str]
) -> s3.BucketServerSideEncryptionConfigurationRuleArgs:
    default = s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs
    if not plan.sse_kms:
        return s3.BucketServerSideEncryptionConfigurationRuleArgs(
            apply_server_side_encryption_by_default=default(sse_algorithm="AES256")
        )
    return s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=default(sse_algorithm="aws:kms", kms_master_key_id=key_arn),
        bucket_key_enabled=True,
    )


def _lifecycle(rule: Rule) -> s3.BucketLifecycleConfigurationRuleArgs:
    return s3.BucketLifecycleConfigurationRuleArgs(
        id=rule.name,
        status="Enabled",
        filter=_filter(rule),
        transitions=[
            s3.BucketLifecycleConfigurationRuleTransitionArgs(
                days=tier.days, storage_class=tier.storage_class
            )
            for tier in rule.tiers
        ]
        or None,
        expiration=(
            s3.BucketLifecycleConfigurationRuleExpirationArgs(days=rule.expire_days)
            if rule.expire_days
            else None
        ),
        noncurrent_version_expiration=(
            s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=rule.noncurrent_expire_days
            )
            if rule.noncurrent_expire_days
            else None
        ),
        # S3 refuses this action in a rule that filters by size (S3 User Guide, "Lifecycle configuration elements").
        abort_incomplete_multipart_upload=(
            None
            if rule.larger_than_bytes
            else s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=ABORT_UPLOAD_DAYS
            )
        ),
    )


def _filter(rule: Rule) -> s3.BucketLifecycleConfigurationRuleFilterArgs:
    if rule.prefix and rule.larger_than_bytes:
        both = s3.BucketLifecycleConfigurationRuleFilterAndArgs(
            prefix=rule.prefix, object_size_greater_than=rule.larger_than_bytes
        )
        return s3.BucketLifecycleConfigurationRuleFilterArgs(and_=both)
    if rule.larger_than_bytes:
        return s3.BucketLifecycleConfigurationRuleFilterArgs(object_size_greater_than=rule.larger_than_bytes)
    return s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=rule.prefix)


def _statements(context: Context, plan: BucketPlan, arn: pulumi.Output[str]) -> list[dict[str, Any]]:
    objects = pulumi.Output.concat(arn, "/*")
    statements: list[dict[str, Any]] = [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, objects],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if plan.role is BucketRole.LOGS:
        statements += _log_delivery(context, arn)
        if context.records_account:
            statements += _trail_delivery(context, arn)
    return statements


def _trail_delivery(context: Context, arn: pulumi.Output[str]) -> list[dict[str, Any]]:
    """What CloudTrail needs (CloudTrail User Guide, "Amazon S3 bucket policy for CloudTrail")."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    ours = {"aws:SourceArn": context.trail_arn}
    return [
        {
            "Sid": "TrailLooks",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:GetBucketAcl",
            "Resource": arn,
            "Condition": {"StringEquals": ours},
        },
        {
            "Sid": "TrailWrites",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:PutObject",
            "Resource": pulumi.Output.concat(arn, f"/{TRAIL_PREFIX}/AWSLogs/", context.account_id, "/*"),
            "Condition": {"StringEquals": {**ours, "s3:x-amz-acl": "bucket-owner-full-control"}},
        },
    ]


def _log_delivery(context: Context, arn: pulumi.Output[str]) -> list[dict[str, Any]]:
    """What flow logs and the load balancer's access logs need.

    VPC User Guide, "Amazon S3 bucket permissions for flow logs"; ELB User Guide, "Access logs for your Application
    Load Balancer", the log delivery principal of all regions (verify on a real account: older regions also knew
    an account's root in its place).
    """
    service = {"Service": "delivery.logs.amazonaws.com"}
    ours = {
        "StringEquals": {"aws:SourceAccount": context.account_id},
        "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{context.settings.region}:{context.account_id}:*"},
    }
    path = pulumi.Output.concat(arn, "/AWSLogs/", context.account_id, "/*")
    return [
        {
            "Sid": "LogDeliveryWrites",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:PutObject",
            "Resource": path,
            "Condition": {
                **ours,
                "StringEquals": {**ours["StringEquals"], "s3:x-amz-acl": "bucket-owner-full-control"},
            },
        },
        {
            "Sid": "LogDeliveryLooks",
            "Effect": "Allow",
            "Principal": service,
            "Action": ["s3:GetBucketAcl", "s3:ListBucket"],
            "Resource": arn,
            "Condition": ours,
        },
        {
            "Sid": "BalancerWrites",
            "Effect": "Allow",
            "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": pulumi.Output.concat(arn, "/balancer/AWSLogs/", context.account_id, "/*"),
        },
    ]
