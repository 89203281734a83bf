"""The only place for what a receipt's reading costs by each way of having a GPU, over requests a day.

Requests come at random (a Poisson stream of rate r), one worker serves them one after another in S seconds each
and goes when none has come for T seconds; the next one meets a cold start of C. With q = e^(-rT), the chance that a
gap is longer than T, and p = rS, a worker lives on the mean (C + S/q) / (1 - p) + (1 - q) / (rq) seconds and is away
1/r: the means of an M/G/1 queue's busy periods. Requests that find it away are the cold ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.core.prices import DAYS_PER_MONTH, SECONDS_PER_MONTH, PriceBook

SECONDS_PER_DAY = 86_400
ROOT_GIB = 100
"""A GPU box on EC2 has to hold the weights: 15.6 GiB of them, the image and the system."""


class Way(StrEnum):
    """The ways of having a GPU."""

    AWS = "AWS g4dn.xlarge"
    FLEX = "RunPod flex"
    SOFT = "RunPod soft active"
    ACTIVE = "RunPod active"
    API = "external API"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the curves rest on; every one of them is a setting of the answer."""

    busy_seconds: Decimal = Decimal("2.4")
    cold_start_seconds: Decimal = Decimal(150)
    flex_idle_seconds: Decimal = Decimal(5)
    soft_idle_seconds: Decimal = Decimal(600)
    input_tokens: int = 1300
    output_tokens: int = 180
    model: str = "gemini-2.5-flash-lite"


@dataclass(frozen=True, slots=True)
class Point:
    """What each way costs a month at so many requests a day, and the share of them that meets a cold start."""

    per_day: Decimal
    monthly: dict[Way, Decimal]
    cold_share: dict[Way, Decimal]

    @property
    def cheapest(self) -> Way:
        """The cheapest way of having a GPU of our own; receipts go to an external API only where a team says so."""
        return min((way for way in self.monthly if way is not Way.API), key=lambda way: self.monthly[way])


@dataclass(frozen=True, slots=True)
class Crossing:
    """From how many requests a day on `dearer` costs more than `cheaper`; None where it never does up to `up_to`."""

    dearer: Way
    cheaper: Way
    per_day: Decimal | None
    up_to: Decimal


FULL = Decimal("0.7")
"""How busy a worker may be before another is needed; beyond it waiting grows fast."""

PER_DAY = tuple(Decimal(each) for each in (10, 50, 100, 600, 2_000, 6_000, 20_000, 80_000))


def curve(book: PriceBook, assumed: Assumptions, per_day: Iterable[Decimal] = PER_DAY) -> list[Point]:
    """The table: each way at each number of requests a day.

    Raises:
        TerraceError: the book lacks a price.
    """
    return [point(book, assumed, each) for each in per_day]


def point(book: PriceBook, assumed: Assumptions, per_day: Decimal) -> Point:
    """One row of the table; `per_day` is above 0."""
    flex, flex_cold = _serverless(assumed, assumed.flex_idle_seconds, per_day)
    soft, soft_cold = _serverless(assumed, assumed.soft_idle_seconds, per_day)
    second, always = book["gpu.l4.flex"].usd, book["gpu.l4.active"].usd
    monthly_requests = per_day * DAYS_PER_MONTH
    workers = _whole_workers(assumed, per_day)
    monthly = {
        Way.AWS: _aws(book) * workers,
        Way.FLEX: flex * second,
        Way.SOFT: soft * second,
        Way.ACTIVE: always * SECONDS_PER_MONTH * workers,
        Way.API: monthly_requests * per_receipt(book, assumed),
    }
    none = Decimal(0)
    cold = {Way.AWS: none, Way.FLEX: flex_cold, Way.SOFT: soft_cold, Way.ACTIVE: none, Way.API: none}
    return Point(per_day, monthly, cold)


def per_receipt(book: PriceBook, assumed: Assumptions) -> Decimal:
    """What an external API asks for one receipt."""
    tokens_in, tokens_out = (book[f"llm.{assumed.model}.{way}"].usd for way in ("in", "out"))
    return (tokens_in * assumed.input_tokens + tokens_out * assumed.output_tokens) / 1_000_000


def active_month(book: PriceBook) -> Decimal:
    """One worker that always runs, for a month."""
    if (stated := book.stated_totals.get("gpu.active")) is not None:
        return stated.usd
    return book["gpu.l4.active"].usd * SECONDS_PER_MONTH


def crossing(book: PriceBook, assumed: Assumptions, dearer: Way, cheaper: Way) -> Crossing:
    """Where one way becomes dearer than another, by halving; both curves rise with the requests."""

    def gap(per_day: Decimal) -> Decimal:
        found = point(book, assumed, per_day).monthly
        return found[dearer] - found[cheaper]

    highest = PER_DAY[-1]
    return Crossing(dearer, cheaper, _root(gap, Decimal(1), highest), highest)


def crossings(book: PriceBook, assumed: Assumptions) -> list[Crossing]:
    """The ones that decide."""
    pairs = (
        (Way.FLEX, Way.ACTIVE), (Way.FLEX, Way.AWS), (Way.SOFT, Way.AWS), (Way.API, Way.ACTIVE),
        (Way.API, Way.FLEX),
    )  # fmt: skip
    return [crossing(book, assumed, *pair) for pair in pairs]


def break_even_seconds(book: PriceBook, assumed: Assumptions) -> Decimal:
    """Under how many billed GPU-seconds a receipt our own worker is cheaper than the API."""
    return per_receipt(book, assumed) / book["gpu.l4.flex"].usd


def serverless_seconds(assumed: Assumptions, idle_seconds: Decimal, per_day: Decimal) -> Decimal:
    """Billed seconds a month where a worker waits so long for the next request; `per_day` is above 0."""
    return _serverless(assumed, idle_seconds, per_day)[0]


def _serverless(assumed: Assumptions, idle_seconds: Decimal, per_day: Decimal) -> tuple[Decimal, Decimal]:
    """Billed seconds a month and the share of cold starts."""
    rate = per_day / SECONDS_PER_DAY
    load = rate * assumed.busy_seconds
    if load >= FULL:
        return Decimal(SECONDS_PER_MONTH * _whole_workers(assumed, per_day)), Decimal(0)
    gone = (-rate * idle_seconds).exp()
    alive = (assumed.cold_start_seconds + assumed.busy_seconds / gone) / (1 - load) + (1 - gone) / (
        rate * gone
    )
    share = alive / (alive + 1 / rate)
    return share * SECONDS_PER_MONTH, 1 - share


def _whole_workers(assumed: Assumptions, per_day: Decimal) -> int:
    """Workers that are needed where one takes one request at a time and is busy seven tenths of the time at most."""
    busy = per_day * assumed.busy_seconds / SECONDS_PER_DAY / FULL
    return max(1, int(busy.to_integral_value(rounding="ROUND_CEILING")))


def _aws(book: PriceBook) -> Decimal:
    machine = book["ec2.g4dn.xlarge"].monthly(Decimal(1))
    if "ipv4" in book.absent:
        return machine
    return machine + book["ebs.gp3"].monthly(Decimal(ROOT_GIB))


def _root(gap: Callable[[Decimal], Decimal], low: Decimal, high: Decimal) -> Decimal | None:
    """The first whole number at which the gap is above 0, or None."""
    if gap(high) <= 0:
        return None
    if gap(low) > 0:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gap(middle) > 0 else (middle, high)
    return high
