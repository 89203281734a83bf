"""Snapshot policies (DLM) and AWS Backup."""

from __future__ import annotations

from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAG_MAP,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Scope,
    Update,
    found,
    from_inputs,
    given,
    tag_list,
    text,
)


def _policy_details(inputs: Any) -> dict[str, Any]:
    """DLM's spelling of a policy: tags as lists, `times` as a list of one."""
    details = inputs["policyDetails"]
    return {
        "PolicyType": details.get("policyType"),
        "ResourceTypes": details.get("resourceTypes"),
        "TargetTags": tag_list(details.get("targetTags")),
        "Schedules": [_schedule(each) for each in details.get("schedules") or []],
    }


def _schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    rule = schedule["createRule"]
    create: dict[str, Any] = (
        {"CronExpression": rule["cronExpression"]}
        if rule.get("cronExpression")
        else {
            "Interval": rule["interval"],
            "IntervalUnit": rule.get("intervalUnit", "HOURS"),
            **({"Times": [rule["times"]]} if rule.get("times") else {}),
        }
    )
    return {
        "Name": schedule["name"],
        "CopyTags": schedule.get("copyTags", False),
        "TagsToAdd": tag_list(schedule.get("tagsToAdd")),
        "CreateRule": create,
        "RetainRule": schedule["retainRule"],
    }


def _details_seen(scope: Scope) -> dict[str, Any] | None:
    details = scope.answer.get("PolicyDetails")
    if not details:
        return None
    return {
        "policyType": details.get("PolicyType"),
        "resourceTypes": details.get("ResourceTypes"),
        "targetTags": {each["Key"]: each["Value"] for each in details.get("TargetTags") or []},
        "schedules": [_schedule_seen(each) for each in details.get("Schedules") or []],
    }


def _schedule_seen(schedule: dict[str, Any]) -> dict[str, Any]:
    rule = schedule["CreateRule"]
    return {
        "name": schedule["Name"],
        "copyTags": schedule.get("CopyTags"),
        "tagsToAdd": {each["Key"]: each["Value"] for each in schedule.get("TagsToAdd") or []},
        "createRule": {
            "interval": rule.get("Interval"),
            "intervalUnit": rule.get("IntervalUnit"),
            "times": next(iter(rule.get("Times") or []), None),
            "cronExpression": rule.get("CronExpression"),
        },
        "retainRule": {"count": (schedule.get("RetainRule") or {}).get("Count")},
    }


def _plan(inputs: Any) -> dict[str, Any]:
    return {
        "BackupPlanName": inputs["name"],
        "Rules": [
            {
                "RuleName": rule["ruleName"],
                "TargetBackupVaultName": rule["targetVaultName"],
                **({"ScheduleExpression": rule["schedule"]} if rule.get("schedule") else {}),
                **(
                    {"Lifecycle": {"DeleteAfterDays": rule["lifecycle"]["deleteAfter"]}}
                    if (rule.get("lifecycle") or {}).get("deleteAfter")
                    else {}
                ),
            }
            for rule in inputs["rules"]
        ],
    }


def _plan_rules_seen(scope: Scope) -> list[dict[str, Any]]:
    return [
        {
            "ruleName": rule["RuleName"],
            "targetVaultName": rule["TargetBackupVaultName"],
            "schedule": rule.get("ScheduleExpression"),
            "lifecycle": {"deleteAfter": (rule.get("Lifecycle") or {}).get("DeleteAfterDays")},
        }
        for rule in (scope.answer.get("BackupPlan") or {}).get("Rules") or []
    ]


def _backup_tags(arn: Expression) -> Update:
    return Update(
        ("tags",),
        (
            Call("backup.untag_resource", {"ResourceArn": arn, "TagKeyList": GONE_TAGS}, when=GONE_TAGS),
            Call("backup.tag_resource", {"ResourceArn": arn, "Tags": TAG_MAP}, when=TAGS),
        ),
    )


VAULT_ARN = text("arn:aws:backup:{region}:{account}:backup-vault:{id}")
PLAN_ARN = text("arn:aws:backup:{region}:{account}:backup-plan:{id}")
POLICY_ARN = text("arn:aws:dlm:{region}:{account}:policy/{id}")

