"""The only place that says whether a directory's embedded cloud runs, and where."""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

from tools.process import lives

ALREADY_RUNS = 3
"""What a second daemon of a directory ends with."""


@dataclass(frozen=True, slots=True)
class Running:
    """A cloud that runs: where, since when, and whether it has real machines (`boxes` empty) or why not."""

    pid: int
    api_url: str
    provider_port: int
    started_at: str
    runpod_url: str
    without_boxes: str = ""
    after_kill: bool = False
    """The cloud before it was killed: what it made last may be forgotten, so Pulumi's state wants a refresh."""

    @classmethod
    def read(cls, directory: Path) -> Running | None:
        """The cloud of that directory, or None where none runs."""
        if not is_locked(directory):
            return None
        try:
            found = cls(**json.loads((directory / "cloud.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if lives(found.pid) else None


def is_locked(directory: Path) -> bool:
    """Whether a process holds the directory."""
    try:
        with (directory / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
