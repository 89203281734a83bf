"""Random alarms over random series: evaluator and second implementation say the same, minute by minute."""

from __future__ import annotations

import random

import pytest

from embedded.alarms.definition import metric_alarm
from embedded.alarms.evaluator import Evaluator

from .simple import Plain, states
from .support import ALARM, KEY, MONDAY, at

STATISTICS = ("Sum", "Average", "SampleCount", "Minimum", "Maximum", "p95", "p50", "p10", "p99")
OPERATORS = (
    "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold",
)  # fmt: skip
DEFINITIONS, BATCHES, MINUTES = 1000, 10, 90


def random_alarm(dice: random.Random) -> Plain:
    n = dice.randint(1, 6)
    return Plain(
        statistic=dice.choice(STATISTICS),
        period=dice.choice((1, 1, 2, 5, 15, 300)),
        n=n,
        m=dice.randint(1, n),
        operator=dice.choice(OPERATORS),
        threshold=dice.choice((0, 1, 2, 5, 10, 50)),
        missing=dice.choice(("missing", "ignore", "breaching", "notBreaching")),
        ignore_low=dice.random() < 0.3,
    )


def random_data(dice: random.Random) -> list[tuple[int, float]]:
    density = dice.choice((0.05, 0.3, 0.7, 1, 1))
    burst = dice.choice((1, 1, 3, 12))
    quiet = range(dice.randint(0, MINUTES), dice.randint(0, MINUTES))
    return [
        (minute, float(dice.choice((0, 1, 2, 3, 5, 8, 10, 60))))
        for minute in range(-20, MINUTES)
        if minute not in quiet and dice.random() < density
        for _ in range(dice.randint(1, burst))
    ]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_thousand_random_alarms_agree_with_the_second_implementation(batch: int) -> None:
    origin = int(MONDAY.timestamp()) // 60
    for number in range(DEFINITIONS // BATCHES):
        dice = random.Random(f"{batch}/{number}")  # noqa: S311 the same cases in every run
        plain, data = random_alarm(dice), random_data(dice)
        evaluator = Evaluator()
        percentile = plain.statistic.startswith("p")
        evaluator.put(
            metric_alarm(
                ALARM | {
                    "Statistic": None if percentile else plain.statistic,
                    "ExtendedStatistic": plain.statistic if percentile else None,
                    "Period": plain.period * 60, "EvaluationPeriods": plain.n, "DatapointsToAlarm": plain.m,
                    "ComparisonOperator": plain.operator, "Threshold": plain.threshold,
                    "TreatMissingData": plain.missing,
                    "EvaluateLowSampleCountPercentile": "ignore" if plain.ignore_low else "evaluate",
                }
            ),
            MONDAY,
        )  # fmt: skip
        found, left = [], sorted(data)
        for minute in range(MINUTES):
            # A datum is there once its minute is over, so both see the same; late ones have a test of their own.
            while left and left[0][0] < minute:
                moment, value = left.pop(0)
                evaluator.add(KEY, at(moment), value, now=at(minute))
            evaluator.tick(at(minute))
            found.append(str(evaluator.state("a")))
        shifted = [(moment + origin, value) for moment, value in data]
        assert found == states(plain, shifted, range(origin, origin + MINUTES)), (batch, number, plain)
