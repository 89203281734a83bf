#!/usr/bin/env python3
"""The embedded cloud of this clone: start it, point your shell at it, break it on purpose, end it."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from embedded.client import LocalCloud
from infra.core.errors import Fault, TerraceError
from infra.settings import from_file
from ops.talk import Exit, Output, command, confirm, err, shell, show, step, table
from tools.setup.engine import SLOWING

ROOT = _venv.ROOT
MOST_AHEAD = timedelta(days=14)
DAY_SECONDS = 86_400
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=True, rich_markup_mode=None)
OutputOption = Annotated[Output, typer.Option(help="how data is printed")]


@app.command()
@command
def start(
    *,
    boxes: Annotated[bool, typer.Option(help="real machines behind EC2 instances; they need root")] = True,
    fresh: Annotated[bool, typer.Option(help="forget what stood before")] = False,
) -> None:
    """Start the cloud; what stood when it ended stands again."""
    cloud = LocalCloud(ROOT)
    if fresh:
        cloud.reset()
    if cloud.running() is None and (orphans := cloud.orphaned_stacks()):
        raise TerraceError(
            Fault(
                "embedded cloud",
                f"has forgotten what Pulumi's state still knows of: {', '.join(orphans)}",
                "Forget both: scripts/local.py start --fresh (nothing real is lost)",
            )
        )
    with step("cloud", "starting") as line:
        running = cloud.start(boxes=boxes, says=line.says)
        machines = f"no boxes: {running.without_boxes}" if running.without_boxes else "boxes on"
        line.says(f"AWS API on {running.api_url.removeprefix('http://')}, {machines}")
    if running.after_kill:
        err.print("  note        it was killed before: pulumi refresh -s dev, then go on", markup=False)
    err.print('  next        eval "$(scripts/local.py env)" && pulumi up -s dev', markup=False)


@app.command()
@command
def stop() -> None:
    """End the cloud and its machines; what stands is remembered."""
    with step("cloud", "ending") as line:
        line.says("ended; what stood is remembered" if LocalCloud(ROOT).stop() else "was not running")


@app.command()
@command
def status(output: OutputOption = Output.TABLE) -> None:
    """Say whether it runs, where, and what stands in it."""
    cloud = LocalCloud(ROOT)
    if (running := cloud.running()) is None:
        show({"running": False}, "not running; scripts/local.py start", output)
        raise typer.Exit(Exit.DONE)
    found: dict[str, Any] = {
        "running": True,
        "without_boxes": running.without_boxes,
        **cloud.ask("GET", "status"),
    }
    memory = f"{(found.get('resident_bytes') or 0) / 1024**2:.0f} MiB"
    rows = [
        ("AWS API", running.api_url),
        ("provider", f"127.0.0.1:{running.provider_port}"),
        ("RunPod double", f"{running.runpod_url}, its key: double-key"),
        ("boxes", running.without_boxes or "on"),
        ("since", running.started_at),
        ("requests", str(found["requests"])),
        ("memory", memory),
        ("faults", str(found["faults"])),
    ]
    show(found, table(("embedded cloud", ""), rows), output)


@app.command()
@command
def env() -> None:
    """Print what points a shell at this cloud: eval "$(scripts/local.py env)"."""
    cloud = LocalCloud(ROOT)
    shell(
        unset=("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "PULUMI_ACCESS_TOKEN", *SLOWING),
        export=cloud.variables(),
        first=(ROOT / ".venv" / "bin", cloud.engine_bin()),
    )


@app.command()
@command
def check(
    file: Annotated[
        Path | None, typer.Argument(help="a stack file; without one, all of this project's")
    ] = None,
) -> None:
    """Check stack files without the engine; every fault at once."""
    files = [file] if file else sorted(ROOT.glob("Pulumi.*.yaml"))
    faulty = False
    for path in files:
        try:
            settings = from_file(path)
        except TerraceError as error:
            faulty = True
            err.print(str(error), markup=False)
        else:
            sys.stdout.write(f"{path.name}: {settings.stage} in {settings.region}, nothing wrong\n")
    if faulty:
        raise typer.Exit(Exit.FAILED)


@app.command()
@command
def reset(*, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Forget everything: what stands here, its volumes, and Pulumi's state of it. Nothing real is touched."""
    confirm("Forget everything that stands in the embedded cloud?", yes=yes)
    with step("cloud", "forgetting") as line:
        LocalCloud(ROOT).reset()
        line.says("empty; scripts/local.py start begins anew")


@app.command()
@command
def advance(by: Annotated[str, typer.Argument(help="how far, as 90m, 6h, 7d (at most 14d)")]) -> None:
    """Let the alarms' clock run ahead: every minute on the way is evaluated, and the changes of state are printed."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if (
        not (by[:-1].isdigit() and by[-1:] in units)
        or (span := timedelta(**{units[by[-1]]: int(by[:-1])})) > MOST_AHEAD
    ):
        raise TerraceError(Fault("advance", f"{by!r} is no span of at most 14 days", "Write 90m, 6h or 7d"))
    cloud, changes, left = LocalCloud(ROOT), [], span.total_seconds()
    with step("alarms", f"evaluating every minute of {by}") as line:
        while left > 0:
            changes += cloud.ask("POST", "alarms", {"by_seconds": min(left, DAY_SECONDS)})
            left -= DAY_SECONDS
        line.says(f"{len(changes)} changes of state")
    rows = [(each["at"], each["alarm"], each["from"], each["to"]) for each in changes]
    show(changes, table(("at", "alarm", "from", "to"), rows), Output.TABLE)


@app.command()
@command
def fault(
    fault_json: Annotated[
        str,
        typer.Argument(
            metavar="FAULT",
            help='a fault as JSON, such as \'{"kind": "api-fails", "service": "ec2", "action": "RunInstances"}\'',
        ),
    ] = "",
    *,
    clear: Annotated[bool, typer.Option("--clear", help="take every fault away")] = False,
) -> None:
    """Break something on purpose.

    Kinds: api-fails, api-throttles, api-hangs, api-slow, answer-lost, engine-killed, box-dies. Of the RunPod double:
    runpod-crash-loop, -dead-engine, -bad-image, -no-stock, -429, -500, -slow, -lost-reply and others, until
    runpod-well. Without a fault, those that stand are listed.
    """
    cloud = LocalCloud(ROOT)
    if clear:
        cloud.ask("DELETE", "faults")
    if fault_json:
        try:
            body = json.loads(fault_json)
        except json.JSONDecodeError as error:
            raise TerraceError(Fault("fault", f"is no JSON: {error}", "See --help for an example")) from error
        if did := cloud.ask("POST", "faults", body).get("did"):
            err.print(str(did), markup=False)
    show(cloud.ask("GET", "faults"), "", Output.JSON)


@app.command()
@command
def receipt(
    directory: Annotated[Path, typer.Argument(help="where the pictures are written", file_okay=False)],
) -> None:
    """Draw made-up receipts for `scripts/gpu.py invoke`: those that the RunPod double knows and answers."""
    from embedded.runpod import pictures, samples

    directory.mkdir(parents=True, exist_ok=True)
    for name, sample in samples.SAMPLES.items():
        pictures.draw(name, directory / f"{name}.png")
        err.print(f"{directory / name}.png: {sample.shows}", markup=False, soft_wrap=True)
    err.print(f"Now scripts/gpu.py invoke {directory / name}.png", markup=False, soft_wrap=True)


if __name__ == "__main__":
    app()
