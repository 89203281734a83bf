"""What the controller's tests share: one with its double, its document in memory, the figures that it told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.runpod.model import Endpoint
from infra.clients.calling import ONCE
from infra.clients.runpod_jobs import JobPolicy
from infra.core.gpu.bodies import cards
from infra.core.gpu.definition import load_policy
from infra.core.gpu.modes import Wanted, Workers
from infra.core.gpu.platform import JobStatus
from infra.core.gpu.policy import Policy
from infra.host.box.gpu.controller import Controller, Figures, Plan, Round
from infra.host.box.gpu.record import ConflictError, Document, FileStore, Journal

from .support import Bench, bench, definition, envelope

JOB = JobPolicy(300, 3600)
DAY = 86400


@dataclass
class Desk:
    """A controller with its double."""

    bench: Bench
    endpoint: str
    controller: Controller

    def rounds(self, minutes: float) -> list[Round]:
        """Lets time pass with a round a minute."""
        found = []
        for _ in range(int(minutes)):
            self.bench.pass_time(60)
            found.append(self.controller.round())
        return found

    def send(self, count: int = 1) -> str:
        """Sends so many jobs; the last one's id."""
        return [self.bench.jobs(self.endpoint).run({}, JOB).id for _ in range(count)][-1]

    def status_of(self, job_id: str) -> JobStatus:
        """How a job stands."""
        found = self.bench.jobs(self.endpoint).status(job_id)
        assert found is not None
        return found.status

    @property
    def platform(self) -> Endpoint:
        """The endpoint as the double keeps it."""
        (found,) = self.bench.double.endpoints
        return found

    @property
    def spent_usd(self) -> float:
        """What its workers cost so far."""
        return self.bench.double.world.spend_usd(self.platform)

    @property
    def live(self) -> Workers:
        """What the platform says is set."""
        found = self.bench.api.endpoint(self.endpoint)
        assert found is not None
        return found.workers


@dataclass
class MemoryStore(FileStore):
    """The document in memory: a disk is waited for in one test alone."""

    path: Path = Path()
    text: str = ""

    def load(self) -> tuple[Document, str]:
        return (Document.loads(self.text), self.text) if self.text else (Document(), "")

    def save(self, document: Document, version: str) -> str:
        if version != self.text:
            raise ConflictError
        self.text = document.dumps()
        return self.text


def desk(
    path: Path,
    wanted: Wanted = Wanted.AUTO,
    *,
    budget: float = 50.0,
    policy: Policy | None = None,
    **habits: Any,
) -> Desk:
    made = bench(patience=ONCE, **habits)
    endpoint = made.endpoint(wanted)
    controller = Controller(
        made.api,
        made.jobs(endpoint),
        MemoryStore(),
        Journal(path / "journal.jsonl"),
        Plan(endpoint, envelope(wanted), budget, 300.0, cards=cards(definition())),
        policy or load_policy(),
        "box-1",
        lambda: made.double.world.now,
    )
    return Desk(made, endpoint, controller)


@dataclass
class Board:
    """Figures as they were told."""

    told: list[Figures]
    fails: bool = False

    def publish(self, values: Figures) -> None:
        if self.fails:
            raise OSError("CloudWatch: EndpointConnectionError")
        self.told.append(values)
