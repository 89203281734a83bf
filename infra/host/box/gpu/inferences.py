"""The only place for what clients saw of the model: lines of JSON that the backend writes to its standard output.

One line for each inference that has ended: `{"inference": {"at": "2027-01-31T12:00:00+00:00", "wait_seconds": 3.1,
"run_seconds": 5.2, "verdict": "ok", ...}}`. systemd appends them to the logs that are read here; other lines are not
looked at, and nothing of a receipt is in one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

LOGS = (Path("/var/log/terrace/backend.log"), Path("/var/log/terrace/worker.log"))
MARK = "inference"
TAIL_BYTES = 1_000_000
"""So much of a log's end is read: ten minutes of some thousand inferences."""

COLD_WAIT_SECONDS = 30.0
"""A request that waited longer met no warm worker."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One answer as a client saw it; `at` in seconds of the epoch."""

    at: float
    wait_seconds: float
    run_seconds: float


@dataclass(frozen=True, slots=True)
class Inferences:
    """What stands in logs."""

    logs: Sequence[Path] = LOGS

    def since(self, start: float) -> list[Inference]:
        """Inferences after that time, the oldest first; a log that is not there has none."""
        found = [each for log in self.logs for line in _tail(log) if (each := _read(line)) is not None]
        return sorted((each for each in found if each.at > start), key=lambda each: each.at)


def parse(line: str) -> dict[str, Any] | None:
    """The fields of an inference, or None where the line is none."""
    if MARK not in line and "wait_seconds" not in line:
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    fields = data.get(MARK, data) if isinstance(data, dict) else None
    return fields if isinstance(fields, dict) and "wait_seconds" in fields else None


def _read(line: str) -> Inference | None:
    fields = parse(line)
    if fields is None:
        return None
    try:
        at = datetime.fromisoformat(fields["at"])
        waited, ran = float(fields["wait_seconds"]), float(fields["run_seconds"])
    except (KeyError, TypeError, ValueError):
        return None
    # A time without a zone would be read as the box's own; a wait below nothing is a broken clock.
    return None if at.tzinfo is None or waited < 0 or ran < 0 else Inference(at.timestamp(), waited, ran)


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except (FileNotFoundError, PermissionError):
        # Without it the controller goes by the queue alone, as on a box without a backend.
        return []