KINDS = (
    Kind(
        "aws:dlm/lifecyclePolicy:LifecyclePolicy",
        create=Call(
            "dlm.create_lifecycle_policy",
            {"PolicyDetails": from_inputs("policyDetails")(_policy_details), "Tags": TAG_MAP},
            auto=True,
        ),
        id=found("PolicyId"),
        read=(Read("dlm.get_lifecycle_policy", {"PolicyId": ID}, at="Policy"),),
        updates=(
            Update(
                ("policyDetails", "description", "executionRoleArn", "state"),
                (
                    Call(
                        "dlm.update_lifecycle_policy",
                        {"PolicyId": ID, "PolicyDetails": from_inputs("policyDetails")(_policy_details)},
                        auto=True,
                    ),
                ),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "dlm.untag_resource",
                        {"ResourceArn": POLICY_ARN, "TagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call("dlm.tag_resource", {"ResourceArn": POLICY_ARN, "Tags": TAG_MAP}, when=TAGS),
                ),
            ),
        ),
        outputs={"arn": POLICY_ARN, "policyDetails": Expression(_details_seen)},
        delete=(Call("dlm.delete_lifecycle_policy", {"PolicyId": ID}),),
    ),
    Kind(
        "aws:backup/vault:Vault",
        autoname="name",
        create=Call(
            "backup.create_backup_vault",
            {
                "BackupVaultName": given("name"),
                "EncryptionKeyArn": given("kmsKeyArn"),
                "BackupVaultTags": TAG_MAP,
            },
        ),
        id=Expression(lambda scope: scope.inputs["name"]),
        read=(
            Read("backup.describe_backup_vault", {"BackupVaultName": ID}),
            Read("backup.list_tags", {"ResourceArn": VAULT_ARN}, at="{Tags: Tags}"),
        ),
        updates=(_backup_tags(VAULT_ARN), Update(("forceDestroy",), ())),
        outputs={
            "name": ID,
            "arn": VAULT_ARN,
            "kmsKeyArn": found("EncryptionKeyArn"),
            "recoveryPoints": found("NumberOfRecoveryPoints"),
        },
        write_only=("forceDestroy",),
        not_carried={"forceDestroy": "read at deletion"},
        delete=(Call("backup.delete_backup_vault", {"BackupVaultName": ID}),),
    ),
    Kind(
        "aws:backup/plan:Plan",
        autoname="name",
        create=Call(
            "backup.create_backup_plan",
            {"BackupPlan": from_inputs("name", "rules")(_plan), "BackupPlanTags": TAG_MAP},
        ),
        id=found("BackupPlanId"),
        read=(
            Read("backup.get_backup_plan", {"BackupPlanId": ID}),
            Read("backup.list_tags", {"ResourceArn": PLAN_ARN}, at="{Tags: Tags}"),
        ),
        updates=(
            Update(
                ("name", "rules"),
                (
                    Call(
                        "backup.update_backup_plan",
                        {"BackupPlanId": ID, "BackupPlan": from_inputs("name", "rules")(_plan)},
                    ),
                ),
            ),
            _backup_tags(PLAN_ARN),
        ),
        outputs={
            "arn": PLAN_ARN,
            "name": found("BackupPlan.BackupPlanName"),
            "rules": Expression(_plan_rules_seen),
            "version": found("VersionId"),
        },
        delete=(Call("backup.delete_backup_plan", {"BackupPlanId": ID}),),
    ),
    Kind(
        "aws:backup/selection:Selection",
        autoname="name",
        create=Call(
            "backup.create_backup_selection",
            {
                "BackupPlanId": given("planId"),
                "BackupSelection": {
                    "SelectionName": given("name"),
                    "IamRoleArn": given("iamRoleArn"),
                    "Resources": given("resources"),
                },
            },
        ),
        id=found("SelectionId"),
        read=(
            Read(
                "backup.get_backup_selection",
                {"BackupPlanId": given("planId"), "SelectionId": ID},
                at="BackupSelection",
            ),
        ),
        outputs={"planId": given("planId"), "name": found("SelectionName")},
        delete=(
            Call(
                "backup.delete_backup_selection",
                {"BackupPlanId": given("planId"), "SelectionId": ID},
                missing_is_fine=True,
            ),
        ),
    ),
)
