"""What alarms, logs, messages and guards of the account are billed for, from the inputs of pulumi-aws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.core.cost.component import Component, Priced, fixed, used
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage

STANDARD_PERIOD_SECONDS = 60
"""An alarm with a shorter period is a high-resolution one (CloudWatch User Guide, "Alarms")."""

ANOMALY_METRICS = 3
"""An anomaly alarm is billed for its metric and both bounds (CloudWatch pricing)."""


def _alarm(resource: Resource, _usage: Usage) -> Iterator[Component]:
    """Billed for each metric that it looks at; expressions alone are free."""
    queries = resource.value("metricQueries", [])
    metrics = [query for query in queries if query.get("metric")]
    count = len(metrics) or 1
    if resource.value("thresholdMetricId"):
        count = ANOMALY_METRICS
    periods = [query["metric"].get("period") for query in metrics] or [resource.value("period")]
    short = any(period is not None and period < STANDARD_PERIOD_SECONDS for period in periods)
    yield fixed("alarm, metrics", "cw.alarm.high-resolution" if short else "cw.alarm", count)


def _composite(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    yield fixed("composite alarm", "cw.alarm.composite")


def _dashboard(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    yield fixed("dashboard", "cw.dashboard")


def _log_group(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Lines taken in; what is stored is a tenth of it or less after compression, and is counted whole."""
    yield used("taken in", "logs.ingest", usage, f"logs.gib@{resource.name}")
    yield used("stored", "logs.store", usage, f"logs.gib@{resource.name}")


def _metric_filter(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    """A custom metric while lines come; dimensions would make one for each combination."""
    yield fixed("custom metric", "cw.metric")


def _topic(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("e-mails", "sns.email", usage, f"sns.emails.hundred-thousand@{resource.name}")


def _detector(_resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("events analysed", "guardduty.events", usage, "guardduty.million")


def _budget_action(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    yield fixed("budget action", "budgets.action")


PRICED: Mapping[str, Priced] = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": _composite,
    "aws:cloudwatch/dashboard:Dashboard": _dashboard,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _metric_filter,
    "aws:sns/topic:Topic": _topic,
    "aws:guardduty/detector:Detector": _detector,
    "aws:budgets/budgetAction:BudgetAction": _budget_action,
}
