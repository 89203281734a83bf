"""The only place for the arithmetic of WAL segments: names, order, and which are missing.

A segment's name is 24 hexadecimal digits: timeline, and the 64-bit number of the segment written as two halves of
which the lower counts to 255 with segments of 16 MiB (PostgreSQL source, xlog_internal.h, XLogFileName).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

PER_LOG = 0x100
_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment of WAL: timeline from 1, number from 0."""

    timeline: int
    number: int

    def __str__(self) -> str:
        return f"{self.timeline:08X}{self.number // PER_LOG:08X}{self.number % PER_LOG:08X}"

    @property
    def log(self) -> str:
        """The directory that pgBackRest keeps it in."""
        return str(self)[:16]

    def plus(self, count: int) -> Segment:
        """The segment `count` further on the same timeline (not below 0)."""
        return Segment(self.timeline, max(0, self.number + count))


def parse(text: str) -> Segment | None:
    """The segment that a name begins with (`….ready`, `…-SHA1.zst`, `….00000028.backup`); None for other files."""
    found = _NAME.match(text)
    if found is None or int(found[3], 16) >= PER_LOG:
        return None
    return Segment(int(found[1], 16), int(found[2], 16) * PER_LOG + int(found[3], 16))


def logs(first: Segment, last: Segment) -> list[str]:
    """The directories that hold the segments from `first` to `last`, both included; empty when there are none."""
    return [
        f"{first.timeline:08X}{log:08X}"
        for log in range(first.number // PER_LOG, last.number // PER_LOG + 1)
        if first <= last
    ]


def missing(first: Segment, end: Segment, held: Collection[Segment]) -> list[Segment]:
    """Of the segments from `first` up to but without `end`, on one timeline, those that are not held."""
    known = set(held)
    wanted = (Segment(first.timeline, number) for number in range(first.number, end.number))
    return [each for each in wanted if each not in known]
