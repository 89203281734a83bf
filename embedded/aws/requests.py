"""The only place for the record of the last requests, kept for diagnosis instead of a log."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

RING_SIZE = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was answered: when (UTC), what, from where, with which status, how long, what went wrong."""

    at: datetime
    service: str
    action: str
    region: str
    peer: str
    status: int
    duration_seconds: float
    fault: str | None = None
    trouble: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self) | {"at": self.at.isoformat(), "duration_seconds": round(self.duration_seconds, 4)}


class RequestRing:
    """The last ``RING_SIZE`` requests, oldest first, and how many there were in all. Safe to use from any thread."""

    def __init__(self, size: int = RING_SIZE) -> None:
        self._requests: deque[Request] = deque(maxlen=size)
        self._lock = threading.Lock()
        self._count = 0

    def add(self, request: Request) -> None:
        """Keep one request; the oldest gives way."""
        with self._lock:
            self._requests.append(request)
            self._count += 1

    @property
    def count(self) -> int:
        """How many requests were answered since the start."""
        return self._count

    def last(self, limit: int | None = None) -> Iterable[Request]:
        """The last ``limit`` requests (all that are kept by default), oldest first."""
        with self._lock:
            kept = list(self._requests)
        return kept if limit is None else kept[max(0, len(kept) - limit) :]
