"""The only place for what is measured of climbs on the engine: the preview of the largest stage against the floor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import projects
from embedded.cloud import Cloud

ROUNDS = 5


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
