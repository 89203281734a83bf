#!/usr/bin/env python3
"""Recover a stack whose engine was killed: its lock, and what it was making when it died."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
from typing import Annotated

import typer

from infra.settings import project_name
from ops import recovery, stackfile
from ops.adapters.orphans import Orphans
from ops.adapters.state import EngineState
from ops.talk import command, confirm, err, step
from tools.setup.engine import engine_environment

ROOT = _venv.ROOT


@command
def recover(
    *,
    stack: Annotated[str, typer.Option("--stack", "-s", help="the stack to recover")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Recover a stack whose engine was killed: its lock, and what it was making when it died.

    Reads first and says what it found. What holds data is taken into the state; anything else that the killed engine
    had just made is removed, and the next `pulumi up` makes it again. Nothing ends up twice. May be repeated.
    """
    path = stackfile.path_of(ROOT, stack)
    environment = engine_environment(ROOT, os.environ, keep_pulumi=True)
    state = EngineState(ROOT, project_name(ROOT), stack, environment)
    orphans = Orphans(stackfile.config(path).get("aws:region", ""))
    with step("look", "reading state and cloud; what is missing may still be on its way") as line:
        planned = recovery.plan(state, orphans)
        line.says(f"{len(planned.locks)} lock(s), {len(planned.pending)} pending operation(s)")
    for sentence in planned.sentences():
        err.print(f"              {sentence}", markup=False)
    if not planned.needed:
        err.print("Nothing to recover.", markup=False)
        return
    confirm("Do this?", yes=yes)
    with step("recover", "settling") as line:
        recovery.carry_out(planned, state, orphans)
        line.says("done; the state and the cloud agree again")
    err.print(f"  next        pulumi up -s {stack}", markup=False)


if __name__ == "__main__":
    typer.run(recover)
