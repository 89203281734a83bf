#!/usr/bin/env python3
"""Publish releases, and let the boxes of a stack take them up: rolling, blue-green, big-bang; and back in one word.

Exit codes: 0 done or nothing to do, 1 failed (what served before serves again), 2 usage, 4 refused, 5 interrupted
(the boxes go on; the same command again finds it done), 10 a plan would change something.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import getpass
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.core.errors import Fault, TerraceError
from infra.core.release import Strategy
from ops import deploy, release, stackfile
from ops.adapters.aws_account import AwsAccount
from ops.adapters.aws_deploy import S3Artifacts, SsmBoxes
from ops.adapters.engine import Engine
from ops.deploy import Asked, Box, Patience
from ops.release import Packed
from ops.talk import Exit, Output, command, confirm, err, fail, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose boxes and bucket are meant")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
How = Annotated[
    Strategy,
    typer.Option(
        help="rolling: one service beside its predecessor at a time; blue-green: both, needs 16 GB; "
        "big-bang: stop, start, with downtime"
    ),
]
Reason = Annotated[str, typer.Option(help="why, for the history")]
By = Annotated[str, typer.Option(help="who asks, for the history; user and host without it")]
Shown = Annotated[Output, typer.Option("--output", help="how data is printed")]
Version = Annotated[str, typer.Argument(help="a published release", metavar="VERSION")]
Health = Annotated[
    float | None, typer.Option("--health-seconds", min=0, max=3600, help="a new service gets to be healthy")
]
Soak = Annotated[
    float | None, typer.Option("--soak-seconds", min=0, max=3600, help="it is watched under traffic")
]
Drain = Annotated[
    float | None,
    typer.Option("--drain-seconds", min=0, max=3600, help="open connections get to end by themselves"),
]
OrInterrupt = Annotated[
    bool,
    typer.Option(
        "--or-interrupt",
        help="a box without room for a second service stops the old one first; the plan says which",
    ),
]


@app.command()
@command
def pack(
    directory: Annotated[Path, typer.Argument(help="see templates/release", exists=True, file_okay=False)],
    archive: Annotated[Path, typer.Argument(help="where to write it, as v12.tar.gz")],
    *,
    version: Annotated[str, typer.Option(help="instead of the one in release.json")] = "",
) -> None:
    """Pack a release's directory into an archive, to be published here or elsewhere. Asks no cloud."""
    _report(_refusing(lambda: release.pack(directory, archive, version=version, git=_git(directory))))


@app.command()
@command
def publish(
    source: Annotated[Path, typer.Argument(help="a release's directory, or its archive", exists=True)],
    *,
    stack: Stack = "dev",
    version: Annotated[str, typer.Option(help="instead of the one in release.json")] = "",
) -> None:
    """Put a release into the stack's artifacts bucket. What is published is never changed; twice changes nothing."""
    with tempfile.TemporaryDirectory(prefix="terrace-publish-") as scratch:
        if source.is_dir():
            packed = release.pack(source, Path(scratch, "archive"), version=version, git=_git(source))
        elif version:
            raise TerraceError(
                Fault("--version", "is of a directory; an archive has its own", "Leave it out")
            )
        else:
            packed = release.read(source)
        place = _Place(stack)
        with step("publish", f"{packed.published.size_bytes / 1024**2:.1f} MiB") as line:
            new = _refusing(lambda: deploy.publish(place.artifacts, packed))
            line.says(f"{packed.published.version} {'is published' if new else 'was published already'}")
    _report(packed)


@app.command()
@command
def plan(
    version: Version,
    *,
    stack: Stack = "dev",
    strategy: How = Strategy.ROLLING,
    or_interrupt: OrInterrupt = False,
    output: Shown = Output.TABLE,
) -> None:
    """Say what a release would do on each box, step by step, and what memory it needs. Changes nothing."""
    place = _Place(stack)
    _refusing(lambda: deploy.published(place.artifacts, version))
    plans = _plans(place, Asked(version, strategy, "", "", or_interrupt=or_interrupt))
    show(plans, "\n".join(_lines(plans)), output)
    if any(each["refused"] for each in plans):
        raise typer.Exit(Exit.BLOCKED)
    if any(each["steps"] for each in plans):
        raise typer.Exit(Exit.CHANGE)


@app.command(name="release")
@command
def take_up(
    version: Version,
    *,
    stack: Stack = "dev",
    strategy: How = Strategy.ROLLING,
    or_interrupt: OrInterrupt = False,
    reason: Reason = "",
    by: By = "",
    health: Health = None,
    soak: Soak = None,
    drain: Drain = None,
    output: Shown = Output.TABLE,
    yes: Yes = False,
) -> None:
    """Let the boxes take up a published release; a box goes back by itself where it fails, and then all do."""
    place = _Place(stack)
    _refusing(lambda: deploy.published(place.artifacts, version))
    asked = Asked(version, strategy, by or _who(), reason, Patience(health, soak, drain), or_interrupt)
    _carry_out(place, asked, output, yes=yes)


@app.command()
@command
def rollback(
    *,
    stack: Stack = "dev",
    strategy: How = Strategy.ROLLING,
    or_interrupt: OrInterrupt = False,
    reason: Reason = "",
    by: By = "",
    health: Health = None,
    soak: Soak = None,
    drain: Drain = None,
    output: Shown = Output.TABLE,
    yes: Yes = False,
) -> None:
    """Go back to the release before; the database stays as it is, which every migration has to allow."""
    asked = Asked("", strategy, by or _who(), reason, Patience(health, soak, drain), or_interrupt)
    _carry_out(_Place(stack), asked, output, yes=yes)


