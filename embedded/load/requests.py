"""The only place for the load's HTTP requests: what is asked, and when each is due."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

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
    """Requests at a steady rate, each on a connection of its own; 0 as `most` goes on until told."""

    def __init__(self, way: Way, log: Log, rate: float, most: int) -> None:
        self._way, self._log, self._rate, self._most = way, log, rate, most

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

    async def _one(self, kind: Kind, due: float, number: int) -> None:
        status, version, error = 0, "", ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, version = await self._ask(kind, number)
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
            error=error,
        )

    async def _ask(self, kind: Kind, number: int) -> tuple[int, str]:
        reader, writer = await self._way.connect()
        try:
            head = [
                f"{kind.method} {kind.path} HTTP/1.1",
                f"Host: {self._way.host}",
                "Connection: close",
                f"X-User: person-{number % 60}",
            ]
            if kind.body:
                head += ["Content-Type: application/json", f"Content-Length: {len(kind.body)}"]
            writer.write("\r\n".join([*head, "", kind.body]).encode())
            await writer.drain()
            return _read(await reader.read(-1))
        finally:
            writer.close()


def _read(answer: bytes) -> tuple[int, str]:
    """Status and version; an answer that is cut off is none.

    Raises:
        EOFError: it ends before its length.
    """
    head, separator, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not separator or not lines[0].startswith("HTTP/1.1 "):
        raise EOFError(f"closed after {len(answer)} bytes")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if "content-length" in headers and len(body) != int(headers["content-length"]):
        raise EOFError(f"closed after {len(body)} of {headers['content-length']} bytes")
    if headers.get("transfer-encoding") == "chunked" and not body.endswith(b"0\r\n\r\n"):
        raise EOFError(f"closed in the middle of chunks, after {len(body)} bytes")
    return int(lines[0].split()[1]), headers.get("x-terrace-version", "")
