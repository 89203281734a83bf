"""The only place for how a refusal is said: what was wrong, the value, the bound, the remedy.

TerraceError            one or more faults, printed one a line; never with a traceback
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    `path` is where it stands (dotted, as `terrace:zones[1]`), `what` says what is wrong and with which value,
    `remedy` what would be right.
    """

    path: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.remedy}"


class TerraceError(Exception):
    """A refusal that a person reads; `faults` holds every reason at once."""

    def __init__(self, *faults: Fault, summary: str = "") -> None:
        self.faults = faults
        self.summary = summary
        super().__init__(render(faults, summary))


def render(faults: Iterable[Fault], summary: str = "") -> str:
    """All faults as aligned lines of `path  what. remedy`, under `summary` where there is one."""
    listed = list(faults)
    width = max((len(fault.path) for fault in listed), default=0)
    lines = [f"{fault.path:<{width}}  {fault.what}. {fault.remedy}" for fault in listed]
    if not summary:
        return "\n".join(lines)
    return "\n".join([summary, *(f"  {line}" for line in lines)])


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known name is close, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
