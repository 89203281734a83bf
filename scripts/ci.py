#!/usr/bin/env python3
"""What the workflows do to a stack, by hand too: refuse an unannounced climb, save a plan, apply exactly that.

Exit codes: 0 done, 1 the engine failed or a rule stopped it, 4 another stage or climb than what stands, or a state
that moved, 10 drift.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.core.naming import Naming
from infra.core.transition import Standing
from infra.settings import from_file, project_name
from ops import ci, stackfile
from ops.adapters.carried import carried
from ops.adapters.engine import Engine
from ops.climb.carried import Carried
from ops.policy import PACK
from ops.talk import Exit, command, confirm, err, fail

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack")]
Revision = Annotated[str, typer.Option(help="the commit that the program is at")]
Carries = Annotated[
    str, typer.Option(help="the climb whose plan lets the step pass: its branch climb/ID, or ID")
]
WORK_DIR = Path(os.environ.get("TERRACE_WORK_DIR") or ROOT)


@app.command()
@command
def standing(*, stack: Stack = "dev", carries: Carries = "") -> None:
    """Refuse (4) where the file wants another stage or climb than what stands, unless a climb's plan lets it."""
    try:
        step = ci.refuse_step(
            _engine(stack).deployment(), _wanted(stack), climbs=_climbs(stack), carries=carries
        )
    except ci.RefusedError as error:
        fail(error, Exit.BLOCKED)
    err.print(f"{stack}: {step or 'stays where it stands on the ladder'}", markup=False)


@app.command()
@command
def save(
    to: Annotated[Path, typer.Argument(help="a directory for the plan")],
    *,
    revision: Revision,
    stack: Stack = "prod",
    carries: Carries = "",
) -> None:
    """Preview with the rules, and save the plan with the hash of the state that it starts from."""
    wanted = _wanted(stack)
    try:
        start, counts = ci.save(
            _engine(stack), to.resolve(), stack=stack, revision=revision, wanted=wanted,
            policy_pack=ROOT / PACK, climbs=_climbs(stack), carries=carries,
        )  # fmt: skip
    except ci.RefusedError as error:
        fail(error, Exit.BLOCKED)
    said = ", ".join(f"{count} to {name}" for name, count in sorted(counts.items()))
    err.print(f"{stack}: {said}; from state {start.state[:12]}; {to}", markup=False)


@app.command()
@command
def apply(
    saved: Annotated[Path, typer.Argument(help="the directory of a saved plan")],
    *,
    revision: Revision,
    stack: Stack = "prod",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Apply exactly a saved plan; refuse (4) where stack, commit or state are not the ones that it was made of."""
    wanted, engine = _wanted(stack), _engine(stack)
    confirm(f"Apply the plan in {saved} to {stack}?", yes=yes)
    try:
        ci.apply(
            engine, saved.resolve(), stack=stack, revision=revision, wanted=wanted,
            policy_pack=ROOT / PACK, climbs=_climbs(stack),
        )  # fmt: skip
    except ci.RefusedError as error:
        fail(error, Exit.BLOCKED)
    err.print(f"{stack}: applied", markup=False)


@app.command()
@command
def drift(*, stack: Stack = "prod") -> None:
    """Look whether what stands is what was asked for; the differences as Markdown, exit 10 where there are any.

    A stack that stands at another stage or climb than its file says ends with 4: nothing is to be taken back there.
    """
    engine = _engine(stack)
    try:
        ci.refuse_step(engine.deployment(), _wanted(stack))
    except ci.RefusedError as error:
        sys.stdout.write(ci.step_page(stack, error))
        raise typer.Exit(Exit.BLOCKED) from error
    moved = engine.differences()
    sys.stdout.write(ci.drift_page(stack, moved))
    if moved:
        raise typer.Exit(Exit.CHANGE)


def _engine(stack: str) -> Engine:
    mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
    return Engine(ROOT, stack, variables=mine, work_dir=WORK_DIR)


def _climbs(stack: str) -> Carried:
    return carried(ROOT, WORK_DIR, stack)


def _wanted(stack: str) -> Standing:
    settings = from_file(stackfile.path_of(WORK_DIR, stack))
    return settings.standing(Naming(project_name(WORK_DIR), stack))


if __name__ == "__main__":
    app()
