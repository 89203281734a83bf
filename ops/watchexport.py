"""The only place that says a stack's dashboard and thresholds in other people's words: Grafana's and Prometheus's.

Both are for those who run them; nothing of terrace needs them, and CloudWatch stays the one that pages. Grafana reads
CloudWatch by its own data source. Prometheus reads it through prometheus/cloudwatch_exporter, whose configuration is
made too, so that names and labels agree (its CloudWatchCollector: namespace and metric in snake case, then the
statistic).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import cloudwatch, dashboard, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    StackingConfig,
    VizLegendOptions,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.cloudwatch import CloudWatchQueryMode

from infra.core import dashboard as charts
from infra.core import notice
from infra.core.alarms import DEPLOYING, Alarm, AlarmSet, Part
from infra.core.burn import Burn
from infra.core.metrics import Metric, Space
from infra.core.naming import Naming
from infra.core.thresholds import Facts

Known = Mapping[str, Mapping[str, str]]
"""Dimensions by the logical name of what is watched."""

SHORT_SECONDS, LONG_SECONDS = 60, 300
OVER_TIME = {"Average": "avg", "Maximum": "max", "Minimum": "min", "Sum": "sum", "SampleCount": "sum"}
LOOK_BACK_SECONDS = 3_600
"""Twice what the exporter's delay of ten minutes needs, and rare metrics come at most an hour late."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The stack that is exported."""

    facts: Facts
    alarms: AlarmSet
    naming: Naming
    region: str
    known: Known

    def dimensions(self, metric: Metric, subject: str) -> dict[str, str]:
        """The dimensions of a metric of that subject."""
        found = {**self.known.get(subject, {}), "Stack": self.naming.stack, **dict(metric.fixed)}
        return {name: found[name] for name in metric.dimensions if name in found}

    def space(self, metric: Metric) -> str:
        """The namespace as published."""
        return metric.space.named(self.naming.project, self.naming.stack)


def known_of(alarms: AlarmSet, dimensions: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What each subject's dimensions are, by those of its alarms as CloudWatch shows them."""
    found: dict[str, dict[str, str]] = {}
    for alarm in alarms.alarms:
        fixed = dict(alarm.parts[0].metric.fixed)
        own = {name: value for name, value in dimensions.get(alarm.name, {}).items() if name not in fixed}
        found.setdefault(alarm.subject, {}).update(own)
    return found


# -- Grafana --------------------------------------------------------------------------------------------------------


def grafana(standing: Standing) -> str:
    """A dashboard as JSON, to be imported; the data source is asked for."""
    made = (
        dashboard.Dashboard(f"{standing.naming.prefix}")
        .uid(standing.naming.prefix)
        .tags([standing.naming.project, standing.naming.stack])
        .refresh("1m")
        .time("now-24h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("source").label("CloudWatch").type("cloudwatch"))
    )
    for section in charts.sections(standing.facts):
        made = made.with_row(dashboard.Row(section.title))
        for chart in section.charts:
            made = made.with_panel(_panel(chart, standing))
    body = _plain(made.build())
    body["annotations"] = {"list": [_deploys(standing)]}
    return json.dumps(body, indent=2, sort_keys=True)


def _source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="cloudwatch", uid="${source}")


def _deploys(standing: Standing) -> dict[str, Any]:
    """Deploys and climbs as annotations: when the alarm that suppresses the others began and ended."""
    named = dashboard.AnnotationQuery().name("Deploys and climbs").datasource(_source()).enable(enable=True)
    asked = (
        cloudwatch.CloudWatchAnnotationQuery()
        .query_mode(CloudWatchQueryMode.ANNOTATIONS)
        .region(standing.region)
        .prefix_matching(prefix_matching=True)
        .alarm_name_prefix(standing.naming.physical(f"stack-{DEPLOYING}"))
    )
    found: dict[str, Any] = {**_plain(asked.build()), **_plain(named.icon_color("#1565c0").build())}
    return found


def _plain(built: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    return found


def _panel(chart: charts.Chart, standing: Standing) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(chart.title)
        .datasource(_source())
        .span(charts.CHART_WIDTH)
        .height(charts.CHART_HEIGHT + 2)
        .legend(
            VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
    )
    if chart.lowest is not None:
        panel = panel.min(chart.lowest)
    letters = iter("ABCDEFGHIJKLMNOP")
    for line in chart.lines:
        for subject in charts.subjects_of(line.metric, standing.facts):
            panel = panel.with_target(_target(line, subject, chart, next(letters), standing))
    levels = charts.levels(chart, standing.facts)
    if levels:
        # Grafana wants one step without a value that colours what lies below the first.
        steps = [models.Threshold(None, "green")]
        steps += [models.Threshold(each["value"], each["color"]) for each in sorted(levels, key=_value)]
        panel = panel.thresholds(
            dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
        ).thresholds_style(GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED))
    if chart.stacked:
        panel = panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL)).fill_opacity(30)
    return panel


