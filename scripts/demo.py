#!/usr/bin/env python3
"""The main job, start to end: the embedded cloud, a stage by `pulumi up`, its machine, deploys under load, its price.

Run again, it goes on from where it stands. Nothing outside of .local/ and the user's cache is written.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import fcntl
import json
import os
import shutil
import ssl
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import boto3
import demo_climb
import httpx
import typer

from embedded import sample
from embedded.client import LocalCloud
from embedded.load import Load, Target
from infra.core.cost import stage_cost
from infra.core.errors import Fault, TerraceError
from infra.core.prices import load
from infra.core.release import Strategy
from infra.settings import Settings, from_file
from ops import deploy, ladder, release
from ops.adapters.aws_deploy import S3Artifacts, SsmBoxes
from ops.adapters.engine import Engine
from ops.talk import command, err, out, step, table

ROOT = _venv.ROOT
STACK = "dev"
BOX_SECONDS = 240
"""How long a box may take until it is installed; 30 to 60 s are usual."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
VERSIONS = ("v1", "v2")
LOAD_RATE, LOAD_SOCKETS, LOAD_REQUESTS = 50.0, 10, 500


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
    _ask_only(cloud.variables())
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
        _serve(outputs, settings.region)
    demo_climb.climb(ROOT, cloud.variables(), outputs, cloud.ask)
    _report(settings, outputs)


def _ask_only(variables: Mapping[str, str]) -> None:
    """What is asked of AWS from here on is asked of this cloud, whatever profile the shell names."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({name: text for name, text in variables.items() if name.startswith("AWS_")})
    boto3.setup_default_session()


def _serve(outputs: dict[str, Any], region: str) -> None:
    boxes, among = SsmBoxes(region), deploy.boxes_of(outputs)
    with step("box", f"installs itself, then {outputs['url']}") as line:
        vouched = _installed(outputs["url"], boxes, among[0])
        line.says("installed: PostgreSQL on /data, Nginx answers over HTTPS")
    artifacts = S3Artifacts(outputs["buckets"]["artifacts"], region)
    with step("releases", "the sample service") as line:
        told = [deploy.publish(artifacts, _packed(version, line.says)) for version in VERSIONS]
        line.says(f"{' and '.join(VERSIONS)} {'published' if any(told) else 'are published'}")
    serving = {each["version"] for each in deploy.status(boxes, among)[0]["parts"].values()}
    if not serving & set(VERSIONS):
        with step("deploy", "v1, the first") as line:
            _deployed(boxes, artifacts, among, "v1", line.says)
            serving = {"v1"}
            line.says(f"v1 serves {_version(outputs['url'], vouched)}")
    new = next(version for version in VERSIONS if version not in serving)
    with step("deploy", f"{new}, rolling, under load") as line:
        with Load(
            Target(outputs["url"], ca=str(vouched)),
            vouched.with_name("load.log"),
            rate=LOAD_RATE,
            sockets=LOAD_SOCKETS,
        ) as load:
            load.until(int(LOAD_RATE))
            _deployed(boxes, artifacts, among, new, line.says)
            load.until(LOAD_REQUESTS)
        line.says(f"{new} serves, without a pause")
    if load.report is not None:
        err.print(f"  {'load':<11} {load.report.sentence()}", markup=False)


def _installed(url: str, boxes: SsmBoxes, box: deploy.Box) -> Path:
    """Waits for the box's own installer and its first answer; the certificate by which it vouches for itself."""
    address, deadline, said = urlsplit(url).hostname or "", time.monotonic() + BOX_SECONDS, "nothing yet"
    vouched = ROOT / ".local" / "demo" / "box.pem"
    vouched.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            ended = boxes.run(box, ["terrace-host", "status", "--json"])
            said = json.loads(ended.stdout)["state"] if ended.stdout.strip() else said
            if said == "done":
                vouched.write_text(ssl.get_server_certificate((address, 443), timeout=5), encoding="ascii")
                context = ssl.create_default_context(cafile=vouched)
                httpx.get(f"{url}/healthz", timeout=5, verify=context).raise_for_status()
                return vouched
        except (TerraceError, httpx.HTTPError, OSError, ValueError) as error:
            said = type(error).__name__
        if time.monotonic() > deadline:
            raise TerraceError(
                Fault(
                    "box",
                    f"was not installed within {BOX_SECONDS} s: {said}",
                    "Its console: .local/cloud/boxes/boxes/*/console.log",
                )
            )
        time.sleep(0.5)


def _packed(version: str, says: Any) -> release.Packed:
    directory = ROOT / ".local" / "demo" / "releases" / version
    shutil.rmtree(directory, ignore_errors=True)
    sample.lay_out(directory, version, cache=CACHE, migrations=2 + VERSIONS.index(version), progress=says)
    return release.pack(directory, directory.with_suffix(".tar.gz"))


def _deployed(
    boxes: SsmBoxes, artifacts: S3Artifacts, among: tuple[deploy.Box, ...], version: str, says: Any
) -> None:
    asked = deploy.Asked(version, Strategy.ROLLING, "demo", "make demo")
    deploy.deploy(boxes, artifacts, among, asked, lambda _, event: says(f"{version}: {event['what']}"))


def _version(url: str, vouched: Path) -> str:
    answer = httpx.get(f"{url}/", timeout=10, verify=ssl.create_default_context(cafile=vouched))
    return f"{url}/ with {len(answer.raise_for_status().content)} bytes"


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
