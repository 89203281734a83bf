"""The only place for the best that anybody could do who knows how many requests to expect, but not which.

The same model as simulate.py and optimum.py, the same J; what is known of each minute is its mean. It is the floor of
every policy that learns: what lies between it and the clairvoyant optimum is the price of not knowing the future.
Dynamic programming backwards over one worker (off, starting, on) and the queue, expected over Poisson arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from infra.core.gpu.policy import Policy
from infra.core.gpu.simulate import STEP_SECONDS, cold_steps, served_a_minute

LONGEST_QUEUE = 40
"""Longer queues are counted as this one: by then a worker has long been started."""

NEGLIGIBLE = 1e-9


def online_optimum(means: Sequence[float], policy: Policy) -> float:
    """The least expected J in USD, for arrivals with these means a minute.

    It may start a worker before a request or leave requests waiting, and stop an idle one at any minute.

    Raises:
        ValueError: one worker does not serve what comes in a minute.
    """
    if max(means, default=0) + LONGEST_QUEUE > served_a_minute(policy):
        raise ValueError(f"{max(means):.0f} requests a minute need more than one worker")
    unit, late = policy.usd_per_second * STEP_SECONDS, policy.usd_per_second_waited * STEP_SECONDS
    queues = range(LONGEST_QUEUE + 1)
    off = [0.0 for _ in queues]
    # How far a worker is from being ready: the first one is on, the last one was started a minute ago.
    coming = [[0.0 for _ in queues] for _ in range(cold_steps(policy))]
    for mean in reversed(means):
        chances = _poisson(mean)
        # What a minute with so many waiting at its end leads to: a start, or none; and a start that goes on.
        on, newest = coming[0], coming[-1]
        least = [min(unit + newest[each], off[each]) for each in queues]
        nearer = [[unit + each for each in stage] for stage in coming[:-1]]
        coming = [
            # A worker that is on serves all; it may stop in a minute in which it had nothing to do.
            [unit + chances[0] * min(on[0], off[0]) + (1 - chances[0]) * on[0]]
            + [unit + on[0]] * LONGEST_QUEUE,
            *([late * queue + _expected(stage, queue, chances) for queue in queues] for stage in nearer),
        ]
        off = [late * queue + _expected(least, queue, chances) for queue in queues]
    return off[0]


def _expected(values: list[float], queue: int, chances: tuple[float, ...]) -> float:
    return sum(chance * values[min(LONGEST_QUEUE, queue + arrived)] for arrived, chance in enumerate(chances))


@cache
def _poisson(mean: float) -> tuple[float, ...]:
    chance = math.exp(-mean)
    found = [chance]
    while chance > NEGLIGIBLE or len(found) <= mean:
        chance *= mean / len(found)
        found.append(chance)
    return tuple(found)
