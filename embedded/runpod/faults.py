"""The only place for the double's faults by name, and for when each strikes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FaultName(StrEnum):
    """What can be asked to go wrong."""

    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    LIMITED = "429"
    SERVER_ERROR = "500"
    NO_ANSWER = "no-answer"
    """The connection dies before anything is done."""
    LOST_REPLY = "lost-reply"
    """It is done, and the connection dies before the answer."""
    WIPES_EXCLUSIONS = "wipes-exclusions"
    """A PATCH drops `excludedTypes`, as the platform did in July 2026 (runpod-mcp#70)."""
    NOT_JSON = "not-json"
    SLOW = "slow"
    """The answer comes after so many seconds."""
    DUPLICATE_CREATE = "duplicate-create"
    """What is made once is made twice."""


@dataclass(slots=True)
class Planned:
    """A fault that strikes the next `times` calls whose method and path begin so."""

    name: FaultName
    method: str = ""
    path: str = ""
    times: int = 1
    retry_after_seconds: int = 1
    seconds: float = 45.0


@dataclass(slots=True)
class Faults:
    """The faults that are still to come, and those that struck."""

    planned: list[Planned] = field(default_factory=list)
    struck: list[FaultName] = field(default_factory=list)

    def plan(
        self,
        name: FaultName,
        *,
        method: str = "",
        path: str = "",
        times: int = 1,
        retry_after_seconds: int = 1,
        seconds: float = 45.0,
    ) -> None:
        """Lets the next `times` such calls go wrong; `seconds` is how long a slow answer takes."""
        self.planned.append(Planned(name, method, path, times, retry_after_seconds, seconds))

    def take(self, method: str, path: str) -> Planned | None:
        """The fault that strikes this call."""
        for each in self.planned:
            if each.times > 0 and method.startswith(each.method) and path.startswith(each.path):
                each.times -= 1
                self.struck.append(each.name)
                return each
        return None
