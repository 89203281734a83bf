"""What waiting does to the mode: what clients saw, and the controller's own sight of the queue."""

from __future__ import annotations

import json
from dataclasses import dataclass

from infra.core.gpu.decide import Bounds, Observation, State, decide
from infra.core.gpu.definition import load_policy
from infra.core.gpu.modes import Mode, Workers
from infra.core.gpu.platform import WorkerStatus
from infra.host.box.gpu.inferences import Inference

from .desk import Desk
from .support import NOW, envelope


def test_what_clients_wait_moves_the_mode_where_the_queue_alone_would_not(auto: Desk) -> None:
    @dataclass
    class Slow:
        def since(self, start: float) -> list[Inference]:
            return [Inference(start + 1, 90.0, 5.0)] * 20

    auto.rounds(2)
    auto.controller.clients = Slow()
    found = auto.rounds(4)
    assert any(each.decision and each.decision.mode is Mode.SOFT for each in found)
    assert "waits over 60 s" in found[-1].said or "waits over 60 s" in found[1].said


def test_a_queue_that_stands_moves_the_mode_by_the_controllers_own_sight_of_it(auto: Desk) -> None:
    """Nobody says what clients waited; half the requests would be too few to be worth an idle worker."""
    auto.bench.double.habits.cold_seconds = 400.0
    auto.rounds(2)
    auto.send(3)
    found = auto.rounds(6)
    assert any(each.decision and each.decision.mode is Mode.SOFT for each in found)
    assert any("waits over 60 s" in each.said for each in found)


def test_a_queue_that_is_never_empty_but_turns_over_is_no_wait(auto: Desk) -> None:
    """Each look sees other requests in the queue than the last one."""
    state, policy = State(), load_policy()
    bounds = Bounds(envelope(), 50.0, 1e6, 1e6, 300.0)
    for minute in range(30):
        at = NOW + 60 * minute
        seen = Observation(at, Workers(0, 2, 60), {WorkerStatus.RUNNING: 1}, 1, 1, minute, 0, 0.0)
        decision = decide(state, seen, policy, bounds, at)
        state = State.from_data(json.loads(json.dumps(decision.state.as_data())))
        assert decision.mode is Mode.FLEX
        assert state.bad_windows == 0
    assert len(state.arrivals) == 1


def test_one_cold_start_that_the_queue_shows_is_no_reason_to_pay_for_idle_workers(auto: Desk) -> None:
    auto.send(1)
    assert {each.decision.mode for each in auto.rounds(20) if each.decision} == {Mode.FLEX}


def test_one_cold_start_that_clients_saw_is_no_reason_to_pay_for_idle_workers(auto: Desk) -> None:
    @dataclass
    class Once:
        def since(self, start: float) -> list[Inference]:
            return (
                [Inference(NOW + 150, 120.0, 5.0)] if start < NOW + 150 <= auto.bench.double.world.now else []
            )

    auto.controller.clients = Once()
    assert {each.decision.mode for each in auto.rounds(20) if each.decision} == {Mode.FLEX}
