"""The only place for one listening socket: werkzeug's threaded server, quiet, which closes its connections too."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, cast

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from embedded.aws.application import ADMIN_ALLOWED_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


FAREWELL_SECONDS = 1.0


class _Handler(MotoRequestHandler):
    """One connection. Says nothing on the terminal; the ring of requests is the log."""

    # Answers leave in two parts; without this the second waits until the client acknowledges the first.
    disable_nagle_algorithm = True

    def make_environ(self) -> dict[str, Any]:
        return super().make_environ() | {ADMIN_ALLOWED_KEY: cast("Listener", self.server).admin}

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 werkzeug's name
        pass


class Listener(ThreadedWSGIServer):
    """Serves one application on one listening TCP socket, a thread for each connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listening: socket.socket,
        application: WSGIApplication,
        *,
        admin: bool,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.admin = admin
        self._given: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        host, port = listening.getsockname()[:2]
        super().__init__(host, port, application, handler=_Handler, fd=listening.fileno())
        self._given = listening
        self.ssl_context = tls

    def get_request(self) -> tuple[Any, Any]:
        """The next connection. Its handshake is done by its own thread: a client that hangs holds up nobody."""
        connection, address = super().get_request()
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, then serve it in a thread of its own."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._open_lock:
            self._open.discard(request)
        if isinstance(request, ssl.SSLSocket):
            # Without a farewell the end of an answer looks like one cut short, and OpenSSL 3 refuses it.
            with contextlib.suppress(OSError):
                request.settimeout(FAREWELL_SECONDS)
                request.unwrap()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; nothing is printed."""

    def server_close(self) -> None:
        """Close the listening socket and every connection: kept-alive ones would otherwise still be served."""
        super().server_close()
        if self._given is not None:
            self._given.close()
        with self._open_lock:
            still_open = list(self._open)
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
