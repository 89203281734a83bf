"""The only place for the server of the AWS API: its sockets, its threads, its start and its end."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded.aws import environment
from embedded.aws.errors import ServerError
from embedded.aws.faults import Faults
from embedded.aws.hooks import HOOKS
from embedded.aws.requests import RequestRing
from embedded.aws.world import WORLD

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from embedded.aws.application import Application
    from embedded.aws.state import StateHeader

LOOPBACK = "127.0.0.1"


class ApiServer:
    """The AWS API on a loopback port, and on further sockets that the boxes reach.

    moto's state is the process's: two servers in one process serve the same cloud. ``extra_sockets`` are listening
    TCP sockets made elsewhere (in another network namespace, say); the admin surface is not served on them.
    """

    def __init__(self, *, port: int = 0, extra_sockets: Iterable[socket.socket] = ()) -> None:
        self.faults = Faults()
        self.requests = RequestRing()
        self._wanted_port = port
        self._extra_sockets = tuple(extra_sockets)
        self._application: Application | None = None
        self._listeners: list[BaseWSGIServer] = []
        self._started_at: datetime | None = None
        self._saved_changes = WORLD.changes

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Load moto, install what it lacks, listen. Raises ``ServerError`` when the port is taken."""
        if self._listeners:
            return
        environment.prepare()
        from embedded.aws.admin import Admin
        from embedded.aws.application import Application
        from embedded.aws.extensions import install_all

        install_all()
        if self._application is None:
            self._application = Application(self.faults, self.requests, Admin(self))
        loopback = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        loopback.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            loopback.bind((LOOPBACK, self._wanted_port))
            loopback.listen(128)
        except OSError as error:
            loopback.close()
            raise ServerError(
                f"port {self._wanted_port} on {LOOPBACK} cannot be had: {error.strerror}. "
                "Stop what listens there, or take port 0 for any free one"
            ) from error
        self._started_at = datetime.now(UTC)
        self.listen_on(loopback, admin=True)
        for extra in self._extra_sockets:
            self.listen_on(extra, admin=False)

    def listen_on(self, listening: socket.socket, *, admin: bool, tls: ssl.SSLContext | None = None) -> None:
        """Serve on one more listening socket, which then belongs to the server. ``admin``: also ``/_terrace``."""
        from embedded.aws.listener import Listener

        if self._application is None:
            raise ServerError("the server has not been started; call start() first")
        listener = Listener(listening, self._application, admin=admin, tls=tls)
        self._listeners.append(listener)
        threading.Thread(
            target=listener.serve_forever, args=(0.05,), name=f"aws-api-{listener.port}", daemon=True
        ).start()

    def stop(self) -> None:
        """Close every socket and connection; calls that a fault holds are let go. The state stays in the process."""
        self.faults.clear()
        while self._listeners:
            listener = self._listeners.pop()
            listener.shutdown()
            listener.server_close()

    @property
    def port(self) -> int:
        """The loopback port. Raises ``ServerError`` before the start and after the stop."""
        if not self._listeners:
            raise ServerError("the server does not listen; call start() first")
        return int(self._listeners[0].port)

    @property
    def url(self) -> str:
        """What ``AWS_ENDPOINT_URL`` wants."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def dirty(self) -> int:
        """How often the state was changed since the last save or load."""
        return WORLD.changes - self._saved_changes

    def save(self, path: Path) -> StateHeader:
        """Write the whole state to a file (see ``state.save``); ``dirty`` counts from there."""
        from embedded.aws import state

        with WORLD:
            header = state.save(path)
            self._saved_changes = WORLD.changes
        return header

    def load(self, path: Path) -> StateHeader:
        """Replace the whole state by a file's (see ``state.load``)."""
        from embedded.aws import state

        with WORLD:
            header = state.load(path)
            self._forget()
            self._saved_changes = WORLD.changes
        HOOKS.tell_world()
        return header

    def reset(self) -> None:
        """Empty the cloud: every service, every account, every region."""
        from embedded.aws import state

        with WORLD:
            state.reset()
            self._forget()
            WORLD.note_change()
        HOOKS.tell_world()

    def status(self) -> dict[str, Any]:
        """What runs, as plain JSON values."""
        return {
            "url": self.url,
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat() if self._started_at else None,
            "moto": importlib.metadata.version("moto"),
            "requests": self.requests.count,
            "dirty": self.dirty,
            "faults": len(self.faults.standing()),
            "resident_bytes": resident_bytes(),
        }

    def _forget(self) -> None:
        if self._application is not None:
            self._application.forget()


def resident_bytes() -> int | None:
    """The resident memory of this process in bytes; ``None`` where there is no ``/proc``."""
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return None
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
