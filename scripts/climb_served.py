"""What a drill between options asks: the sample serves, and a load by its name meets every answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded import sample
from embedded.cloud import Cloud
from embedded.load import Load, Report, Target, named
from embedded.load.pool import Pool
from embedded.load.wire import Way
from infra.core.errors import Fault, TerraceError
from infra.core.naming import Naming
from infra.core.release import Strategy
from ops import data, deploy, release
from ops.adapters.aws_deploy import S3Artifacts, SsmBoxes
from ops.adapters.drills import SsmShell

READY_SECONDS = 400.0
VERSION = "v1"
CREATED = 201
"""What the sample answers to a receipt that it keeps."""

RATE, SOCKETS = 50.0, 0
BEFORE_SECONDS = 10.0
TURNED_SECONDS = 300.0
"""How long requests may go to a name's old address: a minute of its record, and what kept connections last."""

AGREEING = int(RATE * 5)
"""So many requests in a row at one address: everybody has turned."""


@dataclass
class Served:
    """The boxes of one stack on machines, behind one name."""

    cloud: Cloud
    directory: Path
    name: str
    stack: Naming
    region: str
    cache: Path

    def ready(self, outputs: Mapping[str, Any]) -> None:
        """Waits until the boxes have installed themselves, makes the database, lets a first release serve.

        Raises:
            TerraceError: something of it failed.
        """
        shell = SsmShell(self.region)
        installed = 'terrace-host status --json | grep -Eq \'"state": *"done"\''
        boxes = deploy.boxes_of(outputs)
        for box in boxes:
            shell.wait_until(box.instance_id, installed, seconds=READY_SECONDS)
        if outputs.get("database"):
            parameters = self.stack.parameter().rstrip("/")
            data.ask(shell, data.Databases.of(outputs, parameters=parameters, region=self.region), "provide")
        laid = sample.lay_out(self.directory / VERSION, VERSION, cache=self.cache)
        artifacts = S3Artifacts(str(outputs["buckets"]["artifacts"]), self.region)
        deploy.publish(artifacts, release.pack(laid, laid.with_suffix(".tar.gz")))
        asked = deploy.Asked(
            VERSION, Strategy.ROLLING, "drill", "drill", deploy.Patience(soak_seconds=2), or_interrupt=True
        )
        deploy.deploy(SsmBoxes(self.region), artifacts, boxes, asked, lambda *_: None)

    @contextmanager
    def load(self, called: str) -> Generator[Load]:
        """Requests by the name, at RATE, over connections that are kept; none is repeated."""
        machines = self.cloud.machines
        assert machines is not None  # noqa: S101 asked for before
        trusted = self.directory / "authorities.pem"
        trusted.write_bytes(machines.authorities)
        with named(machines.lookup, self.directory / "names.json", self.name) as names:
            target = Target(f"https://{self.name}", self.name, str(trusted), str(names))
            self._answers(target)
            log = self.directory / f"{called}.log"
            with Load(target, log, rate=RATE, sockets=SOCKETS, keep_alive=True) as load:
                load.until(int(RATE * BEFORE_SECONDS))
                yield load

    def _answers(self, target: Target) -> None:
        """Waits until the service answers by its name and a certificate of that name.

        Raises:
            TerraceError: it does not within READY_SECONDS.
        """
        request = f"GET /api/totals HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n\r\n".encode()
        deadline, why = time.monotonic() + READY_SECONDS, ""
        while time.monotonic() < deadline:
            try:
                status = asyncio.run(Pool(Way.to(target), keep=False).ask(request)).status
            except (OSError, EOFError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if status == 200:
                    return
                why = f"answered {status}"
            time.sleep(1)
        raise TerraceError(Fault(self.name, f"does not serve: {why}", f"Look at {self.directory}"))

    def turned(self, called: str) -> str:
        """Waits until everybody asks the address that the name leads to; the address.

        Raises:
            TerraceError: somebody asks another one after TURNED_SECONDS.
        """
        machines = self.cloud.machines
        assert machines is not None  # noqa: S101 asked for before
        log, deadline = self.directory / f"{called}.log", time.monotonic() + TURNED_SECONDS
        while True:
            wanted = (machines.lookup(self.name) or ("", 0))[0]
            asked = _newest(log)
            if asked == [wanted] * AGREEING:
                return wanted
            if time.monotonic() > deadline:
                told = f"{sum(each != wanted for each in asked)} of the newest {len(asked)} requests"
                raise TerraceError(
                    Fault(self.name, f"{told} went elsewhere than to {wanted}", f"Look at {log}")
                )
            time.sleep(1)

    def written(self, called: str) -> int:
        """How many receipts the service acknowledged to that load."""
        lines = (self.directory / f"{called}.log").read_text(encoding="utf-8").splitlines()
        told = (json.loads(line) for line in lines)
        return sum(each["kind"] == "request" and each["status"] == CREATED for each in told)


def said(report: Report | None) -> dict[str, Any]:
    """What a load came to, for who reads the drill."""
    assert report is not None  # noqa: S101 the block has ended
    return {
        "sent": report.sent, "failed": report.failed, "seconds": round(report.seconds, 1),
        "p95_ms": round(report.p95 * 1000), "slowest_ms": round(report.slowest * 1000), "late": report.late,
        "dark_seconds": round(report.dark_seconds, 1), "statuses": dict(report.statuses),
        "by_address": dict(report.addresses),
        "errors": dict(report.errors),
    }  # fmt: skip


def _newest(log: Path) -> list[str]:
    """Which addresses answered the newest requests; a last line that is half written does not count."""
    with log.open(encoding="utf-8") as file:
        lines = deque((line for line in file if line.endswith("\n")), maxlen=AGREEING)
    found = (json.loads(line) for line in lines)
    return [each["address"] for each in found if each["kind"] == "request"]
