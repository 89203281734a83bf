"""A bucket, a stack and a signer in memory, with the faults that tests ask for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.core.stages import find
from ops.climb import steps
from ops.climb.journal import Journal
from ops.climb.lock import Lock
from ops.climb.moving import Moving, end_of
from ops.climb.plan import Bound, Money, Plan
from ops.climb.run import Climb
from ops.climb.steps import Step, Words
from ops.climb.store import BucketUnreachableError, Stored

from .rows import Rows


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class Bucket:
    """Objects in memory, with conditional writes."""

    held: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    away: bool = False
    away_under: str = ""
    """Keys that begin so are out of reach, all others are not: a role that may read plans and no journal."""
    age_seconds: float = 0.0
    writes: int = 0

    @property
    def name(self) -> str:
        return "s3://pretended"

    def get(self, key: str) -> Stored | None:
        self._reach(key)
        found = self.held.get(key)
        return Stored(found[0], found[1], self.age_seconds) if found else None

    def create(self, key: str, content: bytes) -> str | None:
        self._reach(key)
        return None if key in self.held else self._write(key, content)

    def replace(self, key: str, content: bytes, etag: str) -> str | None:
        self._reach(key)
        return self._write(key, content) if key in self.held and self.held[key][1] == etag else None

    def delete(self, key: str) -> None:
        self._reach(key)
        self.held.pop(key, None)

    def keys(self, prefix: str) -> Sequence[str]:
        self._reach(prefix)
        return sorted(key for key in self.held if key.startswith(prefix))

    def _write(self, key: str, content: bytes) -> str:
        self.writes += 1
        self.held[key] = (content, str(self.writes))
        return str(self.writes)

    def _reach(self, key: str) -> None:
        if self.away or (self.away_under and key.startswith(self.away_under)):
            raise BucketUnreachableError(Fault(self.name, "does not answer", "Look at the network"))


@dataclass
class World:
    """The cloud: what stands, which restore points there are, where the data is. It outlives every process."""

    stands: Words
    points: list[str] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    ups: int = 0
    lingered: list[tuple[str, float]] = field(default_factory=list)
    """In which phase of a climb somebody waited for a name's answer to be forgotten, for how many seconds."""
    faults: dict[str, str] = field(default_factory=dict)
    """By step: what it fails with, once."""

    def end(self) -> tuple[Any, ...]:
        """What two runs must agree on."""
        return self.stands, self.points, self.rows.writer, self.rows.states[self.rows.writer]

    def stored(self) -> list[str]:
        """What the one database holds that takes writes."""
        (writer,) = self.rows.writers()
        assert writer == self.rows.writer
        return self.rows.held[writer]


@dataclass
class Clone:
    """A clone's hands on the world: its own stack file, and nothing else of its own."""

    world: World
    file: Words

    def words(self) -> Words:
        return self.file

    def stands(self) -> Words:
        return self.world.stands

    def write(self, words: Words, *, branch: str, base: str, why: str) -> str:
        self.file = words
        return "c0ffee"

    def stack_file(self) -> str:
        return self.file.said()

    def up(self, *, refresh: bool = False) -> None:
        self.world.ups += 1
        self._fail("up")
        self.world.stands = self.file

    def at_rest(self) -> bool:
        return self.world.stands == self.file

    def recover(self) -> Sequence[str]:
        return []

    def restore_point(self, climb: str) -> Mapping[str, Any]:
        self._fail("backup")
        if climb not in self.world.points:
            self.world.points.append(climb)
        return {"snapshot": climb}

    def restore_point_faults(self, point: Mapping[str, Any]) -> Sequence[str]:
        return []

    def serving(self, stage: str) -> Sequence[str]:
        why = self.world.faults.pop("serving", "")
        return [why] if why else []

    def unready(self, stage: str) -> Sequence[str]:
        why = self.world.faults.pop("unready", "")
        return [why] if why else []

    def linger(self, seconds: float) -> None:
        self.world.lingered.append((self.world.stands.phase, seconds))

    def watched(self, stage: str) -> Sequence[str]:
        return []

    def load_test(self, peak_rps: float, stage: str) -> Mapping[str, Any]:
        self._fail("load-test")
        return {"sent": 1}

    def rows(self, plan: Plan, *, all_ready: bool = False) -> Moving:
        return Moving(
            self.world.rows, end_of(find(plan.before)), end_of(find(plan.after)), sleep=lambda _: None
        )

    @contextmanager
    def probe(self, *, until_it_answers: bool) -> Generator[Callable[[], Mapping[str, Any]]]:
        yield lambda: {"away_seconds": 3.0, "lost": 0}

    def _fail(self, what: str) -> None:
        if why := self.world.faults.pop(what, ""):
            raise TerraceError(Fault(what, why, "mend it"))


def plan(before: str, after: str, *, walk: Sequence[Step] | None = None) -> Plan:
    """A plan of that climb, with nothing in its way."""
    one, other = (next(each for each in steps_ladder() if each.name == name) for name in (before, after))
    return Plan(
        stack="dev", before=before, after=after, account="1", requested_by="requester@example.com",
        made_at="2026-11-21T00:00:00+00:00", expires_at="2099-01-01T00:00:00+00:00",
        bound=Bound("abc", "f", "s", "p", "g", "a"), steps=tuple(walk or steps.walk(one, other)), changes=(),
        answers=(), reasons=("memory",),
        money=Money("book", "2026", ("1", "1", "1"), ("2", "2", "2"), ("2", "2", "2"), "1 a month again"),
        thresholds=(), capacity=("50 to 150", "150 to 350"), risks=(), peak_rps=2.0,
    )  # fmt: skip


def at_rest_plan() -> Plan:
    """A resize, planned."""
    return plan("single-8g", "single-16g")


def world(before: str, **more: Any) -> World:
    """A stack that rests there, its rows where that stage has them."""
    return World(Words(before), rows=Rows.at(end_of(find(before))), **more)


def steps_ladder() -> Sequence[Any]:
    """Every rung, built or not."""
    from infra.core.stages import LADDER

    return LADDER


def climb(
    made: Plan, world: World, bucket: Bucket, folder: Path, *, kill: tuple[str, str] | None = None
) -> Climb:
    """A new process in the clone at `folder`, killed at that moment of that step."""
    journal = Journal(folder / "dev.jsonl", "dev", bucket)
    journal.open()
    seen: list[str] = []

    def moment(step: Step, what: str) -> None:
        seen.append(step.name)
        if kill == (step.name, what):
            raise Killed

    file = folder / "words"
    words = Words.read({"terrace:stage": file.read_text()}) if file.exists() else world.stands
    return Climb(made, journal, Lock(bucket, "dev"), Clone(world, words), moment=moment)


__all__ = ["Bucket", "Clone", "Journal", "Killed", "World", "at_rest_plan", "climb", "find", "plan", "world"]
