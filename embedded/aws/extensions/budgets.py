"""Budgets: subscribers, tags and changes, which moto lacks. Rules: the Budgets API reference (botocore 1.44.5)."""

from __future__ import annotations

from typing import Any

from moto.budgets.exceptions import BudgetMissingLimit, DuplicateRecordException, NotFoundException
from moto.budgets.models import Budget, BudgetsBackend, Notification
from moto.budgets.responses import BudgetsResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import unix_time

from embedded.aws.extensions.patching import Patches

patches = Patches()

MOST_NOTIFICATIONS = 10
MOST_EMAILS = 10
_LIMITS = ("BudgetLimit", "PlannedBudgetLimits", "AutoAdjustData")


def _budget(response: Any) -> Any:
    account, name = response._get_param("AccountId"), response._get_param("BudgetName")
    budget = response.backend.budgets[account].get(name)
    if budget is None:
        raise NotFoundException(f"Unable to get budget: {name} - the budget doesn't exist.")
    return budget


def _whole(details: dict[str, Any]) -> dict[str, Any]:
    """A notification with what AWS adds when it is not said."""
    return {"ThresholdType": "PERCENTAGE", "NotificationState": "OK", **details}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("NotificationType", "ComparisonOperator", "ThresholdType")
    one, other = _whole(one), _whole(other)
    return all(one[key] == other[key] for key in keys) and float(one["Threshold"]) == float(
        other["Threshold"]
    )


def _notification(response: Any, name: str = "Notification") -> Any:
    details = response._get_param(name)
    for notification in _budget(response).notifications:
        if _same(notification.details, details):
            return notification
    raise NotFoundException("Unable to get notification - the notification doesn't exist.")


def _check_subscribers(subscribers: list[dict[str, Any]]) -> None:
    emails = sum(each["SubscriptionType"] == "EMAIL" for each in subscribers)
    if not subscribers or emails > MOST_EMAILS or len(subscribers) - emails > 1:
        raise JsonRESTError(
            "InvalidParameterException",
            f"A notification has 1 SNS topic and {MOST_EMAILS} e-mail addresses at most, and one of them at least; "
            f"got {len(subscribers) - emails} and {emails}.",
        )


@patches.wrap(BudgetsBackend)
def create_budget(
    original: Any, backend: Any, account_id: str, budget: dict[str, Any], notifications: Any
) -> None:
    if not any(key in budget for key in _LIMITS):
        raise BudgetMissingLimit()
    for each in notifications:
        _check_subscribers(each.get("Subscribers", []))
    if len(notifications) > MOST_NOTIFICATIONS:
        raise JsonRESTError(
            "CreationLimitExceededException",
            f"A budget has {MOST_NOTIFICATIONS} notifications at most, got {len(notifications)}.",
        )
    original(backend, account_id, budget, notifications)


@patches.wrap(BudgetsResponse, "create_budget")
def create_budget_with_tags(original: Any, response: Any) -> Any:
    answer = original(response)
    _tags(response, _arn(response, response._get_param("Budget")["BudgetName"])).update(
        {tag["Key"]: tag["Value"] for tag in response._get_param("ResourceTags") or []}
    )
    return answer


@patches.wrap(BudgetsResponse)
def delete_budget(original: Any, response: Any) -> Any:
    answer = original(response)
    _tags(response, _arn(response, response._get_param("BudgetName"))).clear()
    return answer


@patches.add(BudgetsResponse)
def update_budget(response: Any) -> EmptyResult:
    """Everything but the name, the spend so far and the notifications is what the request says."""
    account, changed = response._get_param("AccountId"), response._get_param("NewBudget")
    budget = response.backend.budgets[account].get(changed["BudgetName"])
    if budget is None:
        raise NotFoundException(
            f"Unable to update budget: {changed['BudgetName']} - the budget doesn't exist."
        )
    if not any(key in changed for key in _LIMITS):
        raise BudgetMissingLimit()
    changed.setdefault("TimePeriod", budget.budget["TimePeriod"])
    budget.budget = {**changed, "LastUpdatedTime": unix_time()}
    return EmptyResult()


