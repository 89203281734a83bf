#!/usr/bin/env python3
"""What a change costs and does, before it is made: for a terminal, a pull request, programs. No cloud is changed.

Ends with 0 without a change, 10 with one, 3 where the month costs more than the budget, 4 where the guard, a
mandatory rule or a missing price blocks it, 1 where the preview failed.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml

from infra.core.cost import DEFAULT, Usage, read_usage
from infra.core.errors import Fault, TerraceError
from infra.core.prices import PriceBook, load
from ops import ci, policy, stackfile
from ops import report as reports
from ops.adapters import preview as engine
from ops.climb.steps import Words
from ops.report.findings import Finding
from ops.report.make import Report
from ops.talk import Exit, command, out, show, step, table
from ops.talk import Output as Plain
from tools.setup.engine import engine_environment

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)


class Form(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack")]
As = Annotated[Form, typer.Option("--output", help="how the report is printed")]
Book = Annotated[str, typer.Option("--book", help="a price book in place of the settings'")]
UsageFile = Annotated[Path | None, typer.Option("--usage", help="a YAML file of measured use")]
Findings = Annotated[
    Path | None,
    typer.Option("--findings", help="what the rules found, as JSON; without it they are judged here"),
]
Comment = Annotated[
    Path | None,
    typer.Option("--comment", help="write it as Markdown there, for tools/comment.py; empty: say nothing"),
]


@app.command()
@command
def run(
    *,
    stack: Stack = "dev",
    keep: Annotated[Path | None, typer.Option(help="keep the engine's JSON in this file")] = None,
    save_plan: Annotated[str, typer.Option(help="let the engine save its plan there, for `up --plan`")] = "",
    policy_pack: Annotated[list[str] | None, typer.Option(help="a policy pack; may be repeated")] = None,
    refuse_step: Annotated[
        bool,
        typer.Option("--refuse-step", help="as workflows: a step on the ladder is a finding that blocks"),
    ] = False,
    carries: Annotated[
        str, typer.Option(help="unless this climb's plan lets it pass: its branch climb/ID, or ID")
    ] = "",
    findings: Findings = None,
    comment: Comment = None,
    book: Book = "",
    usage: UsageFile = None,
    output: As = Form.TABLE,
) -> None:
    """Preview a stack with the real engine, in the cloud that this shell points at, and report."""
    path = stackfile.path_of(ROOT, stack)
    environment = engine_environment(ROOT, os.environ, keep_pulumi=True)
    with step("preview", "the engine runs the program") as line:
        made = engine.preview(ROOT, stack, environment, policy_packs=policy_pack or (), plan=save_plan)
        line.says(f"{path.name} against what stands")
    if keep is not None:
        stackfile.write(keep, made.text)
    plan = reports.read_preview(made.text, where=f"the preview of {stack}", packs=bool(policy_pack))
    broken = _broken(plan, findings)
    climbs = _Climbs(stack) if refuse_step and carries else None
    steps = ci.step_findings(plan, climbs=climbs, carries=carries) if refuse_step else []
    packs = policy.of_packs(plan, made.policy, broken, ok=made.ok) if policy_pack else []
    _report(plan, book, usage, [*steps, *packs, *broken], comment, output)


@app.command(name="report")
@command
def report_(
    file: Annotated[Path, typer.Argument(help="what `pulumi preview --json --show-sames` printed")],
    *,
    state: Annotated[
        Path | None, typer.Option(help="`pulumi stack export`, where the preview leaves out what stays")
    ] = None,
    findings: Findings = None,
    comment: Comment = None,
    book: Book = "",
    usage: UsageFile = None,
    output: As = Form.TABLE,
) -> None:
    """Report a preview that was made elsewhere. No engine and no cloud are asked."""
    standing = None if state is None else reports.read_state(_read(state), where=state.name)
    plan = reports.read_preview(_read(file), where=file.name, state=standing)
    _report(plan, book, usage, _broken(plan, findings), comment, output)


@app.command()
@command
def record(
    *,
    stack: Stack = "dev",
    to: Annotated[Path | None, typer.Option(help="a file in place of standard output")] = None,
) -> None:
    """Run the program without engine, cloud or credentials, and write down what it would register; secrets masked."""
    text = _recording(stack)
    if to is None:
        sys.stdout.write(text)
    else:
        stackfile.write(to, text)


@app.command()
@command
def compare(
    before: Annotated[str, typer.Argument(help="a recording, or a revision as origin/main")],
    after: Annotated[
        Path | None, typer.Argument(help="a recording; without one, the program as it stands here")
    ] = None,
    *,
    stack: Stack = "dev",
    findings: Findings = None,
    comment: Comment = None,
    book: Book = "",
    usage: UsageFile = None,
    output: As = Form.TABLE,
) -> None:
    """Report what differs between two revisions of the program, for those who may not ask a cloud: forks."""
    if Path(before).is_file():
        text = _read(Path(before))
    else:
        with step("base", f"recording {before}") as line:
            text = engine.recorded_at(ROOT, before, stack)
            line.says(f"{before} recorded")
    _, _, base = reports.read_recorded(text, where=before)
    head_text = _recording(stack) if after is None else _read(after)
    name, config, head = reports.read_recorded(head_text, where=str(after or "the program"))
    plan = reports.compared(base, head, name, config)
    _report(plan, book, usage, _broken(plan, findings), comment, output)


@dataclass(frozen=True, slots=True)
class _Climbs:
    """The stack's climbs, read once a step asks for one: every branch is carried, and hardly any makes a step."""

    stack: str

    def refusals(self, carries: str, before: Words, wanted: Words) -> Sequence[Fault]:
        from ops.adapters.carried import carried  # boto3 and the engine's state

        return carried(ROOT, ROOT, self.stack).refusals(carries, before, wanted)


