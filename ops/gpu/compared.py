"""The only place for policies side by side on one trace: with the clairvoyant optimum where it is quickly found."""

from __future__ import annotations

from typing import Any

from infra.core.gpu.modes import IdleTimeouts
from infra.core.gpu.optimum import optimum
from infra.core.gpu.policy import Policy
from infra.core.gpu.simulate import Outcome, all_policies
from infra.core.gpu.simulate import simulate as run
from infra.core.gpu.traces import Trace

LARGEST_MINUTE = 40
"""Requests of a minute up to which the clairvoyant optimum is quickly found: its states hold the queue."""
HEAD = ("policy", "J USD", "x optimum", "bill USD", "p50 s", "p95 s", "cold starts", "flips")


def compare(trace: Trace, policy: Policy, idle_timeouts: IdleTimeouts) -> list[Outcome]:
    """Every policy on that trace; the optimum first, where no minute has more than `LARGEST_MINUTE` requests."""
    found = [
        run(trace, name, choose, policy)
        for name, choose in all_policies(policy, trace, idle_timeouts).items()
    ]
    return found if max(trace.minutes) > LARGEST_MINUTE else [optimum(trace, policy), *found]


def rows(found: list[Outcome]) -> list[tuple[str, ...]]:
    """For a table under `HEAD`."""
    best = found[0].total_usd if found[0].policy == "optimum" else None
    return [_row(each, best) for each in found]


def as_data(found: list[Outcome]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{name: getattr(each, name) for name in each.__slots__} for each in found]


def _row(found: Outcome, best_usd: float | None) -> tuple[str, ...]:
    ratio = f"{found.total_usd / best_usd:.2f}" if best_usd else ""
    money = (f"{found.total_usd:.2f}", ratio, f"{found.cost_usd:.2f}")
    if found.policy == "optimum":
        return (found.policy, *money, "", "", "", "")
    waits = (f"{found.wait_p50_seconds:.0f}", f"{found.wait_p95_seconds:.0f}")
    return (found.policy, *money, *waits, f"{found.cold_starts}", f"{found.flips}")