@app.command()
@command
def status(*, stack: Stack = "dev", output: Shown = Output.TABLE) -> None:
    """Say what serves on each box, what is under way, and where a rollback goes."""
    place = _Place(stack)
    found = deploy.status(place.boxes, place.among)
    rows = [
        (
            each["box"],
            part,
            one["version"],
            str(one["port"]),
            one["ailment"] or "healthy",
            each["rollback_to"] or "-",
        )
        for each in found
        for part, one in each["parts"].items()
    ]
    empty = [(each["box"], "-", "no release", "", "", "") for each in found if not each["parts"]]
    show(found, table(("box", "part", "version", "port", "health", "rollback to"), [*rows, *empty]), output)
    for each in found:
        if under_way := each["under_way"]:
            err.print(f"  under way: {under_way['reason']} by {under_way['by']} since {under_way['since']}")
        if each["cut_short"]:
            err.print(f"  {each['box']}: a deploy was cut short; run it again, or any other", markup=False)


@app.command()
@command
def history(
    *,
    stack: Stack = "dev",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="at most so many")] = 20,
    output: Shown = Output.TABLE,
) -> None:
    """List deploys, the newest first: who, when, what, how long, how it ended."""
    place = _Place(stack)
    found = deploy.history(place.boxes, place.among, limit)
    rows = [
        (
            each["started_at"],
            each["role"],
            f"{each['verb']} {each['version']}",
            each["strategy"],
            each["result"],
            f"{each['seconds']:.1f}",
            f"{each['downtime_seconds']:.1f}",
            each["by"],
        )
        for each in found
    ]
    columns = ("began", "role", "what", "strategy", "ended", "s", "down s", "by")
    show(found, table(columns, rows, right=(5, 6)), output)


class _Place:
    """A stack's boxes and bucket, by its outputs; the account that its bucket is in has to be ours."""

    def __init__(self, stack: str) -> None:
        config = stackfile.config(stackfile.path_of(ROOT, stack))
        region = config.get("aws:region") or ""
        mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
        outputs = Engine(ROOT, stack, variables=mine).outputs()
        self.among: Sequence[Box] = deploy.boxes_of(outputs)
        bucket = str(outputs["buckets"]["artifacts"])
        account = AwsAccount(region).account_id()
        if not bucket.endswith(f"-{account}"):
            raise TerraceError(
                Fault(
                    f"stack {stack}", f"stands beside {bucket}, not in account {account}", "Set AWS_PROFILE"
                )
            )
        self.artifacts = S3Artifacts(bucket, region)
        self.boxes = SsmBoxes(region)


def _carry_out(place: _Place, asked: Asked, output: Output, *, yes: bool) -> None:
    plans = _plans(place, asked)
    asked = asked.by_plan(plans)
    for line in _lines(plans):
        err.print(line, markup=False)
    _refusing(lambda: deploy.refuse(plans))
    if not any(each["steps"] for each in plans):
        show([], "Nothing to do.", output)
        return
    confirm("Do this?", yes=yes)
    outcomes = _refusing(lambda: deploy.deploy(place.boxes, place.artifacts, place.among, asked, _hear))
    rows = [
        (
            each["role"],
            each["box"],
            each["version"],
            each["previous"] or "-",
            f"{each['seconds']:.1f}",
            f"{each['downtime_seconds']:.1f}",
        )
        for each in outcomes
    ]
    show(outcomes, table(("role", "box", "serves", "before", "s", "down s"), rows, right=(4, 5)), output)


def _plans(place: _Place, asked: Asked) -> list[dict[str, Any]]:
    with step("plan", "asking the boxes") as line:
        plans = deploy.plan(place.boxes, place.among, asked)
        line.says(", ".join(f"{each['role']} {each['box']}" for each in plans))
    return plans


def _lines(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for each in plans:
        lines.append(
            f"{each['role']}: {each['version']} over {each['from'] or 'nothing'}, {each['strategy']}"
        )
        lines += [f"  {number}. {what}" for number, what in enumerate(each["steps"], 1)] or [
            "  nothing to do"
        ]
        lines.append(
            f"  memory: needs {each['need_mib']} MiB, {each['free_mib']} of {each['total_mib']} free"
        )
        if each["downtime"]:
            lines.append("  nothing serves between the stop and the start")
        if each["refused"]:
            lines.append(f"  refused: {each['refused']}")
    return lines


def _hear(box: Box, event: Mapping[str, Any]) -> None:
    said = f"  {event['seconds']:6.1f} s  {event['step']:<11} {event['what']}"
    err.print(said if box.role == "single" else f"  {box.role:<9}{said}", markup=False)


def _report(packed: Packed) -> None:
    about = packed.published
    err.print(
        f"  {about.version}: {' and '.join(about.parts)}"
        f"{', with migrations' if packed.manifest.migrations else ''}, {about.size_bytes / 1024**2:.1f} MiB, "
        f"sha256 {about.sha256[:12]}, commit {about.git[:12] or 'unknown'}",
        markup=False,
    )


def _git(directory: Path) -> str:
    """The commit that the directory's checkout is at; empty outside of one."""
    done = subprocess.run(
        ["git", "-C", str(directory), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _who() -> str:
    return os.environ.get("GITHUB_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"


def _refusing(work: Any) -> Any:
    """Does it; a refusal has its own exit code."""
    try:
        return work()
    except deploy.RefusedError as error:
        fail(error, Exit.BLOCKED)


if __name__ == "__main__":
    app()
