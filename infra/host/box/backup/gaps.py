"""The only place for gaps: times that the archive cannot be restored to, because WAL was dropped.

A gap begins at the last moment whose every commit is known to lie in segments before the first that is missing, and
ends when the first backup after it was through; until then it is open. Both ends are on the safe side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.segments import Segment

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """At `at` (UTC) PostgreSQL wrote to `segment`: every commit before lies in it or in an earlier one."""

    at: datetime
    segment: Segment


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap. `since`, `until`: nothing between them can be restored to (UTC); `until` None while it is open.

    `first` and `last` are the names of the missing segments, `closed_by` is the label of the backup that ended it.
    """

    first: str
    last: str
    since: datetime
    until: datetime | None = None
    closed_by: str | None = None

    def covers(self, moment: datetime) -> bool:
        """Whether that moment cannot be restored to."""
        return self.since < moment and (self.until is None or moment < self.until)

    def closed(self, until: datetime, label: str) -> Gap:
        """The gap as it is once a backup was made after it."""
        return replace(self, until=until, closed_by=label)


def begin(holes: Sequence[Segment], samples: Iterable[Sample], *, otherwise: datetime) -> Gap:
    """The gap that missing segments make; `otherwise` is its beginning where no sample lies before them."""
    first, last = holes[0], holes[-1]
    before = [each.at for each in samples if each.segment < first]
    return Gap(str(first), str(last), max(before, default=otherwise))


def refuse(gaps: Iterable[Gap], moment: datetime) -> None:
    """Refuses a moment that lies in a gap.

    Raises:
        TerraceError: it does; both ends are said.
    """
    for gap in gaps:
        if gap.covers(moment):
            end = stamp(gap.until) if gap.until else "not ended yet: no backup was made since"
            after = f" or from {stamp(gap.until)} on" if gap.until else ""
            raise TerraceError(
                Fault(
                    stamp(moment),
                    f"lies in a gap of the archive ({stamp(gap.since)} to {end}): WAL from {gap.first} to {gap.last} "
                    "was dropped while the bucket could not be reached",
                    f"Ask for a time up to {stamp(gap.since)}{after}",
                )
            )


def stamp(moment: datetime) -> str:
    """A moment as it is written here: UTC, `2026-11-21T10:15:00Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def read_stamp(text: str) -> datetime:
    """The moment that `stamp` wrote, or a person: seconds may be left out, the zone may not.

    Raises:
        TerraceError: it is no time, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise TerraceError(
            Fault(text, "is no time with a zone", "Write it as 2026-11-21T10:15Z, or with +09:00 for Seoul")
        )
    return moment.astimezone(UTC)


def dumps(gap: Gap) -> str:
    """The record of a gap as it lies in the bucket."""
    values = {**asdict(gap), "since": stamp(gap.since), "until": stamp(gap.until) if gap.until else None}
    return json.dumps({"format": FORMAT, **values}, indent=2) + "\n"


def loads(text: str) -> Gap:
    """Reads what `dumps` wrote.

    Raises:
        TerraceError: a newer terrace wrote it.
    """
    values = json.loads(text)
    if values["format"] != FORMAT:
        raise TerraceError(Fault("gap record", "is of another format", "Update the host bundle of this box"))
    until = values["until"]
    return Gap(
        values["first"],
        values["last"],
        read_stamp(values["since"]),
        read_stamp(until) if until else None,
        values["closed_by"],
    )
