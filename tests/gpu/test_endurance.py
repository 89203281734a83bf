"""The controller on an unlucky double for a long time; what must hold is asserted inside of `endure`."""

from __future__ import annotations

import pytest

from bench.gpu_endured import endure, endure_all


def test_two_days_with_one_fault_in_a_hundred_calls_lose_no_job_and_make_no_second_endpoint() -> None:
    lived = endure(48)
    assert lived["faults"] > 20
    assert lived["completed"] > 1000


def test_two_days_with_one_fault_in_ten_calls_are_lived_through_too() -> None:
    assert endure(48, share=0.1)["faults"] > 300


@pytest.mark.drill
def test_a_thousand_hours_meet_the_budget_and_stay_within_the_overshoot() -> None:
    lived = endure(1_000)
    assert lived["faults"] > 500
    assert lived["dearest_month_usd"] > 0.99 * lived["budget_usd"]
    assert lived["counted_above_bill_usd"] < 3
    assert all(lived["befell"].values())


@pytest.mark.matrix
def test_ten_thousand_hours_with_one_fault_in_a_hundred_calls() -> None:
    lives = endure_all(10_000)
    assert sum(each["hours"] for each in lives) == 10_000
    assert sum(each["faults"] for each in lives) > 5_000
    assert all(each["dearest_month_usd"] > 0.99 * each["budget_usd"] for each in lives)
    assert all(each["counted_above_bill_usd"] < 3 for each in lives)
    assert all(all(each["befell"].values()) for each in lives)
