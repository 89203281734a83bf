"""The only place for the load's connections that are kept: HTTP/1.1 answers by their length, one after the other.

A client with a pool, as most are: the connection used last is used first, one that nobody needed for a while is
closed, one that the server closed is not used again. Nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from embedded.load.wire import Way

IDLE_SECONDS = 15.0
"""Below what servers wait for the next request: Nginx 75 s, a load balancer its idle timeout (60 s by default)."""

BODILESS = (204, 304)


@dataclass(slots=True)
class Answer:
    """What came back; `address` is who was asked, `stays` whether the connection may be used again."""

    status: int
    headers: dict[str, str]
    address: str
    stays: bool


@dataclass(slots=True)
class _Kept:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str
    since: float = 0.0


class Pool:
    """Connections to one way's name; which address a new one goes to is the way's to say."""

    def __init__(self, way: Way, *, keep: bool) -> None:
        self._way, self._keep = way, keep
        self._idle: list[_Kept] = []
        self.made = 0
        """Connections that were opened."""

    async def ask(self, request: bytes) -> Answer:
        """Sends one request and reads its whole answer.

        Raises:
            OSError, EOFError, ValueError: there was none, or not a whole one.
        """
        kept = self._usable() or await self._open()
        try:
            kept.writer.write(request)
            await kept.writer.drain()
            answer = await _read(kept.reader, kept.address)
        except BaseException:
            kept.writer.close()
            raise
        if self._keep and answer.stays:
            kept.since = time.monotonic()
            self._idle.append(kept)
        else:
            kept.writer.close()
        return answer

    def close(self) -> None:
        """Closes what is kept."""
        while self._idle:
            self._idle.pop().writer.close()

    def _usable(self) -> _Kept | None:
        while self._idle and time.monotonic() - self._idle[0].since > IDLE_SECONDS:
            self._idle.pop(0).writer.close()
        while self._idle:
            kept = self._idle.pop()
            if not kept.reader.at_eof() and not kept.writer.is_closing():
                return kept
            kept.writer.close()
        return None

    async def _open(self) -> _Kept:
        reader, writer, address = await self._way.reach()
        self.made += 1
        return _Kept(reader, writer, address)


async def _read(reader: asyncio.StreamReader, address: str) -> Answer:
    """Raises EOFError where the answer ends before its length."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        if not lines[0].startswith("HTTP/1.1 "):
            raise ValueError(f"no answer of HTTP/1.1: {lines[0][:80]!r}")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.lower(): value.strip() for name, separator, value in pairs if separator}
        status = int(lines[0].split()[1])
        told = headers.get("connection", "").lower() != "close"
        if headers.get("transfer-encoding", "").lower() == "chunked":
            await _chunks(reader)
        elif "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        elif status not in BODILESS:
            await reader.read(-1)
            told = False
    except asyncio.IncompleteReadError as cut:
        of = "" if cut.expected is None else f" of {cut.expected}"
        raise EOFError(f"closed after {len(cut.partial)}{of} bytes") from cut
    return Answer(status, headers, address, told)


async def _chunks(reader: asyncio.StreamReader) -> None:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        await reader.readexactly(size + 2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
