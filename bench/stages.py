"""The only place for what is measured between options: previews, the way to private under a load, a gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import moved, projects
from embedded.aws.server import ApiServer
from embedded.cloud import Cloud

ROUNDS = 5
DRILL = ("drill", "--stack", "dev", "--from", "split", "--to", "private", "--boxes", "--output", "json")
"""About nine minutes, as root: there and back on machines, 50 requests a second by the service's name."""


def figures(directory: Path, *, cache: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """What, measured, against, ratio, target: the columns of `make bench`."""
    with Cloud(directory / "cloud", cache=cache) as cloud:
        floor = projects.floor(directory / "floor", cloud)
        private = projects.private(directory / "private", cloud)
        floor.stand()
        first = private.stand()
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(private.pulumi("preview"))
            theirs.append(floor.pulumi("preview"))
        one, other = median(ours), median(theirs)
        yield (
            "preview of private, floor's preview",
            f"{one:.2f} s",
            f"{other:.2f} s",
            f"{one / other:.2f}",
            "≤ 3.0 × floor",
        )
        yield (f"first up of private, {len(private.resources())} resources", f"{first:.1f} s", "", "", "")
    done = subprocess.run(
        [sys.executable, str(projects.ROOT / "scripts" / "scale_up.py"), *DRILL],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    for way, what in (("there", "split to private"), ("back", "private to split, taken back")):
        load = json.loads(done.stdout)["load"][way]
        yield (
            f"{what}: failed of sent in {load['seconds']:.0f} s",
            str(load["failed"]),
            str(load["sent"]),
            "",
            "0",
        )
    yield from _a_gigabyte(directory / "moved")


def _a_gigabyte(directory: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """On machines; about five minutes."""
    directory.mkdir()
    with ExitStack() as stack:
        api = ApiServer()
        api.start()
        stack.callback(api.stop)
        machines, cloud = moved.stand(directory, api)
        stack.callback(machines.close)
        found = moved.move_a_gigabyte(moved.ready(cloud))
    faults = f"{found.lost} lost, {found.twice} twice, {found.astray} astray"
    yield (
        f"A→B, {found.size_bytes / 1e9:.2f} GB at 50 writes/s, no writer for",
        f"{found.pause_seconds:.2f} s",
        f"{found.gap_seconds:.2f} s",
        "",
        f"≤ 5 s; of {found.acknowledged}: {faults}",
    )
