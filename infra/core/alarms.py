"""The only place that makes alarms of thresholds: plain definitions, and composites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from infra.core import metrics, slo
from infra.core.burn import alarm_name
from infra.core.metrics import LogFilter, Metric, Subject, publishes
from infra.core.shape import Box
from infra.core.thresholds import TABLE, Facts, Level, Severity, Threshold

DEPLOYING = "deploying"
"""The suppressor: deploys and climbs put this metric to 1 for as long as they last."""
SUPPRESSOR_METRIC = metrics.DEPLOYING


WAIT_SECONDS = 60
"""How long a composite waits for its suppressor. A deploy or climb says that it is under way before it changes
anything, which is seen within a minute; a person is told a minute after the member at the latest."""

TARGETS = ("targets-frontend", "targets-backend")
"""The balancer's target groups."""


@dataclass(frozen=True, slots=True)
class Part:
    """One metric of a metric-math alarm."""

    id: str
    metric: Metric
    statistic: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One metric alarm before anything has an id. `subject` is the logical name of what its dimensions come from.

    With an `expression` its `parts` are what it is computed from; without, there is one part and no expression.
    """

    name: str
    subject: str
    parts: tuple[Part, ...]
    expression: str
    comparison: str
    value: Decimal
    period_seconds: int
    datapoints: int
    periods: int
    missing: str
    severity: Severity
    title: str
    means: str
    do: str
    threshold: Threshold | None = None
    low_samples: str = "evaluate"
    warm_up_minutes: int = 0
    notifies: bool = True


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite alarm over the names of others. `any_of` is a list of groups of which all must be in ALARM."""

    name: str
    any_of: tuple[tuple[str, ...], ...]
    title: str
    means: str
    do: str
    severity: Severity
    suppressed: bool
    suppressor: str = f"stack-{DEPLOYING}"
    wait_seconds: int = WAIT_SECONDS
    extension_seconds: int = 600

    @property
    def members(self) -> tuple[str, ...]:
        """The logical names that it is over, once each."""
        return tuple(dict.fromkeys(name for group in self.any_of for name in group))

    def rule(self, prefix: str) -> str:
        """The rule in CloudWatch's words, over the physical names: `prefix` and logical name."""
        groups = [" AND ".join(f'ALARM("{prefix}{name}")' for name in group) for group in self.any_of]
        return " OR ".join(f"({group})" if " AND " in group else group for group in groups)


@dataclass(frozen=True, slots=True)
class AlarmSet:
    """Every alarm of a stack."""

    alarms: tuple[Alarm, ...]
    composites: tuple[Composite, ...]
    notes: tuple[str, ...] = ()
    """What a generator could not do and did otherwise, in sentences."""

    filters: tuple[LogFilter, ...] = ()
    """Metric filters on the access log that the stack needs."""

    def metrics(self) -> list[Metric]:
        """Every metric that an alarm reads or a filter makes, once."""
        read = [part.metric for alarm in self.alarms for part in alarm.parts]
        return list(dict.fromkeys([*read, *(each.metric for each in self.filters)]))


def alarm_set(facts: Facts) -> AlarmSet:
    """The alarms of a stack: those of the table that apply, the burn rates of its objectives, the composites."""
    alarms = [alarm for threshold in TABLE for alarm in _of(threshold, facts)]
    burns, groups, notes = _burn_alarms(facts)
    alarms += [*burns, _suppressor()]
    # What the review says is said once, and held back by a deploy or climb: its members tell nobody by themselves.
    alarms = [replace(each, notifies=each.notifies and not _reviews(each)) for each in alarms]
    reviews = tuple((alarm.name,) for alarm in alarms if _reviews(alarm))
    down = tuple((alarm.name,) for alarm in alarms if alarm.threshold is not None and alarm.threshold.down)
    return AlarmSet(
        tuple(alarms),
        (
            Composite(
                "scale-up-review", reviews, "Scale up: review",
                "A limit of this stage is reached, for as long as its threshold asks.",
                "scripts/scale_up.py advise shows which, the next stage, its price and what the climb takes.",
                Severity.REVIEW, suppressed=True,
            ),
            Composite(
                "service-down", (*down, *groups), "The service is down, or burns its error budget fast",
                "Users get errors or no answer, or soon will.",
                "scripts/watch.py status shows which alarm speaks, and what to do about it.", Severity.PAGE,
                suppressed=True,
            ),
        ),
        notes,
        _filters(facts),
    )  # fmt: skip


