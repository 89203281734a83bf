"""The only place that knows systemd-nspawn: one boot of one box, from its command line to its end.

A box is a container with namespaces of its own and the root file system of a Debian 13 machine, whose process 1 is
its systemd. It cannot make device nodes (CAP_MKNOD is taken away), so that it reaches no disk but its own. Its root
user is not mapped to another one: what runs in a box is the project's own code, not a stranger's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path

from embedded.boxes.cgroups import Cgroup
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import HostError
from embedded.boxes.loops import MAJOR, Loop
from embedded.boxes.process import command, environment, piped
from embedded.boxes.status import Boot

REBOOTED = 133
"""systemd-nspawn's exit code with --keep-unit when the box asked for a reboot (systemd-nspawn(1), "Exit status")."""

SIGRTMIN = signal.SIGRTMIN
POWEROFF = SIGRTMIN + 4
REBOOT = SIGRTMIN + 5
"""What systemd as process 1 takes as requests (systemd(1), "Signals")."""

MOST_CONSOLE_BYTES = 1024**2
"""Kept of the console; the file and its predecessor have at most this together."""

FS_IOC_SHUTDOWN = 0x8004_587D
NO_LOG_FLUSH = 2
"""From the kernel's fs.h and xfs_fs.h: the file system stops at once, and what it had not yet written is lost."""

_LEADER_SECONDS = 20.0
_SYSTEMCTL_SECONDS = 10.0
_BOOTS = {
    "initializing": Boot.STARTING,
    "starting": Boot.STARTING,
    "running": Boot.RUNNING,
    "degraded": Boot.DEGRADED,
    "maintenance": Boot.DEGRADED,
    "stopping": Boot.STOPPING,
}


