"""The only place for the load's HTTP requests: what is asked, and when each is due."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from embedded.load.pool import Answer, Pool
from embedded.load.wire import Log, Way

ANSWER_SECONDS = 30.0
"""Then a person has left."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request."""

    method: str
    path: str
    body: str = ""


_RECEIPT = json.dumps(
    {
        "merchant": "Gimbap House",
        "paid_on": "2026-11-20",
        "items": [{"name": "gimbap", "quantity": 2, "price_krw": 4500}],
    }
)

MIX = (
    Kind("GET", "/api/receipts?limit=5"),
    Kind("GET", "/api/totals"),
    Kind("GET", "/"),
    Kind("GET", "/api/receipts?limit=20"),
    Kind("POST", "/api/receipts", _RECEIPT),
)
"""One after the other: reads, the page that the frontend renders, one write in five."""


class Requests:
    """Requests at a steady rate; 0 as `most` goes on until told. Each has a connection of its own, or with `keep` one
    of a pool's."""

    def __init__(self, way: Way, log: Log, rate: float, most: int, *, keep: bool = False) -> None:
        self._way, self._log, self._rate, self._most, self._keep = way, log, rate, most, keep
        self._pool = Pool(way, keep=keep)

    async def run(self, told: asyncio.Event) -> None:
        """Sends until it is told to end, and waits for the last answers."""
        began = self._log.now()
        number = 0
        async with asyncio.TaskGroup() as group:
            while not told.is_set() and (not self._most or number < self._most):
                due = began + number / self._rate
                await asyncio.sleep(max(due - self._log.now(), 0))
                group.create_task(self._one(MIX[number % len(MIX)], due, number))
                number += 1
        self._pool.close()

    async def _one(self, kind: Kind, due: float, number: int) -> None:
        status, version, address, error = 0, "", "", ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._ask(kind, number)
            status, version = answer.status, answer.headers.get("x-terrace-version", "")
            address = answer.address
        except TimeoutError:
            error = "no answer in time"
        except (OSError, EOFError, ValueError) as fault:
            error = f"{type(fault).__name__}: {fault}"
        self._log.write(
            "request",
            due,
            what=f"{kind.method} {kind.path}",
            status=status,
            seconds=round(self._log.now() - due, 4),
            version=version,
            address=address,
            error=error,
        )

    async def _ask(self, kind: Kind, number: int) -> Answer:
        head = [
            f"{kind.method} {kind.path} HTTP/1.1",
            f"Host: {self._way.host}",
            f"Connection: {'keep-alive' if self._keep else 'close'}",
            f"X-User: person-{number % 60}",
        ]
        if kind.body:
            head += ["Content-Type: application/json", f"Content-Length: {len(kind.body)}"]
        return await self._pool.ask("\r\n".join([*head, "", kind.body]).encode())
