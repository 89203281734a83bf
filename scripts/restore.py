#!/usr/bin/env python3
"""Backups of a stack's database: what there is, a drill that proves them, and the way back to a minute."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import json
import os
import shlex
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from infra.core.errors import Fault, TerraceError
from infra.settings import project_name
from ops import restore, stackfile
from ops.adapters.drills import S3Kits, ScratchStacks, SsmShell, StackMetrics
from ops.adapters.engine import Engine
from ops.talk import Exit, Output, command, confirm, err, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose database it is")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
OutputOption = Annotated[Output, typer.Option("--output", help="how data is printed")]

HOURS = 3600
STOPS = "systemctl stop 'terrace-backend@*' 'terrace-worker*' postgresql@17-main"
STARTS = "systemctl start --no-block terrace-release terrace-backup-ready"


@app.command(name="list")
@command
def list_backups(*, stack: Stack, output: OutputOption = Output.TABLE) -> None:
    """Base backups and gaps of the archive; between the first backup and now, any minute outside a gap can be had."""
    told = _status(stack)
    rows = [
        (each["label"], each["kind"], each["stopped_at"], f"{each['stored_bytes'] / 1024**2:.1f} MiB")
        for each in told["backups"]
    ]
    rows += [("(gap)", "", f"{each['since']} to {each['until'] or 'now'}", "") for each in told["gaps"]]
    data = {"backups": told["backups"], "gaps": told["gaps"]}
    show(data, table(("backup", "kind", "until (UTC)", "stored"), rows, right=(3,)), output)


@app.command()
@command
def status(*, stack: Stack, output: OutputOption = Output.TABLE) -> None:
    """How the archive stands: newest backup, what waits for the bucket, last results."""
    told = _status(stack)
    newest = told["backups"][-1] if told["backups"] else None
    rows = [
        ("newest backup", f"{newest['label']}, {newest['stopped_at']}" if newest else "none"),
        ("waiting", f"{told['queue']['segments']} segment(s) since {told['queue']['oldest_at'] or '-'}"),
        ("archived through", told["archived_through"] or "not looked yet"),
        ("behind since", told["behind_since"] or "-"),
        ("gaps", str(len(told["gaps"]))),
        *((f"last {kind}", each["error"] or f"well, {each['at']}") for kind, each in told["results"].items()),
    ]
    show(told, table((f"backups of {stack}", ""), rows), output)


@app.command()
@command
def drill(
    *,
    stack: Stack,
    time: Annotated[str, typer.Option(help="the state of that time, as 2026-11-21T10:15Z [newest]")] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="leave the scratch stack; it expires after 12 h")
    ] = False,
    yes: Yes = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Restore into a scratch stack, prove what came back, measure, destroy the stack.

    Proved are rows and checksums, every page and index, the extension, a vector query, and that every upload exists
    that a row names. The source is only read. Exit code 1 when a fault was found.
    """
    source, drills = _drills(stack)
    confirm(f"Make a scratch box of {stack}'s own size for this drill?", yes=yes)
    now = datetime.now(UTC)
    wish = ["--time", shlex.quote(time)] if time else []
    report = drills.drill(source, now=now, wish=wish, on_step=_say, keep=keep)
    rows = [
        ("restored", report.backup),
        ("to a proved database in (RTO)", f"{report.recovery_seconds:.1f} s"),
        ("  stack, boot, restore and proof", _three(report)),
        ("age of the newest row (RPO)", _age(report.newest_row_age_seconds)),
        *((f"rows of {name}", str(counted[0])) for name, counted in report.proof.get("tables", {}).items()),
        ("uploads that rows name", str(report.proof.get("uploads", 0))),
        *(("FAULT", each) for each in report.faults),
    ]
    show(report.as_values(), table((f"drill of {stack}", ""), rows), output)
    if report.faults:
        raise typer.Exit(Exit.FAILED)


@app.command()
@command
def sweep(
    *,
    stack: Stack,
    everything: Annotated[bool, typer.Option("--all", help="also those whose time is not over")] = False,
    yes: Yes = False,
) -> None:
    """Destroy the scratch stacks that a killed drill left, once their time is over."""
    _, drills = _drills(stack, standing=False)
    confirm("Destroy the scratch stacks of drills?", yes=yes)
    gone = drills.sweep(now=datetime.now(UTC), everything=everything, on_step=_say)
    err.print(f"Destroyed: {', '.join(gone)}." if gone else "Nothing to destroy.", markup=False)


