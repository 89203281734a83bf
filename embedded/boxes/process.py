"""The only place where programs of this machine are run and its network namespaces entered."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

from embedded.boxes.errors import HostError

P = TypeVar("P", str, bytes)
T = TypeVar("T")

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x4000_0000

_libc = ctypes.CDLL(None, use_errno=True)


def search_path() -> str:
    """The caller's path, and after it where system programs lie: an ordinary root shell may lack /usr/sbin."""
    return ":".join(filter(None, (os.environ.get("PATH"), STANDARD_PATH)))


def environment() -> dict[str, str]:
    """What programs of this machine get: a full path, the C locale, and nothing of the caller's own."""
    return {"PATH": search_path(), "LC_ALL": "C.UTF-8"}


def command(argv: Sequence[str], *, stdin: str = "", timeout_seconds: float = 30.0) -> str:
    """Run a program to its end and return what it wrote to stdout.

    Raises HostError with its own words when it fails, is missing, or takes longer than `timeout_seconds`.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            env=environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            f"{argv[0]} is not on this machine", f"Install the package that has {argv[0]}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"`{_shown(argv)}` did not end within {timeout_seconds:g} s", "Try again.") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise HostError(f"`{_shown(argv)}` ended with {done.returncode}: {words}")
    return done.stdout


def piped(stream: IO[P] | None) -> IO[P]:
    """The pipe of a program that was started with one there."""
    if stream is None:
        raise HostError("a program was started without the pipe that it is to be read through")
    return stream


def within(namespace: Path, work: Callable[[], T]) -> T:
    """Do `work` in a network namespace, in a thread of its own that ends with it.

    A socket that is made there stays there. setns(2) changes the calling thread only; Python has `os.setns` from
    3.12 on. Raises HostError when the namespace cannot be entered, else what `work` raises.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(handle, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(handle)
        except OSError as error:
            failure.append(HostError(f"the network namespace {namespace} cannot be entered: {error}"))
            return
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread, which raises it
            failure.append(error)

    thread = threading.Thread(target=enter, name="boxes-namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def sysctl(namespace: Path, values: dict[str, str]) -> None:
    """Set `net.` settings of a network namespace, such as `{"ipv4/ip_forward": "1"}`."""

    def write() -> None:
        for name, value in values.items():
            Path("/proc/sys/net", name).write_text(value)

    try:
        within(namespace, write)
    except OSError as error:
        raise HostError(f"a kernel setting of the network could not be made: {error}") from error


def _shown(argv: Sequence[str]) -> str:
    line = " ".join(argv)
    return line if len(line) <= 200 else line[:200] + " …"
