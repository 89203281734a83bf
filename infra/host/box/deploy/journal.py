"""The only place that writes down what serves, what is under way, and what was done.

current.json      what serves, and the way back        replaced whole
deploying.json    a deploy that was begun              there only while one is under way, or was killed
deploys.jsonl     what was done, one line each         only ever appended to
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from infra.core.release import Part

from .errors import DeployError
from .model import Intent, Outcome, Result, Serving, State

FORMAT = 1


class Journal(Protocol):
    """The memory of deploys."""

    def state(self) -> State: ...

    def save(self, state: State) -> None: ...

    def intent(self) -> Intent | None: ...

    def begin(self, intent: Intent) -> None: ...

    def end(self, intent: Intent, outcome: Outcome) -> None:
        """Writes the outcome down and takes the intent away; the same intent twice is written once."""

    def history(self, most: int) -> list[dict[str, Any]]:
        """The newest first."""


class FileJournal:
    """The memory of deploys in a directory, `/data/state` on a box with data."""

    def __init__(self, directory: Path) -> None:
        self._current = directory / "current.json"
        self._deploying = directory / "deploying.json"
        self._deploys = directory / "deploys.jsonl"

    def state(self) -> State:
        """What serves; nothing before the first release.

        Raises:
            DeployError: the file is damaged.
        """
        given = _read(self._current)
        if given is None:
            return State()
        try:
            parts = {
                Part(name): Serving(each["version"], each["port"]) for name, each in given["parts"].items()
            }
            return State(parts, tuple(given["line"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self._current, error) from error

    def save(self, state: State) -> None:
        """Writes down what serves."""
        parts = {
            part.value: {"version": each.version, "port": each.port} for part, each in state.parts.items()
        }
        write_whole(self._current, {"format": FORMAT, "parts": parts, "line": list(state.line)})

    def intent(self) -> Intent | None:
        """The deploy that is under way, or was killed.

        Raises:
            DeployError: the file is damaged.
        """
        given = _read(self._deploying)
        if given is None:
            return None
        try:
            return Intent.parse(given)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self._deploying, error) from error

    def begin(self, intent: Intent) -> None:
        """Writes a deploy down before it changes anything."""
        write_whole(self._deploying, intent.to_json())

    def end(self, intent: Intent, outcome: Outcome) -> None:
        """Appends the outcome, then takes the intent away; a kill between both appends nothing twice."""
        if not any(each.get("id") == intent.id for each in self.history(1)):
            line = {
                **intent.to_json(),
                "result": outcome.result.value,
                "seconds": round(outcome.seconds, 1),
                "downtime_seconds": round(outcome.downtime_seconds, 1),
                "outcome": outcome.reason,
            }
            self._append(line)
        self._deploying.unlink(missing_ok=True)
        _sync(self._deploying.parent)

    def history(self, most: int) -> list[dict[str, Any]]:
        """The newest deploys first; a line that a power cut left half is passed over."""
        try:
            lines = self._deploys.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = []
        for line in reversed(lines):
            if len(found) == most:
                break
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def _append(self, line: Mapping[str, Any]) -> None:
        descriptor = os.open(self._deploys, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            # The half of a line must not swallow the next one.
            lead = "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
            os.write(descriptor, f"{lead}{json.dumps(line)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def interrupted(intent: Intent, seconds: float, reason: str) -> Outcome:
    """The outcome of a deploy that did not come to its end."""
    return Outcome(Result.INTERRUPTED, intent.version, intent.previous, seconds, reason=reason)


def write_whole(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Replaces a file by JSON (or text as it is) so that a reader and a power cut find the old one or the new one."""
    draft = path.with_name(f"{path.name}.new")
    text = value if isinstance(value, str) else json.dumps(value, indent=2) + "\n"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(found, dict):
        raise _damaged(path, TypeError("no object"))
    return found


def _damaged(path: Path, error: Exception) -> DeployError:
    return DeployError(
        f"{path} is damaged: {type(error).__name__} {error}",
        "Nothing was changed. Look at it, or move it away and release again",
    )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["FileJournal", "Journal", "interrupted", "write_whole"]
