"""The load counts what fails: an answer cut off, one of 500, a WebSocket that ends without a word."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from embedded.load import Load, Target, read
from embedded.load.pool import Pool
from embedded.load.wire import Names, Way

OK = b"HTTP/1.1 200 OK\r\nX-Terrace-Version: v1\r\nContent-Length: 2\r\n\r\n{}"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    match head.split(" ")[:2]:
        case ["GET", "/"]:
            writer.write(OK[:-1])
        case ["POST", _]:
            writer.write(b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n")
        case ["GET", "/ws/answers"]:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            await reader.read(1)
        case _:
            writer.write(OK)
    await writer.drain()
    writer.close()


async def _keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Four answers for each connection, the third in chunks; the fourth says that it is the last."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    last = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    with suppress(asyncio.IncompleteReadError):
        for answer in (OK, OK, chunked, last):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A service that answers badly, each path in its own way."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield int(server.sockets[0].getsockname()[1])
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_every_request_that_was_not_answered_counts_and_none_is_repeated(port: int, tmp_path: Path) -> None:
    with Load(Target(f"http://127.0.0.1:{port}"), tmp_path / "log", rate=50, sockets=2) as load:
        load.until(50)
    report = load.report
    assert report is not None
    kinds = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    asked = [each["what"] for each in kinds if each["kind"] == "request"]
    bad = [what for what in asked if what in ("GET /", "POST /api/receipts")]
    assert report.sent == len(asked) >= 50
    assert report.failed == len(bad)
    assert report.errors == {
        "EOFError: closed after 1 of 2 bytes": asked.count("GET /"),
        "answered 503": asked.count("POST /api/receipts"),
    }
    assert report.versions == {"v1": report.sent - report.failed}
    assert report.sockets.faults
    assert "cut without a close frame" in report.sockets.faults[0]
    assert report.sockets.closed_by_server == 0


def test_a_kept_connection_serves_until_the_server_ends_it_and_only_then_the_name_counts_again(
    tmp_path: Path,
) -> None:
    async def ask() -> list[tuple[int, str]]:
        served: list[asyncio.Task[None]] = []

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.create_task(_keep(reader, writer)))

        first = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = int(first.sockets[0].getsockname()[1])
        second = await asyncio.start_server(serve, "127.0.0.2", port)
        names = tmp_path / "names"
        names.write_text(json.dumps({"app.example.com": ["127.0.0.1", 0]}))
        pool = Pool(Way.to(Target(f"http://app.example.com:{port}", names=str(names))), keep=True)
        found = []
        for number in range(6):
            if number == 2:
                names.write_text(json.dumps({"app.example.com": ["127.0.0.2", 0]}))
            answer = await pool.ask(b"GET / HTTP/1.1\r\n\r\n")
            found.append((answer.status, answer.address))
        assert pool.made == 2
        pool.close()
        first.close()
        second.close()
        await asyncio.gather(*served)
        return found

    assert asyncio.run(ask()) == [(200, "127.0.0.1")] * 4 + [(200, "127.0.0.2")] * 2


def test_where_nobody_listens_every_request_fails(tmp_path: Path, unused: int) -> None:
    with Load(Target(f"http://127.0.0.1:{unused}"), tmp_path / "log", rate=50, sockets=1) as load:
        load.until(10)
    report = load.report
    assert report is not None
    assert report.failed == report.sent >= 10
    assert report.dark_seconds > 0


@pytest.fixture
def unused() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_lateness_counts_from_when_a_request_was_due_and_half_a_line_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = {"kind": "request", "what": "GET /", "status": 200, "version": "v1", "address": "", "error": ""}
    lines = [
        json.dumps({**line, "at": float(at), "seconds": seconds}) for at, seconds in ((0, 0.1), (1, 1.5))
    ]
    log.write_text("\n".join(lines) + '\n{"kind": "requ')
    report = read(log)
    assert (report.sent, report.failed, report.late, report.slowest) == (2, 0, 1, 1.5)


def test_a_name_is_looked_up_anew_when_its_time_is_over_and_no_earlier(tmp_path: Path) -> None:
    file, now = tmp_path / "names", [0.0]
    names = Names(file, lambda: now[0])
    file.write_text(json.dumps({"app.example.com": ["198.18.0.1", 60]}))
    assert names.address("app.example.com") == "198.18.0.1"
    file.write_text(json.dumps({"app.example.com": ["198.18.0.9", 60]}))
    now[0] = 59.0
    assert names.address("app.example.com") == "198.18.0.1"
    now[0] = 60.0
    assert names.address("app.example.com") == "198.18.0.9"
    with pytest.raises(OSError, match="leads nowhere"):
        names.address("other.example.com")
