"""The only place for faults that strike the engine: killed before its n-th change of the world.

Faults of the API stand in embedded/aws/faults.py.
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@dataclass(slots=True)
class _Kill:
    after: int
    operation: str | None
    when_done: bool


class EngineFaults:
    """Kills the engine that the provider serves, as a power cut would, at a step that was named before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill: _Kill | None = None
        self.seen = 0
        """Changes that the provider was asked for since the last fault was set."""

    def kill_engine(self, *, after: int = 0, operation: str | None = None, when_done: bool = False) -> None:
        """Lets `after` changes pass and kills the engine at the next one: create, update, delete or any.

        With `when_done` the change is carried out and the engine dies before it hears of it.
        """
        with self._lock:
            self._kill = _Kill(after, operation, when_done)
            self.seen = 0

    def clear(self) -> None:
        """Takes the fault away."""
        with self._lock:
            self._kill = None

    def before_change(self, operation: str, urn: str, engine: str) -> bool:
        """Called by the provider before each change; True: carry it out and tell nobody, the engine is dead."""
        del urn
        with self._lock:
            kill = self._kill
            if kill is None or (kill.operation and kill.operation != operation):
                return False
            self.seen += 1
            if self.seen <= kill.after:
                return False
            self._kill = None
        for pid in listeners(int(engine.rpartition(":")[2])):
            os.kill(pid, signal.SIGKILL)
        if not kill.when_done:
            raise RuntimeError("the engine was killed before this change")
        return True


def listeners(port: int) -> list[int]:
    """The processes that listen on that loopback TCP port, by /proc."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    return sorted(
        {int(path.parts[2]) for path in Path("/proc").glob("[0-9]*/fd/*") if _target(path) in inodes}
    )


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
