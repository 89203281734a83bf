"""The only place where machines, networks and disks come together: `Host`, the machines of one embedded cloud.

    with Host.open(directory, environment=..., credentials=..., resolve=...) as host:
        host.apply(World(boxes=(...,), volumes=(...,), groups=(...,)))

`apply` may be called as often as one likes with what is meant to be; it returns at once, machines come up in threads
of their own. What is kept in `directory` (roots of boxes, volumes, snapshots, the public block) outlives `close`,
and the next `open` goes on from it.
"""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from embedded.boxes import execute, rootfs, uplink
from embedded.boxes.addresses import assignable
from embedded.boxes.box import Box, Surroundings
from embedded.boxes.cgroups import Cgroup, hierarchies
from embedded.boxes.disks import Disks
from embedded.boxes.dns import Resolve
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import BoxesError, BusyError, HostError, UnknownError
from embedded.boxes.fabric import Fabric
from embedded.boxes.imds import Deliver
from embedded.boxes.journal import Journal, Kind, token_of
from embedded.boxes.model import World
from embedded.boxes.needs import available
from embedded.boxes.status import BoxStatus, Completed, State, VolumeStatus
from embedded.boxes.traces import sweep, take, undo

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 3.0
"""What `close` gives the boxes to power off before it takes their power."""

STOP_SECONDS = 60.0
"""What a stopping instance gets before it is killed; EC2 gives it some minutes."""