def subjects(threshold: Threshold, facts: Facts) -> Iterator[tuple[str, Box | None]]:
    """What a row watches in a stack: the logical names of its boxes, or of its database, balancer, gateway."""
    standing, watched = facts.shape, threshold.metric
    by_kind: dict[Subject, Sequence[tuple[str, Box | None]]] = {
        # Only what publishes it: during a climb two kinds of boxes stand beside each other.
        Subject.BOX: [(box.name, box) for box in standing.boxes if publishes(box.name, watched)],
        Subject.STACK: [("stack", None)],
        Subject.BALANCER: [("balancer", None)] if standing.load_balancer_zones else [],
        Subject.TARGETS: [(name, None) for name in TARGETS] if standing.load_balancer_zones else [],
        Subject.DATABASE: [("database", None)] if standing.database else [],
        Subject.NAT: [("nat", None)] if standing.nat_gateways else [],
        Subject.WEBHOOK: [("webhook", None)],
    }
    found = by_kind[watched.subject]
    yield from ((name, box) for name, box in found if threshold.applies(facts, box))


def value_of(level: Level, facts: Facts, box: Box | None) -> Decimal:
    """The value of a level for what it watches, in the metric's unit."""
    return level.value if isinstance(level.value, Decimal) else level.value(facts, box)


def _reviews(alarm: Alarm) -> bool:
    return alarm.severity is Severity.REVIEW and alarm.threshold is not None and alarm.threshold.reviews


def _filters(facts: Facts) -> tuple[LogFilter, ...]:
    p95_seconds = Decimal(facts.shape.stage.objectives.api_p95_ms) / 1000
    return tuple(
        replace(each, pattern=each.pattern.replace("<p95>", f"{p95_seconds:f}"))
        for each in metrics.LOG_FILTERS
        if (facts.gpu or each.metric is not metrics.LLM_RESPONSE)
        and (not facts.balanced or each.metric is metrics.LLM_RESPONSE)
    )


def _of(threshold: Threshold, facts: Facts) -> Iterator[Alarm]:
    for subject, box in subjects(threshold, facts):
        for level in threshold.levels:
            ratio = threshold.ratio_of
            parts: tuple[Part, ...] = (Part("m1", threshold.metric, threshold.statistic),)
            expression = ""
            if ratio is not None:
                parts = (*parts, Part("m2", ratio, "Sum"))
                expression = f"IF(FILL(m1,0) < {threshold.least_events}, 0, 100 * m1 / m2)"
            yield Alarm(
                name=f"{subject}-{threshold.key}-{level.severity.value}",
                subject=subject,
                parts=parts,
                expression=expression,
                comparison="GreaterThanThreshold" if threshold.above else "LessThanThreshold",
                value=value_of(level, facts, box),
                period_seconds=threshold.period_seconds,
                datapoints=level.datapoints,
                periods=level.periods,
                missing=threshold.missing,
                severity=level.severity,
                title=threshold.title,
                means=threshold.means,
                do=level.do,
                threshold=threshold,
                low_samples=threshold.low_samples,
                warm_up_minutes=threshold.warm_up_minutes,
            )


BURN_DO = "Look at the backend's log and the last deploy."


def burn_means(factor: Decimal) -> str:
    """What it means that a burn rate is above that factor."""
    return f"The error budget of 30 days is spent {factor} times too fast."


def _burn_alarms(facts: Facts) -> tuple[list[Alarm], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Burn-rate alarms of the stage's objectives; pairs of windows speak through the composite, not alone."""
    alarms: list[Alarm] = []
    groups: list[tuple[str, ...]] = []
    notes: list[str] = []
    for rate in slo.burn_rates(facts):
        names = []
        notes += rate.notes
        for reach, window in zip(("long", "short"), rate.windows, strict=False):
            name = alarm_name(rate.objective.name, rate.pace, reach)
            names.append(name)
            total, bad = rate.objective.total, rate.objective.bad
            alarms.append(
                Alarm(
                    name=name,
                    subject=total.metric.subject.value,
                    parts=(Part("m1", bad.metric, bad.statistic), Part("m2", total.metric, total.statistic)),
                    expression=rate.objective.burn.expression,
                    comparison="GreaterThanThreshold",
                    value=rate.factor,
                    period_seconds=window.seconds,
                    datapoints=1,
                    periods=1,
                    missing="notBreaching",
                    severity=rate.severity,
                    title=f"{rate.objective.title}: burn rate over {window.name}",
                    means=burn_means(rate.factor),
                    do=BURN_DO,
                    notifies=len(rate.windows) == 1,
                )
            )
        if len(names) > 1:
            groups.append(tuple(names))
    return alarms, tuple(groups), tuple(notes)


def _suppressor() -> Alarm:
    return Alarm(
        name=f"stack-{DEPLOYING}",
        subject="stack",
        parts=(Part("m1", SUPPRESSOR_METRIC, "Maximum"),),
        expression="",
        comparison="GreaterThanThreshold",
        value=Decimal(0),
        period_seconds=60,
        datapoints=1,
        periods=1,
        missing="notBreaching",
        severity=Severity.WARN,
        title="A deploy or a climb is under way",
        means="Composite alarms tell nobody for as long as it lasts.",
        do="Nothing.",
        notifies=False,
    )
