"""What a deploy does, step by step, on a box that is only pretended."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.core.release import Part, Strategy
from infra.host.box.deploy.errors import DeployError, Interrupted, RefusedError
from infra.host.box.deploy.model import Instance, Result, Serving, State
from tests.deploy.pretended import START_SECONDS, Habit, Killed, World, copied

BACKEND, FRONTEND = Part.BACKEND, Part.FRONTEND
BESIDE = (Strategy.ROLLING, Strategy.BLUE_GREEN)
EVERY = tuple(Strategy)


def release(world: World, version: str, strategy: Strategy = Strategy.ROLLING):
    return world.engine().release(version, strategy, by="kim", reason="because")


def rollback(world: World, strategy: Strategy = Strategy.ROLLING):
    return world.engine().rollback(strategy, by="kim", reason="it is slow")


def serving(version: str = "v1", **changes) -> World:
    """A box on which that version serves, and every request from now on is watched."""
    world = World(**changes)
    assert release(world, version).result is Result.RELEASED
    world.watched, world.steps, world.most_processes = True, 0, 0
    world.lines.clear()
    world.ends.clear()
    world.served.clear()
    return world


def versions(world: World) -> set[str]:
    return {world.version_of(part) for part in (BACKEND, FRONTEND)}


def settled(world: World) -> None:
    """Exactly what is written down runs, healthy, and Nginx leads there and nowhere else."""
    assert world.under_way is None
    for part in world.state.parts:
        instance = world.state.instance(part)
        assert instance is not None
        assert world.healthy(instance), f"{instance} is not healthy"
        assert world.loaded[part] == world.files[part] == (instance.port,)
        assert world.version_of(part) == world.state.parts[part].version
    assert {each for each in world.processes if world.alive(each)} == {
        world.state.instance(part) for part in world.state.parts
    }


def test_the_first_release_of_a_box_serves_and_is_written_down() -> None:
    world = World()
    outcome = release(world, "v1")
    assert (outcome.result, outcome.downtime_seconds) == (Result.RELEASED, 0)
    assert world.state == State({BACKEND: Serving("v1", 8080), FRONTEND: Serving("v1", 3000)}, ("v1",))
    settled(world)


@pytest.mark.parametrize("strategy", BESIDE)
def test_beside_its_predecessor_a_release_is_taken_up_and_every_request_is_answered(
    strategy: Strategy,
) -> None:
    world = serving("v1")
    outcome = release(world, "v2", strategy)
    assert outcome.result is Result.RELEASED
    assert (world.dark, world.served, versions(world)) == ([], {"v1", "v2"}, {"v2"})
    assert world.state == State({BACKEND: Serving("v2", 8081), FRONTEND: Serving("v2", 3001)}, ("v1", "v2"))
    settled(world)


def test_rolling_puts_one_service_more_on_the_box_and_blue_green_two() -> None:
    for strategy, most in ((Strategy.ROLLING, 3), (Strategy.BLUE_GREEN, 4), (Strategy.BIG_BANG, 2)):
        world = serving("v1")
        release(world, "v2", strategy)
        assert world.most_processes == most


def test_rolling_takes_up_the_backend_before_the_frontend() -> None:
    world = serving("v1")
    release(world, "v2")
    assert world.ends == [Instance(BACKEND, 8080), Instance(FRONTEND, 3000)]


def test_big_bang_says_how_long_nothing_served() -> None:
    world = serving("v1")
    outcome = release(world, "v2", Strategy.BIG_BANG)
    assert outcome.result is Result.RELEASED
    assert world.dark[-1] - world.dark[0] <= outcome.downtime_seconds <= START_SECONDS + 1
    assert world.state.parts[BACKEND] == Serving("v2", 8080)
    settled(world)


def test_the_database_is_migrated_before_anything_is_started_or_stopped() -> None:
    world = serving("v1", migration_fails={"v2"})
    processes = dict(world.processes)
    for strategy in EVERY:
        outcome = release(world, "v2", strategy)
        assert outcome.result is Result.ROLLED_BACK
        assert "migrations of v2" in outcome.reason
    assert (world.processes, world.dark, world.migrated) == (processes, [], ["v1"])
    settled(world)


def test_the_same_release_again_changes_nothing() -> None:
    world = serving("v1")
    outcome = release(world, "v1")
    assert (outcome.result, outcome.changed, world.lines, world.ends) == (Result.RELEASED, False, [], [])


def test_a_release_that_cannot_be_had_begins_nothing() -> None:
    world = serving("v1", spoilt={"v2"})
    for version in ("v2", "v9"):
        with pytest.raises(DeployError):
            release(world, version)
    assert (world.lines, world.ends, world.migrated) == ([], [], ["v1"])
    settled(world)


@pytest.mark.parametrize("part", [BACKEND, FRONTEND])
@pytest.mark.parametrize("strategy", BESIDE)
@pytest.mark.parametrize(
    "habit",
    [Habit(never_healthy=True), Habit(dies_after=0.0), Habit(dies_after=7.0)],
    ids=["never", "exits", "dies"],
)
def test_a_release_that_fails_beside_its_predecessor_is_taken_back_and_no_request_is_lost(
    strategy: Strategy, habit: Habit, part: Part
) -> None:
    world = serving("v1", habits={"v2": replace(habit, part=part)})
    outcome = release(world, "v2", strategy)
    assert outcome.result is Result.ROLLED_BACK
    assert "v2" in outcome.reason
    assert f"tail -n 100 /var/log/terrace/{part.value}.log" in outcome.reason
    assert (world.dark, versions(world), world.state.line) == ([], {"v1"}, ("v1",))
    assert world.lines[-1]["result"] is Result.ROLLED_BACK
    settled(world)


@pytest.mark.parametrize("part", [BACKEND, FRONTEND])
@pytest.mark.parametrize("habit", [Habit(never_healthy=True), Habit(dies_after=0.0), Habit(dies_after=7.0)])
def test_a_big_bang_that_fails_ends_with_the_predecessor_serving_again(habit: Habit, part: Part) -> None:
    world = serving("v1", habits={"v2": replace(habit, part=part)})
    outcome = release(world, "v2", Strategy.BIG_BANG)
    assert (outcome.result, versions(world)) == (Result.ROLLED_BACK, {"v1"})
    assert outcome.downtime_seconds >= 3
    settled(world)


def test_half_a_release_left_by_a_kill_goes_back_whole_when_the_other_half_fails() -> None:
    for at in itertools.count(1):
        world = serving("v1", habits={"v2": Habit(dies_after=7.0, part=FRONTEND)})
        killed(world, at, Strategy.ROLLING)
        if world.state.parts[BACKEND].version == "v2":
            break
    assert versions(world) == {"v1", "v2"}
    assert release(world, "v2").result is Result.ROLLED_BACK
    assert versions(world) == {"v1"}
    settled(world)


def test_what_dies_after_its_soak_is_not_the_deploys_business() -> None:
    world = serving("v1", habits={"v2": Habit(dies_after=1000)})
    assert release(world, "v2").result is Result.RELEASED


@pytest.mark.parametrize("part", [BACKEND, FRONTEND])
def test_a_first_release_that_fails_leaves_a_box_without_one(part: Part) -> None:
    world = World(habits={"v1": Habit(dies_after=7.0, part=part)})
    assert release(world, "v1").result is Result.ROLLED_BACK
    assert (world.state, world.processes) == (State(), {})
    assert release(world, "v2").result is Result.RELEASED


def test_a_worker_that_does_not_follow_is_said_and_changes_nothing_else() -> None:
    world = serving("v1", worker_fails=True)
    assert release(world, "v2").result is Result.RELEASED
    assert any(step == "worker" for step, _ in world.said)
    settled(world)


def test_an_old_service_gets_time_to_drain_and_is_then_asked_to_end() -> None:
    world = serving("v1", open_connections=20)
    release(world, "v2")
    assert ("backend", "asks 20 connections on 8080 to end") in world.said


def test_rollback_goes_back_one_release_each_time_and_leaves_the_database() -> None:
    world = serving("v1")
    release(world, "v2")
    release(world, "v3")
    migrated = list(world.migrated)
    for expected in ("v2", "v1"):
        assert rollback(world).result is Result.RELEASED
        assert (versions(world), world.state.current) == ({expected}, expected)
    assert (world.dark, world.migrated) == ([], migrated)
    with pytest.raises(RefusedError, match="no earlier release"):
        rollback(world)
    settled(world)


def test_the_worker_follows_the_backends_release() -> None:
    world = serving("v1")
    release(world, "v2")
    assert world.worker == "v2"


@pytest.mark.parametrize(
    ("strategy", "needs"), [(Strategy.ROLLING, 1500), (Strategy.BLUE_GREEN, 2200), (Strategy.BIG_BANG, 384)]
)
def test_what_does_not_fit_is_refused_with_the_numbers(strategy: Strategy, needs: int) -> None:
    world = serving("v1", free_mib=needs)
    assert release(copied(world), "v2", strategy).result is Result.RELEASED
    world.free_mib = needs - 1
    with pytest.raises(RefusedError, match=rf"needs {needs} MiB .* {needs - 1} MiB of 8192 MiB are free"):
        release(world, "v2", strategy)
    assert (world.lines, world.ends) == ([], [])


def test_releases_that_nobody_goes_back_to_leave_the_disk_and_the_way_back_stays() -> None:
    world = serving("v1", published={f"v{number}" for number in range(1, 10)})
    for number in range(2, 10):
        release(world, f"v{number}")
    assert world.kept == {"v5", "v6", "v7", "v8", "v9"}
    assert rollback(world).result is Result.RELEASED
    assert versions(world) == {"v8"}


@pytest.mark.parametrize(("role", "part"), [("backend", BACKEND), ("frontend", FRONTEND)])
def test_a_box_of_one_role_takes_its_part_alone(role: str, part: Part) -> None:
    world = serving("v1", role=role)
    release(world, "v2")
    assert set(world.state.parts) == {part}
    assert world.migrated == (["v1", "v2"] if part is BACKEND else [])
    settled(world)


def test_nginx_refusing_the_switch_leaves_everything_as_it_was() -> None:
    world = serving("v1")
    world.nginx_refuses = True
    outcome = release(world, "v2")
    assert outcome.result is Result.FAILED
    assert (world.dark, versions(world)) == ([], {"v1"})
    world.nginx_refuses = False
    world.engine().settle()
    settled(world)


def test_a_service_of_the_release_that_serves_is_started_when_it_does_not_run() -> None:
    world = serving("v1")
    world.processes.pop(Instance(FRONTEND, 3000))
    world.engine().settle()
    settled(world)


def test_a_broken_release_is_left_by_the_next_one_and_by_a_rollback() -> None:
    for leave in (lambda world: release(world, "v3"), rollback):
        world = serving("v1")
        release(world, "v2")
        world.habits["v2"] = Habit(dies_after=0.0)
        assert leave(world).result is Result.RELEASED
        assert "v2" not in versions(world)
        settled(world)


def test_a_signal_brings_the_box_back_and_is_written_down() -> None:
    world = serving("v1")
    world.interrupt_at = world.steps + 9
    with pytest.raises(Interrupted):
        release(world, "v2")
    assert (world.dark, world.lines[-1]["result"]) == ([], Result.INTERRUPTED)
    settled(world)


def test_a_box_without_data_starts_at_its_first_boot_what_it_should_run() -> None:
    world = World(role="backend", wanted_version="v2")
    world.engine().boot()
    assert world.state == State({BACKEND: Serving("v2", 8080)}, ("v2",))
    assert world.files == {BACKEND: (8080,)}


# -- killed at every step --------------------------------------------------------------------------------------------


def kill_points(strategy: Strategy, habits: dict[str, Habit] | None = None) -> int:
    world = serving("v1", habits=habits or {})
    release(world, "v2", strategy)
    return world.steps


def killed(world: World, at: int, strategy: Strategy) -> None:
    """Releases v2 until the kill; nothing else runs after it, and the services go on as they are."""
    world.steps, world.kill_at = 0, at
    with suppress(Killed):
        release(world, "v2", strategy)
    world.kill_at = None


@pytest.mark.parametrize("strategy", EVERY)
def test_killed_at_any_step_the_next_run_repairs_and_goes_on(strategy: Strategy) -> None:
    points = kill_points(strategy)
    assert points > 20
    for at in range(1, points + 1):
        world = serving("v1")
        killed(world, at, strategy)
        assert release(world, "v2", strategy).result is Result.RELEASED
        assert versions(world) == {"v2"}, f"killed at step {at}"
        if strategy in BESIDE:
            assert world.dark == [], f"killed at step {at}"
        assert [line["id"] for line in world.lines] == list(dict.fromkeys(line["id"] for line in world.lines))
        settled(world)


@pytest.mark.parametrize("strategy", EVERY)
def test_killed_at_any_step_a_rollback_finds_its_way_too(strategy: Strategy) -> None:
    for at in range(1, kill_points(strategy) + 1, 3):
        world = serving("v1")
        killed(world, at, strategy)
        if world.state.way_back:
            rollback(world, strategy)
        else:
            world.engine().settle()
        assert versions(world) == {"v1"}, f"killed at step {at}"
        settled(world)


@pytest.mark.parametrize("strategy", EVERY)
def test_a_power_cut_at_any_step_ends_with_what_was_written_down_serving(strategy: Strategy) -> None:
    for at in range(1, kill_points(strategy) + 1):
        world = serving("v1")
        killed(world, at, strategy)
        written = dict(world.state.parts)
        world.cut_power()
        world.watched = False
        world.power_on()
        world.time += 10
        assert {part: world.version_of(part) for part in (BACKEND, FRONTEND)} == {
            part: each.version for part, each in written.items()
        }, f"cut at step {at}"
        settled(world)
        world.watched = True
        assert release(world, "v2", strategy).result is Result.RELEASED
        settled(world)


@settings(max_examples=60)
@given(
    kills=st.lists(st.integers(1, 60), max_size=4),
    strategies=st.lists(st.sampled_from(EVERY), min_size=5, max_size=5),
    habit=st.sampled_from(
        [None, Habit(never_healthy=True), Habit(dies_after=7.0), Habit(dies_after=7.0, part=FRONTEND)]
    ),
)
def test_however_often_killed_and_whatever_the_release_the_end_is_whole(
    kills: list[int], strategies: list[Strategy], habit: Habit | None
) -> None:
    world = serving("v1", habits={"v2": habit} if habit else {})
    for at, strategy in zip(kills, strategies, strict=False):
        killed(world, at, strategy)
    outcome = release(world, "v2", strategies[-1])
    assert versions(world) == ({"v1"} if habit else {"v2"})
    assert outcome.result is (Result.ROLLED_BACK if habit else Result.RELEASED)
    if Strategy.BIG_BANG not in strategies:
        assert world.dark == []
    settled(world)
