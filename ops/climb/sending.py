"""The only place that sends a climb's requests: at a steady rate whether or not answers come, never one twice."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

ANSWER_SECONDS = 10.0
SYNTHETIC = {"User-Agent": "terrace-climb", "X-Terrace-Synthetic": "climb"}
"""So that statistics and caches can leave these requests out."""


@dataclass
class Sent:
    """What was sent by now. `failures` holds when each failed one was due, in seconds from the first."""

    count: int = 0
    answered: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)

    @property
    def away_seconds(self) -> float:
        """From the first failure to the last; 0 where nothing failed."""
        return max(self.failures) - min(self.failures) if self.failures else 0.0

    def quantile_ms(self, share: float) -> float:
        """That share of the answers came within so many milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


async def send(url: str, *, rate: float, sent: Sent, go_on: Callable[[Sent], bool]) -> None:
    """Asks for `url` at `rate` a second while `go_on`, then waits for the last answers. 5xx counts as failed."""
    # A box makes its first certificate itself: this asks whether something answers, not who.
    unproved = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproved.check_hostname = False
    unproved.verify_mode = ssl.CERT_NONE
    limits = httpx.Limits(max_keepalive_connections=0)
    timeout = httpx.Timeout(ANSWER_SECONDS)
    async with (
        httpx.AsyncClient(verify=unproved, limits=limits, timeout=timeout, headers=SYNTHETIC) as client,
        asyncio.TaskGroup() as group,
    ):
        began = time.monotonic()
        while go_on(sent):
            due = sent.count / rate
            await asyncio.sleep(max(began + due - time.monotonic(), 0))
            sent.count += 1
            group.create_task(_one(client, url, began, due, sent))


async def _one(client: httpx.AsyncClient, url: str, began: float, due: float, sent: Sent) -> None:
    try:
        answer = await client.get(url)
    except httpx.HTTPError:
        sent.failures.append(due)
        return
    if answer.status_code >= 500:
        sent.failures.append(due)
        return
    sent.answered += 1
    sent.seconds.append(time.monotonic() - began - due)


def answers(url: str) -> bool:
    """Whether anything answers there now."""
    sent = Sent()
    asyncio.run(send(url, rate=10, sent=sent, go_on=lambda so_far: so_far.count < 1))
    return sent.answered == 1


@contextmanager
def probing(
    url: str, *, certain: bool = False, rate: float = 5.0
) -> Generator[Callable[[], Mapping[str, Any]]]:
    """Asks while the block lasts; the callable gives the time without answers and the requests lost.

    Where nothing answered before, nothing can be measured, and nothing is said; `certain`: it is known that it did.
    """
    if not url or not (certain or answers(url)):
        yield dict
        return
    sent, ended = Sent(), threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(send(url, rate=rate, sent=sent, go_on=lambda _: not ended.is_set())),
        daemon=True,
    )
    thread.start()

    def result() -> Mapping[str, Any]:
        ended.set()
        thread.join(ANSWER_SECONDS + 5)
        return {"asked": sent.count, "lost": len(sent.failures), "away_seconds": round(sent.away_seconds, 2)}

    try:
        yield result
    finally:
        ended.set()