def _value(level: Mapping[str, Any]) -> float:
    return float(level["value"])


def _target(
    line: charts.Line, subject: str, chart: charts.Chart, letter: str, standing: Standing
) -> cloudwatch.CloudWatchMetricsQuery:
    metric = line.metric
    dimensions: dict[str, str | list[str]] = {**standing.dimensions(metric, subject)}
    return (
        cloudwatch.CloudWatchMetricsQuery()
        .ref_id(letter)
        .id(letter.lower())
        .region(standing.region)
        .namespace(standing.space(metric))
        .metric_name(metric.name)
        .dimensions(dimensions)
        .statistic(line.statistic)
        .period(str(chart.period_seconds))
        .match_exact(match_exact=True)
        .label(charts.label_of(line, subject))
    )


# -- Prometheus -----------------------------------------------------------------------------------------------------


def exporter(standing: Standing) -> dict[str, Any]:
    """The configuration of prometheus/cloudwatch_exporter for everything that the rules read."""
    asked: dict[tuple[str, str, tuple[str, ...]], dict[str, Any]] = {}
    for alarm in standing.alarms.alarms:
        for part in alarm.parts:
            dimensions = standing.dimensions(part.metric, alarm.subject)
            key = (standing.space(part.metric), part.metric.name, tuple(dimensions))
            entry = asked.setdefault(
                key,
                {
                    "aws_namespace": key[0],
                    "aws_metric_name": key[1],
                    **({"aws_dimensions": list(dimensions)} if dimensions else {}),
                    "period_seconds": _base(part.metric),
                    # Twice: a rare datum that comes a little late is no missing one.
                    "range_seconds": max(LOOK_BACK_SECONDS, 2 * _base(part.metric)),
                },
            )
            if dimensions:
                select = entry.setdefault("aws_dimension_select", {})
                for name, value in dimensions.items():
                    select[name] = sorted({*select.get(name, ()), value})
            kind = "aws_statistics" if part.statistic in OVER_TIME else "aws_extended_statistics"
            entry[kind] = sorted({*entry.get(kind, ()), part.statistic})
    # With CloudWatch's own times a value is at least ten minutes old and an instant query sees none (the exporter's
    # README, "Timestamps"): every rule would sleep, and `absent` would be true for ever.
    return {
        "region": standing.region,
        "set_timestamp": False,
        "metrics": [asked[key] for key in sorted(asked)],
    }


def rules(standing: Standing) -> dict[str, Any]:
    """Alerting rules for Prometheus: one for each threshold, and one for each pair of a burn rate's windows."""
    by_name = {alarm.name: _expression(alarm, standing) for alarm in standing.alarms.alarms}
    listed = [
        {
            "alert": _camel(alarm.name),
            "expr": by_name[alarm.name],
            **({"for": f"{held}s"} if (held := _held_seconds(alarm)) else {}),
            "labels": {"severity": alarm.severity.value, "stack": standing.naming.stack},
            "annotations": {
                "summary": f"{alarm.title} {notice.said(alarm)}",
                "description": alarm.means,
                "do": alarm.do,
            },
        }
        for alarm in standing.alarms.alarms
        if alarm.notifies or alarm.threshold is not None
    ]
    # Both windows of a burn rate speak together, which in CloudWatch a composite says.
    pairs = [
        {
            "alert": _camel(group[0].removesuffix("-long")),
            "expr": " and on() ".join(f"({by_name[name]})" for name in group),
            "labels": {"severity": "page", "stack": standing.naming.stack},
            "annotations": {"summary": composite.title, "do": composite.do},
        }
        for composite in standing.alarms.composites
        for group in composite.any_of
        if len(group) > 1
    ]
    return {"groups": [{"name": standing.naming.prefix, "interval": "60s", "rules": [*listed, *pairs]}]}


