"""How a report of the thresholds looks: in a terminal, and as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jinja2 import Environment
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from ops.talk import table
from ops.watch import Report, Row

WIDTH, HEIGHT = 320, 72
WIDE_COLUMNS, LARGE, DAY_HOURS = 130, 100, 24
HOUR_SECONDS = 3_600
_COLOURS = {"ALARM": "bold red", "INSUFFICIENT_DATA": "yellow", "OK": "green"}
_WORDS = {"ALARM": "alarm", "INSUFFICIENT_DATA": "no data", "OK": "ok", "ABSENT": "absent"}


def rendered(report: Report) -> Group:
    """For a terminal; where it is narrow, with the room to both levels in one column, and with short dates."""
    lines = [Text(each, style="yellow") for each in sentences(report)]
    return Group(*lines, _Fitting(report))


@dataclass(frozen=True, slots=True)
class _Fitting:
    """The table as wide as the terminal allows, a line for each row."""

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE_COLUMNS
        rows = [tuple(self._cells(row, wide=wide)) for row in self.report.rows]
        rooms = ("to warn", "to review") if wide else ("room",)
        columns = (
            "state",
            "threshold",
            "value",
            "warn",
            "review",
            *rooms,
            "a day",
            "crossed" if wide else "by",
        )
        made = table(columns, rows, right=tuple(range(2, len(columns))))
        made.columns[0].no_wrap = made.columns[1].no_wrap = True
        yield made

    def _cells(self, row: Row, *, wide: bool) -> Iterator[str]:
        yield _state(row, self.report.at, wide=wide)
        yield row.name
        yield _number(row.value, row.unit)
        yield _number(row.warn, "")
        yield _number(row.review, "") + (" page" if row.review is not None and row.second == "page" else "")
        rooms = (row.to_warn_percent, row.to_review_percent)
        if wide:
            yield from map(_room, rooms)
        else:
            known = [f"{each:+.0f}" for each in rooms if each is not None]
            yield f"{'/'.join(known)} %" if known else ""
        yield trend(row).removesuffix("/day")
        yield row.crosses_on if wide else row.crosses_on[len("2026-") :]


def followed(report: Report | None, failed: str) -> Group:
    """The last report that could be had, and why there is no later one."""
    shown = [rendered(report)] if report is not None else []
    at = f"; below is {report.at:%H:%M:%S} UTC" if report is not None else ""
    return Group(*([Text(f"The last look failed: {failed}{at}", style="red")] if failed else []), *shown)


def trend(row: Row) -> str:
    """How the value moves in a day; less than a thousandth of the bound is no movement."""
    if row.per_day is None:
        return ""
    least = abs(row.review or row.warn or 0) / 1000
    return f"{row.per_day if abs(row.per_day) >= least else 0:+.2g}/day"


def sentences(report: Report) -> list[str]:
    """What a person should know besides the table."""
    found = [
        f"{each.name} is in {each.state}"
        + (f", its messages held back by {each.suppressed_by}" if each.suppressed_by else "")
        for each in report.composites
        if each.state == "ALARM"
    ]
    if report.deploying:
        found.append("A deploy or a climb is under way: composite alarms tell nobody until it is over.")
    found += [
        f"{address} has not confirmed its subscription: no alarm reaches it. Follow the link in the mail of SNS."
        for address in report.recipients.pending
    ]
    if report.recipients.unknown:
        found.append(f"Whom alarms reach could not be asked: {report.recipients.unknown}")
    elif not report.recipients.confirmed and not report.recipients.pending:
        found.append(
            "No mail address is subscribed to the alarms' topic: no alarm reaches anybody. "
            f"pulumi up -s {report.stack}"
        )
    for row in report.rows:
        if row.state == "ALARM":
            found.append(f"{row.title}: {row.means} Do: {row.do}")
    return found


def _room(percent: float | None) -> str:
    return "" if percent is None else f"{percent:+.0f} %"


def _state(row: Row, now: datetime, *, wide: bool) -> str:
    word = row.severity or _WORDS.get(row.state, row.state)
    colour = _COLOURS.get(row.state, "dim")
    return f"[{colour}]{word}[/{colour}]{_since(row.since, now, wide=wide)}"


def _since(since: datetime | None, now: datetime, *, wide: bool) -> str:
    if since is None:
        return ""
    today = now - since < timedelta(hours=DAY_HOURS)
    return f" {since:%m-%d %H:%M}" if wide else f" {since:%H:%M}" if today else f" {since:%m-%d}"


def _number(value: float | None, unit: str) -> str:
    """At most four digits where it is large, three where it is not."""
    if value is None:
        return "–" if unit else ""
    return f"{value:,.{4 if abs(value) >= LARGE else 3}g} {unit}".strip()


def chart(row: Row, deploys: Sequence[datetime] = ()) -> str:
    """The series as an SVG path with the levels as lines, deploys shaded; empty with fewer than two data."""
    if len(row.series) < 2:
        return ""
    levels = [each for each in (row.warn, row.review) if each is not None]
    top = max([value for _, value in row.series] + levels) * 1.1 or 1
    first, last = row.series[0][0].timestamp(), row.series[-1][0].timestamp()

    def point(moment: datetime, value: float) -> str:
        x = (moment.timestamp() - first) / max(last - first, 1) * WIDTH
        return f"{x:.1f},{HEIGHT - value / top * HEIGHT:.1f}"

    lines = "".join(
        '<line x1="0" x2="{0}" y1="{1:.1f}" y2="{1:.1f}" class="{2}"/>'.format(
            WIDTH, HEIGHT - level / top * HEIGHT, name
        )
        for name, level in zip((row.first, row.second), levels, strict=False)
    )
    hour = HOUR_SECONDS / max(last - first, 1) * WIDTH
    bands = "".join(
        f'<rect x="{(at.timestamp() - first) / max(last - first, 1) * WIDTH:.1f}" y="0" width="{max(hour, 2):.1f}" '
        f'height="{HEIGHT}"><title>deploy or climb {at:%m-%d %H:00} UTC</title></rect>'
        for at in deploys
        if first <= at.timestamp() <= last
    )
    points = " ".join(point(moment, value) for moment, value in row.series)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{bands}{lines}<polyline points="{points}"/></svg>'


def page(report: Report) -> str:
    """One HTML page with a chart for each threshold that has data."""
    environment = Environment(autoescape=True)
    return environment.from_string(_PAGE).render(
        report=report,
        cards=[
            (row, chart(row, report.deploys), row.severity or _WORDS.get(row.state, row.state))
            for row in report.rows
        ],
        sentences=sentences(report),
        number=_number,
        trend=trend,
        room=_room,
    )


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows are in each state."""
    return {state: sum(row.state == state for row in rows) for state in _WORDS}


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ report.stack }}: thresholds</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#1c2430;
background:#f6f7f9}
h1{font-size:1.4rem;margin:0 0 .2rem} .sub{color:#5b6675;margin:0 0 1.2rem}
.note{background:#fff4d6;border-left:4px solid #d99a00;padding:.5rem .8rem;margin:.4rem 0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:1rem;margin-top:1.2rem}
.card{background:#fff;border-radius:8px;padding:.8rem 1rem;box-shadow:0 1px 3px #0002;border-top:4px solid #9aa5b1}
.card.ALARM{border-color:#c62828}.card.OK{border-color:#2e7d32}.card.INSUFFICIENT_DATA{border-color:#d99a00}
.card h2{font-size:1rem;margin:0;display:flex;justify-content:space-between}
.card small{color:#5b6675} .value{font-size:1.5rem;font-variant-numeric:tabular-nums}
svg{width:100%;height:72px;margin:.4rem 0;overflow:visible} polyline{fill:none;stroke:#1565c0;stroke-width:1.5}
rect{fill:#9ecae1;opacity:.7}line{stroke-width:1;stroke-dasharray:4 3}.warn{stroke:#d99a00}
.review,.page{stroke:#c62828}
.budget{display:inline-block;background:#fff;border-radius:8px;padding:.5rem .9rem;margin-right:.6rem;
box-shadow:0 1px 3px #0002}
</style></head><body>
<h1>{{ report.stack }} at {{ report.stage }}</h1>
<p class="sub">{{ report.at.strftime("%Y-%m-%d %H:%M UTC") }} · states are CloudWatch's own
· dashed: warn, review, page
{% if report.deploys %} · shaded: deploys and climbs{% endif %}</p>
{% for each in sentences %}<p class="note">{{ each }}</p>{% endfor %}
{% for name, left in report.budgets.items() %}<span class="budget">{{ name }} error budget left
<b>{{ "%.1f"|format(left) }} %</b></span>{% endfor %}
<div class="grid">{% for row, chart, word in cards %}
<section class="card {{ row.state }}"><h2>{{ row.title }} <small>{{ word }}</small></h2>
<div class="value">{{ number(row.value, row.unit) }}</div>{{ chart|safe }}
<small>{{ row.first }} {{ "above" if row.above else "below" }} {{ number(row.warn, row.unit) }}
{% if row.review is not none %}
· {{ row.second }} {{ number(row.review, row.unit) }}{% endif %}
{% if row.to_warn_percent is not none %} · to {{ row.first }} {{ room(row.to_warn_percent) }}{% endif %}
{% if row.to_review_percent is not none %} · to {{ row.second }} {{ room(row.to_review_percent) }}{% endif %}
{% if trend(row) %} · {{ trend(row) }}{% endif %}
{% if row.crosses_on %} · crossed on {{ row.crosses_on }}{% endif %}<br>{{ row.means }}</small></section>
{% endfor %}</div></body></html>
"""
