"""The only place for an alarm as the API takes it: PutMetricAlarm's and PutCompositeAlarm's words as frozen data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedded.alarms.expressions import Compiled, compile_expression
from embedded.alarms.rules import Missing

MINUTE_SECONDS = 60
MetricKey = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, and every dimension, sorted: a datum with one more dimension is another metric."""

_TOKEN = re.compile(
    r"\s*(?:(\(|\))|\b(AND|OR|NOT|TRUE|FALSE)\b"
    r"|\b(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s()\"']+))\s*\))"
)


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> MetricKey:
    """The key of a metric."""
    return namespace, name, tuple(sorted(dimensions.items()))


@dataclass(frozen=True, slots=True)
class Query:
    """One metric of an alarm with its statistic."""

    id: str
    metric: MetricKey
    statistic: str


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """A metric alarm. Periods are whole minutes: one below a minute is taken as a minute here."""

    name: str
    queries: tuple[Query, ...]
    expression: Compiled | None
    period_minutes: int
    evaluated: int
    to_alarm: int
    comparison: str
    threshold: float
    missing: Missing
    ignores_low_samples: bool
    wall_clock: str | None
    warm_up_minutes: int
    waits_out_warm_up: bool

    @property
    def window_minutes(self) -> int:
        """How far back the evaluated periods reach."""
        return self.period_minutes * self.evaluated


@dataclass(frozen=True, slots=True)
class CompositeAlarm:
    """A composite alarm. `holds` tells from the states by name whether its rule is true."""

    name: str
    children: tuple[str, ...]
    holds: Callable[[Mapping[str, str]], bool]
    suppressor: str | None
    wait_seconds: int
    extension_seconds: int


def metric_alarm(asked: Mapping[str, Any]) -> MetricAlarm:
    """An alarm from the parameters of PutMetricAlarm, which has checked them."""
    queries: tuple[Query, ...]
    expression: Compiled | None
    if asked.get("MetricName"):
        statistic = asked.get("ExtendedStatistic") or asked["Statistic"]
        queries = (Query("m", _key(asked), statistic),)
        expression, period = None, int(asked["Period"])
    else:
        queries, expression, period = _math(asked["Metrics"])
    evaluated = int(asked["EvaluationPeriods"])
    warm_up = asked.get("WarmUpConfiguration") or {}
    wall_clock = (asked.get("EvaluationWindow") or {}).get("WallClockWindow")
    return MetricAlarm(
        name=asked["AlarmName"],
        queries=queries,
        expression=expression,
        period_minutes=max(1, period // MINUTE_SECONDS),
        evaluated=evaluated,
        to_alarm=int(asked.get("DatapointsToAlarm") or evaluated),
        comparison=asked["ComparisonOperator"],
        threshold=float(asked["Threshold"]),
        missing=Missing(asked.get("TreatMissingData") or "missing"),
        ignores_low_samples=asked.get("EvaluateLowSampleCountPercentile") == "ignore",
        wall_clock=None if wall_clock is None else wall_clock.get("Timezone") or "UTC",
        warm_up_minutes=int(warm_up.get("WarmUpPeriodDurationInMinutes") or 0),
        waits_out_warm_up=str(warm_up.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds")).lower() == "true",
    )


def composite_alarm(asked: Mapping[str, Any]) -> CompositeAlarm:
    """An alarm from the parameters of PutCompositeAlarm.

    Raises:
        ValueError: the rule cannot be understood.
    """
    children, holds = parse_rule(asked["AlarmRule"])
    suppressor = asked.get("ActionsSuppressor")
    return CompositeAlarm(
        name=asked["AlarmName"],
        children=children,
        holds=holds,
        suppressor=_plain(suppressor) if suppressor else None,
        wait_seconds=int(asked.get("ActionsSuppressorWaitPeriod") or 0),
        extension_seconds=int(asked.get("ActionsSuppressorExtensionPeriod") or 0),
    )


def parse_rule(rule: str) -> tuple[tuple[str, ...], Callable[[Mapping[str, str]], bool]]:
    """The alarms that a rule names, and whether it holds for states by name; NOT binds before AND before OR.

    Raises:
        ValueError: the rule cannot be understood.
    """
    parts, children, at = [], [], 0
    complete = (
        False  # whether what came last could end a rule: then only AND, OR or a closing bracket may follow
    )
    while rule[at:].strip():
        match = _TOKEN.match(rule, at)
        if match is None or complete is not (match.group(1) == ")" or match.group(2) in ("AND", "OR")):
            raise ValueError(f"AlarmRule cannot be understood at {rule[at : at + 40]!r}")
        bracket, word, state, *names = match.groups()
        if state:
            name = _plain(next(filter(None, names)))
            children.append(name)
            parts.append(f"(states.get({name!r}) == {state!r})")
        else:
            parts.append(bracket or {"TRUE": "True", "FALSE": "False"}.get(word, word.lower()))
        complete = bool(state) or bracket == ")" or word in ("TRUE", "FALSE")
        at = match.end()
    try:
        code = compile(" ".join(parts), "AlarmRule", "eval")
    except SyntaxError as error:
        raise ValueError(f"AlarmRule cannot be understood: {rule!r}") from error
    # Built from the closed vocabulary above: brackets, five words, and names as quoted literals.
    return tuple(dict.fromkeys(children)), lambda states: bool(eval(code, {"states": states}))  # noqa: S307


def _math(metrics: Sequence[Mapping[str, Any]]) -> tuple[tuple[Query, ...], Compiled, int]:
    queries, returned, expressions, periods = [], "", {}, []
    for each in metrics:
        if each.get("ReturnData", True) in (True, "true", "True"):
            returned = each["Id"]
        if stat := each.get("MetricStat"):
            queries.append(Query(each["Id"], _key(stat["Metric"]), stat["Stat"]))
            periods.append(int(stat["Period"]))
        else:
            expressions[each["Id"]] = compile_expression(each["Expression"])

    def evaluate(values: Mapping[str, float | None]) -> float | None:
        known = dict(values)
        for _ in expressions:  # each may rest on another, in any order
            for id_, expression in expressions.items():
                if id_ not in known:
                    try:
                        known[id_] = expression(known)
                    except KeyError:
                        continue
        return known.get(returned)

    return tuple(queries), evaluate, periods[0]


def _key(metric: Mapping[str, Any]) -> MetricKey:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()}
    return metric_key(metric["Namespace"], metric["MetricName"], dimensions)


def _plain(name: str) -> str:
    return name.rsplit(":alarm:", 1)[-1]
