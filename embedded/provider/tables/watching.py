"""Alarms, dashboards, metric filters, budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    ID,
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
    respelled,
    text,
)


def _dimension_list(dimensions: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    return [{"Name": name, "Value": value} for name, value in (dimensions or {}).items()] or None


def _dimension_map(listed: Any) -> dict[str, str] | None:
    return {each["Name"]: each["Value"] for each in listed or ()} or None


@from_inputs("metricQueries")
def _metrics(inputs: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    queries = []
    for each in inputs.get("metricQueries") or ():
        query: dict[str, Any] = {"Id": each["id"], "ReturnData": bool(each.get("returnData"))}
        query |= {
            api: each[ours]
            for ours, api in (("expression", "Expression"), ("label", "Label"))
            if each.get(ours)
        }
        if metric := each.get("metric"):
            query["MetricStat"] = {
                "Metric": {
                    "Namespace": metric.get("namespace"),
                    "MetricName": metric["metricName"],
                    "Dimensions": _dimension_list(metric.get("dimensions")) or [],
                },
                "Period": metric["period"],
                "Stat": metric["stat"],
            }
        queries.append(query)
    return queries or None


def _queries_seen(scope: Scope) -> list[dict[str, Any]] | None:
    seen = []
    for each in scope.answer.get("Metrics") or ():
        query = {"id": each["Id"], "returnData": each.get("ReturnData", True)}
        query |= {
            ours: each[api]
            for ours, api in (("expression", "Expression"), ("label", "Label"))
            if each.get(api)
        }
        if stat := each.get("MetricStat"):
            query["metric"] = {
                "namespace": stat["Metric"]["Namespace"],
                "metricName": stat["Metric"]["MetricName"],
                "dimensions": _dimension_map(stat["Metric"].get("Dimensions")),
                "period": stat["Period"],
                "stat": stat["Stat"],
            }
        seen.append(query)
    return seen or None


@from_inputs("warmUpConfiguration")
def _warm_up(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    given_ = inputs.get("warmUpConfiguration")
    if not given_:
        return None
    return {
        "WarmUpPeriodDurationInMinutes": given_["warmUpPeriodDurationInMinutes"],
        "OnlyStartEvaluatingAfterWarmUpPeriodEnds": bool(
            given_.get("onlyStartEvaluatingAfterWarmUpPeriodEnds")
        ),
    }


@from_inputs("evaluationWindow")
def _window(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    clock = (inputs.get("evaluationWindow") or {}).get("wallClockWindow")
    return {"WallClockWindow": {"Timezone": clock.get("timezone") or "UTC"}} if clock is not None else None


_PLAIN = (
    "alarmDescription", "comparisonOperator", "datapointsToAlarm", "evaluationPeriods", "extendedStatistic",
    "metricName", "namespace", "period", "statistic", "threshold", "treatMissingData", "unit",
)  # fmt: skip
_ALARM_ACTIONS = ("actionsEnabled", "alarmActions", "okActions", "insufficientDataActions")


def _api_name(name: str) -> str:
    special = {"okActions": "OKActions"}
    return special.get(name, name[0].upper() + name[1:])


def _tags_of(arn: str) -> Read:
    return Read("cloudwatch.list_tags_for_resource", {"ResourceARN": text(arn)}, at="{Tags: Tags}")


_ARN = "arn:aws:cloudwatch:{region}:{account}:alarm:{id}"
# PutMetricAlarm and PutCompositeAlarm take tags at creation alone (API reference), so a change sets them apart.
_TAG_STEPS = (
    Call("cloudwatch.untag_resource", {"ResourceARN": text(_ARN), "TagKeys": GONE_TAGS}, when=GONE_TAGS),
    Call("cloudwatch.tag_resource", {"ResourceARN": text(_ARN), "Tags": TAGS}, when=TAGS),
)


@from_inputs("metricTransformation")
def _transformations(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    asked = inputs["metricTransformation"]
    made = {"metricName": asked["name"], "metricNamespace": asked["namespace"], "metricValue": asked["value"]}
    if asked.get("defaultValue"):
        made["defaultValue"] = float(asked["defaultValue"])
    return [{**made, **{name: asked[name] for name in ("unit", "dimensions") if asked.get(name)}}]


def _transformation_seen(scope: Scope) -> dict[str, Any] | None:
    for seen in scope.answer.get("metricTransformations") or ():
        default = seen.get("defaultValue")
        return {
            "name": seen["metricName"],
            "namespace": seen["metricNamespace"],
            "value": seen["metricValue"],
            "unit": seen.get("unit"),
            "defaultValue": None if default is None else f"{default:g}",
        }
    return None


@from_inputs("notifications")
def _budget_notifications(inputs: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    return [
        {
            "Notification": _notification(each),
            "Subscribers": [
                *(
                    {"SubscriptionType": "SNS", "Address": a}
                    for a in each.get("subscriberSnsTopicArns") or ()
                ),
                *(
                    {"SubscriptionType": "EMAIL", "Address": a}
                    for a in each.get("subscriberEmailAddresses") or ()
                ),
            ],
        }
        for each in inputs.get("notifications") or ()
    ] or None


def _notification(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "NotificationType": each["notificationType"],
        "ComparisonOperator": each["comparisonOperator"],
        "Threshold": each["threshold"],
        "ThresholdType": each["thresholdType"],
    }


_EXPRESSION = {"ands": "And", "ors": "Or"}
"""A filter expression's members whose names differ by more than a capital (AWS Budgets API reference, Expression)."""
_SAID = {there: here for here, there in _EXPRESSION.items()}


