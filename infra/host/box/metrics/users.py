"""The only place that counts users: distinct hashed names in the access log, by day, by month, and of five minutes.

Nginx logs a keyed hash that the service sends (`user`), never a name. Days are UTC's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from infra.host.box.metrics import place

CONCURRENT_MINUTES = 5
MONTH_DAYS = 30
KEPT_DAYS = 40


@dataclass(slots=True)
class Users:
    """Counts, kept in `directory`: a file of hashes for each day, and the last minutes."""

    directory: Path
    log: Path

    def take(self, now: datetime) -> None:
        """Reads what was added to the log. May be cut off and done again: a user counts once however often read."""
        remembered = self.directory / "place.json"
        known = place.remembered(remembered)
        tail = place.Tail(self.log, int(known.get("inode", 0)), int(known.get("offset", 0)))
        fresh: dict[date, set[str]] = {}
        recent: dict[str, float] = {str(user): float(at) for user, at in known.get("recent", {}).items()}
        for at, user in _seen(tail.lines()):
            fresh.setdefault(at.date(), set()).add(user)
            recent[user] = max(recent.get(user, 0.0), at.timestamp())
        for day, users in fresh.items():
            new = users - self._of(day)
            if new:
                self.directory.mkdir(parents=True, exist_ok=True)
                with self._file(day).open("a", encoding="ascii") as file:
                    file.writelines(f"{user}\n" for user in sorted(new))
        since = (now - timedelta(minutes=CONCURRENT_MINUTES)).timestamp()
        recent = {user: at for user, at in recent.items() if at > since}
        place.remember(remembered, {"inode": tail.inode, "offset": tail.offset, "recent": recent})
        for path in self.directory.glob("*.users"):
            if path.stem < (now - timedelta(days=KEPT_DAYS)).date().isoformat():
                path.unlink(missing_ok=True)

    def of_day(self, day: date) -> int | None:
        """Users of that day; None where nothing is known of it."""
        return len(self._of(day)) if self._file(day).exists() else None

    def of_month(self, last: date) -> int | None:
        """Users of thirty days up to that one."""
        users: set[str] = set()
        for back in range(MONTH_DAYS):
            users |= self._of(last - timedelta(days=back))
        return len(users) or None

    def at_once(self) -> int:
        """Users of the last five minutes, at the last look."""
        return len(place.remembered(self.directory / "place.json").get("recent", {}))

    def _file(self, day: date) -> Path:
        return self.directory / f"{day.isoformat()}.users"

    def _of(self, day: date) -> set[str]:
        try:
            return set(self._file(day).read_text(encoding="ascii").split())
        except OSError:
            return set()


def _seen(lines: object) -> Iterator[tuple[datetime, str]]:
    for line in lines if isinstance(lines, list) else ():
        try:
            entry = json.loads(line)
            user, at = entry["user"], datetime.fromisoformat(entry["time"]).astimezone(UTC)
        except (ValueError, KeyError, TypeError):
            continue  # half a line after a power cut, or another's format
        if isinstance(user, str) and user.isalnum():
            yield at, user
