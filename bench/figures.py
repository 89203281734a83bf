"""The only place for one line of what is measured: by `make bench`, or noted by a test."""

from __future__ import annotations

import sys
from dataclasses import dataclass

_NOTED = "measured: "


@dataclass(frozen=True)
class Figure:
    """One line of the result; `target` is what was aimed at, in words."""

    what: str
    measured: str
    against: str
    ratio: str
    target: str


def note(text: str) -> None:
    """A figure that a test has measured; `tests/conftest.py` tells it at the end of the run."""
    sys.stdout.write(f"\n{_NOTED}{text}\n")


def noted(output: str) -> list[str]:
    """The figures in what a test wrote to stdout."""
    return [line.removeprefix(_NOTED) for line in output.splitlines() if line.startswith(_NOTED)]
