"""The only place for the stack's key and for what the application is told: settings in clear, secrets by name.

A secret's parameter is made with a stand-in through SSM's write-only argument, so neither the stand-in nor the value
that `scripts/account.py set` fills in later is ever read into the state.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi
from pulumi_aws import kms, ssm

from infra.components.base import Component, Context
from infra.core.naming import BACKUP_PASSPHRASE, UNSET

KEY_DELETION_DAYS = 30
"""How long a key can be brought back: 7 to 30 (KMS API reference, ScheduleKeyDeletion)."""


class Secrets(Component):
    """One KMS key with yearly rotation, and the parameters of the application.

    Attributes:
        key_arn, key_id: the key that encrypts volumes, buckets, topics, logs and parameters.
    """

    key_arn: pulumi.Output[str]
    key_id: pulumi.Output[str]

    def __init__(self, context: Context, *, parent: pulumi.Resource) -> None:
        super().__init__("secrets:Secrets", "secrets", parent)
        key = kms.Key(
            "key",
            description=f"Everything that {context.naming.prefix} keeps",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            policy=key_policy(context),
            tags=context.tags("key"),
            opts=context.holding_data(self),
        )
        kms.Alias("key", name=f"alias/{context.naming.prefix}", target_key_id=key.key_id, opts=self.child)
        for name, value in context.settings.app_settings.items():
            ssm.Parameter(
                name,
                name=context.naming.parameter("app", name),
                type="String",
                insecure_value=value,
                tags=context.tags(f"app/{name}"),
                opts=self.child,
            )
        for name in context.settings.app_secrets:
            ssm.Parameter(
                name,
                name=context.naming.parameter("app", name),
                type="SecureString",
                key_id=key.arn,
                value_wo=UNSET,
                value_wo_version=1,
                tags=context.tags(f"app/{name}"),
                opts=self.child,
            )
        # Without it no backup can be opened: held on to as what holds data is.
        ssm.Parameter(
            "backup-passphrase",
            name=context.naming.parameter(BACKUP_PASSPHRASE),
            type="SecureString",
            key_id=key.arn,
            value_wo=UNSET,
            value_wo_version=1,
            tags=context.tags("backup-passphrase"),
            opts=context.holding_data(self),
        )
        self.key_arn, self.key_id = key.arn, key.key_id
        self.register_outputs({})


def key_policy(context: Context) -> str:
    """The account administers the key through IAM; AWS services use it for this account's things only."""
    account = {"StringEquals": {"aws:SourceAccount": context.account_id}}
    region = context.settings.region
    logs = f"arn:aws:logs:{region}:{context.account_id}:log-group:{context.naming.log_group()}*"
    use = ["kms:Decrypt", "kms:GenerateDataKey*"]
    trail = _trail(context) if context.records_account else []
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "AccountAdministers",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{context.account_id}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Sid": "LogsEncrypt",
                    "Effect": "Allow",
                    "Principal": {"Service": f"logs.{region}.amazonaws.com"},
                    "Action": ["kms:Encrypt*", *use, "kms:ReEncrypt*", "kms:Describe*"],
                    "Resource": "*",
                    "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
                },
                {
                    "Sid": "AlarmsPublish",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": use,
                    "Resource": "*",
                    "Condition": account,
                },
                *trail,
            ],
        }
    )


def _trail(context: Context) -> list[dict[str, Any]]:
    """CloudTrail User Guide, "Configure AWS KMS key policies for CloudTrail"."""
    service, ours = {"Service": "cloudtrail.amazonaws.com"}, {"aws:SourceArn": context.trail_arn}
    trails = f"arn:aws:cloudtrail:*:{context.account_id}:trail/*"
    return [
        {
            "Sid": "TrailEncrypts",
            "Effect": "Allow",
            "Principal": service,
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {
                "StringEquals": ours,
                "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": trails},
            },
        },
        {
            "Sid": "TrailLooks",
            "Effect": "Allow",
            "Principal": service,
            "Action": "kms:DescribeKey",
            "Resource": "*",
            "Condition": {"StringEquals": ours},
        },
    ]
