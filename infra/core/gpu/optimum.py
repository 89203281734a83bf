"""The only place for the clairvoyant optimum: the least J that any policy could have had, by dynamic programming.

Exact in the model of simulate.py: states are workers on, workers starting by the minute, and the queue; of labels
with the same workers one is dropped only where another has neither a longer queue nor a higher cost, and a shorter
queue is never worse. It stops idle workers alone, as the platform does.
"""

from __future__ import annotations

from math import comb

from infra.core.gpu.policy import Policy
from infra.core.gpu.simulate import STEP_SECONDS, Outcome, cold_steps, served_a_minute
from infra.core.gpu.traces import Trace

Label = tuple[int, float, float]
"""Queue, J, of that the bill."""

State = tuple[int, tuple[int, ...]]
"""Workers on, and those that start, the next to be ready first."""


def states(most_workers: int, policy: Policy) -> int:
    """How many states of workers there are: the time that `optimum` takes grows with it."""
    return comb(most_workers + cold_steps(policy), most_workers)


def optimum(trace: Trace, policy: Policy) -> Outcome:
    """The least J of a trace that is known in advance. It says nothing of waits: many plans may cost that little."""
    most, capacity, cold = trace.most_workers, served_a_minute(policy), cold_steps(policy)
    unit, late_unit = policy.usd_per_second * STEP_SECONDS, policy.usd_per_second_waited * STEP_SECONDS
    known_states: dict[State, list[Label]] = {(0, (0,) * (cold - 1)): [(0, 0.0, 0.0)]}
    for arrived in trace.minutes:
        found: dict[State, dict[int, tuple[float, float]]] = {}
        for (on, coming), labels in known_states.items():
            lives = on + sum(coming)
            for queue, total, bill in labels:
                waiting = queue + arrived
                served = min(waiting, on * capacity)
                left = waiting - served
                late = late_unit * max(0, left - arrived)
                idle = on - -(-served // capacity)
                for started in range(most - lives + 1):
                    cost = unit * (lives + started)
                    after, paid = total + cost + late, bill + cost
                    ready, *later = *coming, started
                    for stopped in range(idle + 1):
                        place = found.setdefault((on - stopped + ready, tuple(later)), {})
                        known = place.get(left)
                        if known is None or after < known[0]:
                            place[left] = (after, paid)
        known_states = {key: _pareto(labels) for key, labels in found.items()}
    _, best, bill = min(
        (label for labels in known_states.values() for label in labels), key=lambda label: label[1]
    )
    return Outcome("optimum", trace.name, bill, best - bill)


def _pareto(labels: dict[int, tuple[float, float]]) -> list[Label]:
    kept: list[Label] = []
    best = float("inf")
    for queue in sorted(labels):
        total, bill = labels[queue]
        if total < best:
            kept.append((queue, total, bill))
            best = total
    return kept
