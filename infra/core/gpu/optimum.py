"""The only place for the clairvoyant optimum: the least J that any policy could have had, by dynamic programming.

Exact in the model of simulate.py: states are workers on, workers starting, and the queue; of labels with the same
workers one is dropped only where another has neither a longer queue nor a higher cost, and a shorter queue is never
worse. It stops idle workers alone, as the platform does.
"""

from __future__ import annotations

from infra.core.gpu.policy import Policy
from infra.core.gpu.simulate import STEP_SECONDS, Outcome, served_a_minute
from infra.core.gpu.traces import Trace

Label = tuple[int, float, float]
"""Queue, J, of that the bill."""


def optimum(trace: Trace, policy: Policy) -> Outcome:
    """The least J of a trace that is known in advance.

    Raises:
        ValueError: the cold start is not two steps long, which the states are made for.
    """
    if round(policy.cold_start_seconds / STEP_SECONDS) != 2:
        raise ValueError(f"a cold start of {policy.cold_start_seconds} s is not 2 minutes")
    most, capacity = trace.most_workers, served_a_minute(policy)
    unit, late_unit = policy.usd_per_second * STEP_SECONDS, policy.usd_per_second_waited * STEP_SECONDS
    states: dict[tuple[int, int], list[Label]] = {(0, 0): [(0, 0.0, 0.0)]}
    for arrived in trace.minutes:
        found: dict[tuple[int, int], dict[int, tuple[float, float]]] = {}
        for (on, coming), labels in states.items():
            for queue, total, bill in labels:
                waiting = queue + arrived
                served = min(waiting, on * capacity)
                left = waiting - served
                late = late_unit * max(0, left - arrived)
                idle = on - -(-served // capacity)
                for started in range(most - on - coming + 1):
                    cost = unit * (on + coming + started)
                    after, paid = total + cost + late, bill + cost
                    for stopped in range(idle + 1):
                        place = found.setdefault((on - stopped + coming, started), {})
                        known = place.get(left)
                        if known is None or after < known[0]:
                            place[left] = (after, paid)
        states = {key: _pareto(labels) for key, labels in found.items()}
    _, best, bill = min((label for labels in states.values() for label in labels), key=lambda label: label[1])
    return Outcome("optimum", trace.name, bill, best - bill, 0.0, 0.0, 0, 0)


def _pareto(labels: dict[int, tuple[float, float]]) -> list[Label]:
    kept: list[Label] = []
    best = float("inf")
    for queue in sorted(labels):
        total, bill = labels[queue]
        if total < best:
            kept.append((queue, total, bill))
            best = total
    return kept
