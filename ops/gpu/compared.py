"""The only place for policies side by side on one trace: with the clairvoyant optimum where it is quickly found."""

from __future__ import annotations

from typing import Any

from infra.core.gpu.modes import IdleTimeouts
from infra.core.gpu.optimum import optimum, states
from infra.core.gpu.policy import Policy
from infra.core.gpu.simulate import Outcome, all_policies, cold_steps
from infra.core.gpu.simulate import simulate as run
from infra.core.gpu.traces import Trace

LARGEST_MINUTE = 40
"""Requests of a minute up to which the clairvoyant optimum is quickly found: its states hold the queue."""

MOST_STATES = 60
"""States of workers up to which it is quickly found: 9 workers at a cold start of 2 minutes, 3 at one of 5."""

HEAD = ("policy", "J USD", "x optimum", "bill USD", "p50 s", "p95 s", "cold starts", "flips")


def compare(trace: Trace, policy: Policy, idle_timeouts: IdleTimeouts) -> list[Outcome]:
    """Every policy on that trace; the optimum first, where `too_large` does not say otherwise."""
    found = [
        run(trace, name, choose, policy)
        for name, choose in all_policies(policy, trace, idle_timeouts).items()
    ]
    return found if too_large(trace, policy) else [optimum(trace, policy), *found]


def too_large(trace: Trace, policy: Policy) -> str:
    """Why the optimum is left out; empty where it is not."""
    if (most := max(trace.minutes)) > LARGEST_MINUTE:
        return f"The optimum is computed up to {LARGEST_MINUTE} requests a minute; here are {most}"
    if (count := states(trace.most_workers, policy)) > MOST_STATES:
        cold = cold_steps(policy)
        return (
            f"The optimum is computed up to {MOST_STATES} states of workers; {trace.most_workers} workers and a "
            f"cold start of {cold} min have {count}"
        )
    return ""


def rows(found: list[Outcome]) -> list[tuple[str, ...]]:
    """For a table under `HEAD`."""
    best = found[0].total_usd if found[0].policy == "optimum" else None
    return [_row(each, best) for each in found]


def as_data(found: list[Outcome]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{name: getattr(each, name) for name in each.__slots__} for each in found]


def _row(found: Outcome, best_usd: float | None) -> tuple[str, ...]:
    ratio = f"{found.total_usd / best_usd:.2f}" if best_usd else ""
    counted = (found.wait_p50_seconds, found.wait_p95_seconds, found.cold_starts, found.flips)
    shown = ("" if each is None else f"{each:.0f}" for each in counted)
    return (found.policy, f"{found.total_usd:.2f}", ratio, f"{found.cost_usd:.2f}", *shown)