class Machine:
    """A running boot. `leader` is the box's process 1 as this machine counts, `cgroup` the group round it."""

    def __init__(
        self,
        enclosure: Enclosure,
        cgroup: Cgroup,
        *,
        name: str,
        hostname: str,
        uuid: str,
        root: Path,
        network: Path,
        console: Path,
        devices: Mapping[str, tuple[str, Loop]],
        ended: Callable[[], None],
    ) -> None:
        """Start it; returns when its systemd runs. `ended` is called from another thread when it is over.

        `devices` is volume id to (device name, loop device). Raises HostError when systemd-nspawn gives up.
        """
        self._enclosure = enclosure
        self.cgroup = cgroup
        argv = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={name}",
            f"--hostname={hostname}", f"--uuid={uuid}", f"--network-namespace-path={network}",
            "--register=no", "--keep-unit", "--settings=no", "--console=read-only", "--resolv-conf=off",
            "--timezone=off", "--link-journal=no", "--drop-capability=CAP_MKNOD", "--capability=CAP_NET_ADMIN",
        ]  # fmt: skip
        # systemd-nspawn from 254 on mounts here, and refuses to start over what a killed one left.
        export = Path("/run/systemd/nspawn/unix-export", name)
        if enclosure.mounted(export):
            enclosure.run("umount", "--lazy", str(export))
        # Entering first and joining then: only systemd-nspawn itself may be in the group (cgroup v2 allows no
        # controlled children beside processes).
        self._process = subprocess.Popen(
            enclosure.entering(*cgroup.joining(*argv)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # With a namespace that was made elsewhere, net.* settings are read-only in the box unless asked for.
            env=environment() | {"SYSTEMD_LOG_COLOR": "0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            start_new_session=True,
        )
        self._ended = ended
        self._console = console
        self._pump = threading.Thread(target=self._keep_console, name=f"boxes-console-{name}", daemon=True)
        self._pump.start()
        self.leader = self._find_leader()
        self._pidfd = os.pidfd_open(self.leader)
        self._links: dict[str, tuple[str, ...]] = {}
        try:
            for volume_id, (device, loop) in devices.items():
                self.show(volume_id, device, loop)
        except HostError:
            self.kill()
            self.close()
            raise

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def ask(self, request: int) -> None:
        """Ask the box's systemd to power off or to reboot."""
        self._signal(request)

    def cut(self, loops: Mapping[str, Loop]) -> None:
        """Take its power: file systems on its volumes lose what they had not yet written, every process dies."""
        numbers = {loop.number for loop in loops.values()}
        for number, point in self._mounts():
            if number in numbers:
                numbers.discard(number)
                _shut_down_file_system(Path(f"/proc/{self.leader}/root{point}"))
        self.kill()

    def kill(self) -> None:
        """End every process at once."""
        self._signal(signal.SIGKILL)
        self.cgroup.kill()
        self.join()

    def join(self) -> None:
        """Wait until it is over and its console is on disk."""
        self._pump.join()
        self._process.wait()

    def close(self) -> None:
        """Forget the process."""
        os.close(self._pidfd)

    def boot(self) -> Boot:
        """How far its systemd has come."""
        try:
            words = self._inside("systemctl", "is-system-running")
        except HostError:
            return Boot.STARTING
        return _BOOTS.get(words, Boot.STARTING)

    def failed_units(self) -> tuple[str, ...]:
        """The units that systemd counts as failed."""
        try:
            words = self._inside(
                "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"
            )
        except HostError:
            return ()
        return tuple(line.split()[0] for line in words.splitlines() if line.strip())

    def cloud_init(self) -> str:
        """cloud-init's own word on where it stands, from the files that it documents for other programs."""
        directory = Path(f"/proc/{self.leader}/root/run/cloud-init")
        try:
            result = json.loads((directory / "result.json").read_text())
            return "error" if result["v1"]["errors"] else "done"
        except (OSError, ValueError, KeyError, TypeError):
            return "running" if (directory / "status.json").exists() else "not started"

    def show(self, volume_id: str, device: str, loop: Loop) -> None:
        """Make the device appear as on a Nitro instance: /dev/nvme1n1, a link by volume id, and the asked name.

        The node itself has the kernel's name: `blkid` and `mount LABEL=` look for the names of /proc/partitions.
        """
        index = 1 + len(self._links)
        taken = {link for links in self._links.values() for link in links}
        while f"/dev/nvme{index}n1" in taken:
            index += 1
        by_id = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"
        links = (f"/dev/nvme{index}n1", device, by_id)
        script = (
            'node=$1; shift; [ -b "$node" ] || mknod -m 660 "$node" b "$1" "$2"; shift 2; mkdir -p /dev/disk/by-id; '
            'for link do [ "$link" = "$node" ] || ln -sfn "$node" "$link"; done'
        )
        self._mounts_only(
            "/bin/sh", "-c", script, "sh", str(loop.device), str(MAJOR), str(loop.number), *links
        )
        self._links[volume_id] = links

    def hide(self, volume_id: str, loop: Loop) -> None:
        """Make the device disappear again."""
        self._mounts_only("rm", "-f", str(loop.device), *self._links.pop(volume_id, ()))

    def shown(self) -> frozenset[str]:
        """The volumes that the box sees."""
        return frozenset(self._links)

    def settle(self, loop: Loop) -> None:
        """Have the file systems on this device write out all that they hold."""
        for number, point in self._mounts():
            if number == loop.number:
                self._mounts_only("sync", "-f", point)
                return

    def freeze(self) -> list[int]:
        """Stop every process of the box (not systemd-nspawn) and return them, for `thaw`."""
        stopped: set[int] = set()
        while new := [pid for pid in self._own() if pid not in stopped]:
            for pid in new:
                _send(pid, signal.SIGSTOP)
            stopped.update(new)
        return sorted(stopped)

    def thaw(self, stopped: list[int]) -> None:
        """Let them go on."""
        for pid in stopped:
            _send(pid, signal.SIGCONT)

    def _own(self) -> list[int]:
        return [pid for pid in self.cgroup.pids() if len(_numbers_of(pid)) == 3]

    def _find_leader(self) -> int:
        until = time.monotonic() + _LEADER_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            for pid in self.cgroup.pids():
                # Three pid namespaces deep (this machine's, the enclosure's, its own) and number 1 there; until it
                # has become systemd, its /dev is not complete.
                numbers = _numbers_of(pid)
                if len(numbers) == 3 and numbers[-1] == 1 and _name_of(pid) == "systemd":
                    return pid
            time.sleep(0.05)
        if self._process.poll() is None:
            self.cgroup.kill()
        self.join()
        tail = read_console(self._console, 800).strip()
        raise HostError(f"systemd-nspawn gave up ({self._process.returncode}): {tail or 'no message'}")

    def _signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def _inside(self, *argv: str) -> str:
        line = ["nsenter", f"--target={self.leader}", "--mount", "--pid", "--root", "--wd", "--", *argv]
        try:
            return command(
                ["/bin/sh", "-c", '"$@"; true', "sh", *line], timeout_seconds=_SYSTEMCTL_SECONDS
            ).strip()
        except OSError as error:
            raise HostError(f"the box cannot be asked: {error}") from error

    def _mounts_only(self, *argv: str) -> None:
        command(["nsenter", f"--target={self.leader}", "--mount", "--root", "--wd", "--", *argv])

    def _mounts(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        try:
            lines = Path(f"/proc/{self.leader}/mountinfo").read_text().splitlines()
        except OSError:
            return found
        for line in lines:
            fields = line.split(" ")
            major, _, minor = fields[2].partition(":")
            if major == str(MAJOR):
                point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
                found.append((int(minor), point))
        return found

    def _keep_console(self) -> None:
        stdout = piped(self._process.stdout)
        file = self._console.open("ab")
        try:
            while chunk := os.read(stdout.fileno(), 65_536):
                if file.tell() + len(chunk) > MOST_CONSOLE_BYTES // 2:
                    file.close()
                    self._console.replace(_previous(self._console))
                    file = self._console.open("ab")
                file.write(chunk)
                file.flush()
        finally:
            file.close()
            stdout.close()
            self._process.wait()
            self._ended()


def read_console(path: Path, last_bytes: int) -> str:
    """The last of what the box wrote to its console, over all its boots, at most MOST_CONSOLE_BYTES."""
    whole = b"".join(part.read_bytes() for part in (_previous(path), path) if part.exists())
    return whole[-last_bytes:].decode(errors="replace")


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _numbers_of(pid: int) -> list[int]:
    """The numbers of a process in every pid namespace that it is in, ours first; empty when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    except OSError:
        return []
    return []


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _shut_down_file_system(point: Path) -> None:
    try:
        handle = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("=I", NO_LOG_FLUSH))
    except OSError:
        return  # a file system without this request simply keeps what it has
    finally:
        os.close(handle)
