"""The only place where the load meets the network: connections, and the log of what came of them."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any, TextIO
from urllib.parse import urlsplit

from embedded.load.running import Target

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the service: where to connect, which name to say, whom to trust."""

    address: str
    port: int
    host: str
    tls: ssl.SSLContext | None

    @classmethod
    def to(cls, target: Target) -> Way:
        """The way to a target; certificates are checked."""
        parts = urlsplit(target.url)
        secure = parts.scheme == "https"
        address = parts.hostname or ""
        tls = ssl.create_default_context(cafile=target.ca or None) if secure else None
        return cls(address, parts.port or (443 if secure else 80), target.host or address, tls)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own. Raises OSError or TimeoutError."""
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(
                self.address, self.port, ssl=self.tls, server_hostname=self.host if self.tls else None
            )


class Log:
    """Lines with the time since the log began."""

    def __init__(self, file: TextIO) -> None:
        self._file, self.began = file, time.monotonic()

    def now(self) -> float:
        """Seconds since the log began."""
        return time.monotonic() - self.began

    def write(self, kind: str, at: float, **values: Any) -> None:
        """One line."""
        self._file.write(json.dumps({"kind": kind, "at": round(at, 4), **values}) + "\n")