class Host:
    """The machines of one embedded cloud. Made by `open`; every method may be called from any thread."""

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        trusted: bytes = b"",
        credentials: Deliver | None = None,
        resolve: Resolve | None = None,
        tree: Path | None = None,
        progress: rootfs.Progress | None = None,
        public_network: IPv4Network | None = None,
        stop_timeout_seconds: float = STOP_SECONDS,
    ) -> Host:
        """Take over `directory` (made if missing), undo what a killed predecessor left, and be ready for `apply`.

        `environment` is what every service of every box gets (AWS_ENDPOINT_URL and the like), `trusted`
        the certificate (PEM) of an authority that every box trusts; `credentials` and
        `resolve` are asked by the metadata service and the resolver. `tree` is the root file system of the boxes;
        without it the cached one is used, and made first if need be (about a minute, told to `progress`).
        `public_network` is the wanted public block, the directory's former one otherwise; if it is taken, another
        one is, so read `Host.public_network`.

        Raises HostError where boxes are not available, BusyError when another process has the directory,
        RootfsError when the root file system cannot be made.
        """
        missing = available(directory)
        if missing is not None:
            raise HostError(missing.reason, missing.remedy)
        tree = tree or rootfs.ensure(progress)
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        lock = take(directory)
        try:
            sweep()
            host = cls(directory, lock, public_network)
            host._furnish(
                tree,
                dict(environment or {}),
                trusted,
                credentials or (lambda _: None),
                resolve or (lambda _vpc, _name, _type: None),
                stop_timeout_seconds,
            )
        except BaseException:
            lock.close()
            raise
        return host

    @staticmethod
    def recover(directory: Path) -> tuple[str, ...]:
        """Undo what a killed supervisor of that directory left outside of it (`open` does so for all directories);
        returns it in words, nothing if all is well.

        Raises BusyError when the supervisor lives, HostError when something cannot be undone.
        """
        if not directory.is_dir():
            return ()
        with take(directory), closing(Journal(token_of(directory))) as journal:
            return undo(journal)

    def __init__(self, directory: Path, lock: IO[str], public_network: IPv4Network | None) -> None:
        self.directory = directory
        self._lock_file = lock
        self._lock = threading.RLock()
        self._boxes: dict[str, Box] = {}
        self._world = World()
        self._closed = False
        self._trees = hierarchies()
        self._journal = Journal(token_of(directory))
        (directory / "boxes").mkdir(mode=0o700, exist_ok=True)
        self._disks = Disks(directory)
        self._enclosure = Enclosure()
        try:
            self._journal.made(Kind.ENCLOSURE, **self._enclosure.identity())
            self._journal.made(Kind.UPLINK, token=self._journal.token)
            wanted = public_network or self._former_block()
            self.public_network = uplink.connect(self._enclosure, self._journal.token, wanted)
            (directory / "network").write_text(f"{self.public_network}\n")
        except BaseException:
            self._enclosure.close()
            undo(self._journal)
            self._journal.close()
            raise

    def _furnish(
        self,
        tree: Path,
        environment: Mapping[str, str],
        trusted: bytes,
        credentials: Deliver,
        resolve: Resolve,
        stop_timeout_seconds: float,
    ) -> None:
        net = self.directory / "net"
        self._fabric = Fabric(self._enclosure, net, self.public_network, credentials, resolve)
        self._around = Surroundings(
            enclosure=self._enclosure,
            disks=self._disks,
            tree=tree,
            environment=environment,
            trusted=trusted,
            stop_timeout_seconds=stop_timeout_seconds,
            group=self._group,
            ungroup=self._ungroup,
            plug=self._fabric.plug,
            unplug=self._fabric.unplug,
        )

    def apply(self, world: World) -> None:
        """Bring everything to `world`. Idempotent; returns before boots, stops and copies are through.

        Raises SpecError, before anything is changed, for what cannot be; HostError when the machine refuses, and
        then the next `apply` takes it up again.
        """
        with self._lock:
            if self._closed:
                raise HostError("this cloud is closed", "Open its directory again.")
            self._fabric.check(world)
            self._disks.ensure(world.volumes)
            self._world = world
            self._fabric.apply(world)
            self._terminate_all_but({spec.instance_id for spec in world.boxes})
            for spec in world.boxes:
                volumes = world.volumes_of(spec.instance_id)
                if spec.instance_id in self._boxes:
                    self._boxes[spec.instance_id].want(spec, volumes)
                else:
                    folder = self.directory / "boxes" / spec.instance_id
                    self._boxes[spec.instance_id] = Box(self._around, folder, spec, volumes)
            self._fabric.forget(lambda: {box.spec.vpc_id for box in self._boxes.values()})

    def status(self) -> tuple[BoxStatus, ...]:
        """Every box, terminated ones until the next `apply`."""
        with self._lock:
            return tuple(box.status() for box in self._boxes.values())

    def box(self, instance_id: str) -> BoxStatus:
        """One box. Raises UnknownError."""
        return self._box(instance_id).status()

    def volumes(self) -> tuple[VolumeStatus, ...]:
        """Every volume of the world."""
        return self._disks.status(self._world.volumes)

    def kept_volumes(self) -> tuple[str, ...]:
        """Every volume whose data is in the directory, in the world or not."""
        return self._disks.volumes()

    def snapshots(self) -> tuple[str, ...]:
        """Every snapshot whose data is in the directory."""
        return self._disks.snapshots()

    def wait(
        self, instance_id: str, until: Callable[[BoxStatus], bool], *, timeout_seconds: float = 60.0
    ) -> BoxStatus:
        """Wait until the box's status is as `until` wants it, and return it.

        Raises HostError with the status and the end of the console after `timeout_seconds`.
        """
        box = self._box(instance_id)
        give_up = time.monotonic() + timeout_seconds
        while not until(status := box.status()):
            if time.monotonic() > give_up:
                raise HostError(
                    f"{instance_id} is {status.state} ({status.reason or 'no reason given'}), boot {status.boot}, "
                    f"cloud-init {status.cloud_init}, after {timeout_seconds:g} s; its console ends with:\n"
                    f"{box.console(2000)}"
                )
            time.sleep(0.05)
        return status

    def run(
        self,
        instance_id: str,
        work: Sequence[str] | str,
        *,
        stdin: bytes = b"",
        timeout_seconds: float = 3600.0,
        most_output_bytes: int = execute.MOST_OUTPUT_BYTES,
    ) -> Completed:
        """Execute an argument list, or the text of a shell script, as root in the box (see `execute.run`).

        Raises UnknownError, and NotRunningError while the box is not up.
        """
        leader, cgroup = self._box(instance_id).leader()
        return execute.run(
            leader,
            cgroup,
            work,
            stdin=stdin,
            variables=self._around.environment,
            timeout_seconds=timeout_seconds,
            most_output_bytes=most_output_bytes,
        )

    def console(self, instance_id: str, *, last_bytes: int = 65_536) -> str:
        """The end of the box's console; EC2's GetConsoleOutput gives 64 KB as well (EC2 API reference)."""
        return self._box(instance_id).console(last_bytes)

    def reboot(self, instance_id: str) -> None:
        """Ask the box to reboot. Raises UnknownError, NotRunningError."""
        self._box(instance_id).reboot()

    def power_cut(self, instance_id: str) -> None:
        """Take the box's power: what its file systems on volumes had not yet written is lost. Its root, a directory
        of this machine, loses nothing. It stays down until `power_on`. Raises UnknownError, NotRunningError."""
        self._box(instance_id).cut_power()

    def power_on(self, instance_id: str) -> None:
        """Let a box start again after a power cut, a failed start, or its own power-off. Raises UnknownError."""
        self._box(instance_id).power_on()

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Keep what is on the volume now, under that id; idempotent. Returns when the copy is whole.

        Where blocks cannot be shared, a box that has the volume stands still while the data is copied: a snapshot is
        of one moment. Raises UnknownError.
        """
        if self._disks.has_snapshot(snapshot_id) or self._disks.copy_to_snapshot(volume_id, snapshot_id):
            return
        owner = self._disks.owner(volume_id)
        up = self._boxes[owner].machine() if owner in self._boxes else None
        if owner is None or up is None:
            self._disks.copy_all_to_snapshot(volume_id, snapshot_id)
            return
        stopped = up.freeze()
        try:
            up.settle(self._disks.attached(owner)[volume_id])
            self._disks.copy_all_to_snapshot(volume_id, snapshot_id)
        finally:
            up.thaw(stopped)

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume's data; idempotent. Raises BusyError while it is in the world or a box has it."""
        with self._lock:
            if any(volume.volume_id == volume_id for volume in self._world.volumes):
                raise BusyError(f"{volume_id} is in the world", "Apply a world without it first.")
            self._disks.delete_volume(volume_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot's data; idempotent. Volumes made from it stay."""
        self._disks.delete_snapshot(snapshot_id)

    def assignable(self) -> list[IPv4Address]:
        """The public addresses that boxes of this cloud may have, lowest first."""
        return assignable(self.public_network)

    def listen(self, address: IPv4Address, port: int) -> socket.socket:
        """A listening TCP socket that every box of the cloud reaches at `address`, such as `addresses.ENDPOINT`.

        The caller serves and closes it. Raises SpecError for an address outside of 169.254.169.0/24 or one that is
        the cloud's own, HostError when the port is taken.
        """
        return self._fabric.listen(address, port)

    def close(self) -> None:
        """Power every box off (killed after 3 s) and undo all that is not in the directory. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        stoppers = [threading.Thread(target=_power_off, args=(box,)) for box in self._boxes.values()]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join(CLOSE_SECONDS + 1)
        self._fabric.close()
        self._disks.close()
        self._enclosure.close()
        try:
            undo(self._journal)
        finally:
            self._journal.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _terminate_all_but(self, described: set[str]) -> None:
        for instance_id in [instance_id for instance_id in self._boxes if instance_id not in described]:
            box = self._boxes[instance_id]
            box.terminate()
            if box.status().state is State.TERMINATED and box.join(0):
                del self._boxes[instance_id]
        for folder in (self.directory / "boxes").iterdir():
            if folder.name not in self._boxes and folder.name not in described:
                shutil.rmtree(folder, ignore_errors=True)

    def _group(self, instance_id: str) -> Cgroup:
        group = Cgroup(f"terrace-{self._journal.token}-{instance_id}", self._trees)
        for path in group.paths:
            self._journal.made(Kind.CGROUP, path=str(path))
        return group

    def _ungroup(self, group: Cgroup) -> None:
        group.remove()
        mine = {str(path) for path in group.paths}
        for entry in self._journal.left():
            if entry.kind is Kind.CGROUP and entry.facts["path"] in mine:
                self._journal.unmade(entry.number)

    def _box(self, instance_id: str) -> Box:
        with self._lock:
            if instance_id not in self._boxes:
                raise UnknownError(
                    f"there is no box {instance_id}", f"Those here: {', '.join(self._boxes) or 'none'}."
                )
            return self._boxes[instance_id]

    def _former_block(self) -> IPv4Network | None:
        with suppress(OSError, ValueError):
            return IPv4Network((self.directory / "network").read_text().strip())
        return None


def _power_off(box: Box) -> None:
    try:
        box.power_off(deadline_seconds=CLOSE_SECONDS)
    except (BoxesError, OSError) as error:
        # What it could not unmake itself, the end of the enclosure and the journal do.
        _log.info("%s did not go down well: %s", box.spec.instance_id, error)
