"""The only place where a wish (newest, a time, a backup) becomes arguments for pgBackRest, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup import gaps
from infra.host.box.backup.gaps import Gap
from infra.host.box.backup.repository import Backup


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: a moment (UTC), or the backup of that label, or with neither the newest state."""

    moment: datetime | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.moment is not None:
            return gaps.stamp(self.moment)
        return self.label or "newest"


@dataclass(frozen=True, slots=True)
class Choice:
    """The backup that the restore begins from, what pgBackRest is told, and what a person should know."""

    label: str
    arguments: tuple[str, ...]
    warning: str = ""


def choose(wish: Wish, backups: Sequence[Backup], known: Sequence[Gap], *, now: datetime) -> Choice:
    """The way to what is wished.

    Raises:
        TerraceError: it cannot be had: nothing is there, the time is out of reach or in a gap, the label is unknown.
    """
    if not backups:
        raise TerraceError(
            Fault("repository", "holds no backup", "Look at `terrace-backup status` on the box it is of")
        )
    ordered = sorted(backups, key=lambda each: each.stopped_at)
    if wish.label is not None:
        if wish.label not in {each.label for each in ordered}:
            near = ", ".join(each.label for each in ordered[-6:])
            raise TerraceError(Fault(wish.label, "is no backup in the repository", f"The newest are {near}"))
        return Choice(wish.label, (f"--set={wish.label}", "--type=immediate", "--target-action=promote"))
    if wish.moment is None:
        return Choice(ordered[-1].label, (f"--set={ordered[-1].label}", "--type=default"), _open(known))
    return _at(wish.moment, ordered, known, now)


def _at(moment: datetime, ordered: Sequence[Backup], known: Sequence[Gap], now: datetime) -> Choice:
    text = gaps.stamp(moment)
    if moment > now:
        raise TerraceError(
            Fault(text, f"is still to come; it is {gaps.stamp(now)}", "Leave --time out for the newest state")
        )
    earlier = [each for each in ordered if each.stopped_at < moment]
    if not earlier:
        first = gaps.stamp(ordered[0].stopped_at)
        raise TerraceError(
            Fault(
                text, f"lies before the oldest backup that is kept ({first})", f"Ask for a time after {first}"
            )
        )
    gaps.refuse(known, moment)
    target = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return Choice(
        earlier[-1].label,
        (f"--set={earlier[-1].label}", "--type=time", f"--target={target}", "--target-action=promote"),
    )


def _open(known: Sequence[Gap]) -> str:
    for gap in known:
        if gap.until is None:
            return f"the archive has a gap since {gaps.stamp(gap.since)}: nothing after it can be had"
    return ""
