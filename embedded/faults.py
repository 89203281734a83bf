"""The only place for faults that strike something else than the API: the engine at a step, a box.

    {"kind": "engine-killed", "after": 12, "operation": "create", "when_done": true}
    {"kind": "box-dies", "instance": "i-…"}

Faults of the API stand in embedded/aws/faults.py.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded.aws.errors import FaultError
from embedded.boxes.errors import BoxesError

if TYPE_CHECKING:
    from embedded.machines import Machines

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


OPERATIONS = ("create", "update", "delete")


def strike(values: Mapping[str, Any], engine: EngineFaults, machines: Machines | None) -> str | None:
    """Lets such a fault stand, or strikes at once; what was done, or None for a kind of the API's.

    Raises:
        FaultError: a part of it is out of its bounds.
    """
    kind = values.get("kind")
    if kind == "engine-killed":
        after, operation = values.get("after", 0), values.get("operation")
        if type(after) is not int or after < 0 or operation not in (None, *OPERATIONS):
            raise FaultError(
                f"after is {after!r} and operation {operation!r}: after is a whole number from 0, operation one of "
                f"{', '.join(OPERATIONS)} or left out"
            )
        engine.kill_engine(after=after, operation=operation, when_done=bool(values.get("when_done")))
        return f"the engine dies at its change {after + 1}"
    if kind == "box-dies":
        if machines is None:
            raise FaultError("there are no boxes in this cloud")
        try:
            machines.host.power_cut(str(values.get("instance")))
        except BoxesError as error:
            raise FaultError(str(error)) from error
        return f"{values['instance']} lost its power"
    return None


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
