"""The only place for which thresholds and objectives a plan changes, read off its alarms and its guard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from infra.core.cost import UNKNOWN
from infra.core.errors import TerraceError
from infra.core.stages import Objectives, listed
from ops.report.plan import GUARD, Change, Op, Plan

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"

WATCHED: Mapping[str, str] = {
    "threshold": "threshold",
    "comparisonOperator": "comparison",
    "period": "period, s",
    "evaluationPeriods": "periods",
    "datapointsToAlarm": "datapoints",
    "statistic": "statistic",
    "extendedStatistic": "statistic",
    "treatMissingData": "missing data",
    "actionsEnabled": "actions",
}
"""The inputs of an alarm that decide when it speaks; its text and dimensions do not."""

_NAMES = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Moved:
    """One value that decides when somebody is told: what it was, what it becomes; empty where it is not there."""

    name: str
    what: str
    before: str
    after: str


def thresholds(plan: Plan) -> list[Moved]:
    """Alarms that come, go, or speak at another value."""
    found: list[Moved] = []
    for change in plan.of(Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE):
        if change.resource.token in (ALARM, COMPOSITE):
            found += _alarm(change)
    return found


def _alarm(change: Change) -> Iterator[Moved]:
    name = change.resource.name
    if change.op is Op.CREATE:
        yield Moved(name, "alarm", "", "new")
    elif change.op is Op.DELETE:
        yield Moved(name, "alarm", "is there", "gone")
    elif change.before is not None and change.after is not None:
        before, after = change.before.inputs, change.after.inputs
        for key, said in WATCHED.items():
            if before.get(key) != after.get(key) and UNKNOWN not in (before.get(key), after.get(key)):
                yield Moved(name, said, _text(before.get(key)), _text(after.get(key)))
        if (one := _windows(before)) != (other := _windows(after)):
            yield Moved(name, "window, s", one, other)
        yield from _heard(name, before.get("alarmRule"), after.get("alarmRule"))


def _heard(name: str, before: object, after: object) -> Iterator[Moved]:
    """The alarms that a composite no longer listens to, and those that it listens to from now on."""
    if before == after or not isinstance(before, str) or not isinstance(after, str):
        return
    old, new = (set(_NAMES.findall(each)) for each in (before, after))
    for each in sorted(old ^ new):
        yield Moved(name, "listens to", each if each in old else "", each if each in new else "")
    if old == new:
        yield Moved(name, "rule", "", "another over the same alarms")


def _windows(inputs: Mapping[str, Any]) -> str:
    """The periods of a metric-math alarm."""
    queries = inputs.get("metricQueries")
    if not isinstance(queries, list):
        return ""
    periods = {
        query["metric"]["period"]
        for query in queries
        if isinstance(query, Mapping) and isinstance(query.get("metric"), Mapping)
    }
    return ", ".join(_text(each) for each in sorted(periods, key=str))


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def objectives(plan: Plan) -> list[Moved]:
    """What the stack promises, by the stages that its guard remembers before and after."""
    change = next((each for each in plan.changes if each.resource.token == GUARD), None)
    if change is None or change.before is None or change.after is None:
        return []
    stages = [str(each.inputs.get("stage")) for each in (change.before, change.after)]
    try:
        before, after = (listed(name).objectives for name in stages)
    except TerraceError:
        return []  # A stage of another revision's ladder: nothing is known of what it promises.
    found = [Moved("stage", "stage", *stages)] if stages[0] != stages[1] else []
    for each in fields(Objectives):
        one, other = getattr(before, each.name), getattr(after, each.name)
        if one != other:
            found.append(Moved("objective", each.name.replace("_", " "), str(one), str(other)))
    return found
