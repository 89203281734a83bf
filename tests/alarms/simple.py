"""The evaluator's rules a second time, written for clarity alone: lists of raw data, everything anew at every minute.

It shares nothing with embedded/alarms but the words of the states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plain:
    """A single-metric alarm in minutes."""

    statistic: str
    period: int
    n: int
    m: int
    operator: str
    threshold: float
    missing: str
    ignore_low: bool


def statistic(name: str, values: list[float]) -> float | None:
    if not values:
        return None
    if name == "Sum":
        return math.fsum(values)
    if name == "Average":
        return math.fsum(values) / len(values)
    if name == "SampleCount":
        return float(len(values))
    if name == "Minimum":
        return min(values)
    if name == "Maximum":
        return max(values)
    ordered = sorted(values)
    share = float(name[1:]) / 100
    for index, value in enumerate(ordered, start=1):
        if index / len(ordered) >= share - 1e-12:
            return value
    raise AssertionError(name)


def breaches(operator: str, value: float, threshold: float) -> bool:
    if operator == "GreaterThanThreshold":
        return value > threshold
    if operator == "GreaterThanOrEqualToThreshold":
        return value >= threshold
    if operator == "LessThanThreshold":
        return value < threshold
    return value <= threshold


def states(alarm: Plain, data: list[tuple[int, float]], minutes: range) -> list[str]:
    """The state after each minute; `data` are (minute, value)."""
    state, found = "INSUFFICIENT_DATA", []
    for now in minutes:
        state = after(alarm, data, now, state)
        found.append(state)
    return found


def after(alarm: Plain, data: list[tuple[int, float]], now: int, state: str) -> str:
    if alarm.period * alarm.n > 1440 and now % 60 != 0:
        return state
    windows = []
    for back in range(alarm.n + 2):
        end = now - back * alarm.period
        windows.append([value for minute, value in data if end - alarm.period <= minute < end])
    if alarm.ignore_low and alarm.statistic.startswith("p"):
        share = float(alarm.statistic[1:]) / 100
        needed = 10 / (1 - share) if share >= 0.5 else 10 / share
        if sum(len(window) for window in windows[: alarm.n]) < needed:
            return state
    letters = ""
    for window in windows:
        value = statistic(alarm.statistic, window)
        letters += "-" if value is None else "X" if breaches(alarm.operator, value, alarm.threshold) else "0"
    real = letters.replace("-", "")
    if len(real) >= alarm.n:
        return "ALARM" if real[: alarm.n].count("X") >= alarm.m else "OK"
    fill = {"breaching": "X", "notBreaching": "0"}.get(alarm.missing, "")
    if fill:
        filled = real + fill * (alarm.n - len(real))
        return "ALARM" if filled.count("X") >= alarm.m else "OK"
    if real.count("X") >= alarm.m:
        return "ALARM"
    if "0" in real:
        return "OK"
    if alarm.missing == "ignore":
        return state
    if real and letters.rindex("X") + 1 >= alarm.m:
        return "ALARM"
    return "INSUFFICIENT_DATA"
