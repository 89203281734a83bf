"""The only place that lets the double be asked over HTTP, its clock the machine's, as fast as wanted.

On loopback for the programs of a laptop, and at any further socket: boxes reach nobody's loopback but their own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from embedded.runpod.double import Answer, Double, LostError
from embedded.runpod.model import Habits

TICK_SECONDS = 0.02
MOST_REMEMBERED = 1000


class RunPodServer:
    """A double behind an HTTP server; a second outside is `speed` seconds inside.

    A `double` that stood before goes on, and what was due since then happens at once.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        speed: float = 1.0,
        habits: Habits | None = None,
        seed: int = 0,
        double: Clocked | None = None,
    ) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.double = double or Clocked(habits=habits, seed=seed)
        self.double.move_to(self.url)
        self.lock = threading.Lock()
        self._speed, self._began = speed, time.monotonic()
        self._first = max(self.double.world.now, time.time())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(TICK_SECONDS,), daemon=True)
        self._besides: list[ThreadingHTTPServer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def listen_on(self, listening: socket.socket) -> None:
        """Answers at another socket, too, which it closes at its end."""
        server = ThreadingHTTPServer(listening.getsockname(), _handler(self), bind_and_activate=False)
        server.daemon_threads = True
        server.socket.close()
        server.socket = listening
        self._besides.append(server)
        threading.Thread(target=server.serve_forever, args=(TICK_SECONDS,), daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._server, *self._besides):
            server.shutdown()
            server.server_close()
        self._thread.join()

    def catch_up(self) -> None:
        """Lets the double's clock go to where it belongs; the lock is held."""
        self.double.world.advance(self._first + (time.monotonic() - self._began) * self._speed)

    def ahead(self, seconds: float) -> None:
        """Lets the double's clock run ahead by so much; the lock is held."""
        self._first += seconds
        self.catch_up()

    def wait(self, seconds: float) -> None:
        """Waits that many of the double's seconds."""
        time.sleep(seconds / self._speed)


class Clocked(Double):
    """A double whose clock is another's: /runsync comes back at once and is looked at again."""

    def __init__(self, *, habits: Habits | None = None, seed: int = 0) -> None:
        super().__init__(habits=habits, seed=seed)
        self.requests = deque(maxlen=MOST_REMEMBERED)
        self.served = 0

    def move_to(self, base: str) -> None:
        """It answers at another address from now on."""
        self.control.base = f"{base}/v2"

    def handle(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """See `Double.handle`; counts."""
        self.served += 1
        return super().handle(method, url, headers, content)

    def _synchronous_seconds(self, query: Mapping[str, str]) -> float:
        super()._synchronous_seconds(query)
        return 0.0


def _handler(owner: RunPodServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Says nothing."""

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                with owner.lock:
                    owner.catch_up()
                    answer = owner.double.handle(self.command, self.path, dict(self.headers), content or None)
            except LostError:
                self.close_connection = True
                return
            if answer.delay_seconds:
                owner.wait(answer.delay_seconds)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve  # noqa: N815 the base class's names

    return Handler
