"""The only place for a stack's journal of climbs: append-only, hash-chained, on disk before it counts, and mirrored.

    .local/climbs/dev.jsonl  ->  climbs/dev/journal/00000001.json, 00000002.json, ... in the bucket

A record is written whole and synced before what it announces is done. In the bucket each is an object of its own,
made by a conditional write: two clones can never write the same number. A clone that knows fewer records than the
bucket takes the rest from there, so any clone can go on with a climb.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from ops.climb.store import BucketUnreachableError, Objects

FIRST = "0" * 64
"""What the first record is chained to."""


class Event(StrEnum):
    """What a record says."""

    BEGAN = "began"
    BEFORE = "before"
    AFTER = "after"
    FAILED = "failed"
    RESUMED = "resumed"
    GOING_BACK = "going-back"
    BEFORE_UNDO = "before-undo"
    UNDONE = "undone"
    ENDED = "ended"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True)
class Record:
    """One line. `at` is UTC; `data` holds plain values, never a secret."""

    number: int
    at: str
    climb: str
    event: Event
    step: str
    who: str
    data: Mapping[str, Any]
    previous: str

    @property
    def digest(self) -> str:
        """What the next record is chained to."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def line(self) -> str:
        """As it is written."""
        return json.dumps({**json.loads(self._text()), "digest": self.digest}, sort_keys=True) + "\n"

    def _text(self) -> str:
        values = {
            "number": self.number, "at": self.at, "climb": self.climb, "event": self.event.value,
            "step": self.step, "who": self.who, "data": dict(self.data), "previous": self.previous,
        }  # fmt: skip
        return json.dumps(values, sort_keys=True, default=str)

    @classmethod
    def parse(cls, text: str) -> Record:
        """A record from its line.

        Raises:
            ValueError: it is no record, or was changed after it was written.
        """
        raw: dict[str, Any] = json.loads(text)
        try:
            digest = raw.pop("digest")
            raw["event"] = Event(raw["event"])
            record = cls(**raw)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no record of a journal: {error}") from error
        if record.digest != digest:
            raise ValueError(f"record {record.number} was changed after it was written")
        return record


