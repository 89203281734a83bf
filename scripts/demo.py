#!/usr/bin/env python3
"""The main job, start to end: the embedded cloud, a stage by `pulumi up`, its machine, its page, its price.

Run again, it goes on from where it stands. Nothing outside of .local/ and the user's cache is written.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import demo_climb
import httpx
import typer

from embedded.client import LocalCloud
from infra.core.cost import stage_cost
from infra.core.errors import Fault, TerraceError
from infra.core.prices import load
from infra.settings import Settings, from_file
from ops import ladder
from ops.adapters.engine import Engine
from ops.talk import command, err, out, step, table

ROOT = _venv.ROOT
STACK = "dev"
BOX_SECONDS = 120
"""How long a box may take until its page answers; 20 to 30 s are usual."""


class Progress:
    """Counts resources while the engine works, and says which it waits for."""

    def __init__(self, says: Any) -> None:
        self._says = says
        self._open: dict[str, str] = {}
        self.changed = 0

    def __call__(self, event: Any) -> None:
        """One event of the engine."""
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            if metadata.op != "same":
                self._open[metadata.urn] = metadata.urn.rpartition("::")[2]
        if event.res_outputs_event is not None:
            metadata = event.res_outputs_event.metadata
            if self._open.pop(metadata.urn, None) is not None:
                self.changed += 1
        if self._open:
            waits = next(reversed(self._open.values()))
            self._says(f"{self.changed} resources changed, now {waits}")


@command
def demo(
    *, boxes: Annotated[bool, typer.Option(help="real machines behind EC2 instances; they need root")] = True
) -> None:
    """The main job, start to end: the embedded cloud, a stage by `pulumi up`, its machine, its page, its price."""
    with _alone(ROOT / ".local" / "demo.lock"):
        _run(boxes=boxes)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """One demo at a time: two would work on one stack."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TerraceError(
                Fault(
                    "make demo", "another one is under way in this folder", "Wait for it, or: make demo-stop"
                )
            ) from None
        yield


def _run(*, boxes: bool) -> None:
    settings = from_file(ROOT / f"Pulumi.{STACK}.yaml")
    err.print(f"{'terrace demo':<40}{'embedded cloud, stage ' + settings.stage:>51}", markup=False)
    cloud = LocalCloud(ROOT)
    if cloud.running() is None and cloud.orphaned_stacks():
        cloud.reset()
    with step("cloud", "starting") as line:
        running = cloud.start(boxes=boxes, says=line.says)
        machines = f"no boxes: {running.without_boxes}" if running.without_boxes else "boxes on"
        line.says(f"AWS API on {running.api_url.removeprefix('http://')}, {machines}")
    engine = Engine(ROOT, STACK, variables=cloud.variables(), work_dir=demo_climb.standing_directory(ROOT))
    if running.after_kill:
        with step("refresh", "reading what the killed cloud still knows") as line:
            engine.refresh()
            line.says("the cloud was killed before; Pulumi's state agrees with it again")
    with step("up", "asking the engine") as line:
        progress = Progress(line.says)
        outputs = engine.up(on_event=progress)
        line.says(f"{progress.changed} resources changed" if progress.changed else "nothing to change")
    if not running.without_boxes:
        _page(outputs["url"])
    demo_climb.climb(ROOT, cloud.variables(), outputs, cloud.ask)
    _report(settings, outputs)


def _page(url: str) -> None:
    with step("box", f"waiting for {url}") as line:
        deadline = time.monotonic() + BOX_SECONDS
        while True:
            try:
                page = httpx.get(url, timeout=2)
                if page.is_success:
                    break
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(
                        "box",
                        f"did not answer at {url} within {BOX_SECONDS} s",
                        "Its console: .local/cloud/boxes/boxes/*/console.log",
                    )
                )
            time.sleep(0.3)
        line.says(f"booted, user data done; Nginx answers with {len(page.content)} bytes")


def _report(settings: Settings, outputs: dict[str, Any]) -> None:
    book = load(settings.price_book)
    cost = stage_cost(settings.rung, book, data_volume_gib=settings.data_volume_gib)
    out.print()
    out.print(table(("output", ""), [(name, _shown(value)) for name, value in sorted(outputs.items())]))
    out.print()
    lines = [(line.name, f"{line.monthly_usd:.2f}", line.note) for line in cost.lines]
    total = ("all fixed lines", f"{cost.fixed:.2f}", f"price book {book.name} of {book.as_of}")
    out.print(table((f"{settings.stage} a month", "USD", ""), [*lines, total], right=(1,)))
    out.print()
    out.print(table(ladder.COLUMNS, ladder.rows(), right=(3, 4, 5, 6)))
    out.print()
    for what, how in (
        ("look", f"{outputs['url']}   scripts/local.py status"),
        ("play", 'eval "$(scripts/local.py env)"; pulumi preview -s dev; aws ec2 describe-instances'),
        ("resize", "write single-16g into Pulumi.dev.yaml, then pulumi up -s dev"),
        ("stop", "make demo-stop"),
    ):
        err.print(f"  {what:<11} {how}", markup=False)


def _shown(value: Any) -> str:
    return ", ".join(sorted(map(str, value.values()))) if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    typer.run(demo)