def _broken(plan: reports.Plan, findings: Path | None) -> list[Finding]:
    if findings is None:
        return policy.judged(plan, _today())
    return reports.read_findings(_read(findings), where=findings.name)


def _report(
    plan: reports.Plan,
    book: str,
    usage: Path | None,
    findings: Sequence[Finding],
    comment: Path | None,
    output: Form,
) -> None:
    found = reports.report(plan, today=_today(), book=_book(book), usage=_usage(usage), findings=findings)
    if comment is not None:
        stackfile.write(comment, reports.markdown(found))
    if output is Form.MARKDOWN:
        sys.stdout.write(reports.markdown(found))
    elif output is Form.JSON:
        show(reports.data(found), "", Plain.JSON)
    else:
        _print(found)
    raise typer.Exit(_ends_with(found))


def _ends_with(found: Report) -> Exit:
    if found.blocked:
        return Exit.BLOCKED
    if found.failed:
        return Exit.FAILED
    if found.over_budget:
        return Exit.OVER_BUDGET
    return Exit.CHANGE if found.plan.proposes else Exit.DONE


def _print(found: Report) -> None:
    out.print(reports.title(found), style="bold", markup=False)
    for each in reports.tables(found):
        out.print()
        out.print(each.title, style="bold", markup=False)
        if each.rows:
            out.print(table(each.columns, each.rows, right=each.right))
        for note in each.notes:
            out.print(f"  {note}", markup=False, soft_wrap=False)


def _recording(stack: str) -> str:
    from ops.adapters.recorded import record as recorded  # half a second of Pulumi, for two verbs alone

    path = stackfile.path_of(ROOT, stack)
    config = stackfile.config(path)
    return reports.written(stack, config, recorded(config, stack, where=path.name))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TerraceError(
            Fault(str(path), f"cannot be read: {error}", "Look at its name and form")
        ) from error


def _book(name: str) -> PriceBook | None:
    return load(name) if name else None


def _usage(path: Path | None) -> Usage:
    if path is None:
        return DEFAULT
    try:
        raw = yaml.safe_load(_read(path)) or {}
    except yaml.YAMLError as error:
        raise TerraceError(
            Fault(path.name, f"is no YAML: {error}", "See infra/core/cost/usage.py")
        ) from error
    if not isinstance(raw, dict):
        raise TerraceError(Fault(path.name, "holds no map", "See infra/core/cost/usage.py"))
    return read_usage(raw, where=path.name)


def _today() -> date:
    return datetime.now(UTC).date()


if __name__ == "__main__":
    app()