@dataclass
class Journal:
    """The journal of one stack, at `path`; `objects` None keeps it on this disk alone (reading without a cloud).

    `says` hears what a person should know: what waits for the bucket, what was put aside.
    """

    path: Path
    stack: str
    objects: Objects | None
    says: Callable[[str], object] = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    records: list[Record] = field(default_factory=list)
    mirrored: int = 0
    """How many records are known to be in the bucket."""

    def open(self, *, must: bool = False) -> None:
        """Reads the disk, then what the bucket has beyond it; mends a line that a power cut left half.

        Raises:
            TerraceError: a record was changed, or the chain is broken; or the bucket does not answer, and `must`:
                whoever decides by what is *not* in the journal cannot take this disk's word for it.
        """
        self.records = self._read()
        try:
            self._take_from_bucket()
        except BucketUnreachableError as error:
            if must:
                raise
            self.says(f"the journal is read from this disk alone: {error.faults[0].what}")

    def of(self, climb: str) -> list[Record]:
        """That climb's records."""
        return [record for record in self.records if record.climb == climb]

    def append(
        self, climb: str, event: Event, step: str = "", *, must_be_mirrored: bool = False, **data: Any
    ) -> Record:
        """Writes a record, synced; then what the bucket lacks.

        Raises:
            TerraceError: the disk takes nothing more, somebody else has written on, or the bucket does not answer
                and `must_be_mirrored`.
        """
        previous = self.records[-1].digest if self.records else FIRST
        record = Record(
            len(self.records) + 1, self.now().isoformat(timespec="milliseconds"), climb, event, step, who(),
            json.loads(json.dumps(data, default=str)), previous,
        )  # fmt: skip
        self._write(record)
        self.records.append(record)
        self.mirror(must=must_be_mirrored)
        return record

    def mirror(self, *, must: bool = False) -> None:
        """Puts into the bucket what it lacks.

        Raises:
            TerraceError: it does not answer, and `must`; or it holds another record of that number.
        """
        if self.objects is None:
            return
        try:
            for record in self.records[self.mirrored :]:
                key = self._key(record.number)
                content = record.line().encode()
                if self.objects.create(key, content) is None:
                    there = self.objects.get(key)
                    if there is None or there.content != content:
                        raise self._forked(record.number)
                self.mirrored = record.number
        except BucketUnreachableError as error:
            waiting = len(self.records) - self.mirrored
            if must:
                raise TerraceError(
                    Fault(
                        "journal",
                        f"{waiting} record(s) are on this disk alone, and what comes next cannot be undone: "
                        f"{error.faults[0].what}",
                        f"Make {self.objects.name} reachable, then: scripts/scale_up.py resume -s {self.stack}",
                    )
                ) from error
            self.says(f"{self.objects.name} does not answer: {waiting} journal record(s) wait on this disk")

    def _read(self) -> list[Record]:
        if not self.path.exists():
            return []
        whole = 0
        records: list[Record] = []
        content = self.path.read_bytes()
        lines = content.splitlines(keepends=True)
        for index, line in enumerate(lines):
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("the line has no end")
                record = Record.parse(line.decode())
            except ValueError as error:
                if index == len(lines) - 1 and not line.endswith(b"\n"):
                    break  # a power cut, or a full disk: it was never counted
                raise self._broken(f"line {index + 1}: {error}") from error
            records.append(record)
            whole += len(line)
        if faults := list(chain_faults(records)):
            raise self._broken(faults[0])
        if whole != len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        return records

    def _take_from_bucket(self) -> None:
        if self.objects is None:
            return
        numbers = [int(key.rpartition("/")[2][:8]) for key in self.objects.keys(self._prefix)]
        known = max(numbers, default=0)
        shared = min(known, len(self.records))
        if shared:
            there = self.objects.get(self._key(shared))
            if there is not None and Record.parse(there.content.decode()) != self.records[shared - 1]:
                shared = self._put_aside()
        self.mirrored = shared
        for number in range(len(self.records) + 1, known + 1):
            there = self.objects.get(self._key(number))
            if there is None:
                raise self._broken(f"record {number} is missing in {self.objects.name}")
            record = Record.parse(there.content.decode())
            if faults := list(chain_faults([*self.records[-1:], record])):
                raise self._broken(faults[0])
            self._write(record)
            self.records.append(record)
            self.mirrored = number

    def _put_aside(self) -> int:
        """What this disk alone wrote while the bucket was out of reach and another clone went on."""
        assert self.objects is not None  # noqa: S101 asked before
        shared = len(self.records)
        while shared:
            there = self.objects.get(self._key(shared))
            if there is not None and Record.parse(there.content.decode()) == self.records[shared - 1]:
                break
            shared -= 1
        aside = self.path.with_name(f"{self.path.name}.aside-{shared + 1}")
        aside.write_text("".join(each.line() for each in self.records[shared:]), encoding="utf-8")
        self.records = self.records[:shared]
        self._rewrite()
        self.says(f"another clone went on meanwhile; what only this one had written stands in {aside.name}")
        return shared

    def _write(self, record: Record) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(record.line().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, before)
            raise TerraceError(
                Fault(
                    str(self.path),
                    f"cannot be written: {error.strerror}; what was to come has not begun",
                    f"Make room, then: scripts/scale_up.py resume -s {self.stack}",
                )
            ) from error

    def _rewrite(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            file.write("".join(each.line() for each in self.records))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    @property
    def _prefix(self) -> str:
        return f"climbs/{self.stack}/journal/"

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:08d}.json"

    def _broken(self, what: str) -> TerraceError:
        return TerraceError(
            Fault(
                f"journal {self.path}",
                f"does not hold together: {what}",
                f"Keep it, move it aside, and run again: the bucket's copy is taken; {self._prefix}",
            )
        )

    def _forked(self, number: int) -> TerraceError:
        return TerraceError(
            Fault(
                "journal",
                f"record {number} was written by somebody else meanwhile",
                f"See who climbs: scripts/scale_up.py status -s {self.stack}",
            )
        )


def chain_faults(records: Sequence[Record]) -> Iterator[str]:
    """Where the chain is broken; the first record is taken as it is when it does not begin the journal."""
    for index, record in enumerate(records):
        if index == 0:
            if record.number == 1 and record.previous != FIRST:
                yield "record 1 is chained to something before it"
            continue
        before = records[index - 1]
        if record.number != before.number + 1:
            yield f"record {record.number} follows record {before.number}"
        elif record.previous != before.digest:
            yield f"record {record.number} is not chained to the one before it"


def who() -> str:
    """Who is at work: user and machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
