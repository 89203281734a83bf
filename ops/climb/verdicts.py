"""The only place for how a gate answers: pass, fail, or inconclusive, with what was looked at.

Missing or stale data is inconclusive, and what is inconclusive does not pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """A gate's answer."""

    PASS = "pass"  # noqa: S105 no secret
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Answer:
    """One gate: what it asked, what it saw, where, and what it says; `overridden` holds the reason of an override."""

    gate: str
    asks: str
    saw: str
    source: str
    verdict: Verdict
    samples: int = 0
    overridden: str = ""

    @property
    def open(self) -> bool:
        """Whether a climb may go through."""
        return self.verdict is Verdict.PASS or bool(self.overridden)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "verdict": self.verdict.value}


def passed(answers: Iterable[Answer]) -> bool:
    """Whether every gate lets a climb through."""
    return all(answer.open for answer in answers)
