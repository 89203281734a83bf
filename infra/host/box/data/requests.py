"""The only place for what becomes of requests while the writer changes: held before the fence, then led on.

A box that has the service and hands its rows to RDS goes on being asked until the address moves, and its own backend
may not log in any more. So its Nginx sends what needs the database to the new backend's box. While neither may write,
requests wait in connections that nobody answers yet, and none is refused.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.core.errors import Fault, TerraceError
from infra.core.naming import HOST_BACKENDS
from infra.core.release import Part
from infra.host.box.data.record import BOX
from infra.host.box.deploy import lock, sockets
from infra.host.box.deploy.errors import DeployError
from infra.host.box.deploy.journal import FileJournal
from infra.host.box.deploy.main import LOCK
from infra.host.box.deploy.model import HEALTH
from infra.host.box.deploy.place import NGINX, Place
from infra.host.box.deploy.proxy import Nginx
from infra.host.box.system import Facts, parameter
from infra.host.box.upstream import PORT

Address = tuple[str, int]

HOLD_PORT = 8091
"""Beside the one at which Nginx answers on this box (infra/host/box/upstream.py)."""

HELD_SECONDS = 20.0
"""How long a request may wait: below what a browser's user, and most clients (30 s), wait for an answer."""

DRAIN_SECONDS = 3.0
"""How long the old backend may go on answering what it had begun; a WebSocket stays open, and is not waited for."""

DEPLOY_SECONDS = 120.0
"""How long a deploy that is under way is waited for, before any request is."""

READY_SECONDS = 15.0
LEAVE_SECONDS = 10.0
WAITING = 1024
"""Connections that the kernel keeps for the holder before it takes them."""


class Requests(Protocol):
    """Requests that come to this box and need the database."""

    def prepare(self) -> None:
        """Waits for what would disturb it, and keeps it out; they are answered meanwhile."""

    def hold(self) -> None:
        """Lets them wait, once the old backend has answered what it had begun."""

    def lead(self, end: str) -> str:
        """Sends them, and those that wait, to who can answer by that end's database; who that is, or nothing."""


