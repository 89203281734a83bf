"""The only place where a command is executed in a box: what SSM Run Command does there.

The command runs in all of the box's namespaces and in a control group beneath the box's own, so that the box's
memory limit holds for it and a timeout kills all that it started, not only its first process.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from embedded.boxes.cgroups import Cgroup
from embedded.boxes.errors import SpecError
from embedded.boxes.process import STANDARD_PATH, environment, piped
from embedded.boxes.status import Completed

MOST_OUTPUT_BYTES = 16 * 1024**2
"""Kept of each stream when the caller says nothing else."""

MOST_SCRIPT_BYTES = 128 * 1024 - 1
"""MAX_ARG_STRLEN of the kernel (execve(2)): one argument has at most 128 KiB with its end."""

LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")

_AFTERMATH_SECONDS = 2.0
_CHUNK_BYTES = 65_536

_numbers = itertools.count()


def entering(leader: int) -> list[str]:
    """The start of a command line that runs in all namespaces of the box whose process 1 is `leader`."""
    return [
        "nsenter",
        f"--target={leader}",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--root",
        "--wd",
        "--",
    ]


def run(
    leader: int,
    cgroup: Cgroup,
    work: Sequence[str] | str,
    *,
    stdin: bytes = b"",
    variables: Mapping[str, str],
    timeout_seconds: float,
    most_output_bytes: int = MOST_OUTPUT_BYTES,
) -> Completed:
    """Execute `work` (an argument list, or the text of a shell script) as root in the box and wait for its end.

    After `timeout_seconds` everything that it started is killed, and the result has 137 and says so. Of each
    stream the first `most_output_bytes` are kept; the rest is read and dropped.
    """
    if isinstance(work, str):
        if len(work.encode()) > MOST_SCRIPT_BYTES:
            raise SpecError(
                f"the script has {len(work.encode())} bytes, the kernel takes {MOST_SCRIPT_BYTES}",
                "Put it on the box first, or feed it to a shell through stdin.",
            )
        argv = ["/bin/sh", "-c", work]
    else:
        argv = list(work)
    known = {"PATH": STANDARD_PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", **variables}
    inside = [f"{name}={value}" for name, value in known.items()]
    group = cgroup.child(f"run-{next(_numbers)}")
    for path in group.paths:
        path.mkdir(exist_ok=True)
    try:
        process = subprocess.Popen(
            group.joining(*_without(leader), *entering(leader), "env", "-i", *inside, *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        return _watch(process, group, stdin, timeout_seconds, most_output_bytes)
    finally:
        _leave(group)


def _without(leader: int) -> list[str]:
    """Takes away the capabilities that the box itself does not have."""
    for line in Path(f"/proc/{leader}/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            bounding = int(line.split()[1], 16)
            last = int(LAST_CAPABILITY.read_text())
            lacking = [f"-cap_{number}" for number in range(last + 1) if not bounding >> number & 1]
            return ["setpriv", f"--bounding-set={','.join(lacking)}", "--"] if lacking else []
    return []


class _Stream:
    """Reads one stream to its end and keeps its start."""

    def __init__(self, pipe: IO[bytes], most_bytes: int) -> None:
        self._pipe = pipe
        self._most_bytes = most_bytes
        self._kept = bytearray()
        self.truncated = False
        self._thread = threading.Thread(target=self._read, name="boxes-output", daemon=True)
        self._thread.start()

    def text(self) -> str:
        # A daemon that the command left behind may hold the pipe for ever.
        self._thread.join(_AFTERMATH_SECONDS)
        return bytes(self._kept).decode(errors="replace")

    def _read(self) -> None:
        while chunk := os.read(self._pipe.fileno(), _CHUNK_BYTES):
            room = self._most_bytes - len(self._kept)
            self._kept += chunk[: max(room, 0)]
            self.truncated |= len(chunk) > room
        self._pipe.close()


def _watch(
    process: subprocess.Popen[bytes], group: Cgroup, stdin: bytes, timeout_seconds: float, most_bytes: int
) -> Completed:
    out, err = (_Stream(piped(pipe), most_bytes) for pipe in (process.stdout, process.stderr))
    threading.Thread(
        target=_feed, args=(piped(process.stdin), stdin), name="boxes-input", daemon=True
    ).start()
    timed_out = False
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        group.kill()
        process.wait()
    code = process.returncode
    stdout, stderr = out.text(), err.text()
    return Completed(
        returncode=code if code >= 0 else 128 - code,
        stdout=stdout,
        stderr=stderr,
        truncated=out.truncated or err.truncated,
        timed_out=timed_out,
    )


def _feed(pipe: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(pipe.fileno(), left) :]
    except BrokenPipeError:
        return  # the command does not read its input
    finally:
        pipe.close()


def _leave(group: Cgroup) -> None:
    """Hand what still runs (a daemon that was started on purpose) over to the box's own group."""
    for path in group.paths:
        try:
            for pid in Path(path, "cgroup.procs").read_text().split():
                (path.parent / "cgroup.procs").write_text(pid)
            path.rmdir()
        except OSError:
            continue  # it goes with the box
