"""The only place for the resolver of boxes, 169.254.169.253: asks the supervisor first, then the machine's own.

Names of boxes (`ip-10-20-0-5.REGION.compute.internal`) are answered here. Everything else is passed on byte for
byte to the resolvers of /etc/resolv.conf, read at each question, from the machine's own network: a resolver on the
loopback address works as well. Message format: RFC 1035; no compression is needed in what is written here except
the pointer to the question.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, cast

_log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
UPSTREAM_PORT = 53
TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "CAA": 257,
}
_NAMES = {number: name for name, number in TYPES.items()}

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_POINTER_TO_QUESTION = b"\xc0\x0c"
_ANSWERED = 0x8180  # a response, recursion desired and available
_TRUNCATED = 0x0200
_NO_SUCH_NAME = 3
_SERVER_FAILURE = 2
_MOST_UDP_BYTES = 512
_UPSTREAM_SECONDS = 3.0
_MOST_MESSAGE_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Record:
    """One answer: an address for `A`, a name for `CNAME`, text for `TXT` (at most 255 bytes).

    `name` is whose record it is; None means the name that was asked for (in a chain of CNAMEs, the next ones differ).
    """

    type: Literal["A", "CNAME", "TXT"]
    value: str
    ttl_seconds: int = 60
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a resolver of the supervisor says; no records and `exists` means that the name has none of that type."""

    records: tuple[Record, ...] = ()
    exists: bool = True


Resolve = Callable[[str, str, str], Reply | None]
"""(vpc_id, lower-case name without the last dot, type) to a reply; None when the name is not the supervisor's."""


class Resolver:
    """Answers on sockets of several VPCs, each question in a thread of its own."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._servers: dict[str, list[socketserver.BaseServer]] = {}

    def serve(self, vpc_id: str, datagrams: socket.socket, streams: socket.socket) -> None:
        """Answer in that VPC on two bound sockets of its namespace."""
        resolver = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                message, reply_to = cast("tuple[bytes, socket.socket]", self.request)
                answer = resolver.answer(vpc_id, message, socket.SOCK_DGRAM)
                if answer:
                    with contextlib.suppress(OSError):
                        reply_to.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self) -> None:
                with contextlib.suppress(OSError, struct.error):
                    while length := self.rfile.read(2):
                        message = self.rfile.read(*struct.unpack("!H", length))
                        answer = resolver.answer(vpc_id, message, socket.SOCK_STREAM)
                        self.wfile.write(struct.pack("!H", len(answer)) + answer)

        udp = socketserver.ThreadingUDPServer(("", 0), Udp, bind_and_activate=False)
        tcp = socketserver.ThreadingTCPServer(("", 0), Tcp, bind_and_activate=False)
        for server, bound in ((udp, datagrams), (tcp, streams)):
            server.socket.close()
            server.socket = bound
            server.daemon_threads = True
            threading.Thread(
                target=server.serve_forever, args=(0.1,), name=f"boxes-dns-{vpc_id}", daemon=True
            ).start()
        self._servers[vpc_id] = [udp, tcp]

    def forget(self, vpc_id: str) -> None:
        """Stop answering in that VPC."""
        for server in self._servers.pop(vpc_id, []):
            server.shutdown()
            server.server_close()

    def close(self) -> None:
        """Stop answering everywhere."""
        for vpc_id in list(self._servers):
            self.forget(vpc_id)

    def answer(self, vpc_id: str, message: bytes, kind: socket.SocketKind) -> bytes:
        """The answer to one message; empty for what is no question at all."""
        try:
            name, number, end = _question(message)
        except (IndexError, struct.error, UnicodeDecodeError):
            return b""
        try:
            reply = self._resolve(vpc_id, name.lower(), _NAMES.get(number, str(number)))
        except Exception as error:  # noqa: BLE001 - the supervisor's own code; a box gets a failure for it
            _log.warning("no answer for %s: %s", name, error)
            return _build(message, end, Reply(), _SERVER_FAILURE)
        if reply is None:
            return _ask(message, kind) or _build(message, end, Reply(), _SERVER_FAILURE)
        answer = _build(message, end, reply, 0 if reply.exists else _NO_SUCH_NAME)
        if kind is socket.SOCK_DGRAM and len(answer) > _MOST_UDP_BYTES:
            return _build(message, end, Reply(), _TRUNCATED)
        return answer


def upstreams() -> list[str]:
    """The machine's own resolvers, as it says now."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for line in RESOLV_CONF.read_text().splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                found.append(words[1])
    return found


def _question(message: bytes) -> tuple[str, int, int]:
    if _HEADER.unpack_from(message)[2] != 1:
        raise IndexError("not one question")
    labels: list[str] = []
    at = _HEADER.size
    while length := message[at]:
        if length > 63:
            raise IndexError("a label of more than 63 bytes")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    number, _ = _QUESTION.unpack_from(message, at + 1)
    return ".".join(labels), number, at + 1 + _QUESTION.size


def _build(message: bytes, end: int, reply: Reply, flags: int) -> bytes:
    (identity,) = struct.unpack_from("!H", message)
    head = _HEADER.pack(identity, _ANSWERED | flags, 1, len(reply.records), 0, 0)
    return head + message[_HEADER.size : end] + b"".join(_record(record) for record in reply.records)


def _record(record: Record) -> bytes:
    match record.type:
        case "A":
            data = IPv4Address(record.value).packed
        case "CNAME":
            data = _name(record.value)
        case "TXT":
            text = record.value.encode()[:255]
            data = bytes([len(text)]) + text
    owner = _POINTER_TO_QUESTION if record.name is None else _name(record.name)
    return owner + _RECORD.pack(TYPES[record.type], 1, record.ttl_seconds, len(data)) + data


def _name(text: str) -> bytes:
    labels = text.rstrip(".").encode("ascii").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _ask(message: bytes, kind: socket.SocketKind) -> bytes:
    for server in upstreams():
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        try:
            with socket.socket(family, kind) as upstream:
                upstream.settimeout(_UPSTREAM_SECONDS)
                upstream.connect((server, UPSTREAM_PORT))
                if kind is socket.SOCK_DGRAM:
                    upstream.send(message)
                    return upstream.recv(_MOST_MESSAGE_BYTES)
                upstream.sendall(struct.pack("!H", len(message)) + message)
                with upstream.makefile("rb") as stream:
                    return stream.read(*struct.unpack("!H", stream.read(2)))
        except (OSError, struct.error):
            continue
    return b""
