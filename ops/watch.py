"""The only place that says how a stack stands against its thresholds: state, value, distance, trend, forecast.

States and their times are CloudWatch's own; no value is compared with a threshold here. Value, trend and forecast are
for a person to read, and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import mean, median
from typing import Any, Protocol

from infra.core import alarms as core
from infra.core import notice, slo
from infra.core.burn import PERIOD_DAYS, alarm_name
from infra.core.errors import Fault, TerraceError, nearest
from infra.core.metrics import BUDGET_LEFT, DEPLOYING, Metric
from infra.core.naming import Naming
from infra.core.thresholds import Facts, Severity

HISTORY_DAYS = 14
LEAST_DAYS_FOR_A_TREND = 5
FORECAST_DAYS_MOST = 365
HOUR, FIVE_MINUTES = 3_600, 300
ORDER = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2, "ABSENT": 3}


@dataclass(frozen=True, slots=True)
class Standing:
    """One alarm as CloudWatch shows it. `since` is when it got into its state, UTC."""

    name: str
    state: str
    since: datetime | None
    reason: str
    value: float | None
    dimensions: Mapping[str, str]
    suppressed_by: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One series to be fetched: a statistic of a metric, or an expression over others by their ids."""

    id: str
    namespace: str = ""
    metric: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    statistic: str = ""
    expression: str = ""
    returned: bool = True


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom alarms reach by mail: `pending` addresses have not followed the link in their mail."""

    confirmed: int = 0
    pending: tuple[str, ...] = ()
    unknown: str = ""
    """Why that could not be asked."""


class Cloud(Protocol):
    """What CloudWatch and SNS are asked; each method is one call, a further one for each hundred alarms."""

    def alarms(self, prefix: str, names: Sequence[str]) -> Mapping[str, Standing]:
        """Those of the alarms called prefix and name that stand, by name."""
        ...

    def series(
        self, wanted: Sequence[Wanted], start: datetime, end: datetime, period_seconds: int
    ) -> Mapping[str, list[tuple[datetime, float]]]:
        """Data by id, oldest first."""
        ...

    def recipients(self, topic_name: str) -> Recipients:
        """Whom the topic's mails reach."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One threshold of one thing, all its levels together. Values are in the unit that is shown."""

    name: str
    title: str
    unit: str
    above: bool
    state: str
    severity: str
    since: datetime | None
    reason: str
    suppressed_by: str
    value: float | None
    warn: float | None
    review: float | None
    distance_percent: float | None
    """To the last bound; each of both in the two that follow at the end."""
    per_day: float | None
    crosses_on: str
    means: str
    do: str
    first: str = "warn"
    """What the first level asks: the bound `warn` is of a page where the row has no warning."""

    second: str = "review"
    """What the second level asks: the bound `review` is of a page where the row warns first (gpu-spend)."""

    to_warn_percent: float | None = None
    to_review_percent: float | None = None
    series: tuple[tuple[datetime, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, without the series."""
        found = asdict(self)
        del found["series"]
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """How a stack stands."""

    stack: str
    stage: str
    at: datetime
    rows: tuple[Row, ...]
    composites: tuple[Standing, ...]
    budgets: Mapping[str, float]
    """Error budget left of the last 30 days in per cent, by objective; only those with events."""
    recipients: Recipients
    deploying: bool
    deploys: tuple[datetime, ...] = ()
    """The hours in which a deploy or a climb was under way."""

    since: datetime | None = None
    """Where the series begin."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "stack": self.stack,
            "stage": self.stage,
            "at": self.at.isoformat(),
            "deploying": self.deploying,
            "unconfirmed": list(self.recipients.pending),
            "confirmed": self.recipients.confirmed,
            "recipients_unknown": self.recipients.unknown,
            "error_budget_left_percent": dict(self.budgets),
            "composites": [
                {
                    "name": each.name,
                    "state": each.state,
                    "since": each.since,
                    "suppressed_by": each.suppressed_by,
                }
                for each in self.composites
            ],
            "thresholds": [row.as_json() for row in self.rows],
        }


def look(cloud: Cloud, facts: Facts, naming: Naming, *, stage: str, now: datetime | None = None) -> Report:
    """How the stack stands now: three calls of CloudWatch's data, one for each hundred alarms, one of SNS.

    Raises:
        TerraceError: the stack has no alarms at all: it does not stand, or before this version's.
    """
    now = now or datetime.now(UTC)
    made = core.alarm_set(facts)
    standing = cloud.alarms(naming.physical(""), made.names)
    if not standing:
        raise no_alarms(naming.stack)
    rows = _grouped(made)
    wanted = [
        each
        for index, alarms in enumerate(rows.values())
        for each in _wanted(f"r{index}", alarms[0], naming, standing.get(alarms[0].name, _NONE))
    ]
    history = cloud.series(
        [*wanted, _deploys_wanted(naming)],
        now - timedelta(days=HISTORY_DAYS),
        now,
        HOUR,
    )
    recent = cloud.series(wanted, now - timedelta(hours=3), now, FIVE_MINUTES)
    counted = cloud.series(
        _budget_wanted(facts, naming, standing), now - timedelta(days=PERIOD_DAYS), now, HOUR
    )
    found = [
        _row(alarms, standing, history.get(f"r{index}", []), recent.get(f"r{index}", []), now)
        for index, alarms in enumerate(rows.values())
    ]
    found += _burn_rows(facts, standing, counted, now)
    return Report(
        naming.stack,
        stage,
        now,
        tuple(sorted(found, key=lambda row: (ORDER.get(row.state, 9), row.name))),
        tuple(standing[each.name] for each in made.composites if each.name in standing),
        _budgets(facts, counted),
        cloud.recipients(naming.physical("alarms")),
        standing.get(f"stack-{core.DEPLOYING}", _NONE).state == "ALARM",
        tuple(moment for moment, value in history.get(_DEPLOYS, []) if value),
        now - timedelta(days=HISTORY_DAYS),
    )


def no_alarms(stack: str) -> TerraceError:
    """What is said of a stack that does not stand, or is of an older version."""
    return TerraceError(
        Fault(f"stack {stack}", "has no alarms in this account and region", f"pulumi up -s {stack}")
    )


def explain(facts: Facts, name: str) -> dict[str, str]:
    """What an alarm is, in words: one with or without its level, or a composite.

    Raises:
        TerraceError: there is none of that name in this stack.
    """
    made = core.alarm_set(facts)
    alarms = {alarm.name: alarm for alarm in made.alarms}
    composites = {composite.name: composite for composite in made.composites}
    if name in composites:
        return _explained_composite(composites[name], made)
    # A row of the table of docs/alarms.md by its key: the first thing that it watches in this stack.
    rows = (each.name for each in made.alarms if each.threshold is not None and each.threshold.key == name)
    for candidate in (name, *(f"{name}-{severity.value}" for severity in Severity), *rows):
        if candidate in alarms:
            return _explained(alarms[candidate], made)
    raise TerraceError(
        Fault(
            name,
            "is no alarm of this stack",
            f"scripts/watch.py status lists them{nearest(name, {**alarms, **composites})}",
        )
    )


def _explained(alarm: core.Alarm, made: core.AlarmSet) -> dict[str, str]:
    held = f"{alarm.datapoints} of {alarm.periods} × {alarm.period_seconds} s"
    side = "above" if "Greater" in alarm.comparison else "below"
    spoken = [each.name for each in made.composites if alarm.name in each.members]
    found = {
        "alarm": alarm.name,
        "title": alarm.title,
        "metric": ", ".join(f"{part.statistic} of {part.metric.name}" for part in alarm.parts),
        "published by": ", ".join(dict.fromkeys(part.metric.by for part in alarm.parts)),
        "expression": alarm.expression,
        "speaks when": f"{side} {alarm.value.normalize():f}, {held}",
        "tells": ("by itself" if alarm.notifies else "")
        + (" and " if alarm.notifies and spoken else "")
        + (f"through {', '.join(spoken)}" if spoken else "" if alarm.notifies else "nobody"),
        "missing data": alarm.missing,
        "warm-up": f"{alarm.warm_up_minutes} min after creation and every change"
        if alarm.warm_up_minutes
        else "",
        "severity": alarm.severity.value,
        "means": alarm.means,
        "do": alarm.do,
    }
    return {key: value for key, value in found.items() if value}


def _explained_composite(composite: core.Composite, made: core.AlarmSet) -> dict[str, str]:
    return {
        "alarm": composite.name,
        "title": composite.title,
        "speaks when": "one of these does: " + "; ".join(notice.members(composite, made.alarms)),
        "members": ", ".join(" and ".join(group) for group in composite.any_of),
        "held back": f"during a deploy or a climb, and {composite.extension_seconds} s after it",
        "severity": composite.severity.value,
        "means": composite.means,
        "do": composite.do,
    }


_NONE = Standing("", "ABSENT", None, "", None, {})


def _grouped(made: core.AlarmSet) -> dict[str, list[core.Alarm]]:
    """The levels of one threshold of one thing, together."""
    rows: dict[str, list[core.Alarm]] = {}
    for alarm in made.alarms:
        if alarm.threshold is not None:
            rows.setdefault(f"{alarm.subject}-{alarm.threshold.key}", []).append(alarm)
    return rows


def _wanted(id_: str, alarm: core.Alarm, naming: Naming, standing: Standing) -> list[Wanted]:
    """The series of a row, with the dimensions that the alarm has in CloudWatch."""
    found = []
    for part in alarm.parts:
        metric = part.metric
        known = {**standing.dimensions, "Stack": naming.stack, **dict(metric.fixed)}
        dimensions = {name: known[name] for name in metric.dimensions if name in known}
        space = metric.space.named(naming.project, naming.stack)
        own = id_ if not alarm.expression else f"{id_}{part.id}"
        found.append(
            Wanted(own, space, metric.name, dimensions, part.statistic, returned=not alarm.expression)
        )
    if alarm.expression:
        expression = alarm.expression.replace("m1", f"{id_}m1").replace("m2", f"{id_}m2")
        found.append(Wanted(id_, expression=expression))
    return found


def _row(
    alarms: Sequence[core.Alarm],
    standing: Mapping[str, Standing],
    history: Sequence[tuple[datetime, float]],
    recent: Sequence[tuple[datetime, float]],
    now: datetime,
) -> Row:
    shown = [standing.get(alarm.name, _NONE) for alarm in alarms]
    # The level that speaks: the highest in ALARM, else the first.
    speaking = max((index for index, each in enumerate(shown) if each.state == "ALARM"), default=0)
    alarm, state = alarms[speaking], shown[speaking]
    threshold = alarms[0].threshold
    assert threshold is not None  # noqa: S101 grouped by it
    scale = float(threshold.scale)
    counted = alarm.parts[0].statistic in ("Sum", "SampleCount") and not alarm.expression
    per_hour = alarm.period_seconds / HOUR if counted else 1.0
    series = tuple((moment, value * per_hour * scale) for moment, value in history)
    value = series[-1][1] if series else None
    if alarm.period_seconds > HOUR and not alarm.expression:
        value = _over(alarm, series, now)
    if recent and alarm.period_seconds <= FIVE_MINUTES:
        value = recent[-1][1] * scale * (alarm.period_seconds / FIVE_MINUTES if counted else 1.0)
    levels = {each.severity: float(round(each.value * threshold.scale, 9)) for each in alarms}
    (first, warn), (second, review) = (*levels.items(), (Severity.REVIEW, None))[:2]
    bound = review if review is not None else warn
    slope = trend_per_day(series)
    return Row(
        name=f"{alarm.subject}-{threshold.key}",
        title=threshold.title,
        unit=threshold.unit,
        above=threshold.above,
        state=state.state,
        severity=alarm.severity.value if state.state == "ALARM" else "",
        since=state.since,
        reason=state.reason,
        suppressed_by=state.suppressed_by,
        value=value,
        warn=warn,
        review=review,
        distance_percent=distance(value, bound, above=threshold.above),
        per_day=slope,
        # The next level that is not crossed yet: of a crossed one there is nothing to forecast.
        crosses_on=next(
            (
                day
                for level in (warn, bound)
                if (day := forecast(value, slope, level, above=threshold.above, now=now))
            ),
            "",
        ),
        means=threshold.means,
        do=alarm.do,
        first=first.value,
        second=second.value,
        to_warn_percent=distance(value, warn, above=threshold.above),
        to_review_percent=distance(value, review, above=threshold.above),
        series=series,
    )


def _over(alarm: core.Alarm, series: Sequence[tuple[datetime, float]], now: datetime) -> float | None:
    """What the alarm's statistic over its whole period comes to, by the hours of it that have data."""
    since = now - timedelta(seconds=alarm.period_seconds)
    values = [value for moment, value in series if moment >= since]
    if not values:
        return series[-1][1] if series else None
    by: Mapping[str, Callable[[list[float]], float]] = {"Average": mean, "Maximum": max, "Minimum": min}
    over = by.get(alarm.parts[0].statistic)
    return over(values) if over is not None else values[-1]


def _burn_rows(
    facts: Facts,
    standing: Mapping[str, Standing],
    counted: Mapping[str, list[tuple[datetime, float]]],
    now: datetime,
) -> Iterator[Row]:
    """A row for each burn rate; windows that speak together only are in ALARM when all are."""
    places = {each.name: index for index, each in enumerate(slo.objectives(facts))}
    for rate in slo.burn_rates(facts):
        objective, window = rate.objective, rate.windows[0]
        names = [
            alarm_name(objective.name, rate.pace, reach)
            for reach, _ in zip(("long", "short"), rate.windows, strict=False)
        ]
        # The state that holds the others back.
        state = max((standing.get(name, _NONE) for name in names), key=lambda each: ORDER.get(each.state, 9))
        since = now - timedelta(seconds=max(window.seconds, HOUR))
        total, bad = (
            {
                moment: value
                for moment, value in counted.get(f"b{places[objective.name]}{part}", [])
                if moment >= since
            }
            for part in ("total", "bad")
        )
        value = objective.burn.rate(bad, total) if total else None
        bound = float(rate.factor)
        yield Row(
            name=f"stack-{objective.name}-burn-{rate.pace}",
            title=f"{objective.title}: burn rate over {' and '.join(each.name for each in rate.windows)}",
            unit="x",
            above=True,
            state=state.state,
            severity=rate.severity.value if state.state == "ALARM" else "",
            since=state.since,
            reason=state.reason,
            suppressed_by=state.suppressed_by,
            value=value,
            warn=bound,
            review=None,
            distance_percent=distance(value, bound, above=True),
            per_day=None,
            crosses_on="",
            means=core.burn_means(rate.factor),
            do=core.BURN_DO,
            first=rate.severity.value,
            to_warn_percent=distance(value, bound, above=True),
        )


def looks(look: Callable[[], Report], wait: Callable[[], None]) -> Iterator[Report | TerraceError]:
    """One look after another, for ever: where a later one fails, what it said instead, and on.

    Raises:
        TerraceError: the first one failed.
    """
    yield look()
    while True:
        wait()
        try:
            yield look()
        except TerraceError as error:
            yield error


def distance(value: float | None, bound: float | None, *, above: bool) -> float | None:
    """How far a value is from its bound, in per cent of the bound; negative beyond it."""
    if value is None or not bound:
        return None
    return (bound - value if above else value - bound) / abs(bound) * 100


def trend_per_day(series: Sequence[tuple[datetime, float]]) -> float | None:
    """The median of the slopes between all pairs of daily means (Theil-Sen); None with fewer than five days."""
    days: dict[int, list[float]] = {}
    for moment, value in series:
        days.setdefault(moment.toordinal(), []).append(value)
    if len(days) < LEAST_DAYS_FOR_A_TREND:
        return None
    means = sorted((day, sum(values) / len(values)) for day, values in days.items())
    return median(
        (later - earlier) / (last - first)
        for index, (first, earlier) in enumerate(means)
        for last, later in means[index + 1 :]
    )


def forecast(
    value: float | None, per_day: float | None, bound: float | None, *, above: bool, now: datetime
) -> str:
    """The day on which the trend meets the bound (ISO date), or nothing: not within a year, or not at all."""
    if value is None or not per_day or bound is None or (per_day > 0) is not above:
        return ""
    days = (bound - value) / per_day
    if days < 0 or days > FORECAST_DAYS_MOST:
        return ""
    return (now + timedelta(days=days)).date().isoformat()


_DEPLOYS = "deploys"


def _deploys_wanted(naming: Naming) -> Wanted:
    return Wanted(_DEPLOYS, naming.project, DEPLOYING.name, {"Stack": naming.stack}, "Maximum")


def _budget_wanted(facts: Facts, naming: Naming, standing: Mapping[str, Standing]) -> list[Wanted]:
    # What only CloudWatch knows, as the balancer's id, stands with the alarms of the same metric.
    known = {name: value for each in standing.values() for name, value in each.dimensions.items()}
    known["Stack"] = naming.stack

    def dimensions(metric: Metric) -> dict[str, str]:
        return {name: known[name] for name in metric.dimensions if name in known}

    return [
        Wanted(
            f"b{index}{part}",
            each.metric.space.named(naming.project, naming.stack),
            each.metric.name,
            dimensions(each.metric),
            each.statistic,
        )
        for index, objective in enumerate(slo.objectives(facts))
        for part, each in (("total", objective.total), ("bad", objective.bad))
    ]


def _budgets(facts: Facts, counted: Mapping[str, list[tuple[datetime, float]]]) -> dict[str, float]:
    found = {}
    for index, objective in enumerate(slo.objectives(facts)):
        total, bad = (dict(counted.get(f"b{index}{part}", [])) for part in ("total", "bad"))
        if total:
            found[objective.name] = objective.burn.left_percent(bad, total)
    return found


def budget_data(report: Report) -> list[dict[str, Any]]:
    """What is put as metric data, so that the budget left can be seen over time."""
    return [
        {
            "MetricName": BUDGET_LEFT[name].name,
            "Dimensions": [
                {"Name": "Stack", "Value": report.stack},
                *({"Name": key, "Value": value} for key, value in BUDGET_LEFT[name].fixed),
            ],
            "Value": left,
            "Unit": BUDGET_LEFT[name].unit.value,
            "Timestamp": report.at,
        }
        for name, left in report.budgets.items()
    ]
