"""The one place that runs other programs: output read as it comes, nothing left running when set-up ends."""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT_LINES = 4000
TICK_SECONDS = 0.2
GRACE_SECONDS = 5.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended: its exit code and the last lines of standard output and error, mixed."""

    code: int
    output: str


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    timeout_seconds: float | None = None,
) -> Finished:
    """Run a program to its end.

    `on_line` sees each line; `on_tick` is called five times a second. A program that outlasts `timeout_seconds` is
    ended and has code -15. Raises OSError when it cannot be started. On an interruption the program and what it
    started are ended before the interruption goes on; a set-up that is killed takes the program with it (Linux).
    """
    started = time.monotonic()
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    child = subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # set-up has one thread
    )
    assert child.stdout is not None  # noqa: S101 - by PIPE
    pending = b""
    try:
        with child.stdout as pipe, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if selector.select(TICK_SECONDS):
                    chunk = os.read(pipe.fileno(), 65536)
                    if not chunk:
                        break
                    *whole, pending = (pending + chunk).split(b"\n")
                    for line in whole:
                        _take(line, lines, on_line)
                if on_tick is not None:
                    on_tick()
                if timeout_seconds is not None and time.monotonic() - started > timeout_seconds:
                    _end(child)
                    break
        if pending:
            _take(pending, lines, on_line)
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    return Finished(code, "\n".join(lines))


def _take(raw: bytes, lines: "deque[str]", on_line: Callable[[str], None] | None) -> None:
    line = raw.decode(errors="replace").rstrip("\r")
    lines.append(line)
    if on_line is not None:
        on_line(line)


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _die_with_parent() -> None:
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
