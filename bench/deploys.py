"""The only place for what is measured of deploys: each strategy under one load, on a box under its memory limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.served import Served, served

REQUESTS = 5_000
Row = tuple[str, str, str, str, str]
"""The fields of a `Figure`: what, measured, against, ratio, target."""

DOCUMENT_BIG_BANG_SECONDS = 480
"""The project document's "8 minutes" for a Big Bang."""


def figures(directory: Path) -> Iterator[Row]:
    """Rolling and big-bang on a box of 8 GB, blue-green on one of 16 GB; about eight minutes on an idle machine."""
    with served(directory / "8g") as box:
        box.publish("v2")
        yield from _without_loss(box, "v2", "rolling", 8)
        box.publish("v3")
        with box.under_load(sockets=0) as load:
            _, outcome = box.release("v3", "--strategy", "big-bang")
            load.until(load.sent() + 100)
        report = load.report
        if report is not None:
            dark = outcome["downtime_seconds"]
            yield (
                "big-bang: seconds without service",
                f"{dark:.1f} s",
                f"{DOCUMENT_BIG_BANG_SECONDS} s",
                f"{dark / DOCUMENT_BIG_BANG_SECONDS:.3f}",
                f"the document's; the load saw {report.dark_seconds:.1f} s, {report.failed} of {report.sent} failed",
            )
    with served(directory / "16g", "single-16g") as box:
        box.publish("v2")
        yield from _without_loss(box, "v2", "blue-green", 16)


def _without_loss(box: Served, version: str, strategy: str, limit_gib: int) -> Iterator[Row]:
    with box.under_load() as load:
        code, outcome = box.release(version, "--strategy", strategy)
        load.until(REQUESTS)
    report = load.report
    if report is None or code:
        raise RuntimeError(f"{strategy} ended with {code}: {outcome}")
    sockets = report.sockets
    yield f"{strategy}: failed of sent", str(report.failed), str(report.sent), "", f"0 of ≥ {REQUESTS}"
    yield (
        f"{strategy}: late (> 1 s), p95",
        str(report.late),
        f"{report.p95 * 1000:.0f} ms",
        "",
        "as crowded as this machine is",
    )
    yield (
        f"{strategy}: WebSockets closed in order",
        str(sockets.closed_by_server),
        str(sockets.clients),
        "",
        f"all; {sockets.answered} of {sockets.asked} answered, {len(sockets.faults)} faults",
    )
    yield (
        f"{strategy}: peak memory of the box",
        f"{box.peak_mib:.0f} MiB",
        f"{limit_gib * 1024} MiB",
        f"{box.peak_mib / limit_gib / 1024:.2f}",
        "under the limit",
    )
    yield f"{strategy}: whole deploy", f"{outcome['seconds']} s", "", "", ""
