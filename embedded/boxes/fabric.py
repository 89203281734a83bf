"""The only place for all of a cloud's networks together: its VPCs, and what answers in them on link-local addresses.

Safe to use from several threads: boxes are plugged in by their own threads while `apply` goes on.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from embedded.boxes.addresses import METADATA, RESOLVER, SERVICES
from embedded.boxes.dns import Record, Reply, Resolve, Resolver
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import HostError, SpecError
from embedded.boxes.imds import Deliver, MetadataService
from embedded.boxes.model import BoxSpec, World
from embedded.boxes.process import command
from embedded.boxes.vpc import Vpc, listening

_BOX_NAME = re.compile(r"ip(-\d{1,3}){4}")


class Fabric:
    """The networks of one cloud."""

    def __init__(
        self,
        enclosure: Enclosure,
        directory: Path,
        public: IPv4Network,
        credentials: Deliver,
        resolve: Resolve,
    ) -> None:
        self.public = public
        self._enclosure = enclosure
        self._directory = directory
        self._resolve = resolve
        self._lock = threading.RLock()
        self._world = World()
        self._vpcs: dict[str, Vpc] = {}
        self._made = 0
        self._listening: set[IPv4Address] = set()
        self._metadata = MetadataService(self._who, credentials)
        self._resolver = Resolver(self._answer)

    def check(self, world: World) -> None:
        """Raises SpecError for a public address outside of the cloud's block, and for a VPC with two ranges."""
        cidrs: dict[str, IPv4Network] = {vpc_id: vpc.cidr for vpc_id, vpc in self._vpcs.items()}
        for spec in world.boxes:
            for address in (spec.public_ip, spec.nat_ip):
                if address is not None and address not in self.public:
                    raise SpecError(
                        f"{spec.instance_id} has the public address {address}, outside of this cloud's {self.public}",
                        "Take one of `Host.assignable()`.",
                    )
            if cidrs.setdefault(spec.vpc_id, spec.vpc_cidr) != spec.vpc_cidr:
                raise SpecError(
                    f"{spec.vpc_id} has {spec.vpc_cidr} for {spec.instance_id} and {cidrs[spec.vpc_id]} elsewhere",
                    "A VPC has one range here.",
                )

    def apply(self, world: World) -> None:
        """Bring VPCs, public addresses and rules to what is described; VPCs without a box stay until `forget`."""
        groups = {group.group_id: group for group in world.groups}
        with self._lock:
            self._world = world
            for spec in world.boxes:
                if spec.vpc_id not in self._vpcs:
                    self._make(spec)
            for vpc_id, vpc in self._vpcs.items():
                vpc.rule([box for box in world.boxes if box.vpc_id == vpc_id], groups)

    def forget(self, used: Callable[[], Iterable[str]]) -> None:
        """Unmake the VPCs that none of the `used` ids names."""
        with self._lock:
            keep = set(used())
            for vpc_id in [vpc_id for vpc_id in self._vpcs if vpc_id not in keep]:
                self._metadata.forget(vpc_id)
                self._resolver.forget(vpc_id)
                self._vpcs.pop(vpc_id).close()

    def plug(self, spec: BoxSpec) -> Path:
        """Make the box's link and namespace; returns the namespace as the enclosure sees it."""
        with self._lock:
            return self._vpcs[spec.vpc_id].add(spec)

    def unplug(self, spec: BoxSpec) -> None:
        """Unmake them; what is not there is no error."""
        with self._lock:
            if spec.vpc_id in self._vpcs:
                self._vpcs[spec.vpc_id].remove(spec)

    def listen(self, address: IPv4Address, port: int) -> socket.socket:
        """A listening TCP socket at a service address, which every VPC reaches.

        Raises SpecError for an address that is not one to be had, HostError when the port is taken.
        """
        if address not in SERVICES or address in (METADATA, RESOLVER):
            raise SpecError(
                f"{address} cannot be listened on",
                f"Give an address of {SERVICES} but {METADATA} and {RESOLVER}.",
            )
        namespace = self._enclosure.network
        with self._lock:
            if address not in self._listening:
                command(["nsenter", f"--net={namespace}", "ip", "addr", "add", f"{address}/32", "dev", "lo"])
                self._listening.add(address)
        try:
            return listening(namespace, address, port, socket.SOCK_STREAM)
        except OSError as error:
            raise HostError(f"{address}:{port} cannot be listened on: {error.strerror}") from error

    def close(self) -> None:
        """Stop answering. The networks themselves end with the enclosure."""
        self._metadata.close()
        self._resolver.close()

    def _make(self, spec: BoxSpec) -> None:
        vpc = Vpc(self._enclosure, self._directory, spec.vpc_id, spec.vpc_cidr, self._made)
        self._made += 1
        self._metadata.serve(spec.vpc_id, vpc.listen(METADATA, 80, socket.SOCK_STREAM))
        self._resolver.serve(
            spec.vpc_id,
            vpc.listen(RESOLVER, 53, socket.SOCK_DGRAM),
            vpc.listen(RESOLVER, 53, socket.SOCK_STREAM),
        )
        self._vpcs[spec.vpc_id] = vpc

    def _who(self, vpc_id: str, address: IPv4Address) -> BoxSpec | None:
        return next((b for b in self._world.boxes if b.vpc_id == vpc_id and b.private_ip == address), None)

    def _answer(self, vpc_id: str, name: str, kind: str) -> Reply | None:
        reply = self._resolve(vpc_id, name, kind)
        if reply is not None:
            return reply
        host, _, domain = name.partition(".")
        if _BOX_NAME.fullmatch(host):
            for spec in self._world.boxes:
                if spec.vpc_id == vpc_id and spec.hostname == host and spec.domain == domain:
                    return Reply((Record("A", str(spec.private_ip)),) if kind == "A" else ())
        return None
