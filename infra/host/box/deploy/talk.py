"""The only place for what a deploy says while it works: a line each to stderr, and the same as JSON for who watches.

A watcher asks for what came after the line that it knows (`follow`), and so gets progress by short commands where the
output of a long one comes at its end (SSM GetCommandInvocation, "StandardOutputContent").
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.release import stamp

_POLL_SECONDS = 0.1


class Talk:
    """Says each step once, to people and to the file of events, which begins anew with each run."""

    def __init__(self, events: Path, run: str) -> None:
        self._events, self._run, self._number = events, run, 0
        self._began = time.monotonic()
        events.parent.mkdir(parents=True, exist_ok=True)
        events.write_text("", encoding="utf-8")

    def __call__(self, step: str, what: str) -> None:
        """One line."""
        self._number += 1
        seconds = time.monotonic() - self._began
        line = {
            "run": self._run,
            "number": self._number,
            "at": stamp(datetime.now(UTC)),
            "seconds": round(seconds, 1),
            "step": step,
            "what": what,
        }
        with self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        sys.stderr.write(f"  {seconds:6.1f} s  {step:<11} {what}\n")
        sys.stderr.flush()


def follow(events: Path, run: str, *, after: int, wait_seconds: float) -> Iterator[dict[str, Any]]:
    """The lines of that run after number `after`; waits so long for the first of them."""
    deadline = time.monotonic() + wait_seconds
    while True:
        found = [each for each in _lines(events) if each["run"] == run and each["number"] > after]
        if found or time.monotonic() >= deadline:
            yield from found
            return
        time.sleep(_POLL_SECONDS)


def _lines(events: Path) -> list[dict[str, Any]]:
    try:
        text = events.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # What is written just now has no end of line yet.
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