@from_inputs(
    "name",
    "budgetType",
    "limitAmount",
    "limitUnit",
    "timeUnit",
    "costFilters",
    "filterExpression",
    "metrics",
)
def _budget(inputs: Mapping[str, Any]) -> dict[str, Any]:
    filtered: dict[str, Any] = (
        {
            "FilterExpression": respelled(inputs["filterExpression"], _EXPRESSION),
            "Metrics": [inputs["metrics"]],
        }
        if inputs.get("filterExpression")
        else {"CostFilters": {each["name"]: each["values"] for each in inputs.get("costFilters") or ()}}
    )
    return {
        "BudgetName": inputs["name"],
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "BudgetLimit": {"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]},
        **filtered,
    }


MOST_NOTIFICATIONS = 10


def _part(index: int, name: str) -> Expression:
    """A part of the notification at that place, None beyond the last."""

    def evaluate(scope: Scope) -> Any:
        listed = _budget_notifications(scope) or []
        return listed[index][name] if index < len(listed) else None

    return Expression(evaluate, ("notifications",))


def _old(index: int) -> Expression:
    """The notification at that place as it was before the change."""

    def evaluate(scope: Scope) -> Any:
        listed = scope.old_inputs.get("notifications") or ()
        return _notification(listed[index]) if index < len(listed) else None

    return Expression(evaluate)


_OF_BUDGET: dict[str, Any] = {"AccountId": text("{account}"), "BudgetName": ID}
_NEW_NOTIFICATIONS = tuple(
    Call(
        "budgets.create_notification",
        {
            **_OF_BUDGET,
            "Notification": _part(index, "Notification"),
            "Subscribers": _part(index, "Subscribers"),
        },
        when=_part(index, "Notification"),
    )
    for index in range(MOST_NOTIFICATIONS)
)
_NO_NOTIFICATIONS = tuple(
    Call(
        "budgets.delete_notification",
        {**_OF_BUDGET, "Notification": _old(index)},
        when=_old(index),
        missing_is_fine=True,
    )
    for index in range(MOST_NOTIFICATIONS)
)
_BUDGET_ARN = "arn:aws:budgets::{account}:budget/{id}"

KINDS = (
    Kind(
        "aws:budgets/budget:Budget",
        autoname="name",
        create=Call(
            "budgets.create_budget",
            {
                "AccountId": text("{account}"),
                "Budget": _budget,
                "NotificationsWithSubscribers": _budget_notifications,
                "ResourceTags": TAGS,
            },
        ),
        id=given("name"),
        read=(
            Read("budgets.describe_budget", {"AccountId": text("{account}"), "BudgetName": ID}, at="Budget"),
            Read(
                "budgets.list_tags_for_resource",
                {"ResourceARN": text(_BUDGET_ARN)},
                at="{Tags: ResourceTags}",
            ),
        ),
        updates=(
            Update(
                (
                    "budgetType",
                    "limitAmount",
                    "limitUnit",
                    "timeUnit",
                    "costFilters",
                    "filterExpression",
                    "metrics",
                ),
                (Call("budgets.update_budget", {"AccountId": text("{account}"), "NewBudget": _budget}),),
            ),
            Update(("notifications",), (*_NO_NOTIFICATIONS, *_NEW_NOTIFICATIONS)),
            Update(
                ("tags",),
                (
                    Call(
                        "budgets.untag_resource",
                        {"ResourceARN": text(_BUDGET_ARN), "ResourceTagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call(
                        "budgets.tag_resource",
                        {"ResourceARN": text(_BUDGET_ARN), "ResourceTags": TAGS},
                        when=TAGS,
                    ),
                ),
            ),
        ),
        outputs={
            "name": found("BudgetName"),
            "limitAmount": found("BudgetLimit.Amount"),
            "limitUnit": found("BudgetLimit.Unit"),
            "costFilters": Expression(
                lambda s: (
                    [
                        {"name": name, "values": values}
                        for name, values in (s.answer.get("CostFilters") or {}).items()
                    ]
                    or None
                )
            ),
            "filterExpression": Expression(
                lambda s: respelled(s.answer.get("FilterExpression") or {}, _SAID) or None
            ),
            "metrics": Expression(lambda s: next(iter(s.answer.get("Metrics") or ()), None)),
            "arn": text(_BUDGET_ARN),
        },
        write_only=("notifications",),
        delete=(
            Call(
                "budgets.delete_budget",
                {"AccountId": text("{account}"), "BudgetName": ID},
                missing_is_fine=True,
            ),
        ),
    ),
    Kind(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        autoname="name",
        create=Call(
            "cloudwatch.put_metric_alarm",
            {
                "AlarmName": given("name"),
                **{_api_name(name): given(name) for name in (*_PLAIN, *_ALARM_ACTIONS)},
                "Dimensions": from_inputs("dimensions")(lambda i: _dimension_list(i.get("dimensions"))),
                "EvaluateLowSampleCountPercentile": given("evaluateLowSampleCountPercentiles"),
                "Metrics": _metrics,
                "WarmUpConfiguration": _warm_up,
                "EvaluationWindow": _window,
                "Tags": TAGS,
            },
        ),
        id=given("name"),
        then=_TAG_STEPS,
        read=(
            Read(
                "cloudwatch.describe_alarms",
                {"AlarmNames": Expression(lambda s: [s.id])},
                at="MetricAlarms[0]",
            ),
            _tags_of(_ARN),
        ),
        upsert=True,
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        outputs={
            "name": found("AlarmName"),
            "arn": found("AlarmArn"),
            "dimensions": Expression(lambda s: _dimension_map(s.answer.get("Dimensions"))),
            "metricQueries": Expression(_queries_seen),
            "evaluateLowSampleCountPercentiles": found("EvaluateLowSampleCountPercentile"),
        },
        delete=(Call("cloudwatch.delete_alarms", {"AlarmNames": Expression(lambda s: [s.id])}),),
    ),
    Kind(
        "aws:cloudwatch/compositeAlarm:CompositeAlarm",
        create=Call(
            "cloudwatch.put_composite_alarm",
            {
                "AlarmName": given("alarmName"),
                "AlarmRule": given("alarmRule"),
                "AlarmDescription": given("alarmDescription"),
                **{_api_name(name): given(name) for name in _ALARM_ACTIONS},
                "ActionsSuppressor": given("actionsSuppressor.alarm"),
                "ActionsSuppressorWaitPeriod": given("actionsSuppressor.waitPeriod"),
                "ActionsSuppressorExtensionPeriod": given("actionsSuppressor.extensionPeriod"),
                "Tags": TAGS,
            },
        ),
        id=given("alarmName"),
        then=_TAG_STEPS,
        read=(
            Read(
                "cloudwatch.describe_alarms",
                {"AlarmNames": Expression(lambda s: [s.id]), "AlarmTypes": ["CompositeAlarm"]},
                at="CompositeAlarms[0]",
            ),
            _tags_of(_ARN),
        ),
        upsert=True,
        defaults={"actionsEnabled": True},
        outputs={
            "arn": found("AlarmArn"),
            "actionsSuppressor": Expression(
                lambda s: (
                    {
                        "alarm": s.answer["ActionsSuppressor"],
                        "waitPeriod": s.answer["ActionsSuppressorWaitPeriod"],
                        "extensionPeriod": s.answer["ActionsSuppressorExtensionPeriod"],
                    }
                    if s.answer.get("ActionsSuppressor")
                    else None
                )
            ),
        },
        delete=(Call("cloudwatch.delete_alarms", {"AlarmNames": Expression(lambda s: [s.id])}),),
    ),
    Kind(
        "aws:cloudwatch/dashboard:Dashboard",
        create=Call(
            "cloudwatch.put_dashboard",
            {"DashboardName": given("dashboardName"), "DashboardBody": given("dashboardBody")},
        ),
        id=given("dashboardName"),
        read=(Read("cloudwatch.get_dashboard", {"DashboardName": ID}),),
        upsert=True,
        delete=(Call("cloudwatch.delete_dashboards", {"DashboardNames": Expression(lambda s: [s.id])}),),
    ),
    Kind(
        "aws:cloudwatch/logMetricFilter:LogMetricFilter",
        autoname="name",
        create=Call(
            "logs.put_metric_filter",
            {
                "logGroupName": given("logGroupName"),
                "filterName": given("name"),
                "filterPattern": given("pattern"),
                "metricTransformations": _transformations,
            },
        ),
        id=given("name"),
        read=(
            Read(
                "logs.describe_metric_filters",
                {"logGroupName": given("logGroupName"), "filterNamePrefix": ID},
                at="metricFilters[0]",
            ),
        ),
        upsert=True,
        outputs={
            "name": found("filterName"),
            "pattern": found("filterPattern"),
            "metricTransformation": Expression(_transformation_seen),
        },
        delete=(
            Call("logs.delete_metric_filter", {"logGroupName": given("logGroupName"), "filterName": ID}),
        ),
    ),
)
