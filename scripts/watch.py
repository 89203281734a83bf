#!/usr/bin/env python3
"""How a stack stands against its thresholds, what an alarm means, what the set costs, and how much budget is left."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from infra.core.alarms import alarm_set
from infra.core.cost import stage_resources, watching_monthly
from infra.core.errors import Fault, TerraceError
from infra.core.naming import Naming
from infra.core.prices import load
from infra.core.shape import shape
from infra.core.stages import LADDER, Option
from infra.core.thresholds import Facts
from infra.settings import Settings, from_file, project_name
from ops import stackfile, watch, watchpage
from ops.adapters.aws_watch import AwsWatch
from ops.talk import Output, command, err, out, show, table

ROOT = _venv.ROOT
LEAST_SECONDS = 10
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack to look at")]
Format = Annotated[Output, typer.Option("--output", help="how data is printed")]


@app.command()
@command
def status(
    *,
    stack: Stack = "dev",
    output: Format = Output.TABLE,
    follow: Annotated[int, typer.Option(help="look again every so many seconds, at least 10; 0: once")] = 0,
    html: Annotated[Path | None, typer.Option(help="also write a page with charts to this file")] = None,
) -> None:
    """Every threshold: its state and since when, value, distance, trend, and the day on which it is crossed.

    States are CloudWatch's own. At most five calls of the API.
    """
    if follow and follow < LEAST_SECONDS:
        raise TerraceError(Fault("--follow", f"{follow} s is too often", f"At least {LEAST_SECONDS} s"))
    settings = _settings(stack)
    report = _look(settings, stack)
    if html is not None:
        html.write_text(watchpage.page(report), encoding="utf-8")
        err.print(f"  page        {html}", markup=False)
    if not follow or output is Output.JSON:
        show(report.as_json(), watchpage.rendered(report), output)
        return
    with Live(watchpage.rendered(report), console=out, screen=False, auto_refresh=False) as live:
        while True:
            time.sleep(follow)
            live.update(watchpage.rendered(_look(settings, stack)), refresh=True)


@app.command()
@command
def explain(name: str, *, stack: Stack = "dev", output: Format = Output.TABLE) -> None:
    """What an alarm watches, what it means, and what to do. No call of the API."""
    alarm = watch.explain(_settings(stack).facts, name)
    held = f"{alarm.datapoints} of {alarm.periods} × {alarm.period_seconds} s"
    facts = {
        "alarm": alarm.name,
        "title": alarm.title,
        "metric": ", ".join(f"{part.statistic} of {part.metric.name}" for part in alarm.parts),
        "published by": ", ".join(dict.fromkeys(part.metric.by for part in alarm.parts)),
        "expression": alarm.expression,
        "speaks when": f"{'above' if 'Greater' in alarm.comparison else 'below'} {alarm.value.normalize():f}, {held}",
        "missing data": alarm.missing,
        "warm-up": f"{alarm.warm_up_minutes} min after creation and every change"
        if alarm.warm_up_minutes
        else "",
        "severity": alarm.severity.value,
        "means": alarm.means,
        "do": alarm.do,
    }
    facts = {key: value for key, value in facts.items() if value}
    show(facts, table(("", ""), list(facts.items())), output)


@app.command()
@command
def cost(
    *,
    output: Format = Output.TABLE,
    price_book: Annotated[str | None, typer.Option(help="a price book")] = None,
) -> None:
    """What the alarms of each stage cost a month beyond the account's free tier, custom metrics counted."""
    book = load(price_book) if price_book else load()
    rows = []
    for stage in LADDER:
        if stage.option is not Option.ELASTIC:
            made = alarm_set(Facts(shape(stage)))
            rows.append(
                (
                    stage.name,
                    len(made.alarms),
                    len(made.composites),
                    f"{watching_monthly(stage_resources(stage), book):.2f}",
                )
            )
    data = [dict(zip(("stage", "alarms", "composites", "usd_a_month"), row, strict=True)) for row in rows]
    shown = [tuple(map(str, row)) for row in rows]
    show(data, table(("stage", "alarms", "composites", "USD a month"), shown, right=(1, 2, 3)), output)


@app.command()
@command
def budget(
    *,
    stack: Stack = "dev",
    output: Format = Output.TABLE,
    publish: Annotated[bool, typer.Option(help="put error_budget_left_percent as a metric")] = False,
) -> None:
    """What is left of the error budgets, by the requests of the last fourteen days."""
    settings = _settings(stack)
    cloud, naming = AwsWatch(settings.region), Naming(project_name(ROOT), stack)
    report = watch.look(cloud, settings.facts, naming, stage=settings.stage)
    if publish and report.budgets:
        cloud.publish(naming.project, watch.budget_data(report))
        err.print("  published   error_budget_left_percent", markup=False)
    rows = [(name, f"{left:.1f} %") for name, left in report.budgets.items()]
    for note in alarm_set(settings.facts).notes:
        err.print(f"  note        {note}", markup=False)
    show(dict(report.budgets), table(("objective", "left"), rows, right=(1,)), output)


def _settings(stack: str) -> Settings:
    return from_file(stackfile.path_of(ROOT, stack))


def _look(settings: Settings, stack: str) -> watch.Report:
    return watch.look(
        AwsWatch(settings.region), settings.facts, Naming(project_name(ROOT), stack), stage=settings.stage
    )


if __name__ == "__main__":
    app()