@app.command()
@command
def to(
    time: Annotated[str, typer.Argument(help="such as 2026-11-21T10:15Z, or `newest`")],
    *,
    stack: Stack,
    yes: Yes = False,
) -> None:
    """Bring the stack's own database back to a time. What was written later is gone; the service stands meanwhile.

    Backups that exist stay, so a later time can still be chosen afterwards. Can be repeated when it was interrupted.
    """
    found = _outputs(stack)
    shell, instance_id = SsmShell(_region(stack)), str(found["instance_id"])
    wish = "" if time == "newest" else f"--time {shlex.quote(time)}"
    shown = _ran(shell, instance_id, f"terrace-restore --show {wish}")
    err.print(f"  from        backup {shown['label']}", markup=False)
    confirm(f"Replace the database of {stack} by its state of {time}?", yes=yes)
    with step("stop", "application and database") as line:
        # What is still in the database's own log reaches the archive first.
        script = f"runuser -u postgres -- psql -XAtqc 'select pg_switch_wal()' || true; {STOPS}"
        shell.run(instance_id, script, seconds=300)
        line.says("stopped")
    with step("restore", f"the state of {time}") as line:
        done = _ran(shell, instance_id, f"terrace-restore {wish} --empty /data/pgdata")
        line.says(f"{done['backup']}, {done['seconds']:.0f} s")
    with step("start", "application; a full backup follows") as line:
        shell.run(instance_id, STARTS, seconds=300)
        line.says("started")


def _status(stack: str) -> dict[str, Any]:
    return _ran(SsmShell(_region(stack)), str(_outputs(stack)["instance_id"]), "terrace-backup status")


def _ran(shell: SsmShell, instance_id: str, script: str) -> dict[str, Any]:
    done = shell.run(instance_id, script, seconds=4 * HOURS)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise TerraceError(
            Fault(
                f"box {instance_id}", f"{script.split()[0]} ended with {done.exit_code}: {said}", "See above"
            )
        ) from None
    return found


def _drills(stack: str, *, standing: bool = True) -> tuple[restore.Source, restore.Drills]:
    path, region = stackfile.path_of(ROOT, stack), _region(stack)
    zone = stackfile.config(path)["terrace:zones"][0]
    outputs = _outputs(stack) if standing else {}
    stacks = ScratchStacks(
        ROOT, path, project=project_name(ROOT), variables=_variables(), work_dir=ROOT / ".local" / "drills"
    )
    drills = restore.Drills(
        stacks, SsmShell(region), S3Kits(region), StackMetrics(region, project_name(ROOT))
    )
    empty = restore.Source(stack, "", "", "", "", "", "", "")
    return (restore.source_of(stack, outputs, zone) if standing else empty), drills


def _outputs(stack: str) -> dict[str, Any]:
    stackfile.path_of(ROOT, stack)
    found = Engine(ROOT, stack, variables=_variables()).outputs()
    if "instance_id" not in found:
        raise TerraceError(Fault(f"stack {stack}", "has no box that holds a database", "pulumi up"))
    return found


def _variables() -> dict[str, str]:
    """The caller's own cloud and backend: what `eval "$(scripts/local.py env)"` or a login put there."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}


def _region(stack: str) -> str:
    region = stackfile.config(stackfile.path_of(ROOT, stack)).get("aws:region")
    if not region:
        raise TerraceError(Fault(f"stack {stack}", "has no aws:region", "Write it, as ap-northeast-2"))
    return str(region)


def _say(text: str) -> None:
    err.print(f"  {text}", markup=False)


def _three(report: restore.Report) -> str:
    return f"{report.stack_seconds:.1f} + {report.boot_seconds:.1f} + {report.restore_seconds:.1f} s"


def _age(seconds: float | None) -> str:
    return "no row says when it was made" if seconds is None else f"{seconds:.1f} s"


if __name__ == "__main__":
    app()
