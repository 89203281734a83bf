"""What the tests of the GPU endpoint share: the double in the same process, carried by a transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from embedded.runpod.double import Double, LostError
from infra.clients.calling import Caller, Patience
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import Jobs
from infra.clients.transport import Key, NoAnswerError, Reply, Request
from infra.core.gpu import bodies
from infra.core.gpu.definition import FILE, Definition, read
from infra.core.gpu.modes import Envelope, IdleTimeouts, Wanted

NOW = 1_790_000_000.0
"""A time in September 2026."""

KEY = "double-key"
URL = "http://runpod.test"


def definition(**changes: Any) -> Definition:
    """The project's own definition, with changes."""
    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read({**raw, **changes})


def raw_definition() -> dict[str, Any]:
    """The project's own definition as YAML gives it."""
    return dict(yaml.safe_load(Path(FILE).read_text(encoding="utf-8")))


def envelope(wanted: Wanted = Wanted.AUTO, most: int = 2) -> Envelope:
    """An envelope with the definition's own idle timeouts."""
    return Envelope(wanted, most, IdleTimeouts(60, 1800, 60))


@dataclass
class InProcess:
    """A transport that asks the double without a network; `watch` sees every exchange."""

    double: Double
    watch: list[Callable[[Request, Reply], None]] = field(default_factory=list)

    def send(self, request: Request) -> Reply:
        """See `Transport.send`."""
        try:
            answer = self.double.handle(request.method, request.url, request.headers, request.content)
        except LostError:
            raise NoAnswerError("the connection was lost") from None
        self.double.world.advance(self.double.world.now + min(answer.delay_seconds, request.timeout_seconds))
        if answer.delay_seconds > request.timeout_seconds:
            raise NoAnswerError("timed out")
        reply = Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
        for each in self.watch:
            each(request, reply)
        return reply


@dataclass
class Bench:
    """A double with clients that wait on its clock."""

    double: Double
    transport: InProcess
    api: RunPod

    def jobs(self, endpoint_id: str) -> Jobs:
        """The job API of an endpoint."""
        world = self.double.world
        return Jobs(
            self.api.caller,
            f"{URL}/v2/{endpoint_id}",
            sleep=lambda seconds: world.advance(world.now + seconds),
            clock=lambda: world.now,
        )

    def endpoint(self, wanted: Wanted = Wanted.FLEX, most: int = 2, **changes: Any) -> str:
        """Makes an endpoint of the project's definition; its id."""
        body = bodies.create_body(
            bodies.spec(definition(**changes), name="terrace-dev-receipts"),
            envelope(wanted, most).first(),
            secrets={},
            registry=None,
        )
        return self.api.create(body).id

    def pass_time(self, seconds: float) -> None:
        """Lets time pass."""
        self.double.world.advance(self.double.world.now + seconds)


def bench(key: str = KEY, patience: Patience | None = None, **habits: Any) -> Bench:
    """A double and clients with that key."""
    double = Double(base=URL, now=NOW)
    for name, value in habits.items():
        setattr(double.habits, name, value)
    transport = InProcess(double)
    caller = Caller(
        transport,
        Key(key) if key else None,
        patience or Patience(),
        sleep=lambda seconds: double.world.advance(double.world.now + seconds),
        chance=lambda: 0.5,
    )
    return Bench(double, transport, RunPod(caller, url=URL))