@patches.add(Budget)
def get_notifications(budget: Any) -> list[dict[str, Any]]:
    return [_whole(notification.details) for notification in budget.notifications]


@patches.wrap(BudgetsBackend)
def create_notification(
    original: Any, backend: Any, account_id: str, budget_name: str, notification: Any, subscribers: Any
) -> None:
    _check_subscribers(subscribers)
    budget = backend.budgets[account_id].get(budget_name)
    if budget is not None and any(_same(each.details, notification) for each in budget.notifications):
        raise DuplicateRecordException(record_type="notification", record_name=budget_name)
    original(backend, account_id, budget_name, notification, subscribers)


@patches.add(Budget)
def delete_notification(budget: Any, details: dict[str, Any]) -> None:
    budget.notifications = [each for each in budget.notifications if not _same(each.details, details)]


@patches.add(BudgetsResponse)
def update_notification(response: Any) -> EmptyResult:
    notification: Notification = _notification(response, "OldNotification")
    notification.details = response._get_param("NewNotification")
    return EmptyResult()


@patches.add(BudgetsResponse)
def describe_notifications_for_budget(response: Any) -> ActionResult:
    return ActionResult({"Notifications": _budget(response).get_notifications()})


@patches.add(BudgetsResponse)
def describe_subscribers_for_notification(response: Any) -> ActionResult:
    return ActionResult({"Subscribers": _notification(response).subscribers})


@patches.add(BudgetsResponse)
def create_subscriber(response: Any) -> EmptyResult:
    notification, subscriber = _notification(response), response._get_param("Subscriber")
    if subscriber in notification.subscribers:
        raise DuplicateRecordException(record_type="subscriber", record_name=subscriber["Address"])
    _check_subscribers([*notification.subscribers, subscriber])
    notification.subscribers.append(subscriber)
    return EmptyResult()


@patches.add(BudgetsResponse)
def update_subscriber(response: Any) -> EmptyResult:
    notification, old = _notification(response), response._get_param("OldSubscriber")
    if old not in notification.subscribers:
        raise NotFoundException("Unable to update subscriber - the subscriber doesn't exist.")
    notification.subscribers[notification.subscribers.index(old)] = response._get_param("NewSubscriber")
    return EmptyResult()


@patches.add(BudgetsResponse)
def delete_subscriber(response: Any) -> EmptyResult:
    """With its last subscriber a notification goes too."""
    notification, subscriber = _notification(response), response._get_param("Subscriber")
    if subscriber not in notification.subscribers:
        raise NotFoundException("Unable to delete subscriber - the subscriber doesn't exist.")
    notification.subscribers.remove(subscriber)
    if not notification.subscribers:
        _budget(response).notifications.remove(notification)
    return EmptyResult()


def _arn(response: Any, budget_name: str) -> str:
    return f"arn:{response.partition}:budgets::{response._get_param('AccountId')}:budget/{budget_name}"


def _tags(response: Any, arn: str) -> dict[str, str]:
    tags: dict[str, str] = response.backend.__dict__.setdefault("budget_tags", {}).setdefault(arn, {})
    return tags


def _tags_asked(response: Any) -> dict[str, str]:
    arn = response._get_param("ResourceARN")
    account, name = arn.split(":")[4], arn.rsplit("budget/", 1)[-1]
    if name not in response.backend.budgets[account]:
        raise NotFoundException(f"Unable to get budget: {name} - the budget doesn't exist.")
    return _tags(response, arn)


@patches.add(BudgetsResponse)
def list_tags_for_resource(response: Any) -> ActionResult:
    return ActionResult(
        {"ResourceTags": [{"Key": key, "Value": value} for key, value in _tags_asked(response).items()]}
    )


@patches.add(BudgetsResponse)
def tag_resource(response: Any) -> EmptyResult:
    _tags_asked(response).update({tag["Key"]: tag["Value"] for tag in response._get_param("ResourceTags")})
    return EmptyResult()


@patches.add(BudgetsResponse)
def untag_resource(response: Any) -> EmptyResult:
    tags = _tags_asked(response)
    for key in response._get_param("ResourceTagKeys"):
        tags.pop(key, None)
    return EmptyResult()


def install() -> None:
    """Install into moto."""
    patches.apply()
