"""The only place where alarms of the table become resources: metric filters, metric alarms, composite alarms.

Logical names hold no number and no stage, so an alarm follows a resize in place and keeps its history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra.components.base import Component, Context
from infra.core import dashboard, notice
from infra.core.alarms import Alarm, AlarmSet, Composite
from infra.core.cost.stage import stage_cost
from infra.core.metrics import LogFilter, Metric, Space
from infra.core.prices import load
from infra.core.stages import listed


def about(context: Context) -> notice.About:
    """What this stack's messages say besides the alarm: its dashboard, and the price of the rung above."""
    settings = context.settings
    rung, book = settings.rung, load(settings.price_book)
    said = ""
    if above := notice.ABOVE.get(rung.name):
        now, then = (stage_cost(each, book).fixed for each in (rung, listed(above)))
        said = notice.next_stage(above, then, then - now)
    return notice.About(settings.region, context.naming.prefix, said)


Watched = Mapping[str, Mapping[str, pulumi.Input[str]]]
"""Dimensions by logical name of what is watched: `{"app": {"InstanceId": …}}`."""


class Alarms(Component):
    """Every alarm of the stack; both ALARM and OK are told, so that nothing stays open in somebody's mind.

    Attributes:
        names: the physical names of all alarms by their logical names.
    """

    names: Mapping[str, str]

    def __init__(
        self,
        context: Context,
        alarms: AlarmSet,
        *,
        watched: Watched,
        topic_arn: pulumi.Input[str],
        access_log: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("observability:Alarms", "alarms", parent)
        self._context, self._topic = context, topic_arn
        self._about = about(context)
        for each in alarms.filters:
            self._filter(each, access_log)
        made = {
            alarm.name: self._metric_alarm(alarm, watched.get(alarm.subject, {})) for alarm in alarms.alarms
        }
        composites = [self._composite(composite, alarms, made) for composite in alarms.composites]
        self._dashboard(alarms, watched, [each.arn for each in (*composites, *made.values())])
        self.names = {
            name: context.naming.physical(name)
            for name in (*made, *(composite.name for composite in alarms.composites))
        }
        self.register_outputs({})

    def _namespace(self, metric: Metric) -> str:
        naming = self._context.naming
        return metric.space.named(naming.project, naming.stack)

    def _dimensions(
        self, metric: Metric, watched: Mapping[str, pulumi.Input[str]]
    ) -> dict[str, pulumi.Input[str]]:
        """Exactly the published dimensions: with one more or less an alarm sees another metric, and no data."""
        known = {**watched, "Stack": self._context.naming.stack, **dict(metric.fixed)}
        missing = [name for name in metric.dimensions if name not in known]
        if missing:
            raise pulumi.RunError(
                f"the alarm on {metric.name} needs {', '.join(missing)}, and the layout watches {sorted(watched)}"
            )
        return {name: known[name] for name in metric.dimensions}

    def _metric_alarm(self, alarm: Alarm, watched: Mapping[str, pulumi.Input[str]]) -> cloudwatch.MetricAlarm:
        common: dict[str, Any] = {
            "name": self._context.naming.physical(alarm.name),
            "alarm_description": notice.of_alarm(alarm, self._about),
            "comparison_operator": alarm.comparison,
            "threshold": float(alarm.value),
            "evaluation_periods": alarm.periods,
            "datapoints_to_alarm": alarm.datapoints,
            "treat_missing_data": alarm.missing,
            "tags": self._context.tags(alarm.name),
            "opts": self.child,
        }
        if alarm.notifies:
            reaction = alarm.threshold.reaction if alarm.threshold else None
            # EC2 actions are not possible on metric math, and none of these alarms is (PutMetricAlarm).
            act = [f"arn:aws:automate:{self._context.settings.region}:ec2:{reaction}"] if reaction else []
            common |= {"alarm_actions": [self._topic, *act], "ok_actions": [self._topic]}
        if alarm.warm_up_minutes:
            common["warm_up_configuration"] = cloudwatch.MetricAlarmWarmUpConfigurationArgs(
                warm_up_period_duration_in_minutes=alarm.warm_up_minutes,
                only_start_evaluating_after_warm_up_period_ends=True,
            )
        if alarm.expression:
            return cloudwatch.MetricAlarm(alarm.name, metric_queries=self._queries(alarm, watched), **common)
        (part,) = alarm.parts
        percentile = part.statistic.startswith("p")
        return cloudwatch.MetricAlarm(
            alarm.name,
            namespace=self._namespace(part.metric),
            metric_name=part.metric.name,
            dimensions=self._dimensions(part.metric, watched),
            period=alarm.period_seconds,
            statistic=None if percentile else part.statistic,
            extended_statistic=part.statistic if percentile else None,
            evaluate_low_sample_count_percentiles=alarm.low_samples if percentile else None,
            **common,
        )

    def _queries(
        self, alarm: Alarm, watched: Mapping[str, pulumi.Input[str]]
    ) -> list[cloudwatch.MetricAlarmMetricQueryArgs]:
        return [
            cloudwatch.MetricAlarmMetricQueryArgs(
                id="value", expression=alarm.expression, label=alarm.title, return_data=True
            ),
            *(
                cloudwatch.MetricAlarmMetricQueryArgs(
                    id=part.id,
                    metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                        namespace=self._namespace(part.metric),
                        metric_name=part.metric.name,
                        dimensions=self._dimensions(part.metric, watched),
                        period=alarm.period_seconds,
                        stat=part.statistic,
                    ),
                    return_data=False,
                )
                for part in alarm.parts
            ),
        ]

    def _composite(
        self, composite: Composite, alarms: AlarmSet, made: Mapping[str, cloudwatch.MetricAlarm]
    ) -> cloudwatch.CompositeAlarm:
        physical = self._context.naming.physical
        needed = {*composite.members, composite.suppressor}
        return cloudwatch.CompositeAlarm(
            composite.name,
            alarm_name=physical(composite.name),
            alarm_description=notice.of_composite(composite, alarms.alarms, self._about),
            alarm_rule=composite.rule(physical("")),
            alarm_actions=[self._topic],
            ok_actions=[self._topic],
            actions_suppressor=(
                cloudwatch.CompositeAlarmActionsSuppressorArgs(
                    alarm=physical(composite.suppressor),
                    wait_period=composite.wait_seconds,
                    extension_period=composite.extension_seconds,
                )
                if composite.suppressed
                else None
            ),
            tags=self._context.tags(composite.name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made[name] for name in sorted(needed)]),
        )

    def _dashboard(self, alarms: AlarmSet, watched: Watched, arns: Sequence[pulumi.Output[str]]) -> None:
        settings, naming = self._context.settings, self._context.naming
        cloudwatch.Dashboard(
            "stack",
            dashboard_name=naming.prefix,
            dashboard_body=pulumi.Output.json_dumps(
                dashboard.body(
                    settings.facts,
                    alarms,
                    project=naming.project,
                    stack=naming.stack,
                    region=settings.region,
                    known=watched,
                    alarm_arns=arns,
                )
            ),
            opts=self.child,
        )

    def _filter(self, each: LogFilter, access_log: pulumi.Input[str]) -> None:
        naming = self._context.naming
        name = each.metric.name.replace("_", "-")
        cloudwatch.LogMetricFilter(
            name,
            name=naming.physical(name),
            log_group_name=access_log,
            pattern=each.pattern,
            metric_transformation=cloudwatch.LogMetricFilterMetricTransformationArgs(
                namespace=Space.LOGS.named(naming.project, naming.stack),
                name=each.metric.name,
                value=each.value,
                default_value=None if each.default is None else str(each.default),
                unit=each.metric.unit.value,
            ),
            opts=self.child,
        )
