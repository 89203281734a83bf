"""The only place for what watching a stack costs: its alarms as resources, and the custom metrics beside them.

CloudWatch bills a custom metric for each hour in which it is published (CloudWatch pricing), whoever reads it. No
resource says so: that boxes' programs and the GPU's controller publish is known by the alarms on it; what, and in how
many hours of a day, by the table of metrics. A metric filter's own metric is billed at the filter (kinds_watch.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from infra.core import burn, metrics
from infra.core.alarms import SUPPRESSOR_METRIC, Alarm, AlarmSet
from infra.core.cost import kinds_watch
from infra.core.cost.component import Component, fixed
from infra.core.cost.resource import Resource
from infra.core.cost.usage import DEFAULT
from infra.core.metrics import Metric, Space, publishes
from infra.core.prices import PriceBook

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
FILTER = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
INSTANCE = "aws:ec2/instance:Instance"

AWS = "AWS/"
"""Where AWS's own metrics stand, which are free of charge."""

DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
BILLED = (ALARM, COMPOSITE, FILTER, DASHBOARD)

HOURS_A_DAY = 24

Published = tuple[str, str, str]
"""A metric by its name, what of it is told apart (a path, an objective), and the box it is of, or `stack`."""

STACK = "stack"


def _hours() -> Mapping[str, int]:
    """In how many hours of a day each metric of the project is published, by name."""
    named: list[Metric] = [SUPPRESSOR_METRIC]
    for value in vars(metrics).values():
        held = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        named += [each for each in held if isinstance(each, Metric)]
    return {each.name: each.billed_hours for each in named}


HOURS = _hours()


def custom_metrics(resources: Iterable[Resource]) -> Iterator[Component]:
    """The custom metrics that programs of the stack publish, as one component; none where nothing is watched."""
    quantity = Decimal(sum(published(resources).values())) / HOURS_A_DAY
    if quantity:
        yield fixed("custom metrics of its programs", "cw.metric", quantity)


def published(resources: Iterable[Resource]) -> dict[Published, int]:
    """What programs of the stack publish, and in how many hours of a day; nothing where nothing is watched.

    What it is about is known by the alarm's logical name, which begins with that of its box: a preview does not know
    its id yet. A box that has an alarm publishes all that boxes of its role do; a stack with an alarm on the GPU, all
    that its controller does.
    """
    listed = list(resources)
    boxes = sorted((each.name for each in listed if each.token == INSTANCE), key=len, reverse=True)
    filtered = {
        (transformation.get("namespace"), transformation.get("name"))
        for each in listed
        if each.token == FILTER and (transformation := each.inputs.get("metricTransformation") or {})
    }
    found: dict[Published, int] = {}
    for alarm in (each for each in listed if each.token == ALARM):
        subject = next((name for name in boxes if alarm.name.startswith(f"{name}-")), STACK)
        for namespace, name, place in _read(alarm):
            if not namespace.startswith(AWS) and (namespace, name) not in filtered:
                found[(name, place, subject)] = HOURS.get(name, HOURS_A_DAY)
    for subject in {subject for *_, subject in found} - {STACK}:
        found |= _told(subject, (each for each in metrics.BOX_METRICS if publishes(subject, each)))
    if any(name == metrics.GPU_BLIND.name for name, *_ in found):
        found |= _told(STACK, metrics.GPU_METRICS)
    made = {each.name for each in listed if each.token == ALARM}
    for objective, metric in metrics.BUDGET_LEFT.items():
        if burn.alarm_name(objective, burn.SLOWEST) in made:
            found[(metric.name, objective, STACK)] = metric.billed_hours
    return found


def _told(subject: str, told: Iterable[Metric]) -> dict[Published, int]:
    return {
        (each.name, dict(each.fixed).get("path", ""), subject): each.billed_hours
        for each in told
        if each.billed_hours
    }


def watching_quantities(resources: Iterable[Resource]) -> dict[str, Decimal]:
    """How much of each of CloudWatch's fixed prices those resources come to, before what is free."""
    listed = list(resources)
    made = [
        part
        for each in listed
        if each.token in BILLED
        for part in kinds_watch.PRICED[each.token](each, DEFAULT)
    ]
    found: dict[str, Decimal] = {}
    for part in (*made, *custom_metrics(listed)):
        found[part.key] = found.get(part.key, Decimal(0)) + part.quantity.likely
    return found


def watching_monthly(resources: Iterable[Resource], book: PriceBook) -> Decimal:
    """What watching them costs a month beyond the account's free quantities, USD before tax, unrounded."""
    quantities = watching_quantities(resources)
    return sum((book[key].monthly(quantity) for key, quantity in quantities.items()), Decimal(0))


def _read(alarm: Resource) -> Iterator[tuple[str, str, str]]:
    """Namespace, name and path of each metric that an alarm reads."""
    queries = alarm.inputs.get("metricQueries") or []
    for each in [query["metric"] for query in queries if query.get("metric")] or [alarm.inputs]:
        if each.get("metricName"):
            dimensions = each.get("dimensions")
            place = dimensions.get("path", "") if isinstance(dimensions, Mapping) else ""
            yield str(each.get("namespace", "")), str(each["metricName"]), str(place)


def watching_resources(
    alarms: AlarmSet, *, project: str = "terrace", stack: str = "stage"
) -> Iterator[Resource]:
    """The alarms, composites and filters of a set as far as money goes, and the dashboard that shows them."""

    def named(token: str, name: str, **inputs: Any) -> Resource:
        return Resource(f"stage::{token}::{name}", token, inputs)

    for alarm in alarms.alarms:
        yield named(ALARM, alarm.name, **_inputs(alarm, project, stack))
    for composite in alarms.composites:
        yield named(COMPOSITE, composite.name)
    for each in alarms.filters:
        space = Space.LOGS.named(project, stack)
        made = {"namespace": space, "name": each.metric.name}
        yield named(FILTER, each.metric.name.replace("_", "-"), metricTransformation=made)
    yield named(DASHBOARD, "stack")


def _inputs(alarm: Alarm, project: str, stack: str) -> dict[str, Any]:
    read = [
        {
            "namespace": part.metric.space.named(project, stack),
            "metricName": part.metric.name,
            "dimensions": dict(part.metric.fixed),
            "period": alarm.period_seconds,
        }
        for part in alarm.parts
    ]
    return {"metricQueries": [{"metric": each} for each in read]} if alarm.expression else read[0]
