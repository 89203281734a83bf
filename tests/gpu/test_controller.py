"""The controller on the double: what it does on good and on bad days."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedded.runpod.faults import FaultName
from infra.clients.calling import UnauthorizedError
from infra.clients.runpod_jobs import JobPolicy
from infra.core.errors import TerraceError
from infra.core.gpu.bodies import cards
from infra.core.gpu.decide import Bounds, Decision, Finding, Observation, Override, State, decide
from infra.core.gpu.definition import load_policy
from infra.core.gpu.modes import Mode, Wanted, Workers
from infra.core.gpu.platform import BURST_WORKERS, Stock, WorkerStatus
from infra.core.gpu.policy import Window, overshoot_usd
from infra.host.box.gpu.controller import Controller
from infra.host.box.gpu.record import ConflictError, Document, FileStore, Journal, take_override

from .desk import DAY, Board, Desk, desk
from .support import NOW, definition, envelope

BOUND_USD = overshoot_usd(
    most_workers=2,
    burst=BURST_WORKERS,
    policy=load_policy(),
    job_timeout_seconds=300,
    idle_timeout_seconds=60,
)


def test_a_quiet_endpoint_stays_in_flex_and_nothing_is_sent(auto: Desk) -> None:
    first, *others = auto.rounds(30)
    assert (first.role, auto.live.least) == ("leader", 0)
    assert not any(each.changed for each in others)
    assert not [each for each in auto.bench.double.requests if each[1].endswith(("run", "runsync"))]


def test_a_rush_is_met_with_a_kept_worker_and_left_slowly(auto: Desk) -> None:
    auto.rounds(5)
    for _ in range(15):
        auto.send(12)
        auto.rounds(1)
    assert auto.live.least >= 1
    quiet = auto.rounds(60)
    down = next(index for index, each in enumerate(quiet) if each.changed)
    assert down >= 15
    assert auto.live.least == 0


def test_a_usual_rush_is_expected_the_next_day_before_it_begins(auto: Desk) -> None:
    start = NOW - NOW % DAY + DAY
    auto.bench.double.world.advance(start - 600)
    for _ in range(2):
        auto.rounds(4 * 60 + 10)
        for _ in range(30):
            auto.send(12)
            auto.rounds(1)
        auto.rounds((DAY - 4 * 3600 - 600 - 1800) / 60)
    auto.rounds(4 * 60 + 9)
    assert auto.live.least == 1
    assert "expected" in auto.controller.round().said


def test_the_calendar_is_kept_with_a_lead(tmp_path: Path) -> None:
    day = (NOW + 9 * 3600) // 60 % 1440
    window = Window(tuple(range(7)), int(day) + 10, int(day) + 40, Mode.ACTIVE)
    policy = replace(load_policy(), calendar=(window,))
    made = desk(tmp_path, policy=policy)
    made.rounds(5)
    assert made.live.least == 0
    made.rounds(4)
    assert made.live.least == 1


def test_a_validation_ends_by_itself(tmp_path: Path) -> None:
    made = desk(tmp_path, Wanted.ACTIVE)
    made.controller.plan = replace(made.controller.plan, active_until=NOW + 3600)
    made.rounds(50)
    assert made.live.least == 1
    made.rounds(40)
    assert made.live.least == 0


@pytest.mark.parametrize(("budget_usd", "kept"), [(130.0, True), (100.0, False)])
def test_a_validation_of_a_week_from_the_first_of_a_month_is_judged_by_its_own_end(
    budget_usd: float, kept: bool
) -> None:
    policy, first, month = load_policy(), 0.0, 30 * DAY
    state = State(mode=Mode.ACTIVE if kept else Mode.FLEX, last_at=first)
    for hour in range(1, 7 * 24):
        now = first + hour * 3600
        usd = hour * 3600 * policy.usd_per_second if kept else 0.0
        seen = Observation(now, Workers(int(kept), 2, 60), {}, 0, 0, 0, 0, usd)
        bounds = Bounds(envelope(Wanted.ACTIVE), budget_usd, now, month - now, 300.0, first + 7 * DAY)
        decision = decide(state, seen, policy, bounds, now)
        assert (decision.mode is Mode.ACTIVE) is kept, decision.reason
        if not kept:
            assert "come to" in decision.reason
            return
        state = decision.state


def test_an_override_holds_until_it_expires(auto: Desk) -> None:
    take_override(auto.controller.store, Override(Mode.ACTIVE, NOW + 1800, "kim", "demo for a customer"))
    auto.rounds(20)
    assert auto.live.least == 1
    auto.rounds(60)
    assert auto.live.least == 0


def test_the_budget_closes_the_endpoint_and_a_running_job_is_not_killed(tmp_path: Path) -> None:
    made = desk(tmp_path, budget=0.05, execution_seconds=250.0)
    job = made.send()
    while made.spent_usd < 0.05:
        made.rounds(1)
    assert made.status_of(job) == "IN_PROGRESS"
    made.rounds(10)
    assert made.status_of(job) == "COMPLETED"
    assert made.live.most == 0
    assert made.spent_usd <= 0.05 + BOUND_USD


def test_an_endpoint_that_a_person_closes_ends_its_running_job_first(tmp_path: Path) -> None:
    made = desk(tmp_path, execution_seconds=250.0)
    made.rounds(1)
    job = made.send()
    made.rounds(4)
    take_override(made.controller.store, Override(Mode.CLOSED, NOW + 9999, "kim", "image is changed"))
    made.rounds(1)
    assert made.live == Workers(0, 1, 1)
    assert made.status_of(job) == "IN_PROGRESS"
    made.rounds(5)
    assert made.status_of(job) == "COMPLETED"
    assert made.platform.retried == 0
    assert made.live.most == 0


def test_an_endpoint_that_a_person_closes_while_work_never_ends_is_closed_after_the_jobs_timeout(
    tmp_path: Path,
) -> None:
    made = desk(tmp_path, execution_seconds=20.0)
    for _ in range(4):
        made.send(60)
        made.rounds(1)
    take_override(made.controller.store, Override(Mode.CLOSED, NOW + 9999, "kim", "image is changed"))
    most = []
    for _ in range(6):
        made.send(60)
        made.rounds(1)
        most.append(made.live.most)
    assert most[0] >= 1
    assert most[-1] == 0
    assert made.platform.retried == 0


def test_an_idle_endpoint_that_a_person_closes_is_closed_at_once(tmp_path: Path) -> None:
    made = desk(tmp_path, Wanted.ACTIVE)
    made.rounds(5)
    take_override(made.controller.store, Override(Mode.CLOSED, NOW + 9999, "kim", "image is changed"))
    made.rounds(1)
    assert made.live.most == 0


def test_workers_that_crash_beside_one_that_works_are_no_crash_loop(auto: Desk) -> None:
    """Closing for a crash loop kills no work: there is none where no worker is ready."""
    auto.bench.double.habits.execution_seconds = 600.0
    auto.bench.jobs(auto.endpoint).run({}, JobPolicy(3600, 7200))
    auto.rounds(4)
    auto.platform.crashing = True
    auto.send(20)
    for each in auto.rounds(3):
        assert each.decision is not None
        assert Finding.CRASH_LOOP not in each.decision.findings
        assert auto.live.most == 2


def test_with_work_that_never_ends_the_overshoot_stays_under_its_bound(tmp_path: Path) -> None:
    made = desk(tmp_path, budget=0.2, execution_seconds=20.0, extra_workers=2)
    for _ in range(40):
        made.send(60)
        made.rounds(1)
    assert 0.15 < made.spent_usd <= 0.2 + BOUND_USD
    assert made.live.most == 0


def test_without_stock_nothing_is_flipped_up(tmp_path: Path) -> None:
    made = desk(tmp_path, stock={"NVIDIA L4": "NONE"})
    made.rounds(2)
    made.send(30)
    rounds = made.rounds(10)
    assert any(each.decision and Finding.NO_STOCK in each.decision.findings for each in rounds)
    assert made.live.least == 0


@pytest.mark.parametrize(
    ("level", "cuda", "rounds"),
    [
        (Stock.HIGH, [("12.8", True), ("13.0", False)], 1),
        (Stock.HIGH, [("12.8", True)], 1),
        (Stock.HIGH, [("13.1", True)], 3),
        (Stock.LOW, [], 3),
        (Stock.NONE, [("13.0", True)], 1),
    ],
)
def test_throttled_workers_without_a_host_of_their_cuda_are_a_finding_at_once_and_others_after_some_rounds(
    level: Stock, cuda: list[tuple[str, bool]], rounds: int
) -> None:
    policy, state, took = load_policy(), State(), 0
    stock = cards(definition()).stock(level, cuda)
    for took in range(1, 9):
        now = NOW + 60 * took
        seen = Observation(now, Workers(0, 2, 60), {WorkerStatus.THROTTLED: 1}, 3, 0, 0, 0, 0.0, stock=stock)
        decision = decide(state, seen, policy, Bounds(envelope(), 50.0, 1e6, 1e6, 300.0), now)
        state = State.from_data(decision.state.as_data())
        if Finding.NO_STOCK in decision.findings:
            break
    assert took == rounds


def test_a_key_that_may_not_read_the_catalogue_leads_on_without_cards(tmp_path: Path) -> None:
    made = desk(tmp_path, stock={"NVIDIA L4": "NONE"})
    made.send(3)
    made.bench.double.faults.plan(FaultName.FORBIDDEN, path="/v2/catalog", times=9)
    found = made.rounds(4)[-1].decision
    assert made.bench.double.faults.struck
    assert found is not None
    assert Finding.NO_STOCK in found.findings


def test_a_crash_loop_is_closed_before_it_bills_on_and_on(auto: Desk) -> None:
    auto.rounds(2)
    auto.platform.crashing = True
    auto.send(3)
    auto.rounds(30)
    assert auto.live.most == 0
    assert auto.spent_usd < 0.2
    assert "crash" in "".join(str(each) for each in auto.controller.journal.read())


def test_whoever_has_looked_into_a_crash_loop_ends_its_rest_by_mode_auto(auto: Desk) -> None:
    auto.platform.crashing = True
    auto.send(1)
    auto.rounds(30)
    auto.platform.crashing = False
    assert (auto.rounds(5)[-1].said.startswith("closed for another"), auto.live.most) == (True, 0)
    take_override(auto.controller.store, None)
    auto.rounds(5)
    assert auto.live.most == 2
    assert auto.platform.completed == 1


def test_an_image_that_cannot_be_pulled_ends_closed_too(auto: Desk) -> None:
    auto.rounds(2)
    auto.bench.double.habits.bad_images.add(auto.platform.body["image"])
    auto.send(1)
    auto.rounds(20)
    assert auto.live.most == 0
    assert auto.spent_usd == 0


def test_a_start_as_long_as_the_definition_allows_is_no_crash_loop(auto: Desk) -> None:
    auto.bench.double.habits.cold_seconds = 799.0
    auto.send(1)
    for each in auto.rounds(16):
        assert each.decision is not None
        assert Finding.CRASH_LOOP not in each.decision.findings
    assert auto.platform.completed == 1


def test_a_dead_engine_is_thrown_away_and_a_new_one_does_the_work(auto: Desk) -> None:
    auto.send(1)
    auto.rounds(3)
    endpoint = auto.platform
    next(iter(endpoint.workers.values())).dead_engine = True
    auto.send(4)
    closed = auto.rounds(1)[0]
    assert closed.decision is not None
    assert Finding.DEAD_ENGINE in closed.decision.findings
    assert auto.live.most == 0
    auto.rounds(3)
    done = endpoint.completed
    auto.send(4)
    auto.rounds(6)
    assert endpoint.completed == done + 4


def looked(counts: list[tuple[int, int]]) -> list[Decision]:
    """What is decided of two ready workers, minute by minute, by what has failed and completed in each."""
    policy, state, failed, completed, found = load_policy(), State(), 0, 0, []
    for minute, (more_failed, more_completed) in enumerate(counts):
        failed, completed, now = failed + more_failed, completed + more_completed, NOW + 60 * minute
        seen = Observation(now, Workers(0, 2, 60), {WorkerStatus.RUNNING: 2}, 0, 1, completed, failed, 1.0)
        found.append(decide(state, seen, policy, Bounds(envelope(), 50.0, 1e6, 1e6, 300.0), now))
        state = State.from_data(json.loads(json.dumps(found[-1].state.as_data())))
    return found


def test_a_dead_engine_beside_a_sound_one_is_found_and_what_the_sound_one_does_is_not_killed() -> None:
    found = looked([(0, 0), (0, 8), (9, 4), (9, 4), (9, 4), (9, 0), (9, 4), (9, 4)])
    assert [Finding.ONE_DEAD_ENGINE in each.findings for each in found] == [False] * 3 + [True] + [False] * 4
    assert {each.workers for each in found[3:7]} == {Workers(0, 2, 1)}
    # Rests while it is drained, so one event is one bounce, and ends by itself.
    assert {each.mode for each in found[3:]} == {Mode.CLOSED}
    assert len(found[-1].state.bounces) == 1


@pytest.mark.parametrize("counts", [[(1, 20)] * 9, [(3, 4)] * 9, [(2, 0), (0, 1)] * 5])
def test_failures_that_are_the_fewer_or_few_are_no_dead_engine(counts: list[tuple[int, int]]) -> None:
    assert {each.mode for each in looked(counts)} <= {Mode.FLEX, Mode.SOFT, Mode.ACTIVE}


def test_what_the_platform_lowered_after_quiet_days_is_restored(auto: Desk) -> None:
    auto.bench.api.patch(auto.endpoint, {"workers": {"min": 0, "max": 2, "idleTimeout": 60}})
    auto.rounds(2)
    found = []
    for _ in range(8 * 24):
        auto.bench.pass_time(3600 - 60)
        found += auto.rounds(1)
    assert any(each.decision and Finding.QUIETED in each.decision.findings for each in found)
    assert auto.live.most == 2


def test_an_edit_in_the_console_is_left_alone_for_an_hour(auto: Desk) -> None:
    auto.rounds(3)
    auto.platform.body["workers"] = {"min": 1, "max": 1, "idleTimeout": 60}
    auto.rounds(50)
    assert auto.live == Workers(1, 1, 60)
    auto.rounds(15)
    assert auto.live == Workers(0, 2, 60)


def test_an_edit_beyond_the_envelope_is_put_right_at_once(auto: Desk) -> None:
    auto.rounds(3)
    auto.platform.body["workers"] = {"min": 3, "max": 5, "idleTimeout": 60}
    auto.rounds(1)
    assert auto.live == Workers(0, 2, 60)


def test_a_wiped_exclusion_is_restored_after_the_controllers_own_patch(auto: Desk) -> None:
    auto.rounds(2)
    auto.bench.double.faults.plan(FaultName.WIPES_EXCLUSIONS, method="PATCH")
    take_override(auto.controller.store, Override(Mode.ACTIVE, NOW + 9999, "kim", "try"))
    auto.rounds(2)
    assert len(auto.platform.body["gpu"]["excludedTypes"]) == 2


def test_an_exclusion_that_was_wiped_unseen_is_restored_by_a_later_round_that_changes_nothing_else(
    auto: Desk,
) -> None:
    auto.rounds(2)
    auto.platform.body["gpu"]["excludedTypes"] = []
    (found,) = auto.rounds(1)
    assert not found.changed
    assert len(auto.platform.body["gpu"]["excludedTypes"]) == 2
    assert auto.platform.body["gpu"]["minCudaVersion"] == "13.0"
    assert [each["event"] for each in auto.controller.journal.read()][-2:] == ["will repair", "repaired"]


def test_of_two_boxes_one_leads_and_the_other_takes_over_when_it_falls_silent(auto: Desk) -> None:
    other = replace(auto.controller, holder="box-2")
    assert auto.rounds(1)[0].role == "leader"
    assert other.round().role == "follower"
    auto.bench.pass_time(181)
    assert other.round().role == "leader"
    assert auto.controller.round().role == "follower"


def test_a_dry_run_writes_nothing(auto: Desk) -> None:
    auto.controller.dry_run = True
    take_override(auto.controller.store, Override(Mode.ACTIVE, NOW + 9999, "kim", "try"))
    before = auto.controller.store.load()[1]
    assert auto.controller.round().said.startswith("would set min 1")
    assert auto.live.least == 0
    assert auto.controller.store.load()[1] == before


def test_a_revoked_key_fails_loudly(auto: Desk) -> None:
    auto.bench.double.habits.allowed_keys.clear()
    with pytest.raises(UnauthorizedError, match="key set"):
        auto.controller.round()


def test_a_rate_limit_of_an_hour_costs_one_call_though_boxes_start_a_round_each_minute(auto: Desk) -> None:
    """Each round is a program of its own, as the timer starts it, and any box may make it."""
    auto.controller.metrics = board = Board([])
    auto.rounds(2)
    double, other = auto.bench.double, replace(auto.controller, holder="box-2")
    asked = len(double.requests)
    double.faults.plan(FaultName.LIMITED, times=99, retry_after_seconds=3600)
    limited = auto.rounds(1)[0]
    for minute in range(58):
        auto.bench.pass_time(60)
        (auto.controller if minute < 20 else other).round()
    assert limited.next_check_seconds == 3600
    assert len(double.requests) == asked + 1
    assert {each["gpu_controller_blind"][0] for each in board.told[2:]} == {1.0}
    double.faults.planned.clear()
    auto.bench.pass_time(60)
    assert other.round().decision is None
    auto.bench.pass_time(60)
    assert other.round().decision is not None


def test_a_rest_that_lies_beyond_any_was_set_by_a_clock_that_went_back_and_is_not_kept(auto: Desk) -> None:
    auto.controller.store.save(Document(not_before=NOW + 4000), "")
    assert auto.controller.round().decision is not None


def test_a_rest_of_a_day_is_broken_by_one_call_an_hour(auto: Desk) -> None:
    auto.bench.double.faults.plan(FaultName.LIMITED, times=99, retry_after_seconds=86400)
    auto.rounds(6 * 60)
    assert 5 <= len(auto.bench.double.requests) - 1 <= 6


def test_a_server_that_fails_is_held_out(auto: Desk) -> None:
    auto.rounds(1)
    auto.bench.double.faults.plan(FaultName.SERVER_ERROR, times=3)
    assert all("hold" in each.said for each in auto.rounds(3))
    assert auto.rounds(1)[0].decision is not None


def test_an_endpoint_deleted_in_the_console_needs_a_person(auto: Desk) -> None:
    auto.bench.double.world.remove(auto.platform)
    with pytest.raises(TerraceError, match="pulumi up"):
        auto.controller.round()


def test_a_clock_that_jumps_back_changes_nothing(auto: Desk) -> None:
    auto.rounds(5)
    auto.controller.clock = lambda: NOW - 9999
    found = auto.controller.round()
    assert found.decision is not None
    assert Finding.STALE in found.decision.findings
    assert not found.changed


def test_a_clock_that_jumps_ahead_counts_too_much_rather_than_too_little_and_stops_nobody(auto: Desk) -> None:
    auto.send(1)
    auto.rounds(3)
    world = auto.bench.double.world
    auto.controller.clock = lambda: world.now + 3600
    found = auto.rounds(1)[0]
    assert found.decision is not None
    assert found.decision.mode is Mode.FLEX
    auto.controller.clock = lambda: world.now
    auto.rounds(61)
    counted = auto.controller.store.load()[0].money.usd
    billed = auto.spent_usd
    assert billed <= counted <= billed + 2 * 3600 * load_policy().usd_per_second


def test_a_worker_without_a_variable_that_it_needs_is_a_crash_loop_and_is_closed(auto: Desk) -> None:
    auto.rounds(1)
    del auto.platform.body["env"]["MODEL_NAME"]
    auto.send(1)
    auto.rounds(30)
    assert auto.live.most == 0
    assert auto.spent_usd < 0.2


def test_a_controller_killed_between_memory_and_patch_goes_on_as_if_nothing_was(
    auto: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto.rounds(2)
    take_override(auto.controller.store, Override(Mode.ACTIVE, NOW + 9999, "kim", "try"))

    def killed(self: Any, *_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            auto.rounds(1)
    assert auto.live.least == 0
    auto.rounds(1)
    assert auto.live.least == 1


def test_the_document_in_a_file_is_written_whole_and_only_over_the_version_that_was_read(
    tmp_path: Path,
) -> None:
    store = FileStore(tmp_path / "state" / "gpu.json")
    document, version = store.load()
    newer = store.save(replace(document, override=Override(Mode.ACTIVE, NOW, "kim", "try")), version)
    with pytest.raises(ConflictError):
        store.save(document, version)
    assert store.load() == (replace(document, override=Override(Mode.ACTIVE, NOW, "kim", "try")), newer)


def test_a_journal_cut_off_by_a_kill_is_read_up_to_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write({"event": "set"})
    with journal.path.open("a") as file:
        file.write('{"event": "wi')
    assert journal.read() == [{"event": "set"}]
