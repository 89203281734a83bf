"""The only place for what a load's log says, line by line, and what it comes to.

A line is one JSON object: {"kind": "request", "at", "what", "status", "seconds", "version", "address", "error"} or
{"kind": "socket", "at", "client", "what", …}; `at` counts seconds from the first request's due time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

LATE_SECONDS = 1.0
"""From when a request was due, not from when it could be sent."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the WebSockets saw. A session ends well with a close frame and no question left without its answer."""

    clients: int = 0
    sessions: int = 0
    asked: int = 0
    answered: int = 0
    closed_by_server: int = 0
    pending_at_close: int = 0
    """Questions that were open when the server said that it goes away, and were answered before it closed."""
    reconnected: int = 0
    faults: tuple[str, ...] = ()
    """Questions that were never answered, connections that ended without a close frame, or could not be made."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a load came to. `failed` are requests without an answer or with 5xx; none was repeated."""

    sent: int
    failed: int
    late: int
    seconds: float
    statuses: Mapping[int, int]
    versions: Mapping[str, int]
    addresses: Mapping[str, int]
    """How many each address answered."""
    errors: Mapping[str, int]
    first_failure: float | None
    last_failure: float | None
    """Seconds from the first request's due time."""
    p50: float
    p95: float
    p99: float
    slowest: float
    sockets: Sockets = field(default_factory=Sockets)

    @property
    def rate(self) -> float:
        """Requests a second that were sent in fact."""
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def dark_seconds(self) -> float:
        """From the first failure to the last; 0 where nothing failed."""
        if self.first_failure is None or self.last_failure is None:
            return 0.0
        return self.last_failure - self.first_failure

    def sentence(self) -> str:
        """The whole in a line."""
        asked = self.sockets
        return (
            f"{self.sent} requests sent at {self.rate:.1f}/s, {self.failed} failed, {self.late} later than "
            f"{LATE_SECONDS:g} s, p95 {self.p95 * 1000:.0f} ms; {asked.clients} WebSockets: {asked.answered} of "
            f"{asked.asked} questions answered, {asked.closed_by_server} close frames, {asked.reconnected} "
            f"reconnected, {len(asked.faults)} faults"
        )


def read(log: Path) -> Report:
    """The report of a log; a last line that is half written does not count."""
    requests: list[dict[str, Any]] = []
    sockets: list[dict[str, Any]] = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            found = json.loads(line)
            (requests if found["kind"] == "request" else sockets).append(found)
    bad = [each for each in requests if each["error"] or each["status"] >= 500]
    seconds = sorted(each["seconds"] for each in requests)
    ends = [each["at"] for each in requests]
    return Report(
        sent=len(requests),
        failed=len(bad),
        late=sum(each > LATE_SECONDS for each in seconds),
        seconds=max(ends) - min(ends) if ends else 0.0,
        statuses=_counted(each["status"] for each in requests if each["status"]),
        versions=_counted(each["version"] for each in requests if each["version"]),
        addresses=_counted(each["address"] for each in requests if each["address"]),
        errors=_counted(each["error"] or f"answered {each['status']}" for each in bad),
        first_failure=min((each["at"] for each in bad), default=None),
        last_failure=max((each["at"] for each in bad), default=None),
        p50=_quantile(seconds, 0.50),
        p95=_quantile(seconds, 0.95),
        p99=_quantile(seconds, 0.99),
        slowest=seconds[-1] if seconds else 0.0,
        sockets=_sockets(sockets),
    )


def _sockets(lines: list[dict[str, Any]]) -> Sockets:
    named = Counter(each["what"] for each in lines)
    return Sockets(
        clients=len({each["client"] for each in lines}),
        sessions=named["opened"],
        asked=named["asked"],
        answered=named["answered"],
        closed_by_server=named["closed by server"],
        pending_at_close=sum(each.get("pending", 0) for each in lines if each["what"] == "closed by server"),
        reconnected=sum(each["what"] == "opened" and each["session"] > 1 for each in lines),
        faults=tuple(
            f"client {each['client']} at {each['at']:.1f} s: {each['why']}"
            for each in lines
            if each["what"] == "fault"
        ),
    )


def _counted(values: Iterable[T]) -> dict[T, int]:
    return dict(Counter(values).most_common())


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
