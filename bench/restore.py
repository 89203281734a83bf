"""The only place for what is measured of backups: a drill by the real engine, on machines, and its box's archive."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from bench import projects
from embedded.cloud import Cloud
from infra.host.box.backup.bounds import ARCHIVE_TIMEOUT_SECONDS, RECOVERY_POINT_SECONDS
from ops import restore
from ops.adapters.drills import S3Kits, ScratchStacks, SsmShell, StackMetrics
from tests.boxes_restore.support import REGION, WRITER, Machine, restored

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
RECEIPTS = 20_000
CUTS = 3
POSTGRESQL = "postgresql@17-main"
Row = tuple[str, str, str, str, str]
"""The fields of a `Figure`: what, measured, against, ratio, target."""


def figures(directory: Path) -> Iterator[Row]:
    """A drill over 20 000 receipts with vectors, three minutes on an idle machine; then cuts of power."""
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
        yield from power_cuts(box)


def power_cuts(box: Machine, cuts: int = CUTS) -> Iterator[Row]:
    """The plug is pulled at random times under write load, the box's own timers at work; seven minutes each.

    The database stays down after each cut, so that the bucket holds what it held at the cut and nothing more.

    Raises:
        RuntimeError: a row acknowledged more than the recovery point before the cut is not in the restore.
    """
    box.run("systemctl start terrace-backup-watch.timer")
    for number in range(1, cuts + 1):
        box.run(WRITER)
        time.sleep(RECOVERY_POINT_SECONDS + random.uniform(10, ARCHIVE_TIMEOUT_SECONDS))  # noqa: S311 no secret
        box.run(f"systemctl mask {POSTGRESQL}")
        cut = time.time()
        box.power_cut()
        told = box.acknowledged()
        with restored(box):
            held = set(map(int, box.sql("select n from acknowledged", port=5433).split()))
        box.run(f"systemctl unmask {POSTGRESQL}; systemctl start {POSTGRESQL}")
        older = {each for each, at in told.items() if cut - at > RECOVERY_POINT_SECONDS}
        if not older or not older <= held:
            raise RuntimeError(f"{len(older - held)} of {len(older)} rows that had to be restored were not")
        age = cut - max(at for each, at in told.items() if each in held)
        yield (
            f"power cut {number} under load: age of the newest row restored",
            f"{age:.1f} s",
            f"{RECOVERY_POINT_SECONDS} s",
            f"{age / RECOVERY_POINT_SECONDS:.2f}",
            f"≤ {RECOVERY_POINT_SECONDS} s; 0 of {len(older)} older rows lost, {len(told)} acknowledged",
        )


def _client(service: str) -> Any:
    make: Any = boto3.client
    return make(service)
