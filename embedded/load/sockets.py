"""The only place for the load's WebSockets (RFC 6455, the client's side): they ask, and mind how a session ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from dataclasses import dataclass, field

from embedded.load.wire import Log, Way

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
TAKES_MS = 3000
"""How long the service thinks about a question, so that one is pending nearly always."""

BETWEEN_SECONDS = 0.3
ANSWER_SECONDS = 40.0
AGAIN_SECONDS = 0.1


class _FaultError(Exception):
    """A session did not go as it should."""


@dataclass(slots=True)
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pending: dict[str, float] = field(default_factory=dict)
    pending_at_notice: int = 0
    leaving: bool = False


class Clients:
    """So many callers; each has one connection, and makes the next when the server has closed it."""

    def __init__(self, way: Way, log: Log, number: int) -> None:
        self._way, self._log, self._number = way, log, number

    async def run(self, told: asyncio.Event) -> None:
        """Asks until it is told to end; then each caller waits for its answers and closes."""
        async with asyncio.TaskGroup() as group:
            for client in range(self._number):
                group.create_task(self._client(client, told))

    async def _client(self, client: int, told: asyncio.Event) -> None:
        sessions = 0
        # Callers do not come at one moment: in step, all of them would pause at once, with no question pending.
        await asyncio.sleep(client / self._number * (TAKES_MS / 1000 + BETWEEN_SECONDS))
        while not told.is_set():
            try:
                session = await self._open()
                sessions += 1
                self._note(client, "opened", session=sessions)
                await self._talk(client, session, told)
            except (_FaultError, OSError, EOFError, TimeoutError, ValueError) as fault:
                self._note(client, "fault", why=f"{type(fault).__name__}: {fault}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def _open(self) -> _Session:
        reader, writer = await self._way.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            (
                f"GET /ws/answers HTTP/1.1\r\nHost: {self._way.host}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        async with asyncio.timeout(ANSWER_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if not head.startswith("HTTP/1.1 101 "):
            writer.close()
            raise _FaultError(f"the handshake was answered {head.splitlines()[0]}")
        return _Session(reader, writer)

    async def _talk(self, client: int, session: _Session, told: asyncio.Event) -> None:
        asking = asyncio.create_task(self._ask(client, session, told))
        try:
            while True:
                async with asyncio.timeout(ANSWER_SECONDS):
                    opcode, payload = await _frame(session.reader)
                if opcode == TEXT:
                    self._heard(client, session, payload)
                elif opcode == PING:
                    _send(session.writer, PONG, payload)
                elif opcode == CLOSE:
                    self._closed(client, session, payload)
                    return
        except asyncio.IncompleteReadError as cut:
            raise _FaultError(f"cut without a close frame, {len(session.pending)} questions open") from cut
        finally:
            asking.cancel()
            session.writer.close()

    async def _ask(self, client: int, session: _Session, told: asyncio.Event) -> None:
        number = 0
        while not told.is_set() and not session.leaving:
            number += 1
            asked = f"{client}-{number}"
            session.pending[asked] = self._log.now()
            self._note(client, "asked", id=asked)
            _send(
                session.writer,
                TEXT,
                json.dumps({"id": asked, "question": "?", "takes_ms": TAKES_MS}).encode(),
            )
            while asked in session.pending:
                await asyncio.sleep(0.02)
            await asyncio.sleep(BETWEEN_SECONDS)
        if told.is_set() and not session.leaving:
            _send(session.writer, CLOSE, (1000).to_bytes(2, "big"))

    def _heard(self, client: int, session: _Session, payload: bytes) -> None:
        said = json.loads(payload)
        if said.get("going_away"):
            session.leaving, session.pending_at_notice = True, len(session.pending)
        elif session.pending.pop(str(said.get("id")), None) is not None:
            self._note(client, "answered", id=said["id"], version=said.get("version", ""))
        else:
            raise _FaultError(f"an answer to nothing: {said}")

    def _closed(self, client: int, session: _Session, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        if session.pending:
            raise _FaultError(f"closed with {code} while {len(session.pending)} questions were open")
        if code == 1000:
            self._note(client, "closed by us")
            return
        self._note(client, "closed by server", code=code, pending=session.pending_at_notice)
        _send(session.writer, CLOSE, payload[:2])

    def _note(self, client: int, what: str, **values: object) -> None:
        self._log.write("socket", self._log.now(), client=client, what=what, **values)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8), "big")
    return first & 0x0F, await reader.readexactly(length)


def _send(writer: asyncio.StreamWriter, opcode: int, payload: bytes) -> None:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    writer.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
