"""The only place for one line of what `make bench` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the result; `target` is what was aimed at, in words."""

    what: str
    measured: str
    against: str
    ratio: str
    target: str
