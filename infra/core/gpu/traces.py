"""The only place for made-up arrivals: requests of each minute, with the rhythm of meals, reproducible by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

MINUTES = 1440
SPIKE_MINUTES = 30
REQUESTS_PER_USER_DAY = 1.2
"""600 requests a day of 500 users (section E.1 of the founding document: DAU 60, MAU 500)."""

LUNCH, DINNER = 3 * 60 + 30, 10 * 60
"""12:30 and 19:00 in Seoul, in minutes of the UTC day."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals of each minute from midnight UTC on a Monday."""

    name: str
    minutes: tuple[int, ...]
    rhythmic: bool
    most_workers: int


def _meals(minute: int, day: int) -> float:
    """Half of the day's requests in two half hours, the rest over 15 hours; 1 a day in all."""
    del day
    spikes = sum(0.25 / SPIKE_MINUTES for at in (LUNCH, DINNER) if at <= minute < at + SPIKE_MINUTES)
    awake = minute < 15 * 60  # 9:00 to 24:00 in Seoul
    return spikes + (0.5 / (15 * 60) if awake else 0.0)


def _office(minute: int, day: int) -> float:
    return _meals(minute, day) * (1.4 if day % 7 < 5 else 0.05)


def _flat(minute: int, day: int) -> float:
    del minute, day
    return 1 / MINUTES


def _evening(minute: int, day: int) -> float:
    del day
    return 0.8 / 120 if DINNER <= minute < DINNER + 120 else 0.2 / (MINUTES - 120)


def _growing(minute: int, day: int) -> float:
    return _meals(minute, day) * (1 + day / 7)


def _wild(minute: int, day: int) -> float:
    """Spikes at hours that nobody can know: drawn anew each day."""
    drawn = random.Random(day * 7919 + 13)  # noqa: S311 a simulation
    starts = [drawn.randrange(MINUTES - SPIKE_MINUTES) for _ in range(3)]
    return sum(0.2 / SPIKE_MINUTES for at in starts if at <= minute < at + SPIKE_MINUTES) + 0.4 / MINUTES


SHAPES: dict[str, tuple[Callable[[int, int], float], bool]] = {
    "meals": (_meals, True),
    "office": (_office, True),
    "evening": (_evening, True),
    "growing": (_growing, True),
    "flat": (_flat, False),
    "wild": (_wild, False),
}
"""Each with whether it has a daily rhythm."""


def make(
    shape: str, *, users: int, days: int, seed: int, share: float = 1.0, most_workers: int = 2, mark: str = ""
) -> Trace:
    """Poisson arrivals of that shape; `share` of the requests is sent to the model (sampling); `mark` names it."""
    noise = random.Random(seed)  # noqa: S311 a simulation
    minutes = tuple(poisson(mean, noise) for mean in means(shape, users=users, days=days, share=share))
    return Trace(mark or f"{shape} {users}", minutes, SHAPES[shape][1], most_workers)


def means(shape: str, *, users: int, days: int, share: float = 1.0) -> tuple[float, ...]:
    """How many requests each minute has in the mean."""
    density, requests_a_day = SHAPES[shape][0], users * REQUESTS_PER_USER_DAY * share
    return tuple(requests_a_day * density(minute, day) for day in range(days) for minute in range(MINUTES))


def poisson(mean: float, chance: random.Random) -> int:
    """A Poisson number; by its normal approximation where the mean is large."""
    if mean <= 0:
        return 0
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        product *= chance.random()
        count += 1
    return count
