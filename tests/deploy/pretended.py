"""A box that is only pretended: processes, Nginx, releases and time in memory, and a kill at any changing step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.core.release import Manifest, Migrations, Part, PartFiles
from infra.host.box.deploy.engine import Engine
from infra.host.box.deploy.errors import DeployError, Interrupted, RefusedError
from infra.host.box.deploy.model import PORTS, Instance, Intent, Outcome, Patience, State, Unpacked
from infra.host.box.deploy.ports import Box, Room

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
START_SECONDS = 3.0
"""What a pretended service takes until it is healthy."""


class Killed(BaseException):
    """kill -9: no code of the deploy runs after it."""


@dataclass(frozen=True)
class Habit:
    """What a version's services do: `dies_after` seconds of life, never healthy, or sound."""

    never_healthy: bool = False
    dies_after: float | None = None
    part: Part = Part.BACKEND


@dataclass
class Process:
    version: str
    started: float
    number: int


@dataclass
class World:
    """Everything on the box, and who watches it: `dark` are the seconds at which a request found nobody."""

    role: str = "single"
    habits: dict[str, Habit] = field(default_factory=dict)
    published: set[str] = field(default_factory=lambda: {"v1", "v2", "v3"})
    spoilt: set[str] = field(default_factory=set)
    free_mib: int = 4000
    time: float = 0.0
    processes: dict[Instance, Process] = field(default_factory=dict)
    files: dict[Part, tuple[int, ...]] = field(default_factory=dict)
    loaded: dict[Part, tuple[int, ...]] = field(default_factory=dict)
    nginx_refuses: bool = False
    nginx_runs: bool = True
    migrated: list[str] = field(default_factory=list)
    migration_fails: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    worker: str = ""
    worker_fails: bool = False
    wanted_version: str = ""
    state: State = field(default_factory=State)
    under_way: Intent | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    dark: list[float] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    watched: bool = False
    steps: int = 0
    kill_at: int | None = None
    interrupt_at: int | None = None
    said: list[tuple[str, str]] = field(default_factory=list)
    ends: list[Instance] = field(default_factory=list)
    open_connections: int = 0
    most_processes: int = 0

    # -- what tests do with it

    def engine(self, **patience: float) -> Engine:
        return Engine(self.box(), PretendedJournal(self), Patience(**patience), self.hear)

    def hear(self, step: str, what: str) -> None:
        self.said.append((step, what))

    def box(self) -> Box:
        parts = Pretended(self)
        return Box(self.role, parts, parts, parts, parts, parts, parts, parts)

    def cut_power(self) -> None:
        """Nothing in memory is left: processes, Nginx; what was written down is."""
        self.processes.clear()
        self.loaded.clear()
        self.nginx_runs, self.kill_at = False, None

    def power_on(self) -> None:
        self.nginx_runs = True
        self.engine().boot()
        self.loaded = dict(self.files)

    def version_of(self, part: Part) -> str:
        """What a request to that part meets now; empty when it meets nobody."""
        for port in self.loaded.get(part, ()):
            process = self.alive(Instance(part, port))
            if process is not None and self.listens(Instance(part, port)):
                return process.version
        return ""

    def request(self) -> None:
        """One request to each part, by somebody who writes down when nobody was there."""
        for part in self.processes_parts():
            version = self.version_of(part)
            if not version:
                self.dark.append(self.time)
            self.served.add(version)

    def processes_parts(self) -> tuple[Part, ...]:
        return tuple(self.loaded)

    # -- its inside

    def step(self) -> None:
        """Before and after each change: where a kill may come, and where a request looks."""
        self.steps += 1
        if self.watched:
            self.request()
        if self.kill_at is not None and self.steps >= self.kill_at:
            raise Killed
        if self.interrupt_at is not None and self.steps >= self.interrupt_at:
            self.interrupt_at = None
            raise Interrupted

    def alive(self, instance: Instance) -> Process | None:
        process = self.processes.get(instance)
        if process is None:
            return None
        habit = self.habits.get(process.version, Habit(part=instance.part))
        ends = habit.dies_after if habit.part is instance.part else None
        return None if ends is not None and self.time - process.started >= ends else process

    def listens(self, instance: Instance) -> bool:
        process = self.alive(instance)
        return process is not None and self.time - process.started >= START_SECONDS / 2

    def healthy(self, instance: Instance) -> bool:
        process = self.alive(instance)
        if process is None or self.time - process.started < START_SECONDS:
            return False
        habit = self.habits.get(process.version, Habit())
        return not (habit.never_healthy and habit.part is instance.part)


