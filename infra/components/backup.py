"""The only place for copies of volumes: snapshots by DLM always, AWS Backup as a switch."""

from __future__ import annotations

import pulumi
from pulumi_aws import backup, dlm, iam

from infra.components.base import Component, Context, trust
from infra.components.data import SNAPSHOT_TAG

DAILY_AT_UTC = "18:00"
"""03:00 in Seoul, when nobody eats."""
WEEKLY_CRON_UTC = "cron(0 19 ? * SAT *)"
MANAGED = "arn:aws:iam::aws:policy/service-role/"


class Snapshots(Component):
    """Daily and weekly snapshots of every volume that carries the stack's snapshot tag."""

    def __init__(self, context: Context, *, parent: pulumi.Resource) -> None:
        super().__init__("backup:Snapshots", "snapshots", parent)
        role = iam.Role(
            "snapshots",
            name=context.naming.physical("snapshots"),
            assume_role_policy=trust(
                "dlm.amazonaws.com", StringEquals={"aws:SourceAccount": context.account_id}
            ),
            tags=context.tags("snapshots"),
            opts=self.child,
        )
        iam.RolePolicyAttachment(
            "snapshots",
            role=role.name,
            policy_arn=f"{MANAGED}AWSDataLifecycleManagerServiceRole",
            opts=self.child,
        )
        keep = context.settings.backup
        schedules = [
            _schedule("daily", keep.daily_snapshots, interval=24, interval_unit="HOURS", times=DAILY_AT_UTC)
        ]
        if keep.weekly_snapshots:
            schedules.append(_schedule("weekly", keep.weekly_snapshots, cron_expression=WEEKLY_CRON_UTC))
        dlm.LifecyclePolicy(
            "snapshots",
            description=f"Snapshots of {context.naming.prefix}",
            execution_role_arn=role.arn,
            state="ENABLED",
            policy_details=dlm.LifecyclePolicyPolicyDetailsArgs(
                policy_type="EBS_SNAPSHOT_MANAGEMENT",
                resource_types=["VOLUME"],
                target_tags={SNAPSHOT_TAG: context.naming.prefix},
                schedules=schedules,
            ),
            tags=context.tags("snapshots"),
            opts=self.child,
        )
        self.register_outputs({})


def _schedule(
    name: str,
    kept: int,
    *,
    interval: int | None = None,
    interval_unit: str | None = None,
    times: str | None = None,
    cron_expression: str | None = None,
) -> dlm.LifecyclePolicyPolicyDetailsScheduleArgs:
    return dlm.LifecyclePolicyPolicyDetailsScheduleArgs(
        name=name,
        copy_tags=True,
        tags_to_add={"Snapshot": name},
        create_rule=dlm.LifecyclePolicyPolicyDetailsScheduleCreateRuleArgs(
            interval=interval, interval_unit=interval_unit, times=times, cron_expression=cron_expression
        ),
        retain_rule=dlm.LifecyclePolicyPolicyDetailsScheduleRetainRuleArgs(count=kept),
    )


class BackupVault(Component):
    """AWS Backup of the data volume into a vault of its own: the same days, other hands."""

    def __init__(
        self,
        context: Context,
        *,
        volume_arn: pulumi.Input[str],
        key_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("backup:BackupVault", "backup", parent)
        vault = backup.Vault(
            "backup",
            name=context.naming.physical("backup"),
            kms_key_arn=key_arn,
            tags=context.tags("backup"),
            opts=context.holding_data(self),
        )
        role = iam.Role(
            "backup",
            name=context.naming.physical("backup"),
            assume_role_policy=trust("backup.amazonaws.com"),
            tags=context.tags("backup"),
            opts=self.child,
        )
        for short in ("Backup", "Restores"):
            iam.RolePolicyAttachment(
                f"backup-{short.lower()}",
                role=role.name,
                policy_arn=f"{MANAGED}AWSBackupServiceRolePolicyFor{short}",
                opts=self.child,
            )
        plan = backup.Plan(
            "backup",
            name=context.naming.physical("backup"),
            rules=[
                backup.PlanRuleArgs(
                    rule_name="daily",
                    target_vault_name=vault.name,
                    schedule="cron(0 18 * * ? *)",
                    lifecycle=backup.PlanRuleLifecycleArgs(
                        delete_after=context.settings.backup.daily_snapshots
                    ),
                )
            ],
            tags=context.tags("backup"),
            opts=self.child,
        )
        backup.Selection(
            "backup",
            name=context.naming.physical("data"),
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=[volume_arn],
            opts=self.child,
        )
        self.register_outputs({})
