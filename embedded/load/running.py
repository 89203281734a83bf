"""The only place that starts and ends the process of a load."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from embedded.load.report import Report, read

END_SECONDS = 60.0
"""The last questions take some seconds; then each caller closes."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the load goes to: a URL with an address; `host` is its name, `ca` a file that vouches.

    With `names`, a file as embedded.load.wire.Names has it, the URL holds a name, which is looked up anew when its
    time is over.
    """

    url: str
    host: str = ""
    ca: str = ""
    names: str = ""


class Load:
    """A load while the block lasts; its `report` afterwards."""

    def __init__(
        self, target: Target, log: Path, *, rate: float = 50.0, sockets: int = 20, keep_alive: bool = False
    ) -> None:
        """`keep_alive`: requests go over connections of a pool, else each over its own."""
        self._target, self._log, self._rate, self._sockets = target, log, rate, sockets
        self._keep_alive = keep_alive
        self._process: subprocess.Popen[bytes] | None = None
        self.report: Report | None = None

    def __enter__(self) -> Self:
        self._log.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "embedded.load", self._target.url,
                "--log", str(self._log), "--host", self._target.host, "--ca", self._target.ca,
                "--names", self._target.names,
                "--rate", str(self._rate), "--sockets", str(self._sockets),
                *(["--keep-alive"] if self._keep_alive else []),
            ]
        )  # fmt: skip
        return self

    def until(self, sent: int, *, timeout_seconds: float = 600.0) -> None:
        """Waits until so many requests were sent and answered.

        Raises:
            TimeoutError: they were not within that time.
            RuntimeError: the process has ended.
        """
        deadline = time.monotonic() + timeout_seconds
        while self.sent() < sent:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError("the load has ended by itself; what it said is above")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.sent()} of {sent} requests within {timeout_seconds:g} s")
            time.sleep(0.2)

    def sent(self) -> int:
        """How many requests have an end by now."""
        if not self._log.exists():
            return 0
        with self._log.open("rb") as file:
            return sum(line.startswith(b'{"kind": "request"') for line in file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log.exists():
            self.report = read(self._log)


NAMES_SECONDS = 0.5
"""How often the names are looked up for the load; it keeps each for its own time to live."""


@contextmanager
def named(lookup: Callable[[str], tuple[str, int] | None], file: Path, name: str) -> Generator[Path]:
    """The file of a `Target`'s names, kept as `lookup` says while the block lasts."""
    ended = threading.Event()

    def write() -> None:
        part = file.with_suffix(".part")
        found = lookup(name)
        part.write_text(json.dumps({} if found is None else {name: found}), encoding="utf-8")
        part.replace(file)

    def follow() -> None:
        while not ended.wait(NAMES_SECONDS):
            write()

    write()
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield file
    finally:
        ended.set()
        thread.join()