class PretendedJournal:
    def __init__(self, world: World) -> None:
        self._world = world

    def state(self) -> State:
        return self._world.state

    def save(self, state: State) -> None:
        self._world.step()
        self._world.state = state
        self._world.step()

    def intent(self) -> Intent | None:
        return self._world.under_way

    def begin(self, intent: Intent) -> None:
        self._world.step()
        self._world.under_way = intent
        self._world.step()

    def end(self, intent: Intent, outcome: Outcome) -> None:
        self._world.step()
        if not (self._world.lines and self._world.lines[-1]["id"] == intent.id):
            self._world.lines.append(
                {**intent.to_json(), "result": outcome.result, "outcome": outcome.reason, "ended": outcome}
            )
        self._world.step()
        self._world.under_way = None
        self._world.step()

    def history(self, most: int) -> list[dict[str, Any]]:
        return list(reversed(self._world.lines))[:most]


class Pretended:
    """Every port of the engine, on one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers: dict[Instance, int] = {}

    # Units

    def running(self, instance: Instance) -> str:
        process = self._world.alive(instance)
        return process.version if process else ""

    def process(self, instance: Instance) -> str:
        process = self._world.alive(instance)
        return str(process.number) if process else ""

    def fault(self, instance: Instance) -> str:
        return "" if self._world.alive(instance) else "ended by itself"

    def start(self, instance: Instance, release: Unpacked, *, wait: bool = True) -> None:
        world = self._world
        world.step()
        if instance in world.processes and world.alive(instance):
            raise AssertionError(f"{instance} was started while it runs")
        world.processes[instance] = Process(release.version, world.time, world.steps)
        world.most_processes = max(world.most_processes, sum(map(bool, map(world.alive, world.processes))))
        world.step()

    def stop(self, instance: Instance) -> None:
        world = self._world
        world.step()
        if instance in world.processes:
            world.ends.append(instance)
        world.processes.pop(instance, None)
        world.step()

    def follow(self, release: Unpacked, *, wait: bool = True) -> None:
        if self._world.worker_fails:
            raise DeployError("the worker does not start", "Look")
        self._world.worker = release.version

    # Proxy

    def targets(self, part: Part) -> tuple[int, ...]:
        return self._world.files.get(part, ())

    def switch(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        world = self._world
        before = dict(world.files)
        for part, ports in targets.items():
            world.step()
            world.files[part] = ports
            world.step()
        if world.nginx_refuses:
            world.files = before
            raise DeployError("Nginx refuses the switch", "Look")
        world.loaded = dict(world.files)
        world.step()

    def prepare(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        self._world.files.update(targets)

    # Health

    def ailment(self, instance: Instance) -> str:
        return "" if self._world.healthy(instance) else "does not answer"

    def connections(self, instance: Instance) -> int:
        return self._world.open_connections

    # Releases

    def take(self, version: str) -> Unpacked:
        world = self._world
        if version not in world.published:
            raise RefusedError(f"{version} is not published", "Publish it")
        if version in world.spoilt:
            raise DeployError(f"the archive of {version} has another checksum", "Publish it again")
        world.step()
        world.kept.add(version)
        return Unpacked(manifest(version), Path("/releases", version))

    def wanted(self) -> str:
        return self._world.wanted_version

    def prune(self, keep: frozenset[str]) -> tuple[str, ...]:
        world = self._world
        gone = world.kept - keep
        world.step()
        world.kept &= keep
        return tuple(sorted(gone))

    # Database

    def migrate(self, release: Unpacked) -> str:
        world = self._world
        world.step()
        if release.version in world.migration_fails:
            raise DeployError(f"the migrations of {release.version} ended with 1", "Correct them")
        world.migrated.append(release.version)
        world.step()
        return f"migrated for {release.version}"

    # Memory

    def need_mib(self, part: Part) -> int:
        return {Part.BACKEND: 1500, Part.FRONTEND: 700}[part]

    def room(self) -> Room:
        return Room(8192, self._world.free_mib)

    # Clock

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._world.time)

    def monotonic(self) -> float:
        return self._world.time

    def sleep(self, seconds: float, /) -> None:
        self._world.time += seconds
        self._world.step()


def manifest(version: str) -> Manifest:
    return Manifest(
        version,
        NOW,
        "",
        {
            Part.BACKEND: PartFiles("backend/app.jar", "0" * 64),
            Part.FRONTEND: PartFiles("frontend", "0" * 64, "server.js"),
        },
        Migrations("migrations", "0" * 64, ("java", "-jar", "backend/app.jar", "--migrate")),
    )


def copied(world: World) -> World:
    return copy.deepcopy(world)


__all__ = ["NOW", "PORTS", "Habit", "Killed", "World", "copied", "manifest"]
