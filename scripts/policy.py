#!/usr/bin/env python3
"""Which rules a stack keeps: judged over the program as it stands, without an engine, a cloud or credentials.

The engine runs the same rules: pulumi preview --policy-pack "$PWD/infra/policy/pack". They advise in dev and block
in prod.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.settings import from_file, parse, project_name
from ops import audit as auditing
from ops import policy, stackfile
from ops.adapters.checkov import look
from ops.adapters.recorded import run
from ops.cost.answer import Table
from ops.talk import Exit, Output, command, err, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
As = Annotated[Output, typer.Option(help="how data is printed")]


@app.command()
@command
def check(
    *,
    stack: Annotated[str, typer.Option("--stack", "-s", help="the stack whose file is judged")] = "dev",
    output: As = Output.TABLE,
) -> None:
    """Judge what a stack's file and the program come to; exit 4 where a finding blocks."""
    settings = from_file(stackfile.path_of(ROOT, stack))
    found = policy.findings(
        run(settings, project=project_name(ROOT), stack=stack).judged(), settings, datetime.now(UTC).date()
    )
    _show(policy.data(found), policy.finding_table(found, stack), output)
    if any(each.blocks for each in found):
        raise typer.Exit(Exit.BLOCKED)


@app.command()
@command
def rules(*, output: As = Output.TABLE) -> None:
    """List the rules, the controls they mirror, and how bad breaking them is."""
    _show(policy.rule_data(), policy.rule_table(), output)


@app.command()
@command
def audit(
    *,
    checkov: Annotated[Path, typer.Option(help="checkov's program")] = ROOT
    / ".venv-audit"
    / "bin"
    / "checkov",
    output: As = Output.TABLE,
) -> None:
    """Let checkov look at each option, plain and with every switch on; exit 4 for what nothing excepts.

    The program is recorded, as for `check`, and shown as a plan of Terraform. Exceptions stand in
    infra/policy/checkov.yaml, each with a reason; one that covers nothing is a finding too.
    """
    base = stackfile.config(stackfile.path_of(ROOT, "dev"))
    exempt = auditing.exemptions(ROOT / auditing.FILE)
    plans = {}
    for name, changes in auditing.configurations():
        settings = parse({**base, **changes}, where=name)
        plans[name] = auditing.plan(run(settings, project=project_name(ROOT), stack="prod").judged())
    with step("checkov", f"looking at {len(plans)} plans") as line:
        looked = look(checkov, plans)
        line.says(f"{looked.passed} checks passed, {len(looked.failed)} failed in {len(plans)} plans")
    left, idle = auditing.unexcused(looked.failed, exempt)
    found = auditing.table_of(left, idle)
    _show([*map(asdict, left), *map(asdict, idle)], found, output)
    if left or idle:
        raise typer.Exit(Exit.BLOCKED)


def _show(data: object, found: Table, output: Output) -> None:
    if output is Output.TABLE:
        err.print(found.title, markup=False)
        if not found.rows:
            return
    show(data, table(found.columns, found.rows), output)


if __name__ == "__main__":
    app()
