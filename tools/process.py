"""The one place that asks whether a process lives."""

import os
import subprocess
from pathlib import Path

_ENDED = ("Z", "X")
"""The states of proc(5) of a process that has ended and that its parent has not asked after yet."""


def lives(pid: int) -> bool:
    """Whether such a process is at work, ours or somebody's; one that ended and waits for its parent is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _state(pid).startswith(_ENDED)


def _state(pid: int) -> str:
    """Its state's letter; empty where nobody tells, `X` where it went meanwhile."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may itself hold parentheses and spaces: the state follows the last one.
            return (
                Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8", errors="replace")
                .rpartition(")")[2]
                .strip()
            )
        except OSError:
            return "X"
    try:
        return subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
    except FileNotFoundError:
        return ""
