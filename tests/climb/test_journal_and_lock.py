"""The journal holds together through kills, full disks and a bucket that is away; the lock keeps climbs apart."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from infra.core.alarms import alarm_set
from infra.core.errors import TerraceError
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from infra.host.box.metrics import deploying
from ops.climb.journal import Event, Journal, chain_faults
from ops.climb.lock import BEAT_SECONDS, LEASE_SECONDS, Holder, Lock, LockedError, began, machine

from .pretended import Bucket


def journal(folder: Path, bucket: Bucket | None = None) -> Journal:
    said: list[str] = []
    made = Journal(folder / "dev.jsonl", "dev", bucket, says=said.append)
    made.open()
    return made


def test_every_record_is_on_disk_and_in_the_bucket_and_chained_to_the_one_before(tmp_path: Path) -> None:
    bucket = Bucket()
    made = journal(tmp_path, bucket)
    for step in ("backup", "resize"):
        made.append("c", Event.BEFORE, step)
        made.append("c", Event.AFTER, step, seconds=1)
    again = journal(tmp_path, bucket)
    assert again.records == made.records
    assert list(chain_faults(again.records)) == []
    assert len(bucket.keys("climbs/dev/journal/")) == 4


def test_another_clone_takes_the_journal_from_the_bucket(tmp_path: Path) -> None:
    bucket = Bucket()
    made = journal(tmp_path, bucket)
    made.append("c", Event.BEGAN)
    made.append("c", Event.BEFORE, "backup")
    other = journal(tmp_path / "other", bucket)
    assert other.records == made.records
    other.append("c", Event.AFTER, "backup")
    assert [each.event for each in journal(tmp_path, bucket).records] == ["began", "before", "after"]


def test_a_changed_record_is_found(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.append("c", Event.BEGAN, reason="memory")
    made.append("c", Event.ENDED)
    text = made.path.read_text()
    made.path.write_text(text.replace("memory", "nothing"))
    with pytest.raises(TerraceError, match="record 1 was changed after it was written"):
        journal(tmp_path)


def test_a_record_that_was_taken_out_is_found(tmp_path: Path) -> None:
    made = journal(tmp_path)
    for _ in range(3):
        made.append("c", Event.BEFORE, "x")
    lines = made.path.read_text().splitlines(keepends=True)
    made.path.write_text(lines[0] + lines[2])
    with pytest.raises(TerraceError, match="record 3 follows record 1"):
        journal(tmp_path)


def test_a_line_that_a_power_cut_left_half_was_never_written(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.append("c", Event.BEGAN)
    whole = made.path.read_text()
    made.append("c", Event.BEFORE, "backup")
    made.path.write_text(made.path.read_text()[:-20])
    again = journal(tmp_path)
    assert [each.event for each in again.records] == ["began"]
    assert again.path.read_text() == whole
    again.append("c", Event.BEFORE, "backup")
    assert len(journal(tmp_path).records) == 2


def test_disk_full_while_journaling_stops_before_the_step_and_leaves_the_journal_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = journal(tmp_path)
    made.append("c", Event.BEGAN)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TerraceError, match=r"No space left on device; what was to come has not begun"):
        made.append("c", Event.BEFORE, "resize")
    monkeypatch.undo()
    assert [each.event for each in journal(tmp_path).records] == ["began"]


def test_with_the_bucket_away_records_wait_and_follow_later(tmp_path: Path) -> None:
    bucket = Bucket()
    made = journal(tmp_path, bucket)
    bucket.away = True
    said: list[str] = []
    made.says = said.append
    made.append("c", Event.BEGAN)
    made.append("c", Event.BEFORE, "resize")
    assert said[-1] == "s3://pretended does not answer: 2 journal record(s) wait on this disk"
    bucket.away = False
    made.append("c", Event.AFTER, "resize")
    assert len(bucket.held) == 3


def test_with_the_bucket_away_nothing_that_cannot_be_undone_begins(tmp_path: Path) -> None:
    bucket = Bucket()
    made = journal(tmp_path, bucket)
    bucket.away = True
    with pytest.raises(TerraceError, match="what comes next cannot be undone"):
        made.append("c", Event.BEFORE, "contract", must_be_mirrored=True)


def test_two_clones_cannot_write_the_same_record(tmp_path: Path) -> None:
    bucket = Bucket()
    one, other = journal(tmp_path, bucket), journal(tmp_path / "other", bucket)
    one.append("c", Event.BEGAN)
    with pytest.raises(TerraceError, match="was written by somebody else meanwhile"):
        other.append("d", Event.BEGAN)


def test_what_a_clone_wrote_alone_while_another_went_on_is_put_aside_and_said(tmp_path: Path) -> None:
    bucket = Bucket()
    one = journal(tmp_path, bucket)
    one.append("c", Event.BEGAN)
    bucket.away = True
    one.append("c", Event.BEFORE, "backup")
    bucket.away = False
    other = journal(tmp_path / "other", bucket)
    other.append("c", Event.RESUMED)
    again = journal(tmp_path, bucket)
    assert [each.event for each in again.records] == ["began", "resumed"]
    aside = tmp_path / "dev.jsonl.aside-2"
    assert json.loads(aside.read_text())["event"] == "before"


def test_two_climbs_at_once_from_two_clones_one_waits_or_is_told_who_holds_the_lock() -> None:
    bucket = Bucket()
    with (
        Lock(bucket, "dev").held(reason="climb c: single-8g → single-16g", climb="c"),
        pytest.raises(LockedError, match=r"is held by .* since .*: climb c: single-8g → single-16g"),
        Lock(bucket, "dev").held(reason="another", climb="d"),
    ):
        pass
    assert bucket.held == {}


def test_a_climb_is_said_to_be_under_way_from_the_first_moment_and_on_while_its_bucket_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ops.climb.lock.RENEW_SECONDS", 0.01)
    monkeypatch.setattr("ops.climb.lock.BEAT_SECONDS", 0.01)
    told: list[int] = []
    asked, again = threading.Event(), threading.Event()

    class Silent(Bucket):
        """Takes a lock, and answers no renewal before enough was said."""

        def replace(self, key: str, content: bytes, etag: str) -> str | None:
            asked.set()
            assert again.wait(30)
            return super().replace(key, content, etag)

    def beat() -> None:
        told.append(1)
        if len(told) > 2 and asked.is_set():
            again.set()

    with Lock(Silent(), "dev", beat=beat).held(reason="first", climb="c"):
        assert told
        assert again.wait(30)


def test_a_climb_says_it_more_often_than_the_alarm_that_hears_it_looks() -> None:
    every = alarm_set(Facts(shape(find("single-8g")))).alarms
    (hears,) = [each for each in every if each.name == "stack-deploying"]
    assert hears.period_seconds > BEAT_SECONDS
    assert hears.period_seconds > deploying.EVERY_SECONDS


def test_a_lock_that_is_given_back_in_time_is_taken_by_who_waits() -> None:
    bucket = Bucket()
    lock = Lock(bucket, "dev")
    held = lock.held(reason="first", climb="c")
    held.__enter__()
    said: list[str] = []

    def says(text: str) -> None:
        said.append(text)
        held.__exit__(None, None, None)

    with Lock(bucket, "dev", says=says).held(reason="second", climb="d", wait_seconds=10):
        assert said[0].startswith("waiting for ")


def holder(**changes: Any) -> Holder:
    own = Holder(
        "t", "me@here", machine(), os.getpid(), began(os.getpid()), "2026-11-21T10:00:00", "a climb", "c"
    )
    return replace(own, **changes)


def put(bucket: Bucket, held: Holder) -> None:
    bucket.create("climbs/dev/lock.json", json.dumps(asdict(held)).encode())


def test_the_lock_of_a_dead_holder_on_this_machine_is_taken_over_at_once_and_said() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    bucket = Bucket()
    put(bucket, holder(pid=dead.pid, process_began="7"))
    said: list[str] = []
    with Lock(bucket, "dev", says=said.append).held(reason="next", climb="d"):
        pass
    assert said == [f"the lock of me@here is taken over: its process {dead.pid} is gone"]


def test_a_number_that_another_process_bears_by_now_holds_no_lock() -> None:
    bucket = Bucket()
    put(bucket, holder(process_began="7"))
    with Lock(bucket, "dev").held(reason="next", climb="d"):
        pass


@pytest.mark.parametrize(("age", "free"), [(LEASE_SECONDS - 1, False), (LEASE_SECONDS + 1, True)])
def test_a_holder_on_another_machine_is_dead_once_its_lease_is_over(age: float, free: bool) -> None:
    bucket = Bucket(age_seconds=age)
    put(bucket, holder(machine="elsewhere"))
    lock = Lock(bucket, "dev").held(reason="next", climb="d")
    if free:
        with lock:
            pass
        return
    with pytest.raises(LockedError), lock:
        pass


def test_a_lock_that_was_taken_away_is_noticed_and_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.climb.lock.RENEW_SECONDS", 0.01)
    bucket = Bucket()
    lock = Lock(bucket, "dev")
    with lock.held(reason="first", climb="c"):
        while not lock.lost:
            bucket.held["climbs/dev/lock.json"] = (json.dumps(asdict(holder(token="u"))).encode(), "stranger")
    assert "climbs/dev/lock.json" in bucket.held
