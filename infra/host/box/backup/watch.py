"""The only place where it is judged how the archive stands: what is known to be in the bucket, and what is lost.

The truth is the bucket's own listing, never a log: a segment that PostgreSQL no longer waits for and that the bucket
does not hold was dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from infra.host.box.backup import gaps
from infra.host.box.backup.bounds import ARCHIVE_TIMEOUT_SECONDS, SEGMENT_BYTES
from infra.host.box.backup.gaps import Gap, Sample
from infra.host.box.backup.segments import Segment, missing, parse

MOST_SAMPLES = 4096
FIRST_MARGIN = timedelta(seconds=2 * ARCHIVE_TIMEOUT_SECONDS)
"""How long before the first look (or the end of the oldest waiting segment) the first segment may have been begun."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the watch remembers. Every segment up to `through` is in the bucket or in a recorded gap.

    `samples` hold the last moment of each segment that was written to since; `behind_since` is when the first
    finished segment appeared that is not known to be in the bucket; `began_at` is when this memory begins (UTC).
    """

    through: Segment
    began_at: datetime
    samples: tuple[Sample, ...] = ()
    behind_since: datetime | None = None
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What one look came to."""

    known: Known
    news: Gap | None
    """A gap that appeared or grew, to be recorded before anything else."""
    lag_seconds: float
    queue_bytes: int


Listing = Callable[[Segment, Segment], Collection[Segment] | None]
"""What the bucket holds from one segment to another; None when it cannot be reached."""


def judge(
    known: Known | None,
    *,
    current: Segment,
    waiting: Collection[Segment],
    waiting_since: datetime | None = None,
    held: Listing,
    now: datetime,
) -> Judged:
    """One look: `current` is written to now, `waiting` are finished and not archived, the oldest since then."""
    ours = [each for each in waiting if each.timeline == current.timeline]
    handed_over = min([*ours, current])
    if known is None or known.through.timeline != current.timeline:
        # A new database, or one that was restored: a backup follows, and the archive counts from here.
        began_at = (waiting_since or now) - FIRST_MARGIN
        known = Known(handed_over.plus(-1), began_at, gap=known.gap if known else None)
    first, last = known.through.plus(1), handed_over.plus(-1)
    samples = _with(known.samples, Sample(now, current))
    news, gap, through = None, known.gap, known.through
    listed = held(first, last) if first <= last else ()
    if listed is not None and first <= last:
        holes = missing(first, handed_over, listed)
        if holes:
            begun = gaps.begin(holes, samples, otherwise=known.began_at)
            gap = news = replace(gap, last=begun.last) if gap else begun
        through = last
    behind = through < current.plus(-1)
    since = (known.behind_since or now) if behind else None
    return Judged(
        Known(through, known.began_at, _needed(samples, through), since, gap),
        news,
        (now - since).total_seconds() if since else 0.0,
        len(ours) * SEGMENT_BYTES,
    )


def _with(samples: tuple[Sample, ...], new: Sample) -> tuple[Sample, ...]:
    kept = tuple(each for each in samples if each.segment != new.segment)
    return (*kept[-(MOST_SAMPLES - 1) :], new)


def _needed(samples: tuple[Sample, ...], through: Segment) -> tuple[Sample, ...]:
    """Those after `through`, and the last one up to it: the beginning of a gap that begins next."""
    before = [each for each in samples if each.segment <= through][-1:]
    return (*before, *(each for each in samples if each.segment > through))


def to_json(known: Known) -> dict[str, Any]:
    """The memory as plain values."""
    return {
        "through": str(known.through),
        "began_at": gaps.stamp(known.began_at),
        "samples": [[gaps.stamp(each.at), str(each.segment)] for each in known.samples],
        "behind_since": gaps.stamp(known.behind_since) if known.behind_since else None,
        "gap": gaps.dumps(known.gap) if known.gap else None,
    }


def from_json(values: Mapping[str, Any] | None) -> Known | None:
    """Reads what `to_json` wrote; None for nothing, or what is not whole."""
    try:
        if not values:
            return None
        through = parse(values["through"])
        samples = [(gaps.read_stamp(at), parse(name)) for at, name in values["samples"]]
        if through is None:
            return None
        return Known(
            through,
            gaps.read_stamp(values["began_at"]),
            tuple(Sample(at, segment) for at, segment in samples if segment),
            gaps.read_stamp(values["behind_since"]) if values["behind_since"] else None,
            gaps.loads(values["gap"]) if values["gap"] else None,
        )
    except (KeyError, TypeError, ValueError):
        return None
