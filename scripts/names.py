#!/usr/bin/env python3
"""Show the records to write where the domain's DNS is not in Route 53, and wait until they are there.

Exit codes: 0 they are there, 1 failed or not there in time, 2 usage, 5 interrupted, 10 some are still to be written.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
from typing import Annotated

import typer

from ops import names, stackfile
from ops.adapters.aws_names import AcmCertificates, SystemResolver
from ops.adapters.engine import Engine
from ops.names import Wanted
from ops.talk import Exit, Output, command, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose name is meant")]
Shown = Annotated[Output, typer.Option("--output", help="how data is printed")]


@app.command(name="show")
@command
def show_records(*, stack: Stack = "dev", output: Shown = Output.TABLE) -> None:
    """Say which records are still to be written, the certificate's proof among them. Changes nothing."""
    left = _Name(stack).missing()
    _show(left, output)
    if left:
        raise typer.Exit(Exit.CHANGE)


@app.command()
@command
def wait(
    *,
    stack: Stack = "dev",
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="give up after so many")] = 60,
    output: Shown = Output.TABLE,
) -> None:
    """Show the records, then wait until this machine's resolver and the certificate authority see them."""
    name = _Name(stack)
    _show(name.missing(), output)
    with step("wait", f"at most {minutes} minutes") as line:
        names.wait(name.missing, seconds=minutes * 60)
        line.says("everything is there")


class _Name:
    """A stack's name: where it has to lead, and how that is seen."""

    def __init__(self, stack: str) -> None:
        settings = stackfile.config(stackfile.path_of(ROOT, stack))
        mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
        self._lead = names.serving(Engine(ROOT, stack, variables=mine).outputs(), settings)
        self._certificate = (settings.get("terrace:edge") or {}).get("certificateArn")
        self._certificates = AcmCertificates(settings.get("aws:region") or "")
        self._resolver = SystemResolver()

    def missing(self) -> list[Wanted]:
        """What is not there yet."""
        proof = self._certificates.proof(self._certificate) if self._certificate else None
        return names.missing(self._lead, proof, self._resolver)


def _show(left: list[Wanted], output: Output) -> None:
    data = [{"name": each.name, "type": each.kind, "value": each.value, "why": each.why} for each in left]
    rows = [tuple(each.values()) for each in data]
    show(data, table(("name", "type", "value", "why"), rows) if rows else "Every record is there.", output)


if __name__ == "__main__":
    app()
