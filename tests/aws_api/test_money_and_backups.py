"""Budgets, anomaly monitors, cost-allocation tags, backup selections and snapshot policies live as on AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Aws = Callable[..., Any]
Refused = Callable[..., str]

ACCOUNT = "123456789012"
BUDGET: dict[str, Any] = {
    "BudgetName": "web",
    "BudgetLimit": {"Amount": "72", "Unit": "USD"},
    "TimeUnit": "MONTHLY",
    "BudgetType": "COST",
    "CostFilters": {"TagKeyValue": ["user:Project$terrace"]},
}
WARNING: dict[str, Any] = {
    "NotificationType": "ACTUAL",
    "ComparisonOperator": "GREATER_THAN",
    "Threshold": 80.0,
}
MAIL = {"SubscriptionType": "EMAIL", "Address": "team@example.com"}
TOPIC = {"SubscriptionType": "SNS", "Address": "arn:aws:sns:ap-northeast-2:123456789012:alarms"}


def make_budget(aws: Aws, **more: Any) -> Any:
    budgets = aws("budgets")
    budgets.create_budget(
        AccountId=ACCOUNT,
        Budget=BUDGET,
        NotificationsWithSubscribers=[{"Notification": WARNING, "Subscribers": [MAIL]}],
        ResourceTags=[{"Key": "Team", "Value": "a"}],
        **more,
    )
    return budgets


def test_a_budget_shows_its_notifications_subscribers_and_tags(aws: Aws) -> None:
    budgets, mine = make_budget(aws), {"AccountId": ACCOUNT, "BudgetName": "web"}
    shown = budgets.describe_notifications_for_budget(**mine)["Notifications"]
    assert shown == [WARNING | {"ThresholdType": "PERCENTAGE", "NotificationState": "OK"}]
    subscribers = budgets.describe_subscribers_for_notification(**mine, Notification=shown[0])["Subscribers"]
    assert subscribers == [MAIL]
    arn = f"arn:aws:budgets::{ACCOUNT}:budget/web"
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "Owner", "Value": "b"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["Team"])
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "Owner", "Value": "b"}]


def test_a_budget_can_be_changed_and_keeps_its_notifications(aws: Aws, refused: Refused) -> None:
    budgets, mine = make_budget(aws), {"AccountId": ACCOUNT, "BudgetName": "web"}
    budgets.update_budget(
        AccountId=ACCOUNT, NewBudget=BUDGET | {"BudgetLimit": {"Amount": "140", "Unit": "USD"}}
    )
    shown = budgets.describe_budget(**mine)["Budget"]
    assert float(shown["BudgetLimit"]["Amount"]) == 140
    assert len(budgets.describe_notifications_for_budget(**mine)["Notifications"]) == 1
    other = BUDGET | {"BudgetName": "none"}
    refused("NotFoundException", budgets.update_budget, AccountId=ACCOUNT, NewBudget=other)
    without = {key: value for key, value in BUDGET.items() if key != "BudgetLimit"}
    refused("InvalidParameterException", budgets.update_budget, AccountId=ACCOUNT, NewBudget=without)


def test_notifications_and_subscribers_come_and_go(aws: Aws, refused: Refused) -> None:
    budgets, mine = make_budget(aws), {"AccountId": ACCOUNT, "BudgetName": "web"}
    add = budgets.create_notification
    refused("DuplicateRecordException", add, **mine, Notification=WARNING, Subscribers=[MAIL])
    budgets.create_subscriber(**mine, Notification=WARNING, Subscriber=TOPIC)
    again = {"Notification": WARNING, "Subscriber": TOPIC | {"Address": TOPIC["Address"] + "2"}}
    refused("InvalidParameterException", budgets.create_subscriber, **mine, **again)
    new_mail = MAIL | {"Address": "other@example.com"}
    budgets.update_subscriber(**mine, Notification=WARNING, OldSubscriber=MAIL, NewSubscriber=new_mail)
    changed = WARNING | {"Threshold": 90.0}
    budgets.update_notification(**mine, OldNotification=WARNING, NewNotification=changed)
    found = budgets.describe_subscribers_for_notification(**mine, Notification=changed)["Subscribers"]
    assert found == [new_mail, TOPIC]
    for subscriber in found:
        budgets.delete_subscriber(**mine, Notification=changed, Subscriber=subscriber)
    assert budgets.describe_notifications_for_budget(**mine)["Notifications"] == []


def test_a_notification_with_two_topics_is_refused(aws: Aws, refused: Refused) -> None:
    both = [{"Notification": WARNING, "Subscribers": [TOPIC, TOPIC | {"Address": TOPIC["Address"] + "2"}]}]
    create = aws("budgets").create_budget
    refused(
        "InvalidParameterException",
        create,
        AccountId=ACCOUNT,
        Budget=BUDGET,
        NotificationsWithSubscribers=both,
    )


def test_a_deleted_budget_leaves_nothing(aws: Aws, refused: Refused) -> None:
    budgets, mine = make_budget(aws), {"AccountId": ACCOUNT, "BudgetName": "web"}
    budgets.delete_budget(**mine)
    refused("NotFoundException", budgets.describe_notifications_for_budget, **mine)
    arn = f"arn:aws:budgets::{ACCOUNT}:budget/web"
    refused("NotFoundException", budgets.list_tags_for_resource, ResourceARN=arn)
    budgets.create_budget(AccountId=ACCOUNT, Budget=BUDGET)
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == []


def test_an_anomaly_monitor_and_its_subscription_live_from_create_to_delete(
    aws: Aws, refused: Refused
) -> None:
    ce = aws("ce", "us-east-1")
    monitor = {"MonitorName": "services", "MonitorType": "DIMENSIONAL", "MonitorDimension": "SERVICE"}
    arn = ce.create_anomaly_monitor(AnomalyMonitor=monitor, ResourceTags=[{"Key": "Team", "Value": "a"}])[
        "MonitorArn"
    ]
    ce.update_anomaly_monitor(MonitorArn=arn, MonitorName="all services")
    shown = ce.get_anomaly_monitors(MonitorArnList=[arn])["AnomalyMonitors"][0]
    assert (shown["MonitorName"], shown["MonitorDimension"]) == ("all services", "SERVICE")
    assert ce.list_tags_for_resource(ResourceArn=arn)["ResourceTags"] == [{"Key": "Team", "Value": "a"}]
    asked = {
        "SubscriptionName": "mail",
        "MonitorArnList": [arn],
        "Subscribers": [{"Address": "team@example.com", "Type": "EMAIL"}],
        "Frequency": "DAILY",
        "ThresholdExpression": {
            "Dimensions": {
                "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                "Values": ["10"],
                "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
            }
        },
    }
    subscription = ce.create_anomaly_subscription(AnomalySubscription=asked)["SubscriptionArn"]
    ce.update_anomaly_subscription(SubscriptionArn=subscription, Frequency="WEEKLY")
    found = ce.get_anomaly_subscriptions(MonitorArn=arn)["AnomalySubscriptions"][0]
    assert (found["Frequency"], found["Subscribers"][0]["Status"]) == ("WEEKLY", "CONFIRMED")
    assert found["ThresholdExpression"] == asked["ThresholdExpression"]
    ce.delete_anomaly_subscription(SubscriptionArn=subscription)
    ce.delete_anomaly_monitor(MonitorArn=arn)
    refused("UnknownMonitorException", ce.get_anomaly_monitors, MonitorArnList=[arn])
    refused("UnknownSubscriptionException", ce.get_anomaly_subscriptions, SubscriptionArnList=[subscription])
    refused("UnknownMonitorException", ce.create_anomaly_subscription, AnomalySubscription=asked)


def test_cost_allocation_tags_are_switched_on_and_off(aws: Aws) -> None:
    ce = aws("ce", "us-east-1")
    switch = [{"TagKey": key, "Status": "Active"} for key in ("Project", "Owner")]
    assert ce.update_cost_allocation_tags_status(CostAllocationTagsStatus=switch)["Errors"] == []
    ce.update_cost_allocation_tags_status(
        CostAllocationTagsStatus=[{"TagKey": "Owner", "Status": "Inactive"}]
    )
    active = ce.list_cost_allocation_tags(Status="Active")["CostAllocationTags"]
    assert [(tag["TagKey"], tag["Type"]) for tag in active] == [("Project", "UserDefined")]
    assert ce.list_cost_allocation_tags(TagKeys=["Owner"])["CostAllocationTags"][0]["Status"] == "Inactive"


PLAN: dict[str, Any] = {
    "BackupPlanName": "daily",
    "Rules": [{"RuleName": "daily", "TargetBackupVaultName": "vault"}],
}
SELECTION = {
    "SelectionName": "data",
    "IamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/backup",
    "ListOfTags": [{"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": "daily"}],
}


def test_a_backup_selection_lives_from_create_to_delete_and_holds_its_plan(
    aws: Aws, refused: Refused
) -> None:
    backup = aws("backup")
    plan = backup.create_backup_plan(BackupPlan=PLAN)["BackupPlanId"]
    made = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=SELECTION)["SelectionId"]
    shown = backup.get_backup_selection(BackupPlanId=plan, SelectionId=made)
    assert shown["BackupSelection"] == SELECTION
    listed = backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
    assert [(each["SelectionId"], each["SelectionName"]) for each in listed] == [(made, "data")]
    refused("InvalidRequestException", backup.delete_backup_plan, BackupPlanId=plan)
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=made)
    refused("ResourceNotFoundException", backup.get_backup_selection, BackupPlanId=plan, SelectionId=made)
    backup.delete_backup_plan(BackupPlanId=plan)
    refused("ResourceNotFoundException", backup.get_backup_plan, BackupPlanId=plan)


def test_a_backup_plan_can_be_changed(aws: Aws) -> None:
    backup = aws("backup")
    made = backup.create_backup_plan(BackupPlan=PLAN, BackupPlanTags={"Team": "a"})
    rules = [PLAN["Rules"][0] | {"Lifecycle": {"DeleteAfterDays": 35}}]
    changed = backup.update_backup_plan(BackupPlanId=made["BackupPlanId"], BackupPlan=PLAN | {"Rules": rules})
    assert (changed["BackupPlanArn"], changed["VersionId"] != made["VersionId"]) == (
        made["BackupPlanArn"],
        True,
    )
    shown = backup.get_backup_plan(BackupPlanId=made["BackupPlanId"])["BackupPlan"]
    assert shown["Rules"][0]["Lifecycle"] == {"DeleteAfterDays": 35}
    assert backup.list_tags(ResourceArn=made["BackupPlanArn"])["Tags"] == {"Team": "a"}


def test_a_vaults_tags_are_read_with_and_without_a_slash_at_the_end(aws: Aws) -> None:
    import urllib.request
    from urllib.parse import quote

    backup = aws("backup")
    arn = backup.create_backup_vault(BackupVaultName="vault", BackupVaultTags={"Team": "a"})["BackupVaultArn"]
    scope = "AWS4-HMAC-SHA256 Credential=AKIAEMBEDDEDEXAMPLE0/20261101/ap-northeast-2/backup/aws4_request, x"
    for end in ("", "/"):
        url = f"{backup.meta.endpoint_url}/tags/{quote(arn, safe='')}{end}"
        request = urllib.request.Request(url, headers={"Authorization": scope})  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            assert b'"Team": "a"' in answer.read()


POLICY: dict[str, Any] = {
    "PolicyType": "EBS_SNAPSHOT_MANAGEMENT",
    "ResourceTypes": ["VOLUME"],
    "TargetTags": [{"Key": "snapshots", "Value": "daily"}],
    "Schedules": [
        {
            "Name": "daily",
            "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS", "Times": ["18:00"]},
            "RetainRule": {"Count": 7},
            "CopyTags": True,
        }
    ],
}
LIFECYCLE = {
    "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/dlm",
    "Description": "daily snapshots",
    "State": "ENABLED",
}


def test_a_snapshot_policy_lives_from_create_to_delete(aws: Aws, refused: Refused) -> None:
    dlm = aws("dlm")
    made = dlm.create_lifecycle_policy(**LIFECYCLE, PolicyDetails=POLICY, Tags={"Team": "a"})["PolicyId"]
    shown = dlm.get_lifecycle_policy(PolicyId=made)["Policy"]
    assert {key: shown[key] for key in LIFECYCLE} == LIFECYCLE
    schedule = shown["PolicyDetails"]["Schedules"][0]
    assert (schedule["RetainRule"], schedule["CreateRule"]["Times"], schedule["CopyTags"]) == (
        {"Count": 7},
        ["18:00"],
        True,
    )
    weekly = POLICY["Schedules"][0] | {
        "Name": "weekly",
        "CreateRule": {"CronExpression": "cron(0 18 ? * SUN *)"},
    }
    details = POLICY | {"Schedules": [POLICY["Schedules"][0], weekly]}
    dlm.update_lifecycle_policy(PolicyId=made, State="DISABLED", PolicyDetails=details)
    shown = dlm.get_lifecycle_policy(PolicyId=made)["Policy"]
    assert (shown["State"], shown["Description"]) == ("DISABLED", "daily snapshots")
    assert [each["Name"] for each in shown["PolicyDetails"]["Schedules"]] == ["daily", "weekly"]
    dlm.tag_resource(ResourceArn=shown["PolicyArn"], Tags={"Owner": "b"})
    dlm.untag_resource(ResourceArn=shown["PolicyArn"], TagKeys=["Team"])
    assert dlm.list_tags_for_resource(ResourceArn=shown["PolicyArn"])["Tags"] == {"Owner": "b"}
    assert [each["PolicyId"] for each in dlm.get_lifecycle_policies(State="DISABLED")["Policies"]] == [made]
    assert dlm.get_lifecycle_policies(State="ENABLED")["Policies"] == []
    dlm.delete_lifecycle_policy(PolicyId=made)
    refused("ResourceNotFoundException", dlm.get_lifecycle_policy, PolicyId=made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Description": "daily: snapshots!"},
        {"PolicyDetails": {key: value for key, value in POLICY.items() if key != "TargetTags"}},
    ],
)
def test_a_snapshot_policy_that_cannot_be_is_refused(
    aws: Aws, refused: Refused, wrong: dict[str, Any]
) -> None:
    asked = {**LIFECYCLE, "PolicyDetails": POLICY} | wrong
    refused("InvalidRequestException", aws("dlm").create_lifecycle_policy, **asked)


def test_snapshot_policies_of_two_regions_are_apart(aws: Aws) -> None:
    aws("dlm").create_lifecycle_policy(**LIFECYCLE, PolicyDetails=POLICY)
    assert aws("dlm", "ap-northeast-1").get_lifecycle_policies()["Policies"] == []