def _base(metric: Metric) -> int:
    """The period that the exporter asks for: what is published each minute by the minute, the rest as it comes."""
    return max(SHORT_SECONDS if metric.space is not Space.EC2 else LONG_SECONDS, metric.every_seconds)


def _series(part: Part, alarm: Alarm, standing: Standing) -> str:
    """The part's value over the alarm's period."""
    selected = _selected(part, alarm, standing)
    base = _base(part.metric)
    if alarm.period_seconds <= base:
        return selected
    # A percentile of percentiles is none: the highest is on the safe side.
    function = OVER_TIME.get(part.statistic, "max")
    return f"{function}_over_time({selected}[{alarm.period_seconds}s:{base}s])"


def _selected(part: Part, alarm: Alarm, standing: Standing) -> str:
    name = exported_name(standing.space(part.metric), part.metric.name, part.statistic)
    labels = ",".join(
        f'{_snake(key)}="{value}"' for key, value in standing.dimensions(part.metric, alarm.subject).items()
    )
    return f"{name}{{{labels}}}" if labels else name


def _expression(alarm: Alarm, standing: Standing) -> str:
    sign = ">" if "Greater" in alarm.comparison else "<"
    value = f"{alarm.value.normalize():f}"
    if alarm.expression:
        condition = _ratio(alarm, standing, f"{sign} {value}")
    else:
        (part,) = alarm.parts
        condition = f"{_series(part, alarm, standing)} {sign} {value}"
        if alarm.missing == "breaching":
            condition = f"({condition}) or absent({_series(part, alarm, standing)})"
    if alarm.datapoints < alarm.periods:
        reach, step = alarm.periods * alarm.period_seconds, alarm.period_seconds
        return f"count_over_time(({condition})[{reach}s:{step}s]) >= {alarm.datapoints}"
    return condition


def _ratio(alarm: Alarm, standing: Standing, bound: str) -> str:
    """`IF(FILL(m1,0) < n, 0, …)`: a percentage, or how many times too fast a budget is spent."""
    burn = Burn.read(alarm.expression)
    if burn is not None and burn.share:
        # By the exporter's base period: shares are weighted by what they are shares of.
        name, count = (_selected(part, alarm, standing) for part in alarm.parts)
        base = _base(alarm.parts[0].metric)
        over = f"[{alarm.period_seconds}s:{base}s]"
        bad = f"sum(sum_over_time(({name} * {count} / 100){over}))"
        return (
            f"({bad} / sum(sum_over_time({count}{over})) / {burn.budget:f}) {bound} and {bad} >= {burn.least}"
        )
    bad, total = (f"sum({_series(part, alarm, standing)})" for part in alarm.parts)
    least = re.search(r"< (\d+)", alarm.expression)
    share = f"100 * {bad} / {total}" if burn is None else f"{bad} / {total} / {burn.budget:f}"
    return f"({share}) {bound} and {bad} >= {least[1] if least else 0}"


def _held_seconds(alarm: Alarm) -> int:
    if alarm.datapoints < alarm.periods or alarm.expression:
        return 0
    return (alarm.periods - 1) * alarm.period_seconds


def exported_name(space: str, metric: str, statistic: str) -> str:
    """As cloudwatch_exporter names it: `aws_ec2_cpuutilization_average`."""
    return _safe(f"{space.lower()}_{_snake(metric)}_{_snake(statistic)}")


def _snake(text: str) -> str:
    return _safe(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower())


def _safe(text: str) -> str:
    return re.sub(r"__+", "_", re.sub(r"[^a-zA-Z0-9:_]", "_", text))


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
