#!/usr/bin/env python3
"""Move the rows between PostgreSQL on the box and RDS, between the phases of a climb: docs/data.md.

Exit codes: 0 done or nothing to do, 1 failed (the same command goes on), 2 usage, 4 refused (nothing was changed),
5 interrupted (the box goes on; the same command waits for it or goes on), 10 a plan found something to do.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
from typing import Annotated, Any

import typer

from infra.core.errors import Fault, TerraceError
from infra.core.naming import Naming
from infra.settings import project_name
from ops import data, stackfile
from ops.adapters.aws_account import AwsAccount
from ops.adapters.drills import SsmShell
from ops.adapters.engine import Engine
from ops.data import Databases, RefusedError, Verb
from ops.talk import Exit, Output, command, confirm, err, fail, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose databases are meant")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Shown = Annotated[Output, typer.Option("--output", help="how data is printed")]


@app.command()
@command
def plan(*, stack: Stack = "dev", output: Shown = Output.TABLE) -> None:
    """Say who writes, what would be moved where, and every reason against it. Changes nothing."""
    found = _asked(stack, "plan")
    _show(found, output)
    raise typer.Exit(Exit.BLOCKED if found["refused"] else Exit.CHANGE)


@app.command()
@command
def copy(
    *,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="copy while the application goes on, to learn how long it takes"),
    ] = False,
    stack: Stack = "dev",
    output: Shown = Output.TABLE,
    yes: Yes = False,
) -> None:
    """Take the writer's right to write, and copy it. The application is without its database until the switch."""
    if rehearse:
        confirm(f"Copy the rows of {stack} for practice? Nothing is interrupted.", yes=yes)
    else:
        err.print(
            "  The application cannot reach its database from now until `switch` or `back`.", markup=False
        )
        confirm(f"Fence the writer of {stack} and copy it?", yes=yes)
    _show(_asked(stack, "copy", *(["--rehearse"] if rehearse else [])), output)


@app.command()
@command
def follow(*, stack: Stack = "dev", output: Shown = Output.TABLE, yes: Yes = False) -> None:
    """Copy while the application goes on, and let the copy follow it until `switch`, which then takes seconds."""
    err.print("  Until `switch` or `back` the writer keeps what the copy has not taken up yet.", markup=False)
    confirm(f"Copy the rows of {stack} and let the copy follow? Nothing is interrupted.", yes=yes)
    _show(_asked(stack, "follow"), output)


@app.command()
@command
def verify(*, stack: Stack = "dev", output: Shown = Output.TABLE) -> None:
    """Compare both: schema, rows, checksums, sequences, extensions, a vector query. Changes nothing."""
    found = _asked(stack, "verify")
    _show(found, output)
    if found["differences"]:
        raise typer.Exit(Exit.BLOCKED)


@app.command()
@command
def switch(*, stack: Stack = "dev", output: Shown = Output.TABLE, yes: Yes = False) -> None:
    """Compare both, write down the new writer, and let the application write to it; any difference refuses.

    After `follow` every row is read before the writer is fenced, and behind the fence what changed since: seconds.
    """
    confirm(f"Make the copy the writer of {stack}?", yes=yes)
    _show(_asked(stack, "switch"), output)


@app.command()
@command
def back(*, stack: Stack = "dev", output: Shown = Output.TABLE, yes: Yes = False) -> None:
    """Before the switch: let the application write to where it wrote; the copy is given up."""
    confirm(f"Give up the copy and open the writer of {stack} again?", yes=yes)
    _show(_asked(stack, "back"), output)


@app.command()
@command
def provide(*, stack: Stack = "dev", output: Shown = Output.TABLE, yes: Yes = False) -> None:
    """On a stack that began at split or private: make the application's role and its empty database."""
    confirm(f"Make the application's role in the database of {stack}?", yes=yes)
    _show(_asked(stack, "provide"), output)


@app.command()
@command
def password(*, stack: Stack = "dev", output: Shown = Output.TABLE, yes: Yes = False) -> None:
    """Give the application and RDS a new password, which nobody sees. The backend's services restart: seconds."""
    err.print("  The backend restarts and answers nothing for some seconds.", markup=False)
    confirm(f"Change the application's database password of {stack}?", yes=yes)
    _show(_asked(stack, "password"), output)


def _asked(stack: str, verb: Verb, *options: str) -> dict[str, Any]:
    region, databases = _databases(stack)
    try:
        with step(verb, f"on {databases.instance_id}") as line:
            found = data.ask(SsmShell(region), databases, verb, *options)
            line.says("done")
    except RefusedError as error:
        fail(error, Exit.BLOCKED)
    for said in found.pop("said"):
        err.print(f"  {said}", markup=False)
    return found


def _databases(stack: str) -> tuple[str, Databases]:
    """Where to ask; the account that the secret is in has to be ours."""
    region = stackfile.config(stackfile.path_of(ROOT, stack)).get("aws:region") or ""
    mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
    outputs = Engine(ROOT, stack, variables=mine).outputs()
    parameters = Naming(project_name(ROOT), stack).parameter().rstrip("/")
    databases = Databases.of(outputs, parameters=parameters, region=region)
    account = AwsAccount(region).account_id()
    if f":{account}:" not in databases.master_secret:
        raise TerraceError(
            Fault(f"stack {stack}", f"has its database outside of account {account}", "Set AWS_PROFILE")
        )
    return region, databases


def _show(found: dict[str, Any], output: Output) -> None:
    rows = [
        (name, "; ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in found.items()
    ]
    show(found, table(("what", "found"), rows), output)


if __name__ == "__main__":
    app()
