"""The only place for the network of a VPC: a namespace that is its router, and a link for each box.

Every VPC has a namespace of its own, so that two stacks whose VPCs have the same addresses live in one cloud, as
they do in one AWS account. A box has its true private address as a /32 and an on-link gateway, like a machine on
Nitro sees no neighbour directly either; box to box therefore always passes the VPC's rules. Strict reverse path
filtering on every link is EC2's source check: a box cannot speak with another's address, and so the metadata
service may tell boxes apart by it.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from embedded.boxes.addresses import GATEWAY, METADATA, RESOLVER, transit
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import HostError
from embedded.boxes.firewall import Member, script
from embedded.boxes.model import BoxSpec, SecurityGroup
from embedded.boxes.process import command, sysctl, within
from embedded.boxes.uplink import INSIDE

INNER = "ens5"
"""The name of a Nitro instance's first interface under systemd's naming rules."""


class Vpc:
    """One VPC's router. Made whole or not at all; everything in it ends with the enclosure."""

    def __init__(
        self, enclosure: Enclosure, directory: Path, vpc_id: str, cidr: IPv4Network, index: int
    ) -> None:
        self.vpc_id = vpc_id
        self.cidr = cidr
        self._enclosure = enclosure
        self._directory = directory
        self._outer, self._inner = transit(index)
        self._link = f"w{index}"
        self._rules = ""
        self._public: set[IPv4Address] = set()
        self._file = _namespace(enclosure, directory / f"{vpc_id}.net")
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    @property
    def namespace(self) -> Path:
        """The router's network namespace, as this machine reaches it."""
        return self._enclosure.seen(self._file)

    def listen(self, address: IPv4Address, port: int, kind: socket.SocketKind) -> socket.socket:
        """A bound socket in the router's namespace; a stream socket already listens."""
        return listening(self.namespace, address, port, kind)

    def add(self, spec: BoxSpec) -> Path:
        """Make the box's own namespace with its link, and return it as the enclosure sees it. Idempotent."""
        self.remove(spec)
        name = interface(spec)
        file = _namespace(self._enclosure, self._directory / f"{spec.instance_id}.net")
        seen = self._enclosure.seen(file)
        self._ip(
            f"link add {name} type veth peer name {INNER} address {spec.mac} netns {seen}\n"
            f"link set {name} up\n"
            f"route replace {spec.private_ip}/32 dev {name}\n"
        )
        sysctl(self.namespace, {f"ipv4/conf/{name}/rp_filter": "1"})
        _ip(
            seen,
            "link set lo up\n"
            f"addr add {spec.private_ip}/32 dev {INNER}\n"
            f"link set {INNER} up\n"
            f"route add {GATEWAY} dev {INNER} scope link\n"
            f"route add default via {GATEWAY} dev {INNER} src {spec.private_ip}\n",
        )
        return file

    def remove(self, spec: BoxSpec) -> None:
        """Unmake the box's link and namespace; what is not there is no error."""
        file = self._directory / f"{spec.instance_id}.net"
        if file.exists():
            _delete_link(self.namespace, interface(spec))
            _drop_namespace(self._enclosure, file)

    def rule(self, boxes: list[BoxSpec], groups: Mapping[str, SecurityGroup]) -> None:
        """Bring public addresses and security groups to what is described, in one transaction each."""
        public = {address for box in boxes for address in (box.public_ip, box.nat_ip) if address}
        batch = "".join(f"route flush {address}/32\n" for address in sorted(self._public - public))
        batch += "".join(
            f"route replace {address}/32 via {self._inner} dev {self._link}\n" for address in sorted(public)
        )
        text = script((Member(box, interface(box)) for box in boxes), groups, self._inner)
        if text != self._rules:
            command(["nsenter", f"--net={self.namespace}", "nft", "-f", "-"], stdin=text)
            self._rules = text
        if public != self._public:
            _ip(self._enclosure.network, batch)
            self._public = public

    def close(self) -> None:
        """Unmake the router; its boxes have to be gone."""
        _delete_link(self._enclosure.network, self._link)
        _drop_namespace(self._enclosure, self._file)

    def _connect(self) -> None:
        _ip(
            self._enclosure.network,
            f"link add {self._link} type veth peer name {INSIDE} netns {self.namespace}\n"
            f"addr add {self._outer}/31 dev {self._link}\n"
            f"link set {self._link} up\n",
        )
        self._ip(
            "link set lo up\n"
            f"addr add {self._inner}/31 dev {INSIDE}\n"
            f"link set {INSIDE} up\n"
            f"route add default via {self._outer}\n"
            # A private address that no box has answers nothing; it must not leave through the gateway.
            f"route add blackhole {self.cidr}\n"
            f"addr add {GATEWAY}/32 dev lo\n"
            f"addr add {METADATA}/32 dev lo\n"
            f"addr add {RESOLVER}/32 dev lo\n"
        )
        sysctl(self.namespace, {"ipv4/ip_forward": "1"})

    def _ip(self, batch: str) -> None:
        _ip(self.namespace, batch)


def interface(spec: BoxSpec) -> str:
    """The router's end of a box's link, at most 15 characters."""
    return "v" + hashlib.sha256(spec.instance_id.encode()).hexdigest()[:12]


def listening(namespace: Path, address: IPv4Address, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket bound in `namespace`, which it stays in; a stream socket already listens."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((str(address), port))
            if kind is socket.SOCK_STREAM:
                made.listen(128)
        except BaseException:
            made.close()
            raise
        return made

    return within(namespace, make)


def _namespace(enclosure: Enclosure, file: Path) -> Path:
    """A new network namespace, held by a mount on `file` that only the enclosure has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    enclosure.run("unshare", f"--net={file}", "true")
    return file


def _drop_namespace(enclosure: Enclosure, file: Path) -> None:
    if enclosure.mounted(file):
        enclosure.run("umount", "--lazy", str(file))
    file.unlink(missing_ok=True)


def _delete_link(namespace: Path, name: str) -> None:
    try:
        _ip(namespace, f"link delete {name}\n")
    except HostError as error:
        if "Cannot find device" not in error.what:
            raise


def _ip(namespace: Path, batch: str) -> None:
    if batch:
        command(["nsenter", f"--net={namespace}", "ip", "-batch", "-"], stdin=batch)
