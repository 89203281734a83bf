"""The only place for what the engine needs of a box; the real ones are beside this file, tests have their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from infra.core.release import Part

from .model import Instance, Unpacked


class Units(Protocol):
    """The services as systemd keeps them."""

    def running(self, instance: Instance) -> str:
        """The version that the instance's live process runs; empty when none lives."""

    def process(self, instance: Instance) -> str:
        """Who listens on the instance's port, so that a silent restart can be told; empty when nobody does."""

    def fault(self, instance: Instance) -> str:
        """Why the unit has ended or was restarted since `start`; empty while neither happened."""

    def start(self, instance: Instance, release: Unpacked, *, wait: bool = True) -> None:
        """Starts the instance on that release. Raises DeployError."""

    def stop(self, instance: Instance) -> None:
        """Ends it with SIGTERM and waits; nothing where none runs. Raises DeployError."""

    def follow(self, release: Unpacked, *, wait: bool = True) -> None:
        """Lets the worker, where the stack has one, run that release; it is restarted only where it ran another."""


class Proxy(Protocol):
    """Nginx's two upstreams."""

    def targets(self, part: Part) -> tuple[int, ...]:
        """The ports in the part's file, the first the one that serves; empty when there is no file."""

    def switch(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        """Sends new requests to the first port of each part, to a second one where the first refuses.

        Returns when the old workers take no new requests. Raises DeployError, and then nothing has changed.
        """

    def prepare(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        """Writes the files without telling Nginx: before it runs."""


class Health(Protocol):
    """Whether an instance answers."""

    def ailment(self, instance: Instance) -> str:
        """Why the instance is not healthy; empty when it is."""

    def connections(self, instance: Instance) -> int:
        """How many connections to it are open."""


class Releases(Protocol):
    """Releases in the bucket and on the disk."""

    def take(self, version: str) -> Unpacked:
        """The release, fetched, checked and unpacked. Raises DeployError, ReleaseError."""

    def wanted(self) -> str:
        """What a box without a state of its own should run; empty when nobody has said."""

    def prune(self, keep: frozenset[str]) -> tuple[str, ...]:
        """Takes away what is not kept; what went."""


class Database(Protocol):
    """The database's schema."""

    def migrate(self, release: Unpacked) -> str:
        """Runs the release's migrations; what they said last. Raises DeployError."""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory in MiB: what the box has, what is free of it beside what its parts may take."""

    total_mib: int
    free_mib: int


class Memory(Protocol):
    """What fits beside what runs."""

    def need_mib(self, part: Part) -> int:
        """What one more service of that part may take."""

    def room(self) -> Room:
        """What there is now."""


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """UTC."""

    def monotonic(self) -> float:
        """Seconds since anything."""

    def sleep(self, seconds: float, /) -> None:
        """Waits."""


class Say(Protocol):
    """Hears what goes on: a step's name, and what it came to or waits for."""

    def __call__(self, step: str, what: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Box:
    """Everything that the engine acts on. `role` is a key of ROLE_PARTS."""

    role: str
    units: Units
    proxy: Proxy
    health: Health
    releases: Releases
    database: Database
    memory: Memory
    clock: Clock
