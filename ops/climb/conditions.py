"""The only place that judges a series of metric data against a condition of gates.yaml.

CloudWatch evaluates what infra/core/thresholds.py owns; this is for what a gate asks beyond that: a value held for so
long, without gaps, with enough samples.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.climb.verdicts import Answer, Verdict

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. Times in seconds.

    It holds from the first datum that meets `op value`, until one falls behind `release_below` (for < and <=: rises
    above it), or `value` itself where that is not given. A gap of more than `max_gap_seconds` begins it anew.
    """

    id: str
    metric: str
    op: str
    value: float
    held_seconds: float
    max_gap_seconds: float
    min_samples: int = 1
    release_below: float | None = None

    def asks(self) -> str:
        """For people."""
        held = f" for {span(self.held_seconds)}" if self.held_seconds else ""
        return f"{self.metric} {self.op} {self.value:g}{held}"


def judge(
    condition: Condition, series: Sequence[tuple[datetime, float]], now: datetime, source: str
) -> Answer:
    """What the data says; `series` is in order of time, UTC."""

    def answer(verdict: Verdict, saw: str, samples: int = 0) -> Answer:
        return Answer(condition.id, condition.asks(), saw, source, verdict, samples)

    if not series:
        return answer(Verdict.INCONCLUSIVE, "no data")
    gap = timedelta(seconds=condition.max_gap_seconds)
    last, value = series[-1]
    if now - last > gap:
        return answer(Verdict.INCONCLUSIVE, f"newest datum is {span((now - last).total_seconds())} old")
    since, samples = _held_since(condition, series, gap)
    if since is None:
        return answer(Verdict.FAIL, f"now {value:g}", len(series))
    held = (now - since).total_seconds()
    saw = f"now {value:g}, held for {span(held)}"
    if held < condition.held_seconds:
        if since == series[0][0]:
            return answer(Verdict.INCONCLUSIVE, f"{saw}; data begins there", samples)
        return answer(Verdict.FAIL, saw, samples)
    if samples < condition.min_samples:
        return answer(Verdict.INCONCLUSIVE, f"{saw}, but only {samples} samples", samples)
    return answer(Verdict.PASS, saw, samples)


def _held_since(
    condition: Condition, series: Sequence[tuple[datetime, float]], gap: timedelta
) -> tuple[datetime | None, int]:
    """From when on the condition holds without a gap, and by how many data; None where it does not hold."""
    meets = OPERATORS[condition.op]
    release = condition.value if condition.release_below is None else condition.release_below
    stays: Callable[[float], bool] = (
        (lambda value: meets(value, condition.value))
        if condition.release_below is None
        else (lambda value: value >= release if condition.op.startswith(">") else value <= release)
    )
    since: datetime | None = None
    samples, before = 0, series[0][0]
    for moment, value in series:
        if moment - before > gap:
            since = None
        before = moment
        if since is None:
            since, samples = (moment, 1) if meets(value, condition.value) else (None, 0)
        elif stays(value):
            samples += 1
        else:
            since, samples = None, 0
    return since, samples


def span(seconds: float) -> str:
    """`7 d`, `36 h`, `90 min`, `12 s`."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
