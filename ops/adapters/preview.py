"""The only place that asks for a preview, a state, and another revision's recording, by command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError

SHOWN = ("--show-sames", "--show-replacement-steps")
"""Without the first the stack has no price, without the second not every replacement says what forces it."""

NO_STACK = re.compile(r"no stack named.*found")
"""What the engine says of a stack that was never made (pulumi/automation/errors.py of the same version)."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What the engine printed, and what policy packs said, which `--json` leaves out (engine 3.259, tried)."""

    text: str
    ok: bool
    policy: tuple[Mapping[str, Any], ...] = ()


def preview(
    work_dir: Path,
    stack: str,
    environment: Mapping[str, str],
    *,
    policy_packs: Sequence[str] = (),
    plan: str = "",
) -> Previewed:
    """What `pulumi preview --json` prints, refused or not, and whether it ended well. `plan` is a file to save it to.

    Raises:
        TerraceError: it printed no JSON: no such stack, no backend, no program.
    """
    # Whole paths: the engine starts a pack from the program's directory, infra/, and would look for it there.
    packs = [part for each in policy_packs for part in ("--policy-pack", str(Path(each).resolve()))]
    saved = ["--save-plan", plan] if plan else []
    with tempfile.TemporaryDirectory(prefix="terrace-events-") as temporary:
        events = Path(temporary) / "events"
        # As the Automation API asks for it: the switch is hidden behind that variable.
        logged = ["--event-log", str(events)] if packs else []
        done = _run(
            ["pulumi", "preview", "--json", *SHOWN, *packs, *saved, *logged, "--stack", stack],
            work_dir,
            {**environment, "PULUMI_DEBUG_COMMANDS": "true"} if packs else environment,
        )
        found = tuple(_policy_events(events)) if packs else ()
    if not done.stdout.lstrip().startswith("{"):
        raise TerraceError(
            Fault(f"stack {stack}", f"has no preview: {_essence(done)}", _remedy(stack, environment))
        )
    return Previewed(done.stdout, done.returncode == 0, found)


def _policy_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Every `policyEvent` of an event log, one JSON object a line (pulumi, sdk/go/common/apitype/events.go)."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"policyEvent"' in line and (said := json.loads(line).get("policyEvent")):
            yield said


def export(work_dir: Path, stack: str, environment: Mapping[str, str]) -> str:
    """What `pulumi stack export` prints: secrets encrypted.

    Raises:
        TerraceError: no such stack, no backend.
    """
    done = _run(["pulumi", "stack", "export", "--stack", stack], work_dir, environment)
    if done.returncode != 0:
        raise TerraceError(
            Fault(f"stack {stack}", f"has no state: {_essence(done)}", _remedy(stack, environment))
        )
    return done.stdout


def deployment(work_dir: Path, stack: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The state as the engine keeps it, secrets encrypted; empty for a stack that nobody has made.

    To decrypt them would be the longest part of it (0.6 s of 0.9, a passphrase's key), and nobody here may see them.

    Raises:
        TerraceError: no backend, or none that can be read.
    """
    done = _run(["pulumi", "stack", "export", "--stack", stack], work_dir, environment)
    if done.returncode != 0:
        if NO_STACK.search(done.stderr):
            return {}
        raise TerraceError(
            Fault(f"stack {stack}", f"has no state: {_essence(done)}", _remedy(stack, environment))
        )
    found: dict[str, Any] = json.loads(done.stdout).get("deployment") or {}
    return found


def recorded_at(root: Path, revision: str, stack: str) -> str:
    """The recording of another revision of this repository, made by its own program in a process of its own.

    Raises:
        TerraceError: no such revision, or its program did not run.
    """
    with _checked_out(root, revision) as directory:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))},
            "PYTHONPATH": str(directory),  # before the editable install, which is this revision
        }
        script = str(directory / "scripts" / "preview.py")
        done = _run([sys.executable, script, "record", "--stack", stack], directory, environment)
        if done.returncode != 0:
            raise TerraceError(
                Fault(f"revision {revision}", f"cannot be recorded: {_essence(done)}", "Look at its program")
            )
        return done.stdout


@contextmanager
def _checked_out(root: Path, revision: str) -> Generator[Path]:
    """A worktree of the revision beside nothing of ours, with this clone's environment by a link."""
    with tempfile.TemporaryDirectory(prefix="terrace-base-") as temporary:
        directory = Path(temporary) / "tree"
        added = _run(["git", "worktree", "add", "--detach", str(directory), revision, "--"], root, os.environ)
        if added.returncode != 0:
            raise TerraceError(
                Fault(
                    "--base",
                    f"{revision!r} is no revision here: {_essence(added)}",
                    "Fetch it, as origin/main",
                )
            )
        try:
            (directory / ".venv").symlink_to(root / ".venv")
            yield directory
        finally:
            _run(["git", "worktree", "remove", "--force", str(directory)], root, os.environ)


def _run(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    if arguments[0] == "pulumi":
        arguments = [*arguments, "--non-interactive", "--color", "never"]
    return subprocess.run(
        arguments, cwd=directory, env=dict(environment), capture_output=True, text=True, check=False
    )


def _essence(done: subprocess.CompletedProcess[str]) -> str:
    said = done.stderr.strip() or done.stdout.strip()
    errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error:")]
    return "; ".join(errors) or said[-600:] or f"it ended with {done.returncode}"


def _remedy(stack: str, environment: Mapping[str, str]) -> str:
    if not environment.get("PULUMI_BACKEND_URL"):
        return 'Point the shell at a cloud first: eval "$(scripts/local.py env)", or docs/runbook.md'
    return f"Make the stack first, if it is new: pulumi stack init {stack}"
