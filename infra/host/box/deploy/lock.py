"""The only place for the lock: one deploy at a time, with who holds it and why.

The kernel lets it go, however its holder dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.release import stamp

from .errors import RefusedError

_POLL_SECONDS = 0.2


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock, since when and why; None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def held(
    path: Path, *, by: str, reason: str, wait_seconds: float, waits: Callable[[str], None] = lambda _: None
) -> Generator[None]:
    """Holds the lock.

    Raises:
        RefusedError: another holds it for longer than `wait_seconds`; who, since when and why is in the message.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline, told = time.monotonic() + wait_seconds, False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                found = _read(descriptor)
                reason, whose = found.get("reason") or "a deploy", found.get("by") or "somebody"
                other = f"{reason} by {whose}, since {found.get('since')}"
                if time.monotonic() >= deadline:
                    raise RefusedError(
                        f"another deploy holds the lock: {other}", "Wait for it: --wait SECONDS, or try later"
                    ) from None
                if not told:
                    waits(f"for {other}")
                    told = True
                time.sleep(_POLL_SECONDS)
        about = {"by": by, "reason": reason, "since": stamp(datetime.now(UTC)), "pid": os.getpid()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(about).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
