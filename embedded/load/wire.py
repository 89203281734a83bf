"""The only place where the load meets the network: connections, and the log of what came of them."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from embedded.load.running import Target

CONNECT_SECONDS = 5.0


class Names:
    """A resolver's answers as a careful client keeps them: each for its time to live, and no longer.

    `file` holds `{name: [address, seconds]}` and is replaced whole by whoever stands in for the resolver.
    """

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._file, self._now = file, now
        self._kept: dict[str, tuple[str, float]] = {}

    def address(self, name: str) -> str:
        """Where a name leads now.

        Raises:
            OSError: it leads nowhere.
        """
        address, until = self._kept.get(name, ("", 0.0))
        if not address or self._now() >= until:
            found = json.loads(self._file.read_text(encoding="utf-8")).get(name)
            if found is None:
                raise OSError(f"{name} leads nowhere")
            address, until = str(found[0]), self._now() + float(found[1])
            self._kept[name] = (address, until)
        return address


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the service: where to connect, which name to say, whom to trust."""

    address: str
    port: int
    host: str
    tls: ssl.SSLContext | None
    names: Names | None = None

    @classmethod
    def to(cls, target: Target) -> Way:
        """The way to a target; certificates are checked."""
        parts = urlsplit(target.url)
        secure = parts.scheme == "https"
        address = parts.hostname or ""
        tls = ssl.create_default_context(cafile=target.ca or None) if secure else None
        names = Names(Path(target.names)) if target.names else None
        return cls(address, parts.port or (443 if secure else 80), target.host or address, tls, names)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own. Raises OSError or TimeoutError."""
        reader, writer, _ = await self.reach()
        return reader, writer

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """A connection, and the address that it goes to. Raises OSError or TimeoutError."""
        async with asyncio.timeout(CONNECT_SECONDS):
            address = self.names.address(self.address) if self.names else self.address
            reader, writer = await asyncio.open_connection(
                address, self.port, ssl=self.tls, server_hostname=self.host if self.tls else None
            )
            return reader, writer, address


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
