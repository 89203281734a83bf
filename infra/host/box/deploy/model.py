"""The only place for what a deploy speaks of: instances, what serves, how a release is taken up, how it ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.core.release import Manifest, Part, Strategy, stamp

PORTS: Mapping[Part, tuple[int, int]] = {Part.BACKEND: (8080, 8081), Part.FRONTEND: (3000, 3001)}
"""Two for each part, so that a release can stand beside its predecessor."""

HEALTH: Mapping[Part, str] = {Part.BACKEND: "/actuator/health", Part.FRONTEND: "/_health"}
"""What answers 200 when the part is ready (Spring Boot Actuator's path for the backend)."""

KEEP_RELEASES = 5
"""How many releases stay on the disk, the one that serves among them; at least two, or there is no way back."""


class Verb(StrEnum):
    RELEASE = "release"
    ROLLBACK = "rollback"


class Result(StrEnum):
    """How a deploy ended. `FAILED`: not even the way back went well, and what serves is said beside."""

    RELEASED = "released"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, order=True)
class Instance:
    """One service of a part, known by its port."""

    part: Part
    port: int

    @property
    def unit(self) -> str:
        return f"terrace-{self.part.value}@{self.port}.service"

    @property
    def log(self) -> str:
        """What it says goes here, and not to the journal; both ports of a part write into one file."""
        return f"/var/log/terrace/{self.part.value}.log"

    def __str__(self) -> str:
        return f"{self.part.value} on {self.port}"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A release on this box."""

    manifest: Manifest
    directory: Path

    @property
    def version(self) -> str:
        return self.manifest.version


@dataclass(frozen=True, slots=True)
class Serving:
    """Which release of a part serves, and on which port."""

    version: str
    port: int


@dataclass(frozen=True, slots=True)
class State:
    """What serves, and the releases that served whole, oldest first: the way back."""

    parts: Mapping[Part, Serving] = field(default_factory=dict)
    line: tuple[str, ...] = ()

    def instance(self, part: Part) -> Instance | None:
        """What serves a part, if anything."""
        serving = self.parts.get(part)
        return Instance(part, serving.port) if serving else None

    def spare(self, part: Part) -> Instance:
        """Where a successor may stand: on the port that does not serve."""
        taken = self.instance(part)
        return Instance(part, next(port for port in PORTS[part] if taken is None or port != taken.port))

    def serving(self, part: Part, version: str, port: int) -> State:
        """The same with that part served so."""
        return replace(self, parts={**self.parts, part: Serving(version, port)})

    def only(self, parts: Collection[Part]) -> State:
        """The same with no other parts than those served."""
        return replace(self, parts={part: each for part, each in self.parts.items() if part in parts})

    def arrived(self, version: str, *, back: bool) -> State:
        """The same with a release that serves whole now, by going on or by going back."""
        if back and version in self.line:
            return replace(self, line=self.line[: self.line.index(version) + 1])
        line = (*(each for each in self.line if each != version), version)
        return replace(self, line=line[-KEEP_RELEASES:])

    @property
    def current(self) -> str:
        """The release that last served whole; empty before the first."""
        return self.line[-1] if self.line else ""

    @property
    def way_back(self) -> str:
        """Where a rollback goes: out of a release that was taken up half, else to the one before; or empty."""
        if any(each.version != self.current for each in self.parts.values()):
            return self.current
        return self.line[-2] if len(self.line) > 1 else ""


@dataclass(frozen=True, slots=True)
class Intent:
    """A deploy that was begun: written before it changes anything, taken away when it has ended."""

    id: str
    verb: Verb
    version: str
    previous: str
    strategy: Strategy
    by: str
    reason: str
    started_at: datetime

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "id": self.id,
            "verb": self.verb.value,
            "version": self.version,
            "previous": self.previous,
            "strategy": self.strategy.value,
            "by": self.by,
            "reason": self.reason,
            "started_at": stamp(self.started_at),
        }

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Intent:
        """Reads what was written. Raises KeyError or ValueError where it is not that."""
        return cls(
            given["id"],
            Verb(given["verb"]),
            given["version"],
            given["previous"],
            Strategy(given["strategy"]),
            given["by"],
            given["reason"],
            datetime.fromisoformat(given["started_at"]),
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a deploy waits for what; all in seconds.

    `soak` is how long a new release has to stay healthy under traffic before its predecessor goes; `drain` is what
    connections to the predecessor get to end by themselves before it is told to end them.
    """

    healthy_seconds: float = 120.0
    soak_seconds: float = 15.0
    drain_seconds: float = 10.0
    poll_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a deploy ended. `downtime_seconds` is how long nothing served; 0 where that never was."""

    result: Result
    version: str
    previous: str
    seconds: float
    downtime_seconds: float = 0.0
    reason: str = ""
    changed: bool = True
