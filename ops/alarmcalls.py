"""The only place that writes an alarm of the table as the API takes it, for replays without a stack.

The program makes the same of the same definition through pulumi_aws; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.core import notice
from infra.core.alarms import Alarm, Composite
from infra.core.metrics import Metric

Watched = Mapping[str, Mapping[str, str]]


def dimensions(metric: Metric, subject: str, stack: str, watched: Watched) -> dict[str, str]:
    """Exactly the dimensions that the metric is published with."""
    known = {**watched.get(subject, {}), "Stack": stack, **dict(metric.fixed)}
    return {name: known[name] for name in metric.dimensions}


def metric_call(
    alarm: Alarm, project: str, stack: str, watched: Watched, *, region: str = "ap-northeast-2"
) -> dict[str, Any]:
    """The parameters of PutMetricAlarm, without actions and tags."""
    call: dict[str, Any] = {
        "AlarmName": f"{project}-{stack}-{alarm.name}",
        "AlarmDescription": notice.of_alarm(alarm, notice.About(region, f"{project}-{stack}")),
        "ComparisonOperator": alarm.comparison,
        "Threshold": float(alarm.value),
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.datapoints,
        "TreatMissingData": alarm.missing,
    }
    if alarm.warm_up_minutes:
        call["WarmUpConfiguration"] = {
            "WarmUpPeriodDurationInMinutes": alarm.warm_up_minutes,
            "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True,
        }
    metrics = [
        {
            "Namespace": part.metric.space.named(project, stack),
            "MetricName": part.metric.name,
            "Dimensions": [
                {"Name": name, "Value": value}
                for name, value in dimensions(part.metric, alarm.subject, stack, watched).items()
            ],
        }
        for part in alarm.parts
    ]
    if alarm.expression:
        stats = [
            {
                "Id": part.id,
                "MetricStat": {"Metric": metric, "Period": alarm.period_seconds, "Stat": part.statistic},
                "ReturnData": False,
            }
            for part, metric in zip(alarm.parts, metrics, strict=True)
        ]
        value = {"Id": "value", "Expression": alarm.expression, "Label": alarm.title, "ReturnData": True}
        return {**call, "Metrics": [value, *stats]}
    (part,) = alarm.parts
    if part.statistic.startswith("p"):
        call["ExtendedStatistic"] = part.statistic
        call["EvaluateLowSampleCountPercentile"] = alarm.low_samples
    else:
        call["Statistic"] = part.statistic
    return {**call, **metrics[0], "Period": alarm.period_seconds}


def composite_call(composite: Composite, project: str, stack: str) -> dict[str, Any]:
    """The parameters of PutCompositeAlarm, without actions and tags."""
    call: dict[str, Any] = {
        "AlarmName": f"{project}-{stack}-{composite.name}",
        "AlarmRule": composite.rule(f"{project}-{stack}-"),
    }
    if composite.suppressed:
        call["ActionsSuppressor"] = f"{project}-{stack}-{composite.suppressor}"
        call["ActionsSuppressorWaitPeriod"] = composite.wait_seconds
        call["ActionsSuppressorExtensionPeriod"] = composite.extension_seconds
    return call
