"""The only place for what a stack's dashboard shows: rows of charts with the thresholds as lines, as plain data.

The CloudWatch dashboard is made of it; its body is CloudWatch's own format ("Dashboard body structure and syntax").
Values that are known only once something stands (instance ids) come as `known`, by the subject's logical name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.core import metrics as m
from infra.core.alarms import TARGETS, AlarmSet, subjects, value_of
from infra.core.metrics import Metric, Subject, publishes
from infra.core.thresholds import TABLE, Facts

WIDTH, CHART_WIDTH, CHART_HEIGHT, TITLE_HEIGHT = 24, 8, 6, 1
SINGLE_SUBJECTS = ("balancer", "database", "nat")
COLOURS = {"warn": "#d99a00", "review": "#c62828", "page": "#c62828"}


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart."""

    metric: Metric
    statistic: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; `thresholds` are keys of the table, drawn as lines with their levels."""

    title: str
    lines: tuple[Line, ...]
    thresholds: tuple[str, ...] = ()
    period_seconds: int = 300
    stacked: bool = False
    lowest: float | None = 0
    """Where the left axis begins; None: where the data do, which may be below 0."""
    deploys: bool = False
    """Deploys and climbs are marked: CloudWatch's own annotations have fixed times, so a series marks them."""


@dataclass(frozen=True, slots=True)
class Section:
    """Charts under one heading."""

    title: str
    charts: tuple[Chart, ...]


def sections(facts: Facts) -> Iterator[Section]:
    """Service, machine, database, users, GPU, money: those that the stack has."""
    requests, response = (
        (m.BALANCER_REQUESTS, m.BALANCER_RESPONSE) if facts.balanced else (m.REQUESTS, m.RESPONSE)
    )
    failed, refused = (m.BALANCER_5XX, m.BALANCER_4XX) if facts.balanced else (m.ERRORS_5XX, m.ERRORS_4XX)
    yield Section(
        "Service",
        (
            Chart(
                "Requests, five minutes", (Line(requests, "Sum", "requests"),), ("requests",), deploys=True
            ),
            Chart(
                "Response time",
                (
                    Line(response, "p50", "p50"),
                    Line(response, "p95", "p95"),
                    Line(response, "p99", "p99"),
                ),
                ("response",),
                deploys=True,
            ),
            Chart(
                "Failed and refused", (Line(failed, "Sum", "5xx"), Line(refused, "Sum", "4xx")), deploys=True
            ),
            Chart(
                "Error budget left, %",
                tuple(
                    Line(metric, "Minimum", objective)
                    for objective, metric in m.BUDGET_LEFT.items()
                    if facts.gpu or objective != "model"
                ),
                period_seconds=86_400,
                lowest=None,
                deploys=True,
            ),
            Chart("Certificate, days left", _certificates(facts), ("certificate",), 86_400),
        ),
    )
    yield Section(
        "Machine",
        (
            Chart("CPU", (Line(m.CPU, "Average", "CPU"),), ("cpu",), deploys=True),
            Chart("CPU credits", (Line(m.CREDITS, "Minimum", "balance"),), ("credits",)),
            Chart("Memory", (Line(m.MEMORY, "Average", "memory"),), ("memory",), deploys=True),
            Chart(
                "Disks", (Line(m.DISK, "Maximum", "root"), Line(m.DATA, "Maximum", "data")), ("disk-data",)
            ),
            Chart(
                "Status checks",
                (Line(m.CHECK_SYSTEM, "Maximum", "system"), Line(m.CHECK_INSTANCE, "Maximum", "instance")),
            ),
            Chart("Agent", (Line(m.MEMORY, "SampleCount", "samples"),), ("heartbeat",), 60),
        ),
    )
    if facts.single:
        yield Section(
            "Database and backups",
            (
                Chart("Connections", (Line(m.CONNECTIONS, "Average", "connections"),), ("connections",)),
                Chart("WAL not archived", (Line(m.ARCHIVE_QUEUE, "Maximum", "queue"),), ("archive-queue",)),
                Chart("Oldest WAL not archived, s", (Line(m.ARCHIVE_LAG, "Maximum", "age"),)),
                Chart(
                    "Age of the newest backup",
                    (Line(m.BACKUP_AGE, "Maximum", "age"),),
                    ("backup-age",),
                    21_600,
                ),
            ),
        )
    if facts.shape.database:
        yield Section(
            "Database",
            (
                Chart("Connections", (Line(m.DB_CONNECTIONS, "Average", "connections"),), ("connections",)),
                Chart("Storage left", (Line(m.DB_STORAGE, "Minimum", "free"),), ("storage",)),
                Chart("Credits", (Line(m.DB_CREDITS, "Minimum", "balance"),), ("database-credits",)),
            ),
        )
    yield Section(
        "Users",
        (
            Chart("Daily active users", (Line(m.DAILY_USERS, "Maximum", "users"),), ("daily-users",), 86_400),
            Chart("Monthly active users", (Line(m.MONTHLY_USERS, "Maximum", "users"),), (), 86_400),
            Chart("Users at once", (Line(m.CONCURRENT, "Maximum", "users"),), ("concurrent-users",)),
        ),
    )
    if facts.gpu:
        yield Section(
            "GPU",
            (
                Chart("Waiting", (Line(m.LLM_QUEUE, "Maximum", "queue"),), ("llm-queue",), 60),
                Chart("Wait for a worker", (Line(m.LLM_WAIT, "p50", "p50"), Line(m.LLM_WAIT, "p95", "p95"))),
                Chart("Model's response time", (Line(m.LLM_SECONDS, "p95", "p95"),), ("llm-response",)),
                Chart("Workers", _workers(), (), 60, stacked=True),
            ),
        )
    if facts.gpu:
        spent = Line(m.GPU_SPEND, "Maximum", "GPU")
        whole = Chart("Whole budget, used", (Line(m.BUDGET_USED, "Maximum", "all"),), ("budget",), 3_600)
        yield Section(
            "Money",
            (
                Chart("GPU's share, used", (spent,), ("gpu-spend", "gpu-spend-near"), 3_600),
                *((whole,) if facts.budget else ()),
            ),
        )


