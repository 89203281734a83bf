"""What is known of the archive, and what is lost: segments, gaps, the watch's judgement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.errors import TerraceError
from infra.host.box.backup import gaps, watch
from infra.host.box.backup.bounds import (
    ARCHIVE_TIMEOUT_SECONDS,
    GIB,
    LARGEST_QUEUE_BYTES,
    LOOK_SECONDS,
    MIB,
    RECOVERY_POINT_SECONDS,
    SEGMENT_BYTES,
    SMALLEST_QUEUE_BYTES,
    queue_bound_bytes,
)
from infra.host.box.backup.gaps import Gap
from infra.host.box.backup.segments import Segment, logs, missing, parse

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
numbers = st.integers(min_value=0, max_value=2**40 - 2000)
segments = st.builds(Segment, st.integers(min_value=1, max_value=2**31), numbers)
moments = st.timedeltas(min_value=timedelta(days=-2000), max_value=timedelta(days=4000)).map(
    lambda since: START + since
)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("000000010000000000000001", Segment(1, 1)),
        ("0000000100000000000000FF", Segment(1, 255)),
        ("000000010000000100000000", Segment(1, 256)),
        ("0000000A0000000100000002-7b52a208c08d2c222ed25824beedc88715dd997d.zst", Segment(10, 258)),
        ("00000002.history", None),
        ("archive.info", None),
        ("000000010000000000000100", None),
    ],
)
def test_a_segments_name_is_read_as_postgresql_writes_it(name: str, segment: Segment | None) -> None:
    assert parse(name) == segment


@given(segments)
def test_a_segments_name_is_read_back(segment: Segment) -> None:
    assert parse(str(segment)) == segment
    assert len(str(segment)) == 24


@given(segments, st.integers(min_value=0, max_value=700))
def test_every_segment_lies_in_one_of_the_directories_that_are_listed(first: Segment, count: int) -> None:
    last = first.plus(count)
    listed = logs(first, last)
    assert {first.plus(each).log for each in range(count + 1)} == set(listed)
    assert len(listed) == len(set(listed))
    assert logs(first.plus(1), first) == []


@given(segments, st.sets(st.integers(min_value=0, max_value=60)), st.integers(min_value=0, max_value=60))
def test_missing_is_what_is_not_held(first: Segment, held: set[int], count: int) -> None:
    found = missing(first, first.plus(count), {first.plus(each) for each in held})
    assert [each.number - first.number for each in found] == sorted(set(range(count)) - held)


@given(moments, st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9)), moments)
def test_a_time_is_refused_exactly_when_it_lies_within_a_gap(
    since: datetime, lasts: timedelta | None, moment: datetime
) -> None:
    until = since + lasts if lasts is not None else None
    gap = Gap("000000010000000000000007", "000000010000000000000009", since, until)
    inside = moment > since and (until is None or moment < until)
    assert gap.covers(moment) == inside
    if not inside:
        gaps.refuse([gap], moment)
        return
    with pytest.raises(TerraceError) as refused:
        gaps.refuse([gap], moment)
    assert gaps.stamp(since) in str(refused.value)
    assert (gaps.stamp(until) if until else "not ended yet") in str(refused.value)


@given(moments, st.none() | moments, st.none() | st.text(max_size=20))
def test_a_gaps_record_is_read_back(since: datetime, until: datetime | None, label: str | None) -> None:
    gap = Gap("000000010000000000000007", "000000010000000000000009", since, until, label)
    assert gaps.loads(gaps.dumps(gap)) == gap


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T10:15", "2026-13-01T00:00Z", ""])
def test_a_time_without_a_zone_or_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(TerraceError, match="2026-11-21T10:15Z"):
        gaps.read_stamp(text)


def test_a_time_in_seoul_is_the_same_as_in_utc() -> None:
    assert gaps.read_stamp("2026-11-21T19:15+09:00") == gaps.read_stamp("2026-11-21T10:15Z")


@given(st.integers(min_value=0, max_value=64 * 1024 * GIB))
def test_the_queue_never_takes_more_than_its_bound_of_any_volume(volume_bytes: int) -> None:
    bound = queue_bound_bytes(volume_bytes)
    assert bound % SEGMENT_BYTES == 0
    assert SMALLEST_QUEUE_BYTES <= bound <= LARGEST_QUEUE_BYTES
    if volume_bytes >= 20 * GIB:
        assert bound <= volume_bytes * 0.1


def test_what_is_written_reaches_the_bucket_within_the_recovery_point() -> None:
    assert ARCHIVE_TIMEOUT_SECONDS + LOOK_SECONDS < RECOVERY_POINT_SECONDS
    assert queue_bound_bytes(100 * GIB) >= 100 * MIB


class Bucket:
    """A bucket that can be unreachable, and counts how often it is asked."""

    def __init__(self) -> None:
        self.held: set[Segment] = set()
        self.reachable = True

    def listing(self, first: Segment, last: Segment) -> set[Segment] | None:
        return {each for each in self.held if first <= each <= last} if self.reachable else None


steps = st.lists(st.sampled_from(["write", "push", "drop", "look", "cut", "mend"]), min_size=1, max_size=60)


@given(steps, st.integers(min_value=0, max_value=4))
def test_whatever_happens_what_was_dropped_ends_in_a_gap_that_begins_before_it(
    happens: list[str], at_first: int
) -> None:
    """PostgreSQL writes, pgBackRest pushes or drops, the bucket comes and goes; the watch looks in between."""
    bucket, known, now = Bucket(), None, START
    current, dropped = Segment(1, 5), set()
    waiting = [current.plus(each - at_first) for each in range(at_first)]
    begun = dict.fromkeys([*waiting, current], START - timedelta(seconds=200))
    known = watch.judge(
        known, current=current, waiting=waiting, waiting_since=START, held=bucket.listing, now=now
    ).known
    for each in [*happens, "mend", "look"]:
        now += timedelta(seconds=7)
        if each == "write":
            waiting.append(current)
            current = current.plus(1)
            begun[current] = now
        elif each == "push" and waiting and bucket.reachable:
            bucket.held.add(waiting.pop(0))
        elif each == "drop" and waiting:
            dropped.add(waiting.pop(0))
        elif each in ("cut", "mend"):
            bucket.reachable = each == "mend"
        elif each == "look":
            before = known
            known = watch.judge(known, current=current, waiting=waiting, held=bucket.listing, now=now).known
            assert known.through >= before.through
            assert watch.from_json(watch.to_json(known)) == known
    handed = {each for each in dropped if each <= known.through}
    assert handed == dropped, "everything that is not waiting was looked at"
    if dropped:
        assert known.gap is not None
        assert known.gap.first == str(min(dropped))
        assert known.gap.last == str(max(dropped))
        assert known.gap.since <= begun[min(dropped)] + timedelta(seconds=7)
    else:
        assert known.gap is None


def judged(
    known: watch.Known | None, current: int, waiting: list[int], held: set[int] | None, at: int
) -> watch.Judged:
    return watch.judge(
        known,
        current=Segment(1, current),
        waiting=[Segment(1, each) for each in waiting],
        held=lambda _first, _last: None if held is None else {Segment(1, each) for each in held},
        now=START + timedelta(seconds=at),
    )


def test_a_gap_begins_at_the_last_moment_that_is_safe() -> None:
    known = judged(None, 5, [], set(), 0).known
    known = judged(known, 6, [], {5}, 60).known
    known = judged(known, 7, [6], None, 120).known
    found = judged(known, 9, [], {5, 7, 8}, 180)
    assert found.news is not None
    assert (found.news.first, found.news.last) == (str(Segment(1, 6)), str(Segment(1, 6)))
    assert found.news.since == START, "at 60 s PostgreSQL wrote to the segment that is lost"


def test_the_lag_grows_while_the_bucket_is_away_also_after_the_queue_was_dropped() -> None:
    known = judged(None, 5, [], set(), 0).known
    away = judged(known, 7, [5, 6], None, 60)
    assert (away.lag_seconds, away.queue_bytes) == (0.0, 2 * SEGMENT_BYTES)
    later = judged(away.known, 8, [], None, 240)
    assert (later.lag_seconds, later.queue_bytes) == (180.0, 0)
    back = judged(later.known, 8, [], {5, 6, 7}, 300)
    assert (back.lag_seconds, back.news) == (0.0, None)


def test_a_restored_database_on_a_new_timeline_begins_anew_and_keeps_an_open_gap() -> None:
    known = judged(None, 5, [], set(), 0).known
    known = judged(known, 8, [], {5, 7}, 60).known
    assert known.gap is not None
    anew = watch.judge(
        known,
        current=Segment(2, 9),
        waiting=[],
        held=lambda _first, _last: set(),
        now=START + timedelta(hours=1),
    )
    assert anew.news is None
    assert anew.known.gap == known.gap
    assert anew.known.through == Segment(2, 8)


@pytest.mark.parametrize("values", [None, {}, {"through": "x"}, {"through": "0" * 24, "samples": 3}])
def test_a_memory_that_is_not_whole_is_none(values: dict[str, object] | None) -> None:
    assert watch.from_json(values) is None
