"""The only place for the one lock that everything which reads or changes moto's state takes.

moto's services walk and change plain dicts; with requests in many threads some of them would see a dict change
under their feet. A request costs milliseconds of interpreter time anyway, so one lock loses nothing and makes
saving, loading, views and the extensions' own threads consistent.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class WorldLock:
    """A re-entrant lock that its holder can set down for a while, and a count of changes."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held = threading.local()
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often the state was changed since the process started."""
        return self._changes

    def note_change(self) -> None:
        """Count one change; to be called while the lock is held."""
        self._changes += 1

    def __enter__(self) -> WorldLock:
        self._lock.acquire()
        self._held.depth = getattr(self._held, "depth", 0) + 1
        return self

    def __exit__(self, *_: object) -> None:
        self._held.depth -= 1
        self._lock.release()

    @contextmanager
    def set_down(self) -> Generator[None]:
        """Let others in while the body waits, for instance for a message; take the lock again afterwards.

        Whatever was read before may have changed. Without the lock this does nothing.
        """
        depth: int = getattr(self._held, "depth", 0)
        for _ in range(depth):
            self.__exit__()
        try:
            yield
        finally:
            for _ in range(depth):
                self.__enter__()


WORLD = WorldLock()