def _certificates(facts: Facts) -> tuple[Line, ...]:
    """What a browser is shown: by a box, by the balancer, or by each during a climb."""
    standing = [m.BALANCER_CERTIFICATE] if facts.shape.load_balancer_zones else []
    shown = [m.CERTIFICATE] if subjects_of(m.CERTIFICATE, facts) else []
    return tuple(Line(each, "Minimum", "days") for each in (*shown, *standing))


def _workers() -> tuple[Line, ...]:
    return tuple(
        Line(each, "Maximum", each.name.removeprefix("gpu_workers_")) for each in m.GPU_WORKERS.values()
    )


def body(
    facts: Facts,
    alarms: AlarmSet,
    *,
    project: str,
    stack: str,
    region: str,
    known: Mapping[str, Mapping[str, Any]],
    alarm_arns: Sequence[Any],
) -> dict[str, Any]:
    """The dashboard's body. `known` are dimensions by logical name, `alarm_arns` those of alarms and composites."""
    widgets: list[dict[str, Any]] = [
        {
            "type": "alarm", "x": 0, "y": 0, "width": WIDTH, "height": 4,
            "properties": {"title": "Alarms", "alarms": list(alarm_arns), "sortBy": "stateUpdatedTimestamp"},
        }
    ]  # fmt: skip
    y = 4
    for section in sections(facts):
        widgets.append(_text(f"## {section.title}", y, TITLE_HEIGHT))
        y += TITLE_HEIGHT
        for index, chart in enumerate(section.charts):
            x = index % (WIDTH // CHART_WIDTH) * CHART_WIDTH
            if index and x == 0:
                y += CHART_HEIGHT
            widgets.append(_chart(chart, x, y, facts, project, stack, region, known))
        y += CHART_HEIGHT
    widgets.append(_text(_table(alarms), y, 12))
    return {"widgets": widgets}


def _chart(
    chart: Chart, x: int, y: int, facts: Facts, project: str, stack: str, region: str,
    known: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    rows = []
    for line in chart.lines:
        for subject in subjects_of(line.metric, facts):
            found = {**known.get(subject, {}), "Stack": stack, **dict(line.metric.fixed)}
            dimensions = [part for name in line.metric.dimensions for part in (name, found.get(name, ""))]
            space = line.metric.space.named(project, stack)
            rows.append(
                [
                    space,
                    line.metric.name,
                    *dimensions,
                    {"stat": line.statistic, "label": label_of(line, subject)},
                ]
            )
    if chart.deploys:
        options = {"stat": "Maximum", "label": "deploy or climb", "yAxis": "right", "color": "#9ecae1"}
        rows.append([m.DEPLOYING.space.named(project, stack), m.DEPLOYING.name, "Stack", stack, options])
    return {
        "type": "metric", "x": x, "y": y, "width": CHART_WIDTH, "height": CHART_HEIGHT,
        "properties": {
            "title": chart.title, "region": region, "period": chart.period_seconds, "view": "timeSeries",
            "stacked": chart.stacked, "metrics": rows,
            "yAxis": {
                "left": {} if chart.lowest is None else {"min": chart.lowest},
                "right": {"min": 0, "max": 1, "showUnits": False},
            },
            "annotations": {"horizontal": levels(chart, facts)},
        },
    }  # fmt: skip


def levels(chart: Chart, facts: Facts) -> list[dict[str, Any]]:
    """The lines of a chart's thresholds that stand: value, word, colour; one where boxes share it."""
    found = dict.fromkeys(
        (float(value_of(level, facts, box)), level.severity.value)
        for row in TABLE
        if row.key in chart.thresholds and row.metric in [line.metric for line in chart.lines]
        for _, box in subjects(row, facts)
        for level in row.levels
    )
    return [{"value": value, "label": word, "color": COLOURS[word]} for value, word in found]


def label_of(line: Line, subject: str) -> str:
    """How a series is called: with its box's name where there are several."""
    return line.label if subject in ("stack", "app", *SINGLE_SUBJECTS) else f"{subject} {line.label}"


def subjects_of(metric: Metric, facts: Facts) -> Sequence[str]:
    """The logical names of what a metric is published for in a stack."""
    if metric.subject is Subject.BOX:
        return [box.name for box in facts.shape.boxes if publishes(box.name, metric)]
    if metric.subject is Subject.TARGETS:
        return TARGETS
    return [metric.subject.value]


def _text(markdown: str, y: int, height: int) -> dict[str, Any]:
    properties = {"markdown": markdown}
    return {"type": "text", "x": 0, "y": y, "width": WIDTH, "height": height, "properties": properties}


def _table(alarms: AlarmSet) -> str:
    lines = ["| alarm | speaks | do |", "|---|---|---|"]
    lines += [
        f"| {alarm.name} | {'above' if 'Greater' in alarm.comparison else 'below'} {alarm.value.normalize():f}, "
        f"{alarm.datapoints} of {alarm.periods} × {alarm.period_seconds} s | {alarm.do} |"
        for alarm in alarms.alarms
        if alarm.threshold is not None
    ]
    return "\n".join(lines)
