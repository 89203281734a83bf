"""The only place that remembers what was made outside of a cloud's own processes, so that it can be unmade.

Most of a cloud dies with one process (see `enclosure`). What does not (control groups, packet rules, forwarding) is
written here before it is made, a JSON line each. A journal lies in /run, not in the cloud's directory: it means
nothing after a restart of the machine, and it has to outlast the directory of a test or a demo that was killed and
then deleted. Its keeper holds a lock on it, so that anybody can tell whose is left over. Undoing goes by the list,
backwards, never by the look of a name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from embedded.boxes.errors import BusyError

SHARED = Path("/run/terrace-boxes")
"""What all clouds of this machine have in common: their journals, and in `uplink` who needs forwarding."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Kind(StrEnum):
    """What may have to be unmade."""

    ENCLOSURE = "enclosure"
    CGROUP = "cgroup"
    UPLINK = "uplink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was made, or was about to be; `facts` is what unmaking it needs."""

    number: int
    kind: Kind
    facts: dict[str, str]


class Journal:
    """The list of one cloud, for any thread of the one process that keeps it, until `close`."""

    def __init__(self, token: str) -> None:
        """Raises BusyError while another process keeps it."""
        SHARED.mkdir(exist_ok=True)
        self.token = token
        self.path = SHARED / f"{token}.jsonl"
        self._lock = threading.Lock()
        self._file = self.path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise BusyError(
                f"{self.path} is kept by a process that lives", "Stop that cloud first."
            ) from error
        self._entries = {entry.number: entry for entry in entries(self.path)}
        self._next = max(self._entries, default=-1) + 1

    def made(self, kind: Kind, **facts: str) -> int:
        """Note that `kind` is about to be made; returns the number to cross it out by."""
        with self._lock:
            entry = Entry(self._next, kind, facts)
            self._next += 1
            self._append({"made": entry.number, "kind": kind, "facts": facts, "boot": _boot_id()})
            self._entries[entry.number] = entry
            return entry.number

    def unmade(self, number: int) -> None:
        """Cross out; what is not on the list is no error."""
        with self._lock:
            if self._entries.pop(number, None) is not None:
                self._append({"unmade": number})

    def left(self) -> list[Entry]:
        """What is still to be unmade, in the order of undoing (newest first)."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: -entry.number)

    def close(self) -> None:
        """Let go of it; the file goes when nothing is left on the list. Idempotent."""
        with self._lock:
            if not self._file.closed:
                if not self._entries:
                    self.path.unlink(missing_ok=True)
                self._file.close()

    def _append(self, record: dict[str, Any]) -> None:
        # A kill may have cut the last line off; this one stands for itself.
        self._file.write("\n" + json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def token_of(directory: Path) -> str:
    """What the cloud of that directory is called in names of this machine: six hex digits, always the same."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:6]


def entries(path: Path) -> list[Entry]:
    """What a journal says is left, in the order in which it was made. A line that a kill cut off announced what was
    not begun; a line from before the machine's last restart is about what that took with it."""
    left: dict[int, Entry] = {}
    boot = _boot_id()
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if "unmade" in record:
            left.pop(int(record["unmade"]), None)
        elif record["boot"] == boot:
            number = int(record["made"])
            left[number] = Entry(number, Kind(record["kind"]), record["facts"])
    return list(left.values())


def abandoned() -> Iterator[Journal]:
    """The journals whose keepers are dead, each open until the next is asked for."""
    for path in sorted(SHARED.glob("*.jsonl")):
        try:
            journal = Journal(path.stem)
        except BusyError:
            continue
        try:
            yield journal
        finally:
            journal.close()


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()
