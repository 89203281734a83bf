"""The only place for the lock that keeps two climbs of one stack apart, in whichever clone and on whichever machine.

An object in the shared bucket, made by a conditional write and renewed while its holder lives. A holder on this
machine is dead when its process is; one elsewhere when it has not renewed for LEASE_SECONDS by the bucket's clock.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from ops.climb.journal import who
from ops.climb.store import BucketUnreachableError, Objects, Stored

LEASE_SECONDS = 300.0
RENEW_SECONDS = 60.0
BEAT_SECONDS = 50.0
"""Less than the minute of the alarm that hears it (as a deploy's), and by a thread that waits for no bucket."""


class LockedError(TerraceError):
    """Somebody else holds it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, since when (UTC), and for what."""

    token: str
    who: str
    machine: str
    pid: int
    process_began: str
    since: str
    reason: str
    climb: str

    def dead(self, stored: Stored) -> str:
        """Why its holder cannot be alive, or nothing."""
        if self.machine == machine():
            return "" if began(self.pid) == self.process_began else f"its process {self.pid} is gone"
        if stored.age_seconds > LEASE_SECONDS:
            return f"it has not been renewed for {stored.age_seconds:.0f} s"
        return ""

    def said(self) -> str:
        """For people."""
        return f"{self.who} (process {self.pid}) since {self.since[:19]}Z: {self.reason}"


@dataclass
class Lock:
    """The lock of one stack. `beat` is called when it is taken, and each BEAT_SECONDS while it is held."""

    objects: Objects
    stack: str
    says: Callable[[str], object] = lambda _: None
    beat: Callable[[], object] = lambda: None
    lost: str = ""
    """Why it is ours no more; whoever works looks before each step."""

    @property
    def key(self) -> str:
        return f"climbs/{self.stack}/lock.json"

    def holder(self) -> tuple[Holder, str] | None:
        """Who holds it, and why that one must be dead (empty: it may live)."""
        stored = self.objects.get(self.key)
        if stored is None:
            return None
        holder = _parse(stored)
        return holder, holder.dead(stored)

    @contextmanager
    def held(self, *, reason: str, climb: str, wait_seconds: float = 0) -> Generator[None]:
        """Holds it while the block lasts.

        Raises:
            LockedError: somebody else does, and still did after `wait_seconds`.
            BucketUnreachableError: nobody can know.
        """
        mine = Holder(
            secrets.token_hex(8), who(), machine(), os.getpid(), began(os.getpid()),
            datetime.now(UTC).isoformat(timespec="seconds"), reason, climb,
        )  # fmt: skip
        etag = self._take(mine, wait_seconds)
        ended = threading.Event()
        self.beat()
        at_work = (
            threading.Thread(target=self._renew, args=(mine, etag, ended), daemon=True),
            threading.Thread(target=self._beat, args=(ended,), daemon=True),
        )
        for each in at_work:
            each.start()
        try:
            yield
        finally:
            ended.set()
            for each in at_work:
                each.join()
            self._give_back(mine)

    def _take(self, mine: Holder, wait_seconds: float) -> str:
        deadline = time.monotonic() + wait_seconds
        said = False
        while True:
            if (etag := self.objects.create(self.key, _text(mine))) is not None:
                return etag
            stored = self.objects.get(self.key)
            if stored is None:
                continue
            holder = _parse(stored)
            if dead := holder.dead(stored):
                if (etag := self.objects.replace(self.key, _text(mine), stored.etag)) is not None:
                    self.says(f"the lock of {holder.who} is taken over: {dead}")
                    return etag
                continue
            if time.monotonic() >= deadline:
                raise LockedError(
                    Fault(
                        f"stack {self.stack}",
                        f"is held by {holder.said()}",
                        "Wait for it (--wait 900); a holder that died is found out within "
                        f"{LEASE_SECONDS:.0f} s, on its own machine at once",
                    )
                )
            if not said:
                self.says(f"waiting for {holder.said()}")
                said = True
            time.sleep(min(2.0, max(0.05, deadline - time.monotonic())))

    def _renew(self, mine: Holder, etag: str, ended: threading.Event) -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                renewed = self.objects.replace(self.key, _text(mine), etag)
            except BucketUnreachableError:
                continue
            if renewed is None:
                self.lost = "the lock was taken over by somebody else"
                return
            etag = renewed

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            self.beat()

    def _give_back(self, mine: Holder) -> None:
        try:
            stored = self.objects.get(self.key)
            if stored is not None and _parse(stored).token == mine.token:
                self.objects.delete(self.key)
        except BucketUnreachableError:
            self.says("the lock could not be given back: it ends by itself")


def machine() -> str:
    """This machine since it was last started: a process number means nothing after that."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def began(pid: int) -> str:
    """When the process of that number began, in the kernel's ticks; empty where there is none.

    Numbers are used again, so a number alone would let a stranger keep a dead one's lock. Field 22 of proc(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=2).encode()


def _parse(stored: Stored) -> Holder:
    try:
        raw: dict[str, Any] = json.loads(stored.content)
        return Holder(**raw)
    except (ValueError, TypeError) as error:
        raise TerraceError(
            Fault("lock", f"cannot be read: {error}", "Look at the object in the bucket, and delete it")
        ) from error
