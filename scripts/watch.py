#!/usr/bin/env python3
"""How a stack stands against its thresholds, what an alarm means, what the set costs, and how much budget is left."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import getpass
import json
import re
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.live import Live

from infra.core.alarms import alarm_set
from infra.core.cost import stage_resources, watching_monthly
from infra.core.errors import Fault, TerraceError
from infra.core.naming import WEBHOOK, Naming
from infra.core.notice import Webhook
from infra.core.prices import load
from infra.core.shape import shape
from infra.core.stages import LADDER, Option
from infra.core.thresholds import Facts
from infra.settings import Settings, from_file, project_name
from ops import stackfile, watch, watchpage
from ops.adapters.aws_account import AwsAccount
from ops.adapters.aws_watch import AwsWatch
from ops.talk import Output, command, confirm, err, out, show, table

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

    States are CloudWatch's own. At most five calls of CloudWatch, and one of SNS. With --follow a call that fails is
    said and tried again, the page is written each time, and --output json prints one line for each look.
    """
    if follow and follow < LEAST_SECONDS:
        raise TerraceError(Fault("--follow", f"{follow} s is too often", f"At least {LEAST_SECONDS} s"))
    settings = _settings(stack)
    if not follow:
        report = _look(settings, stack)
        _page(report, html)
        show(report.as_json(), watchpage.rendered(report), output)
        return
    looks = watch.looks(lambda: _look(settings, stack), lambda: time.sleep(follow))
    if output is Output.JSON:
        for found in looks:
            if isinstance(found, watch.Report):
                _page(found, html)
                typer.echo(json.dumps(found.as_json(), default=str))
                sys.stdout.flush()
            else:
                err.print(f"  not seen    {found}", markup=False)
        return
    with Live(console=out, screen=False, auto_refresh=False) as live:
        last: watch.Report | None = None
        for found in looks:
            if isinstance(found, watch.Report):
                last = found
                _page(found, html, said=False)
            failed = "" if isinstance(found, watch.Report) else str(found)
            live.update(watchpage.followed(last, failed), refresh=True)


def _page(report: watch.Report, html: Path | None, *, said: bool = True) -> None:
    if html is None:
        return
    stackfile.write(html, watchpage.page(report))
    if said:
        err.print(f"  page        {html}", markup=False)


@app.command()
@command
def explain(name: str, *, stack: Stack = "dev", output: Format = Output.TABLE) -> None:
    """What an alarm or a composite (scale-up-review) watches and means, and what to do. No call of the API."""
    facts = watch.explain(_settings(stack).facts, name)
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
    """What is left of the error budgets, by the requests of the last thirty days."""
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


@app.command()
@command
def webhook(
    *,
    stack: Stack = "dev",
    set_: Annotated[bool, typer.Option("--set", help="read the chat's address from standard input")] = False,
    test: Annotated[bool, typer.Option("--test", help="send one message to the mail and the chat")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """The chat that is told of alarms (terrace:notify.webhook): set its address, or try the whole way to people.

    The address is a secret: it is kept in a parameter, and shown nowhere.
    """
    settings, naming = _settings(stack), Naming(project_name(ROOT), stack)
    if set_ == test:
        raise TerraceError(
            Fault("webhook", "needs one of --set and --test", "scripts/watch.py webhook --help")
        )
    if set_:
        if settings.notify.webhook is Webhook.NONE:
            remedy = f"terrace:notify: {{webhook: slack}} in Pulumi.{stack}.yaml, then pulumi up -s {stack}"
            raise TerraceError(
                Fault("terrace:notify.webhook", "is none: nothing would read the address", remedy)
            )
        value = (getpass.getpass("address: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
        if not re.match(r"https://|http://127\.0\.0\.1[:/]", value):
            raise TerraceError(
                Fault("the address", "does not begin with https://", "Copy it from the chat's page")
            )
        AwsAccount(settings.region).put_secret(naming.parameter(WEBHOOK), value)
        err.print("The address is set; the next message goes there. Try it: --test", markup=False)
        return
    name = naming.physical("app-bootstrap-page" if settings.facts.single else "stack-errors-5xx-page")
    err.print(
        f"  {name} is put to ALARM; CloudWatch puts it back by itself and tells that too.", markup=False
    )
    confirm("Everybody who is told of alarms gets two messages. Go on?", yes=yes)
    AwsWatch(settings.region).force(name, "A test by scripts/watch.py webhook --test")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@command
def during(context: typer.Context, *, stack: Stack = "dev") -> None:
    """Run a command as a deploy or climb: scale-up and service-down tell nobody while it lasts.

    scripts/watch.py during -s prod -- pulumi up -s prod
    """
    if not context.args:
        raise TerraceError(Fault("during", "names no command", "scripts/watch.py during -- pulumi up"))
    settings, naming = _settings(stack), Naming(project_name(ROOT), stack)
    with AwsWatch(settings.region).announced(naming.project, stack):
        try:
            done = subprocess.run(context.args, check=False)
        except FileNotFoundError as error:
            raise TerraceError(Fault(context.args[0], "is no command here", "Is it on PATH?")) from error
    raise typer.Exit(done.returncode)


class What(StrEnum):
    """What can be exported."""

    GRAFANA = "grafana"
    PROMETHEUS = "prometheus"
    EXPORTER = "exporter"


@app.command()
@command
def export(what: What, *, stack: Stack = "dev") -> None:
    """Dashboard and thresholds for Grafana or Prometheus, to stdout. Nothing of terrace needs them. One call.

    grafana: a dashboard to import, over Grafana's own CloudWatch data source. prometheus: alerting rules; exporter:
    the configuration of prometheus/cloudwatch_exporter that they rest on. The stack must stand: its ids are in them.
    """
    from ops import watchexport  # the SDK is large, and no other verb needs it

    settings, naming = _settings(stack), Naming(project_name(ROOT), stack)
    alarms = alarm_set(settings.facts)
    found = AwsWatch(settings.region).alarms(naming.physical(""), alarms.names)
    if not found:
        raise watch.no_alarms(stack)
    known = watchexport.known_of(alarms, {name: each.dimensions for name, each in found.items()})
    standing = watchexport.Standing(settings.facts, alarms, naming, settings.region, known)
    if what is What.GRAFANA:
        typer.echo(watchexport.grafana(standing))
        return
    made = watchexport.rules(standing) if what is What.PROMETHEUS else watchexport.exporter(standing)
    typer.echo(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=200), nl=False)


def _settings(stack: str) -> Settings:
    return from_file(stackfile.path_of(ROOT, stack))


def _look(settings: Settings, stack: str) -> watch.Report:
    return watch.look(
        AwsWatch(settings.region), settings.facts, Naming(project_name(ROOT), stack), stage=settings.stage
    )


if __name__ == "__main__":
    app()
