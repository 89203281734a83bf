"""The only place for what is measured of backups: a drill by the real engine, on machines, and its box's archive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from bench import projects
from embedded.cloud import Cloud
from infra.host.box.backup.bounds import RECOVERY_POINT_SECONDS
from ops import restore
from ops.adapters.drills import S3Kits, ScratchStacks, SsmShell, StackMetrics
from tests.boxes_restore.support import REGION, Machine

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
RECEIPTS = 20_000
Row = tuple[str, str, str, str, str]
"""The fields of a `Figure`: what, measured, against, ratio, target."""


def figures(directory: Path) -> Iterator[Row]:
    """One drill over a database of 20 000 receipts with vectors; about three minutes on an idle machine."""
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        if cloud.machines is None:
            yield "restore drill", "-", "", "", f"no boxes: {cloud.without_boxes}"
            return
        project = projects.option_a(directory / "source", cloud)
        project.stand()
        outputs = project.outputs()
        os.environ.update(cloud.variables())
        buckets = outputs["buckets"]
        box = Machine(
            cloud.machines.host, _client, outputs["instance_id"], buckets["backups"], buckets["uploads"]
        )
        box.take_over()
        box.add_receipts(RECEIPTS)
        box.archive()
        began = time.perf_counter()
        box.run("terrace-backup full")
        yield "full backup, 20 000 receipts", f"{time.perf_counter() - began:.1f} s", "", "", ""
        drills = restore.Drills(
            ScratchStacks(
                projects.ROOT,
                project.directory / "Pulumi.dev.yaml",
                project="terrace",
                variables={
                    name: value
                    for name, value in project.environment.items()
                    if name.startswith(("PULUMI", "AWS"))
                },
                work_dir=directory / "drills",
            ),
            SsmShell(REGION),
            S3Kits(REGION),
            StackMetrics(REGION, "terrace"),
        )
        report = drills.drill(restore.source_of("dev", outputs, f"{REGION}a"), now=datetime.now(UTC))
        if report.faults:
            raise RuntimeError(f"the drill found faults: {report.faults}")
        age = report.newest_row_age_seconds or 0.0
        parts = (
            f"stack {report.stack_seconds:.0f}, boot {report.boot_seconds:.0f}, "
            f"restore and proof {report.restore_seconds:.0f} s"
        )
        yield "drill: lost box to a proved database", f"{report.recovery_seconds:.1f} s", "", "", parts
        yield (
            "drill: age of the newest row",
            f"{age:.1f} s",
            f"{RECOVERY_POINT_SECONDS} s",
            f"{age / RECOVERY_POINT_SECONDS:.2f}",
            f"≤ {RECOVERY_POINT_SECONDS} s",
        )


def _client(service: str) -> Any:
    make: Any = boto3.client
    return make(service)
