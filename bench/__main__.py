"""make bench: what people wait for, measured on this machine, as ratios within one run."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bench import climb, deploys, gpu, host, projects, restore, stages, watch
from bench.figures import Figure
from embedded.aws.server import resident_bytes
from embedded.cloud import Cloud
from infra.core.cost import price_stack, stage_resources
from infra.core.prices import load
from infra.core.stages import listed
from ops.adapters.preview import SHOWN
from ops.policy import PACK

ROUNDS = 5
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
MIB = 1024**2


def main() -> int:
    """Prints the figures of the parts that were asked for."""
    parts: dict[str, Callable[[Path], Iterator[Figure]]] = {
        "engine": _engine,
        "host": _rows(host.figures),
        "deploys": _rows(deploys.figures),
        "restore": _rows(restore.figures),
        "money": _money,
        "report": _report,
        "gpu": gpu.figures,
        "alarms": _rows(watch.figures),
        "climb": lambda directory: climb.figures(directory, cache=CACHE),
        "stages": _rows(lambda directory: stages.figures(directory, cache=CACHE)),
    }
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all without one")
    chosen = parser.parse_args().parts or list(parts)
    print(f"{'':<44}{'measured':>12}{'against':>12}{'ratio':>8}  target", flush=True)
    for part in chosen:
        with tempfile.TemporaryDirectory(prefix="terrace-bench-") as directory:
            for figure in parts[part](Path(directory)):
                print(
                    f"{figure.what:<44}{figure.measured:>12}{figure.against:>12}{figure.ratio:>8}  {figure.target}",
                    flush=True,
                )
    return 0


def _engine(directory: Path) -> Iterator[Figure]:
    with Cloud(directory / "cloud", cache=CACHE) as cloud:
        floor = projects.floor(directory / "floor", cloud)
        option_a = projects.option_a(directory / "a", cloud)
        floor.stand()
        first = option_a.stand()
        preview = _alternating(lambda: option_a.pulumi("preview"), lambda: floor.pulumi("preview"))
        up = _alternating(
            lambda: option_a.pulumi("up", "--yes", "--skip-preview"),
            lambda: floor.pulumi("up", "--yes", "--skip-preview"),
        )
        yield _against("preview of Option A, floor's preview", preview, "≤ 2.0 × floor")
        yield _against("no-change up of Option A, floor's up", up, "≤ 2.5 × floor")
        yield Figure(
            f"first up of Option A, {len(option_a.resources())} resources", f"{first:.1f} s", "", "", ""
        )
        resident = (resident_bytes() or 0) / MIB
        yield Figure("memory of the embedded cloud, no boxes", f"{resident:.0f} MiB", "", "", "≤ 500 MB")


def _report(directory: Path) -> Iterator[Figure]:
    """What the policy pack adds to a preview; what scripts/preview.py takes beyond it, from its start to its end."""
    kept = directory / "preview.json"
    with Cloud(directory / "cloud", cache=CACHE) as cloud:
        option_a = projects.option_a(directory / "a", cloud)
        option_a.stand()
        kept.write_text(option_a.output("preview", "--json", *SHOWN), encoding="utf-8")
        pack = ("--policy-pack", str(projects.ROOT / PACK))
        pair = _alternating(
            lambda: _seconds(lambda: option_a.output("preview", *pack)),
            lambda: _seconds(lambda: option_a.output("preview")),
        )
    yield _against("preview of Option A with the policy pack", pair, "")
    command = [sys.executable, str(projects.ROOT / "scripts" / "preview.py"), "report", str(kept)]
    taken = []
    for _round in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(
            [*command, "--comment", str(directory / "comment.md")], check=True, capture_output=True
        )
        taken.append(time.perf_counter() - started)
    seconds = statistics.median(taken)
    yield Figure("report beyond the preview of Option A", f"{seconds:.2f} s", "", "", "≤ 1.5 s")


def _rows(figures: Callable[[Path], Iterator[host.Row]]) -> Callable[[Path], Iterator[Figure]]:
    """A room's own rows as figures."""
    return lambda directory: (Figure(*row) for row in figures(directory))


def _money(_: Path) -> Iterator[Figure]:
    """Pricing a thousand resources, as every preview does with its own."""
    book = load()
    one = stage_resources(listed("private"))
    many = [replace(each, urn=f"{each.urn}-{n}") for n in range(1000 // len(one) + 1) for each in one][:1000]
    taken = []
    for _round in range(ROUNDS):
        started = time.perf_counter()
        price_stack(many, book)
        taken.append(time.perf_counter() - started)
    milliseconds = statistics.median(taken) * 1000
    yield Figure("price of 1 000 resources", f"{milliseconds:.0f} ms", "", "", "≤ 100 ms")


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _alternating(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    pairs = [(one(), other()) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _against(what: str, pair: tuple[float, float], target: str) -> Figure:
    return Figure(what, f"{pair[0]:.2f} s", f"{pair[1]:.2f} s", f"{pair[0] / pair[1]:.2f}", target)


if __name__ == "__main__":
    sys.exit(main())
