"""A cloud's networks without machines, for tests: a box is a namespace here, made in milliseconds."""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from embedded.boxes import METADATA, BoxSpec, SecurityGroup, World
from embedded.boxes import uplink as uplinks
from embedded.boxes.addresses import assignable
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.fabric import Fabric
from embedded.boxes.model import GIBIBYTE
from embedded.boxes.process import within

CIDR = IPv4Network("10.20.0.0/16")
BLOCKED_SECONDS = 0.4


class Wire:
    """A cloud's networks, and hands in every namespace."""

    def __init__(self, directory: Path) -> None:
        self.enclosure = Enclosure()
        self.token = secrets.token_hex(3)
        self.block = uplinks.connect(self.enclosure, self.token, None)
        self.fabric = Fabric(self.enclosure, directory, self.block, lambda _: None, lambda _v, _n, _k: None)
        self.places: dict[str, Path] = {}
        self.world = World()
        self._sockets: list[socket.socket] = []
        self._numbers = itertools.count(5)

    def spec(self, **changes: Any) -> BoxSpec:
        number = next(self._numbers)
        values: dict[str, Any] = {
            "instance_id": f"i-{number}",
            "vpc_id": "vpc-1",
            "vpc_cidr": CIDR,
            "private_ip": CIDR[number],
            "mac": f"0a:00:00:00:00:{number:02x}",
            "memory_bytes": GIBIBYTE,
            "vcpus": 1,
        }
        return BoxSpec(**(values | changes))

    def public(self, index: int) -> IPv4Address:
        return assignable(self.block)[index]

    def apply(self, *boxes: BoxSpec, groups: tuple[SecurityGroup, ...] = ()) -> None:
        self.world = World(boxes, (), groups)
        self.fabric.apply(self.world)
        for box in boxes:
            if box.instance_id not in self.places:
                self.places[box.instance_id] = self.enclosure.seen(self.fabric.plug(box))
                # The kernel takes up to a second to let packets through a link that has just come up.
                reached = within(self._place(box), lambda: socket.create_connection((str(METADATA), 80), 10))
                reached.close()

    def serve(self, where: BoxSpec | Path, port: int, address: str = "0.0.0.0") -> None:  # noqa: S104
        """Tell every caller on that port what address it comes with."""
        listening = within(self._place(where), lambda: socket.create_server((address, port)))
        self._sockets.append(listening)

        def answer() -> None:
            with suppress(OSError):
                while True:
                    caller, (peer, _) = listening.accept()
                    with caller:
                        caller.sendall(peer.encode())

        threading.Thread(target=answer, daemon=True).start()

    def call(self, where: BoxSpec | Path, address: IPv4Address, port: int, source: str = "") -> str | None:
        """The address that the caller is seen with; None when there is no answer."""

        def connect() -> str | None:
            bound = (source, 0) if source else None
            try:
                with socket.create_connection((str(address), port), BLOCKED_SECONDS, bound) as made:
                    return made.recv(100).decode()
            except OSError:
                return None

        return within(self._place(where), connect)

    def datagram(
        self, where: BoxSpec, to: BoxSpec | Path, address: IPv4Address, source: str = ""
    ) -> str | None:
        """The address that a datagram of that box comes with at `to`; None when it is lost."""

        def wait() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("0.0.0.0", 0))  # noqa: S104
            made.settimeout(BLOCKED_SECONDS)
            return made

        def send(port: int) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                made.bind((source, 0))
                made.sendto(b"x", (str(address), port))

        with within(self._place(to), wait) as waiting:
            within(self._place(where), lambda: send(waiting.getsockname()[1]))
            try:
                return str(waiting.recvfrom(1)[1][0])
            except TimeoutError:
                return None

    def close(self) -> None:
        for made in self._sockets:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            made.close()
        self.fabric.close()
        self.enclosure.close()
        uplinks.disconnect(self.token)

    def _place(self, where: BoxSpec | Path) -> Path:
        return self.places[where.instance_id] if isinstance(where, BoxSpec) else where
