#!/usr/bin/env python3
"""Make the archive of packages that private boxes install from where they have no way to a mirror.

    scripts/packages.py build .local/packages.tar             from Debian, as its index signs it
    scripts/packages.py use .local/packages.tar --stack prod      its SHA-256 into the stack's file
    scripts/packages.py publish .local/packages.tar --stack prod  into the stack's artifacts bucket

Security updates come the same way: build again, use, publish, `pulumi up`, then `terrace-host update` on each box.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 4 refused, 5 interrupted.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from infra.core import packages as names
from infra.core.errors import Fault, TerraceError
from ops import packages, stackfile
from ops.adapters.apt import Apt, repositories
from ops.adapters.aws_deploy import S3Artifacts
from ops.adapters.engine import Engine
from ops.packages import Archive
from ops.talk import Output, command, confirm, show, step

ROOT = _venv.ROOT
FETCH_SECONDS = 60
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose file and bucket are meant")]
Shown = Annotated[Output, typer.Option("--output", help="how data is printed")]
Made = Annotated[Path, typer.Argument(help="an archive that build made", exists=True, dir_okay=False)]


@app.command()
@command
def build(
    archive: Annotated[Path, typer.Argument(help="where to write it, as .local/packages.tar")],
    *,
    mirror: Annotated[
        str, typer.Option(help="has debian and debian-security below it; none: this machine's own")
    ] = "",
    architecture: Annotated[str, typer.Option(help="of the boxes")] = names.ARCHITECTURE,
    authorities: Annotated[
        Path | None,
        typer.Option(
            help="certificates of RDS's authorities; without it they are fetched from AWS", exists=True
        ),
    ] = None,
    output: Shown = Output.TABLE,
) -> None:
    """Fetch the boxes' packages with all that they depend on, and pack them. About 130 MB; asks no cloud.

    apt checks every package against Debian's signed index. Nothing but the archive is written.
    """
    certificates = authorities.read_text(encoding="ascii") if authorities else _authorities()
    waits_for = f"{len(names.archived())} packages and what they need, {architecture}"
    with (
        tempfile.TemporaryDirectory(prefix="terrace-packages-") as scratch,
        step("build", waits_for) as line,
    ):
        apt = Apt(repositories(mirror), architecture)
        made = packages.build(apt, certificates, Path(scratch), archive)
        line.says(f"{made.packages} packages, {made.size_bytes / 1024**2:.0f} MiB")
    _report(made, output)


@app.command()
@command
def use(
    archive: Made,
    *,
    stack: Stack = "dev",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    output: Shown = Output.TABLE,
) -> None:
    """Write the archive's SHA-256 into the stack's file, as terrace:edge.packages. Changes nothing else."""
    made = packages.read(archive)
    path = stackfile.path_of(ROOT, stack)
    edge = dict(stackfile.config(path).get("terrace:edge") or {})
    if edge.get("packages") != made.sha256:
        confirm(f"Write terrace:edge.packages {made.sha256[:12]}… into {path.name}?", yes=yes)
        stackfile.set_setting(path, "terrace:edge", {**edge, "packages": made.sha256})
    _report(made, output)


@app.command()
@command
def publish(archive: Made, *, stack: Stack = "dev", output: Shown = Output.TABLE) -> None:
    """Lay the archive into the stack's artifacts bucket, under its digest. Twice changes nothing.

    A stack that is to begin without a NAT gateway has no bucket yet: `pulumi up` first; its boxes wait for this.
    """
    made = packages.read(archive)
    mine = {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}
    bucket = (Engine(ROOT, stack, variables=mine).outputs().get("buckets") or {}).get("artifacts")
    if not bucket:
        raise TerraceError(Fault(stack, "has no artifacts bucket", "`pulumi up` makes it"))
    region = str(stackfile.config(stackfile.path_of(ROOT, stack)).get("aws:region") or "")
    with step("publish", f"{made.size_bytes / 1024**2:.0f} MiB to s3://{bucket}/{made.key}") as line:
        new = packages.publish(S3Artifacts(bucket, region), made)
        line.says(f"{made.key} {'is published' if new else 'was published already'}")
    _report(made, output)


def _authorities() -> str:
    try:
        with urllib.request.urlopen(names.AUTHORITIES_URL, timeout=FETCH_SECONDS) as answer:  # noqa: S310 it is https
            return str(answer.read().decode("ascii"))
    except (urllib.error.URLError, TimeoutError, UnicodeDecodeError) as error:
        raise TerraceError(
            Fault(names.AUTHORITIES_URL, f"could not be read: {error}", "Give a file: --authorities")
        ) from error


def _report(made: Archive, output: Output) -> None:
    data = {
        "sha256": made.sha256, "key": made.key, "bytes": made.size_bytes, "packages": made.packages,
    }  # fmt: skip
    show(data, f"{made.sha256}  {made.packages} packages  {made.size_bytes / 1024**2:.0f} MiB", output)


if __name__ == "__main__":
    app()
