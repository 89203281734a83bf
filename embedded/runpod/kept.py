"""The only place where the RunPod double stands beside the embedded AWS API: on loopback, with a memory.

Its clock is the machine's, ahead by what the alarms' clock was advanced. What was saved goes on at the next start as
if it had run all along: an idle worker's timeout is over then.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from embedded.aws import pickling
from embedded.runpod import pictures, samples
from embedded.runpod.befalls import strike
from embedded.runpod.server import Clocked, RunPodServer

_log = logging.getLogger(__name__)


class KeptRunPod:
    """The double of one cloud, kept in `path`."""

    def __init__(self, path: Path, *, port: int = 0) -> None:
        self._path, self._port = path, port
        self._server: RunPodServer | None = None
        self._saved = 0

    @property
    def server(self) -> RunPodServer:
        """The double behind its server.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._server is None:
            raise RuntimeError("the RunPod double has not been started")
        return self._server

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    def start(self) -> None:
        """Listens; what was saved stands again.

        Raises:
            RuntimeError: the port is taken.
        """
        try:
            server = RunPodServer(port=self._port, double=self._load())
        except OSError as error:
            raise RuntimeError(f"port {self._port} is taken: {error.strerror}") from error
        self._server = server.__enter__()

    def stop(self) -> None:
        """Saves and ends. Idempotent."""
        if self._server is not None:
            self.save()
            self._server.__exit__(None, None, None)
            self._server = None

    def advance(self, by: timedelta) -> None:
        """Lets its clock run ahead."""
        with self.server.lock:
            self.server.ahead(by.total_seconds())

    def befall(self, values: Mapping[str, Any]) -> str | None:
        """Lets a fault of its own stand; what was done, or None for a kind of somebody else's.

        Raises:
            FaultError: a part of it is out of its bounds.
        """
        with self.server.lock:
            self.server.catch_up()
            did = strike(values, self.server.double)
            self.server.double.served += did is not None
            return did

    def save(self) -> None:
        """Writes the memory down, if anybody asked anything since; first beside it, then in its place."""
        with self.server.lock:
            count = self.server.double.served
            if count == self._saved:
                return
            payload = pickling.dump(self.server.double)
        part = self._path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        self._saved = count

    def _load(self) -> Clocked:
        try:
            found = pickling.load_payload(self._path.read_bytes())
            if isinstance(found, Clocked):
                self._saved = found.served
                return found
        except FileNotFoundError:
            pass
        except Exception:  # noqa: BLE001 of another version, or damaged: nothing real is lost
            _log.warning("%s cannot be understood: the RunPod double begins empty", self._path)
        made = Clocked()
        made.habits.answer = samples.answers(pictures.known)
        return made
