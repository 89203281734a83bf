"""Policies compared: the optimum is one, the model bills what it should, and traces are what they say."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from statistics import fmean

import pytest

from infra.core.errors import TerraceError
from infra.core.gpu.definition import load, load_policy
from infra.core.gpu.online import online_optimum
from infra.core.gpu.optimum import optimum
from infra.core.gpu.policy import read_policy
from infra.core.gpu.simulate import Setting, View, all_policies, fixed, simulate
from infra.core.gpu.traces import SHAPES, Trace, make, means

POLICY = load_policy()


def trace(*minutes: int, most: int = 1) -> Trace:
    return Trace("t", minutes, rhythmic=False, most_workers=most)


def test_a_single_request_in_flex_costs_its_cold_start_its_minute_and_an_idle_one() -> None:
    found = simulate(trace(1, 0, 0, 0, 0, 0), "flex", fixed(0, 1), POLICY)
    assert found.cost_usd == pytest.approx(4 * 60 * POLICY.usd_per_second)
    assert found.waited_usd == pytest.approx(60 * POLICY.usd_per_second_waited)
    assert (found.wait_p50_seconds, found.cold_starts) == (120, 1)


def test_a_clairvoyant_starts_the_worker_before_the_request() -> None:
    found = optimum(trace(0, 0, 1, *[0] * 12), POLICY)
    assert found.cost_usd == pytest.approx(4 * 60 * POLICY.usd_per_second)
    assert found.waited_usd == 0


@pytest.mark.parametrize("cold_seconds", [45, 120, 180, 200])
def test_no_plan_of_a_short_trace_beats_the_optimum(cold_seconds: float) -> None:
    """Against every plan of least workers and idle minutes, minute by minute, whatever the cold start."""
    chance = random.Random(3)  # noqa: S311 a test
    policy = replace(POLICY, usd_per_second_waited=0.0004, cold_start_seconds=cold_seconds)
    for _ in range(12):
        minutes = tuple(chance.choice((0, 0, 1, 3)) for _ in range(6))
        best = optimum(trace(*minutes), policy).total_usd
        tried = []
        for plan in itertools.product((0, 1), repeat=6):

            def choose(view: View, plan: tuple[int, ...] = plan) -> Setting:
                return Setting(plan[view.minute], 0, scales=False)

            tried.append(simulate(trace(*minutes), "plan", choose, policy).total_usd)
        assert best <= min(tried) + 1e-9
        # Plans of that kind hold the optimum too but for the last minute, in which it may stop for nothing.
        assert min(tried) <= best + 2 * 60 * policy.usd_per_second + 1e-9


@pytest.mark.parametrize("shape", list(SHAPES))
def test_no_policy_beats_the_optimum_and_ours_stays_near_the_best_fixed_mode(shape: str) -> None:
    idle = load().idle_timeouts
    assert idle is not None
    made = make(shape, users=500, days=2, seed=5)
    best = optimum(made, POLICY).total_usd
    found = {
        name: simulate(made, name, choose, POLICY)
        for name, choose in all_policies(POLICY, made, idle).items()
    }
    assert all(each.total_usd >= best - 1e-9 for each in found.values())
    least = min(found[name].total_usd for name in ("flex (queue delay)", "soft", "active"))
    assert found["ours"].total_usd <= 1.1 * least
    flips = found["ours"].flips
    assert flips is not None
    assert flips <= 2 * 2 * POLICY.flips_a_day


def test_who_knows_the_rates_alone_stands_between_the_clairvoyant_and_a_fixed_mode() -> None:
    idle = load().idle_timeouts
    assert idle is not None
    traces = [make("meals", users=500, days=1, seed=seed) for seed in range(20, 32)]
    floor = online_optimum(means("meals", users=500, days=1), POLICY)
    best = fmean(optimum(each, POLICY).total_usd for each in traces)
    flex = fmean(simulate(each, "flex", fixed(0, 1), POLICY).total_usd for each in traces)
    assert 1.1 * best < floor < 1.03 * flex
    assert floor > 0.9 * flex


def test_where_nothing_comes_nothing_is_paid_and_where_much_comes_a_worker_is_kept() -> None:
    assert online_optimum([0.0] * 100, POLICY) == 0
    # 10 a minute: those of the first minute wait one minute beyond the objective.
    late = 10 * 60 * POLICY.usd_per_second_waited
    # At one of 3 minutes those of the first wait two minutes beyond it, and those of the second one.
    for cold_seconds, lates in ((60, 0), (120, 1), (180, 3)):
        assert online_optimum(
            [10.0] * 200, replace(POLICY, cold_start_seconds=cold_seconds)
        ) == pytest.approx(200 * 60 * POLICY.usd_per_second + lates * late, rel=0.01)


def test_rates_that_one_worker_cannot_serve_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one worker"):
        online_optimum([500.0], POLICY)


def test_half_of_a_days_meals_come_in_two_half_hours() -> None:
    minutes = make("meals", users=500, days=30, seed=1).minutes
    spikes = sum(
        count for index, count in enumerate(minutes) if index % 1440 in (*range(210, 240), *range(600, 630))
    )
    assert 0.5 < spikes / sum(minutes) < 0.57
    assert 570 < sum(minutes) / 30 < 630


def test_a_trace_is_the_same_for_the_same_seed() -> None:
    assert make("wild", users=900, days=3, seed=4) == make("wild", users=900, days=3, seed=4)


def test_a_policy_that_comes_down_faster_than_fifteen_minutes_is_refused() -> None:
    with pytest.raises(TerraceError, match="15 minutes"):
        read_policy({**load_policy().as_data(), "down_seconds": 300})
    with pytest.raises(TerraceError, match="did you mean 'down_seconds'"):
        read_policy({"dwon_seconds": 900})
    with pytest.raises(TerraceError, match="no window"):
        read_policy({"calendar": [{"days": [0], "start": "13:00", "end": "12:00", "mode": "active"}]})


def test_a_policy_goes_through_its_parameter_unchanged() -> None:
    calendar = [{"days": [0, 1], "start": "11:30", "end": "13:30", "mode": "active"}]
    made = read_policy({**load_policy().as_data(), "calendar": calendar, "poll_seconds": 30})
    assert (made.poll_seconds, len(made.calendar)) == (30, 1)
    assert read_policy(made.as_data()) == made


def test_a_policy_without_one_of_its_keys_is_refused() -> None:
    data = load_policy().as_data()
    del data["flips_a_day"]
    with pytest.raises(TerraceError, match="flips_a_day  is missing"):
        read_policy(data)
