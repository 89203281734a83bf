"""The resolver of boxes: messages in, messages out, built and read here by hand after RFC 1035."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from embedded.boxes import Record, Reply
from embedded.boxes import dns as module
from embedded.boxes.dns import Resolver


def question(name: str, number: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack("!HHHHHH", 0xBEEF, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", number, 1)


def read(message: bytes) -> tuple[int, list[tuple[int, int, bytes]], bool]:
    """Return code, records as (type, ttl, data), and whether it was cut."""
    identity, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", message)
    assert (identity, questions, bool(flags & 0x8000)) == (0xBEEF, 1, True)
    at = 12
    while message[at]:
        at += 1 + message[at]
    at += 5
    records = []
    for _ in range(answers):
        if message[at] & 0xC0:
            at += 2
        else:
            while message[at]:
                at += 1 + message[at]
            at += 1
        kind, _, ttl, length = struct.unpack_from("!HHIH", message, at)
        records.append((kind, ttl, message[at + 10 : at + 10 + length]))
        at += 10 + length
    return flags & 15, records, bool(flags & 0x0200)


def resolver(replies: dict[tuple[str, str], Reply]) -> Resolver:
    return Resolver(lambda vpc, name, kind: replies.get((name, kind)))


def test_the_supervisors_answer_is_given_with_its_time_to_live() -> None:
    made = resolver({("db.example.com", "A"): Reply((Record("A", "10.20.0.9", ttl_seconds=5),))})
    answer = made.answer("vpc-1", question("DB.Example.com"), socket.SOCK_DGRAM)
    assert read(answer) == (0, [(1, 5, bytes([10, 20, 0, 9]))], False)


def test_a_chain_of_names_and_a_text_are_given() -> None:
    chain = (
        Record("CNAME", "real.example.com"),
        Record("A", "10.0.0.1", name="real.example.com"),
        Record("TXT", "v=1"),
    )
    answer = resolver({("www.example.com", "A"): Reply(chain)}).answer(
        "vpc-1", question("www.example.com"), socket.SOCK_DGRAM
    )
    assert read(answer)[1] == [
        (5, 60, b"\x04real\x07example\x03com\0"),
        (1, 60, bytes([10, 0, 0, 1])),
        (16, 60, b"\x03v=1"),
    ]


def test_a_name_without_such_a_record_and_a_name_that_is_not_there_are_told_apart() -> None:
    made = resolver({("a.test", "AAAA"): Reply(), ("b.test", "A"): Reply(exists=False)})
    assert read(made.answer("vpc-1", question("a.test", 28), socket.SOCK_DGRAM)) == (0, [], False)
    assert read(made.answer("vpc-1", question("b.test"), socket.SOCK_DGRAM)) == (3, [], False)


def test_what_does_not_fit_a_datagram_is_cut_and_comes_whole_over_a_stream() -> None:
    many = Reply(tuple(Record("A", f"10.0.0.{i}") for i in range(200)))
    made = resolver({("many.test", "A"): many})
    assert read(made.answer("vpc-1", question("many.test"), socket.SOCK_DGRAM)) == (0, [], True)
    assert len(read(made.answer("vpc-1", question("many.test"), socket.SOCK_STREAM))[1]) == 200


@pytest.mark.parametrize("nonsense", [b"", b"x", b"\0" * 12, question("a.test")[:14], b"\xff" * 40])
def test_nonsense_gets_no_answer_and_does_no_harm(nonsense: bytes) -> None:
    assert resolver({}).answer("vpc-1", nonsense, socket.SOCK_DGRAM) == b""


def test_a_supervisor_that_fails_is_a_failure_for_the_box_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_vpc: str, _name: str, _kind: str) -> Reply | None:
        raise RuntimeError("no moto")

    assert read(Resolver(fail).answer("vpc-1", question("a.test"), socket.SOCK_DGRAM)) == (2, [], False)
    assert "no answer for a.test: no moto" in caplog.text


def test_without_a_resolver_of_the_machine_the_answer_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "RESOLV_CONF", tmp_path / "missing")
    assert read(resolver({}).answer("vpc-1", question("elsewhere.test"), socket.SOCK_DGRAM)) == (2, [], False)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """This machine's resolver is one on a loopback address that gives 203.0.113.7 for everything."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nothing\nnameserver 127.77.0.2\nnameserver 127.77.0.1\noptions edns0\n")
    monkeypatch.setattr(module, "RESOLV_CONF", conf)
    streams = socket.create_server(("127.77.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(streams.getsockname())
    monkeypatch.setattr(module, "UPSTREAM_PORT", streams.getsockname()[1])

    def answer(message: bytes) -> bytes:
        return module._build(message, len(message), Reply((Record("A", "203.0.113.7"),)), 0)

    def by_datagram() -> None:
        with suppress(TimeoutError):
            message, caller = datagrams.recvfrom(512)
            datagrams.sendto(answer(message), caller)

    def by_stream() -> None:
        with suppress(TimeoutError), streams.accept()[0] as caller:
            (length,) = struct.unpack("!H", caller.recv(2))
            reply = answer(caller.recv(length))
            caller.sendall(struct.pack("!H", len(reply)) + reply)

    for made in (datagrams, streams):
        made.settimeout(1)
    threads = [threading.Thread(target=work) for work in (by_datagram, by_stream)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    datagrams.close()
    streams.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_other_names_are_asked_of_the_machines_resolvers_the_next_when_one_is_silent(
    upstream: None, kind: socket.SocketKind
) -> None:
    answer = resolver({}).answer("vpc-1", question("elsewhere.test"), kind)
    assert read(answer) == (0, [(1, 60, bytes([203, 0, 113, 7]))], False)