class Holder:
    """Takes connections, lets them wait for `to`, and then passes them on."""

    def __init__(self, port: int = HOLD_PORT) -> None:
        self._listening = socket.create_server(("127.0.0.1", port), backlog=WAITING)
        self.port = int(self._listening.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._decided, self._to = asyncio.Event(), ("", 0)
        self._open, self._takes = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._takes.wait()

    def to(self, address: Address) -> None:
        """Passes on what waits and what still comes."""
        self._to = address
        self._loop.call_soon_threadsafe(self._decided.set)

    def close(self) -> None:
        """Waits until what was passed on has ended, LEAVE_SECONDS at most, and takes nothing more."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while self._open and time.monotonic() < deadline:
            time.sleep(0.05)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._one, sock=self._listening, backlog=WAITING)
        server = self._loop.run_until_complete(serving)
        self._loop.call_soon(self._takes.set)
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(HELD_SECONDS):
                await self._decided.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._to)
            ways = [
                asyncio.ensure_future(_pass(*each)) for each in ((reader, far_writer), (far_reader, writer))
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            far_writer.close()
        except (OSError, TimeoutError):
            pass  # Nginx says 502 for us
        finally:
            self._open -= 1
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()


@dataclass
class BoxRequests:
    """Those of this box: of one that has the whole service, and a release that serves. Elsewhere nothing is done."""

    facts: Facts
    place: Place
    nginx: Nginx = field(default_factory=lambda: Nginx(NGINX))
    says: Callable[[str], object] = lambda _: None
    deploys: Path = LOCK
    _alone: ExitStack | None = None
    """The lock of deploys: one that ends between `hold` and `lead` would ask the box's own backend again."""
    _holder: Holder | None = None
    _known: str | None = None

    def prepare(self) -> None:
        """See Requests. No deploy of this box begins until `lead`.

        Raises:
            TerraceError: a deploy is under way and does not end.
        """
        if self._own() is not None and self._other():
            self._keep_deploys_out()

    def hold(self) -> None:
        """See Requests.

        Raises:
            TerraceError: a deploy is under way and does not end, or Nginx does not take it; then nothing is held.
        """
        self.prepare()
        if self._own() is None or not self._other():
            return
        try:
            self._hold()
        except BaseException:
            self._let_deploys_in()
            raise

    def _keep_deploys_out(self) -> None:
        if self._alone is not None:
            return

        def waits(what: str) -> None:
            self.says(f"waits {what}")

        alone, reason = ExitStack(), "the switch of the writer"
        with _faults():
            alone.enter_context(
                lock.held(
                    self.deploys, by="terrace-data", reason=reason, wait_seconds=DEPLOY_SECONDS, waits=waits
                )
            )
        self._alone = alone

    def _let_deploys_in(self) -> None:
        alone, self._alone = self._alone, None
        if alone is not None:
            alone.close()

    def _hold(self) -> None:
        own = self._own()  # A deploy that was waited for may have taken another port.
        if own is None:
            return
        self.says("requests wait")
        holder = Holder()
        try:
            with _faults():
                self.nginx.lead(Part.BACKEND, f"127.0.0.1:{holder.port}")
        except BaseException:
            # A reload that failed has left the file as it was to be, and nobody will answer at that port.
            with suppress(TerraceError), _faults():
                self.nginx.switch({Part.BACKEND: (own,)})
            holder.to(("127.0.0.1", own))
            holder.close()
            raise
        self._holder = holder
        deadline = time.monotonic() + DRAIN_SECONDS
        while sockets.connections(own) and time.monotonic() < deadline:
            time.sleep(0.02)

    def lead(self, end: str) -> str:
        """See Requests.

        Raises:
            TerraceError: Nginx does not take it, or a deploy is under way, whose end would undo it.
        """
        try:
            return self._lead(end)
        finally:
            self._let_deploys_in()

    def _lead(self, end: str) -> str:
        own = self._own()
        if own is None:
            return ""
        if end == BOX:
            return self._led(("127.0.0.1", own), own)
        other = self._other()
        if not other:
            return ""
        self._keep_deploys_out()
        self._await_ready(other)
        return self._led((other, PORT), None)

    def _led(self, to: Address, own: int | None) -> str:
        said = f"{to[0]}:{to[1]}"
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.to(to)
        try:
            with _faults():
                if own is None:
                    self.nginx.lead(Part.BACKEND, said)
                elif self.nginx.targets(Part.BACKEND)[:1] != (own,):
                    self.nginx.switch({Part.BACKEND: (own,)})
        finally:
            if holder is not None:
                holder.close()
        self.says(f"requests go to {said}")
        return said

    def _await_ready(self, address: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not _is_up(address):
            if time.monotonic() > deadline:
                self.says(f"the backend at {address} is not healthy; nothing else may write")
                return
            time.sleep(0.1)

    def _own(self) -> int | None:
        """The port of this box's own backend; nothing where it has none."""
        if self.place.role != "single":
            return None
        with _faults():
            serves = FileJournal(self.place.state).state().parts.get(Part.BACKEND)
        return serves.port if serves is not None else None

    def _other(self) -> str:
        """The new backend's box; empty while none stands. Asked for once: behind the fence nothing is."""
        if self._known is None:
            from botocore.exceptions import BotoCoreError, ClientError

            try:
                found = json.loads(parameter(self.facts, HOST_BACKENDS) or "[]")
            except TerraceError:
                found = []  # The stack has it while a backend's box stands.
            except (BotoCoreError, ClientError) as error:
                raise TerraceError(
                    Fault(HOST_BACKENDS, f"cannot be read: {error}", "Run it again")
                ) from error
            self._known = str(found[0]) if found else ""
        return self._known


@contextmanager
def _faults() -> Generator[None]:
    """What the deploy's programs refuse, said as a fault."""
    try:
        yield
    except DeployError as error:
        raise TerraceError(Fault("requests", error.what, error.remedy)) from error


def _is_up(address: str) -> bool:
    connection = http.client.HTTPConnection(address, PORT, timeout=2)
    try:
        connection.request("GET", HEALTH[Part.BACKEND], headers={"Connection": "close"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def of_this_box(found: Facts, facts: Path, says: Callable[[str], object]) -> BoxRequests | None:
    """The requests of this box, by what it was told of itself; nothing on one that no release is made for."""
    with suppress(DeployError):
        return BoxRequests(found, Place.of_box(facts), says=says)
    return None
