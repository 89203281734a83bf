"""The only place for the one process whose death ends a cloud.

`unshare` starts a shell as process 1 of a new pid namespace, in a mount namespace and a network namespace of its
own. Every box, every mount of a box and every link between boxes lives inside. The shell waits for the end of its
standard input, a pipe whose other end only the supervisor holds: when the supervisor ends, by whatever signal, the
kernel closes the pipe, the shell ends, and the kernel kills all of its pid namespace and drops the mounts and the
network with it. So nothing of this has to be cleaned up by a list, and nothing can be forgotten.

Mounts of the machine flow in (an unmounted disk is not kept busy), none flows out: propagation `slave`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from embedded.boxes.errors import HostError
from embedded.boxes.process import command, environment, piped

_START_SECONDS = 10.0
_END_SECONDS = 5.0

_SHELL = (
    "mkdir -p /run/systemd && mount -t tmpfs -o mode=755 tmpfs /run/systemd && echo up && cat >/dev/null; :"
)
"""systemd-nspawn keeps locks and mount points under /run/systemd: a tmpfs there keeps them off the machine. The
last `:` makes the shell stay as parent, so that it reaps the orphans of its pid namespace."""


class Enclosure:
    """A running enclosure. `pid` is its process 1 as this machine counts."""

    def __init__(self) -> None:
        self._unshare = subprocess.Popen(
            [
                "unshare", "--mount", "--propagation", "slave", "--pid", "--net", "--mount-proc",
                "--fork", "--kill-child", "--", "/bin/sh", "-c", _SHELL,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )  # fmt: skip
        if piped(self._unshare.stdout).readline().strip() != "up":
            self._unshare.wait(_START_SECONDS)
            words = piped(self._unshare.stderr).read().strip()
            self._close_pipes()
            raise HostError(
                f"the namespaces of the cloud could not be made: {words or 'no message'}",
                "This needs root with CAP_SYS_ADMIN; in a container, a privileged one.",
            )
        self.pid = only_child(self._unshare.pid)

    @property
    def network(self) -> Path:
        """The cloud's own network namespace."""
        return Path(f"/proc/{self.pid}/ns/net")

    def seen(self, path: Path) -> Path:
        """How this machine reaches what is mounted inside at `path`."""
        return Path(f"/proc/{self.pid}/root{path}")

    def mounted(self, path: Path) -> bool:
        """Whether something is mounted on `path` inside; no longer so when the enclosure has ended."""
        escaped = (
            str(path)
            .replace("\\", "\\134")
            .replace(" ", "\\040")
            .replace("\t", "\\011")
            .replace("\n", "\\012")
        )
        try:
            lines = Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()
        except OSError:
            return False
        return any(line.split(" ")[4] == escaped for line in lines)

    def entering(self, *argv: str) -> list[str]:
        """The command line that runs `argv` inside (mounts and processes; not the network)."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--", *argv]

    def run(self, *argv: str) -> str:
        """Run a program inside to its end; raises HostError as `process.command` does."""
        return command(self.entering(*argv))

    def identity(self) -> dict[str, str]:
        """What `end` needs to know this process again, even after its number was given to another."""
        return {"pid": str(self.pid), "started": started(self.pid)}

    def close(self) -> None:
        """End everything inside, now. Idempotent."""
        if self._unshare.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._unshare.wait(_END_SECONDS)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._unshare.stdin, self._unshare.stdout, self._unshare.stderr):
            if pipe is not None:
                pipe.close()


def end(identity: dict[str, str]) -> bool:
    """Kill the enclosure that a dead supervisor left, if it is still there; returns whether it was."""
    pid = int(identity["pid"])
    if started(pid) != identity["started"]:
        return False
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + _END_SECONDS
    while started(pid) == identity["started"]:
        if time.monotonic() > until:
            raise HostError(
                f"process {pid}, which holds the machines of a dead cloud, does not end",
                "A process inside hangs in the kernel; restart this machine.",
            )
        time.sleep(0.05)
    return True


def started(pid: int) -> str:
    """When process `pid` started, in the kernel's ticks since boot; empty when there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def only_child(pid: int) -> int:
    """The one child of process `pid`. Raises HostError when there is none."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            return int(entry.name)
    raise HostError(f"process {pid} ended before it was used")
