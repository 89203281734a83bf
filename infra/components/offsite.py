"""The only place for the off-site copy: the backups bucket, replicated into a bucket with a key in another region.

Everything is made with this stack's provider: each resource names its region itself.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pulumi
from pulumi_aws import iam, kms, s3

from infra.components.base import Component, Context, policy, trust
from infra.components.secrets import KEY_DELETION_DAYS
from infra.components.storage import Bucket
from infra.core.storage import BUCKETS, BucketRole

NAME = "offsite"


class OffsiteCopy(Component):
    """The copy of the backups bucket in `region`; what is deleted there stays here as an old version for 30 days.

    Attributes:
        bucket_name: where a restore reads when the stack's own region is lost.
    """

    bucket_name: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        *,
        region: str,
        source: Bucket,
        source_key_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("offsite:OffsiteCopy", NAME, parent)
        account = {"AWS": f"arn:aws:iam::{context.account_id}:root"}
        key = kms.Key(
            NAME,
            region=region,
            description=f"The off-site copy of what {context.naming.prefix} backs up",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "AccountAdministers",
                            "Effect": "Allow",
                            "Principal": account,
                            "Action": "kms:*",
                            "Resource": "*",
                        }
                    ],
                }
            ),
            tags=context.tags(NAME),
            opts=context.holding_data(self),
        )
        plan = replace(BUCKETS[BucketRole.BACKUPS], purpose="the off-site copy of the backups")
        copy = Bucket(context, plan, name=NAME, region=region, key_arn=key.arn, parent=self)
        role = iam.Role(
            NAME,
            name=context.naming.physical(NAME),
            assume_role_policy=trust(
                "s3.amazonaws.com", StringEquals={"aws:SourceAccount": context.account_id}
            ),
            tags=context.tags(NAME),
            opts=self.child,
        )
        # S3 User Guide, "Setting up permissions for live replication", "Replicating encrypted objects".
        allowed = iam.RolePolicy(
            NAME,
            role=role.name,
            policy=policy(
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
                    "Resource": source.arn,
                },
                {
                    "Effect": "Allow",
                    "Action": [
                        "s3:GetObjectVersionForReplication",
                        "s3:GetObjectVersionAcl",
                        "s3:GetObjectVersionTagging",
                    ],
                    "Resource": pulumi.Output.concat(source.arn, "/*"),
                },
                {
                    "Effect": "Allow",
                    "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
                    "Resource": pulumi.Output.concat(copy.arn, "/*"),
                },
                _use("kms:Decrypt", source_key_arn, context.settings.region),
                _use("kms:Encrypt", key.arn, region),
            ),
            opts=self.child,
        )
        s3.BucketReplicationConfig(
            NAME,
            bucket=source.bucket_name,
            role=role.arn,
            rules=[
                s3.BucketReplicationConfigRuleArgs(
                    id="everything",
                    status="Enabled",
                    priority=1,
                    filter=s3.BucketReplicationConfigRuleFilterArgs(prefix=""),
                    # pgBackRest's expiry is followed; noncurrent versions stay for their 30 days.
                    delete_marker_replication=s3.BucketReplicationConfigRuleDeleteMarkerReplicationArgs(
                        status="Enabled"
                    ),
                    source_selection_criteria=s3.BucketReplicationConfigRuleSourceSelectionCriteriaArgs(
                        sse_kms_encrypted_objects=s3.BucketReplicationConfigRuleSourceSelectionCriteriaSseKmsEncryptedObjectsArgs(
                            status="Enabled"
                        )
                    ),
                    destination=s3.BucketReplicationConfigRuleDestinationArgs(
                        bucket=copy.arn,
                        encryption_configuration=s3.BucketReplicationConfigRuleDestinationEncryptionConfigurationArgs(
                            replica_kms_key_id=key.arn
                        ),
                    ),
                )
            ],
            # S3 refuses a replication before both buckets keep versions.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[source, copy, allowed]),
        )
        self.bucket_name = copy.bucket_name
        self.register_outputs({})


def _use(action: str, key_arn: pulumi.Input[str], region: str) -> dict[str, object]:
    """A key, through S3 in its own region alone."""
    through = {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}
    return {"Effect": "Allow", "Action": action, "Resource": key_arn, "Condition": through}
