"""The walk in memory: a kill at every moment of every step, then resume or rollback, from this clone or another."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.stages import find, listed
from ops.climb import history, steps
from ops.climb.journal import Event, Journal, Record, chain_faults
from ops.climb.moving import FOLLOWED_AWAY_SECONDS, VERIFIES, end_of
from ops.climb.plan import Plan
from ops.climb.run import StepFailedError
from ops.climb.steps import SHIFT, SHIFT_SECONDS, Step, Words

from .pretended import Bucket, Killed, World, climb, plan
from .pretended import world as standing
from .test_journal_and_lock import holder, put

FOLLOWED = ("single-8g", "split")
"""The only one of CLIMBS whose rows are followed; elsewhere they are copied behind a fence."""

CLIMBS = [
    FOLLOWED,
    # Every pair of rungs inside an option walks by the same rows; `make matrix` takes all of them on the engine.
    ("single-8g", "single-16g"),
    ("single-16g", "single-8g-fixed"),
    ("single-16g-fixed", "split"),
    ("split", "private"),
    ("private", "split"),
    ("split", "single-8g"),
]
MOMENTS = ("before", "doing", "done", "recorded")


def points() -> Iterator[tuple[str, str, str, str]]:
    for before, after in CLIMBS:
        for step in plan(before, after).steps:
            for moment in MOMENTS:
                yield before, after, step.name, moment


def at(before: str, after: str = "", **more: Any) -> World:
    """A stack at rest there; its rows may be followed where FOLLOWED says so."""
    world = standing(before, **more)
    world.rows.follows = (before, after) == FOLLOWED
    return world


def undisturbed(made: Plan, folder: Path) -> World:
    world = at(made.before, made.after)
    climb(made, world, Bucket(), folder).go_on()
    return world


def test_every_kill_of_every_climb_then_resume_ends_as_an_undisturbed_climb(tmp_path: Path) -> None:
    ends = {pair: undisturbed(plan(*pair), tmp_path / "-".join(pair)).end() for pair in CLIMBS}
    for index, (before, after, step, moment) in enumerate(points()):
        made = plan(before, after)
        world, bucket = at(before, after), Bucket()
        with pytest.raises(Killed):
            climb(made, world, bucket, tmp_path / f"a{index}", kill=(step, moment)).go_on()
        # Every other time from a clone that has nothing but the bucket.
        where = tmp_path / (f"a{index}" if index % 2 else f"b{index}")
        again = climb(made, world, bucket, where)
        again.go_on()
        assert world.stored() == ["first"]
        assert world.end() == ends[before, after], (before, after, step, moment)
        assert again.hands.words() == world.stands
        assert list(chain_faults(again.journal.records)) == []
        assert history.open_climb(again.journal) is None


def test_every_kill_of_every_climb_then_rollback_ends_where_it_began(tmp_path: Path) -> None:
    for index, (before, after, step, moment) in enumerate(points()):
        made = plan(before, after)
        world, bucket = at(before, after), Bucket()
        with pytest.raises(Killed):
            climb(made, world, bucket, tmp_path / f"a{index}", kill=(step, moment)).go_on()
        again = climb(made, world, bucket, tmp_path / (f"a{index}" if index % 2 else f"b{index}"))
        again.go_back()
        assert (world.stands.stage, world.stands.climb_to, world.rows.writer) == (
            before,
            "",
            end_of(find(before)),
        ), (step, moment)
        assert list(chain_faults(again.journal.records)) == []
        assert history.open_climb(again.journal) is None


@pytest.mark.parametrize("moment", ["before-undo", "undone", "recorded-undo"])
def test_a_rollback_that_is_killed_goes_on_going_back(tmp_path: Path, moment: str) -> None:
    made = plan("single-16g-fixed", "split")
    for index, step in enumerate(each for each in made.steps if each.undo):
        world, bucket = at(made.before), Bucket()
        climb(made, world, bucket, tmp_path / f"a{index}").go_on()
        with pytest.raises(Killed):
            climb(made, world, bucket, tmp_path / f"a{index}", kill=(step.name, moment)).go_back()
        again = climb(made, world, bucket, tmp_path / f"b{index}")
        assert history.going_back(again.journal.of(made.id))
        again.go_back()
        assert (world.stands.stage, world.stands.climb_to, world.rows.writer) == (made.before, "", "box")


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    world, bucket = World(Words("single-8g")), Bucket()
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path, kill=("resize", "done")).go_on()
    assert world.ups == 1
    climb(made, world, bucket, tmp_path).go_on()
    assert world.ups == 1


def test_a_pr_with_the_old_word_merged_during_a_climb_is_seen_and_put_right_by_resume(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    world, bucket = World(Words("single-8g")), Bucket()
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path, kill=("verify", "before")).go_on()
    world.stands = Words("single-8g")  # CI ran `pulumi up` of the default branch
    climb(made, world, bucket, tmp_path).go_on()
    assert world.stands == Words("single-16g")


def test_a_resize_that_fails_is_taken_back_at_once_with_two_ways_on(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    world, bucket = World(Words("single-8g"), faults={"up": "InsufficientInstanceCapacity"}), Bucket()
    walked = climb(made, world, bucket, tmp_path)
    with pytest.raises(StepFailedError) as refused:
        walked.go_on()
    said = str(refused.value)
    assert "InsufficientInstanceCapacity" in said
    assert "scripts/scale_up.py resume -s dev, or scripts/scale_up.py rollback -s dev" in said
    assert world.stands == walked.hands.words() == Words("single-8g")
    climb(made, world, bucket, tmp_path).go_on()
    assert world.stands == Words("single-16g")


def test_a_load_test_that_fails_takes_the_traffic_back_and_leaves_the_new_side_standing(
    tmp_path: Path,
) -> None:
    made = plan("single-16g-fixed", "split")
    world, bucket = at(made.before, faults={"load-test": "p95 900 ms"}), Bucket()
    with pytest.raises(StepFailedError, match="shift"):
        climb(made, world, bucket, tmp_path).go_on()
    assert world.stands == Words(made.before, "split", "expanded")
    assert world.rows.writers() == ["box"]
    climb(made, world, bucket, tmp_path).go_back()
    assert (world.stands.stage, world.stands.climb_to, world.rows.writer) == (made.before, "", "box")


def test_when_rds_never_gets_available_the_old_side_serves_on_with_its_rows(tmp_path: Path) -> None:
    made = plan("single-16g-fixed", "split")
    world = at(made.before, faults={"up": "InvalidDBInstanceState: not available after 3600 s"})
    with pytest.raises(StepFailedError, match="not available after 3600 s"):
        climb(made, world, Bucket(), tmp_path).go_on()
    assert world.stands == Words(made.before)
    assert world.rows.writers() == ["box"]


@pytest.mark.parametrize(("before", "after"), [("single-16g-fixed", "split"), ("split", "single-8g")])
def test_a_copy_that_differs_is_found_before_the_switch_and_the_old_side_writes_again(
    tmp_path: Path, before: str, after: str
) -> None:
    made, bucket = plan(before, after), Bucket()
    world = at(before)
    world.rows.damaged = True
    with pytest.raises(StepFailedError, match="checksum differs"):
        climb(made, world, bucket, tmp_path).go_on()
    assert world.rows.writers() == [end_of(find(before))]
    assert world.stands == Words(before, after, "expanded")
    assert world.rows.insert("second")
    climb(made, world, bucket, tmp_path).go_on()
    assert (world.stored(), world.rows.writer) == (["first", "second"], end_of(find(after)))


@pytest.mark.parametrize("verb", ["copy", "switch", "open"])
def test_a_move_that_fails_leaves_one_writer_and_resume_finishes_it(tmp_path: Path, verb: str) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    walked = climb(made, world, bucket, tmp_path)

    def break_it(step: Step, what: str) -> None:
        if (step.name, what) == ("copy" if verb == "copy" else "switch", "doing"):
            world.rows.faults[verb] = "connection lost"

    walked.moment = break_it
    with pytest.raises(StepFailedError, match="connection lost"):
        walked.go_on()
    assert world.rows.writers() == ["box"]
    assert world.rows.insert("second")
    climb(made, world, bucket, tmp_path).go_on()
    assert (world.stored(), world.rows.writer) == (["first", "second"], "rds")


def test_a_shift_that_fails_takes_the_rows_back_to_where_requests_go(tmp_path: Path) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    walked = climb(made, world, bucket, tmp_path)

    def break_it(step: Step, what: str) -> None:
        if (step.name, what) == ("shift", "doing"):
            world.faults["up"] = "Resource.AlreadyAssociated"

    walked.moment = break_it
    with pytest.raises(StepFailedError, match="AlreadyAssociated"):
        walked.go_on()
    assert world.stands == Words(made.before, "split", "expanded")
    assert world.rows.writers() == ["box"]


def test_nothing_is_interrupted_when_the_rehearsal_is_refused(tmp_path: Path) -> None:
    made = plan("single-16g-fixed", "split")
    world = at(made.before)
    world.rows.states["rds"] = "open"  # somebody made tables there
    world.rows.held["rds"] = ["theirs"]
    with pytest.raises(StepFailedError, match="rds is not empty"):
        climb(made, world, Bucket(), tmp_path).go_on()
    assert world.rows.states["box"] == "open"
    assert "copy" not in world.rows.asked


def test_a_command_that_outlived_its_killed_climb_is_waited_for(tmp_path: Path) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path, kill=("copy", "doing")).go_on()
    world.rows.busy = 3
    climb(made, world, bucket, tmp_path).go_on()
    assert (world.rows.busy, world.rows.writers()) == (0, ["rds"])


def test_an_old_side_that_was_opened_by_hand_during_a_climb_is_copied_anew(tmp_path: Path) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path, kill=("switch", "before")).go_on()
    world.rows("back")
    assert world.rows.insert("second")
    climb(made, world, bucket, tmp_path).go_on()
    assert world.stored() == ["first", "second"]


def test_a_climb_whose_rows_are_followed_has_no_rehearsal_and_is_away_for_the_switch_alone(
    tmp_path: Path,
) -> None:
    made = plan(*FOLLOWED)
    world = at(*FOLLOWED)
    walked = climb(made, world, Bucket(), tmp_path)
    walked.go_on()
    assert [each for each in world.rows.asked if each != "plan"] == ["follow", "switch"]
    (row,) = history.climbs(walked.journal.records)
    # What the box says that nobody could write, and the pretended probe's three seconds for each `up`.
    assert row["away_seconds"] == max(2.5, 3.0 * 2)
    assert row["forecast_away_seconds"] == FOLLOWED_AWAY_SECONDS
    assert history.fenced_seconds(made, walked.journal.records) == 2.5


def test_a_climb_taken_back_while_the_copy_follows_leaves_no_follower(tmp_path: Path) -> None:
    made, bucket = plan(*FOLLOWED), Bucket()
    world = at(*FOLLOWED)
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path, kill=("copy", "done")).go_on()
    assert world.rows.states == {"box": "open", "rds": "following"}
    climb(made, world, bucket, tmp_path).go_back()
    assert (world.rows.writers(), world.rows.states["rds"]) == (["box"], "copying")
    assert world.rows.asked[-1] == "back"


def test_a_followed_copy_that_differs_is_not_switched_to_and_nothing_follows_any_more(tmp_path: Path) -> None:
    made, bucket = plan(*FOLLOWED), Bucket()
    world = at(*FOLLOWED)
    world.rows.damaged = True
    with pytest.raises(StepFailedError, match="checksum differs"):
        climb(made, world, bucket, tmp_path).go_on()
    assert (world.rows.writers(), world.rows.states["rds"]) == (["box"], "copying")
    climb(made, world, bucket, tmp_path).go_on()
    assert (world.rows.writers(), world.stored()) == (["rds"], ["first"])


def test_nobody_is_sent_to_boxes_that_do_not_serve_while_the_old_one_still_answers(tmp_path: Path) -> None:
    made, bucket = plan(*FOLLOWED), Bucket()
    world = at(*FOLLOWED, faults={"unready": "i-1 does not serve"})
    with pytest.raises(StepFailedError, match="i-1 does not serve"):
        climb(made, world, bucket, tmp_path).go_on()
    assert world.stands == Words(made.before, "split", "expanded")
    assert (world.rows.writers(), world.stored()) == (["box"], ["first"])
    climb(made, world, bucket, tmp_path).go_on()
    assert world.stands == Words(made.before, "split", "moved")


def test_a_way_back_takes_along_what_the_new_side_took(tmp_path: Path) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    climb(made, world, bucket, tmp_path).go_on()
    assert world.rows.insert("second")
    climb(made, world, bucket, tmp_path).go_back()
    assert (world.rows.writers(), world.stored()) == (["box"], ["first", "second"])


def test_the_way_back_waits_for_those_who_remember_the_name_before_the_balancer_goes(tmp_path: Path) -> None:
    bucket, before = Bucket(), at("split")
    made = plan("split", "private")
    climb(made, before, bucket, tmp_path / "a").go_on()
    assert before.lingered == []
    climb(made, before, bucket, tmp_path / "a").go_back()
    assert before.lingered == [("expanded", steps.REMEMBERED_SECONDS)]
    early = at("split")
    with pytest.raises(Killed):
        climb(made, early, Bucket(), tmp_path / "b", kill=("verify", "done")).go_on()
    again = climb(made, early, Bucket(), tmp_path / "b")
    again.go_back()
    assert early.lingered == [], "nobody was sent there"


@pytest.mark.parametrize("step", ["expand", "copy", "switch", SHIFT])
def test_a_climb_that_was_abandoned_for_a_week_is_taken_back_from_another_clone_with_the_weeks_rows(
    tmp_path: Path, step: str
) -> None:
    made = replace(
        plan("single-16g-fixed", "split"),
        made_at="2026-01-01T00:00:00+00:00",
        expires_at="2026-01-02T00:00:00+00:00",
    )
    world, bucket = at(made.before), Bucket()
    with pytest.raises(Killed):
        climb(made, world, bucket, tmp_path / "a", kill=(step, "recorded")).go_on()
    taken = ["in the week"] if world.rows.insert("in the week") else []
    assert taken or step == "copy", "behind the fence alone nothing is acknowledged"
    put(bucket, holder(machine="elsewhere"))
    bucket.age_seconds = timedelta(days=7).total_seconds()

    again = climb(made, world, bucket, tmp_path / "b")
    with again.lock.held(reason="rollback", climb=made.id):
        again.go_back()
    assert (world.stands.stage, world.stands.climb_to, world.rows.writer) == (made.before, "", "box")
    assert world.stored() == ["first", *taken]
    assert history.open_climb(again.journal) is None


def test_nothing_goes_back_over_the_point_of_no_return(tmp_path: Path) -> None:
    walk = steps.contraction(listed("single-16g-fixed"), listed("split"), ())
    made = plan("single-16g-fixed", "split", walk=walk)
    world, bucket = World(Words(made.before, "split", "moved")), Bucket()
    climb(made, world, bucket, tmp_path).go_on()
    with pytest.raises(TerraceError, match="has passed its point of no return"):
        climb(made, world, bucket, tmp_path).go_back()
    assert world.stands.stage == "split"


def test_before_the_point_of_no_return_the_bucket_has_to_hold_the_record(tmp_path: Path) -> None:
    walk = steps.contraction(listed("single-16g-fixed"), listed("split"), ())
    made = plan("single-16g-fixed", "split", walk=walk)
    world, bucket = World(Words(made.before, "split", "moved")), Bucket()
    walked = climb(made, world, bucket, tmp_path)
    bucket.away = True
    with pytest.raises(TerraceError, match="what comes next cannot be undone"):
        walked.go_on()
    assert world.ups == 0


def test_with_the_bucket_away_a_reversible_climb_goes_on_and_says_so(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    world, bucket = World(Words("single-8g")), Bucket()
    walked = climb(made, world, bucket, tmp_path)
    said: list[str] = []
    walked.journal.says = said.append
    bucket.away = True
    walked.go_on()
    assert world.stands == Words("single-16g")
    assert "wait on this disk" in said[-1]
    bucket.away = False
    walked.journal.mirror()
    other = Journal(tmp_path / "other.jsonl", "dev", bucket)
    other.open()
    assert other.records == walked.journal.records


def test_a_climb_whose_lock_was_taken_over_does_not_take_another_step(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    world = World(Words("single-8g"))
    walked = climb(made, world, Bucket(), tmp_path)
    walked.lock.lost = "the lock was taken over by somebody else"
    with pytest.raises(TerraceError, match="taken over by somebody else"):
        walked.go_on()
    assert world.ups == 0


@pytest.mark.parametrize(("before", "after"), CLIMBS)
def test_ctrl_c_in_any_step_is_recorded_and_resumable(tmp_path: Path, before: str, after: str) -> None:
    made = plan(before, after)
    end = undisturbed(made, tmp_path / "whole").end()
    for step in made.steps:
        world, bucket, folder = at(before, after), Bucket(), tmp_path / step.name
        walked = climb(made, world, bucket, folder)

        def interrupt(at_: Step, what: str, name: str = step.name) -> None:
            if (at_.name, what) == (name, "doing"):
                raise KeyboardInterrupt

        walked.moment = interrupt
        with pytest.raises(KeyboardInterrupt):
            walked.go_on()
        last = walked.journal.records[-1]
        assert (last.event, last.step, last.data["why"]) == (Event.FAILED, step.name, "interrupted")
        if step.name == "copy" and world.rows.follows:
            assert world.rows.writers() == ["box"], "a copy that follows interrupts nobody"
        climb(made, world, bucket, folder).go_on()
        assert world.end() == end


@pytest.mark.parametrize(("event", "ups"), [(Event.BEFORE, 0), (Event.AFTER, 1)])
def test_a_disk_that_is_full_stops_a_climb_at_that_record_and_resume_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: Event, ups: int
) -> None:
    made, world, bucket = plan("single-8g", "single-16g"), at("single-8g"), Bucket()
    walked = climb(made, world, bucket, tmp_path)
    write = Journal._write

    def full(journal: Journal, record: Record) -> None:
        if (record.event, record.step) == (event, "resize"):
            monkeypatch.setattr(os, "fsync", no_room)
        write(journal, record)

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as there:
        there.setattr(Journal, "_write", full)
        with pytest.raises(TerraceError, match=r"No space left on device.*scale_up\.py resume -s dev"):
            walked.go_on()
    monkeypatch.undo()
    assert world.ups == ups
    again = climb(made, world, bucket, tmp_path)
    again.go_on()
    assert (world.stands, world.ups) == (Words("single-16g"), 1)
    assert list(chain_faults(again.journal.records)) == []


@pytest.mark.parametrize(
    ("step", "fenced"), [("rehearse", False), ("copy", True), ("switch", True), ("shift", True)]
)
def test_ctrl_c_behind_the_fence_says_that_the_application_has_no_database(
    tmp_path: Path, step: str, fenced: bool
) -> None:
    made, bucket = plan("single-16g-fixed", "split"), Bucket()
    world = at(made.before)
    walked = climb(made, world, bucket, tmp_path)
    said: list[str] = []
    walked.says = said.append

    def interrupt(at_: Step, what: str) -> None:
        if (at_.name, what) == (step, "doing"):
            raise KeyboardInterrupt

    walked.moment = interrupt
    with pytest.raises(KeyboardInterrupt):
        walked.go_on()
    assert any("without its database until resume" in each for each in said) is fenced
    climb(made, world, bucket, tmp_path).go_on()
    assert world.rows.writers() == ["rds"]


def test_the_history_tells_forecast_and_measured_and_the_next_forecast_is_the_median(tmp_path: Path) -> None:
    made = plan("single-8g", "single-16g")
    bucket = Bucket()
    walked = climb(made, World(Words("single-8g")), bucket, tmp_path)
    walked.go_on()
    (row,) = history.climbs(walked.journal.records)
    assert (row["forecast_away_seconds"], row["away_seconds"], row["requests_lost"]) == (45.0, 3.0, 0)
    assert (row["ended"], row["resumed"], row["failed"]) == ("done", 0, [])
    assert history.usual_away(walked.journal.records, moves_rows=False) == 3.0
    assert history.usual_away(walked.journal.records, moves_rows=True) is None


@pytest.mark.parametrize(("measured", "held"), [(15.0, True), (75.0, True), (75.1, False), (14.9, False)])
def test_a_forecast_holds_within_thirty_seconds_of_what_was_measured(
    tmp_path: Path, measured: float, held: bool
) -> None:
    made = plan("single-8g", "single-16g")
    walked = climb(made, at(made.before), Bucket(), tmp_path)
    walked.journal.append(made.id, Event.BEGAN, before="a", after="b", forecast_away_seconds=45.0)
    walked.journal.append(made.id, Event.ENDED, forecast_away_seconds=45.0, away_seconds=measured)
    (row,) = history.climbs(walked.journal.records)
    assert row["forecast_held"] is held


def test_without_its_database_is_measured_from_the_fence_until_requests_reach_an_open_one(
    tmp_path: Path,
) -> None:
    made = plan("single-16g-fixed", "split")
    now = datetime(2026, 11, 21, tzinfo=UTC)
    walked = climb(made, at(made.before), Bucket(), tmp_path)
    clock = iter(range(0, 10_000, 10))
    walked.journal.now = lambda: now + timedelta(seconds=next(clock))
    walked.go_on()
    (row,) = history.climbs(walked.journal.records)
    # Before and after of copy, switch and shift: five times from one record to the next.
    assert row["away_seconds"] == 50.0
    assert row["forecast_away_seconds"] == 2.0 * VERIFIES + SHIFT_SECONDS
    assert row["forecast_held"]
    assert history.usual_away(walked.journal.records, moves_rows=True) == 50.0
    walked.go_back()
    back = history.climbs(walked.journal.records)[-1]
    assert back["away_seconds"] == 100.0


def test_a_plan_reads_back_as_it_was_written_and_a_changed_one_is_refused() -> None:
    made = plan("single-16g-fixed", "split")
    assert Plan.parse(made.text()) == made
    with pytest.raises(TerraceError, match="was changed after it was made"):
        Plan.parse(made.text().replace('"before": "single-16g-fixed"', '"before": "single-8g"'))
