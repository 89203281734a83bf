"""The only place for how an amount is said: exact, as a range, rounded to the cent, and on what it rests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

CENT = Decimal("0.01")
NOTHING = Decimal(0)


class Basis(StrEnum):
    """What a quantity rests on. Fixed is billed whether used or not; use is measured, or assumed and then a range."""

    FIXED = "fixed"
    OBSERVED = "usage-observed"
    ASSUMED = "usage-assumed"


@dataclass(frozen=True, slots=True)
class Span:
    """An amount with its range: one in ten is below `low`, one in ten above `high`."""

    low: Decimal
    likely: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"not in order: {self.low}, {self.likely}, {self.high}")

    @classmethod
    def exactly(cls, amount: Decimal | int) -> Span:
        """A range of one value."""
        value = Decimal(amount)
        return cls(value, value, value)

    @classmethod
    def of(cls, low: str, likely: str, high: str) -> Span:
        """A range from decimal texts."""
        return cls(Decimal(low), Decimal(likely), Decimal(high))

    @property
    def exact(self) -> bool:
        """Whether it is one value."""
        return self.low == self.high

    def times(self, factor: Decimal | int) -> Span:
        """The range of as many of it; `factor` is at least 0."""
        return Span(self.low * factor, self.likely * factor, self.high * factor)

    def rounded(self) -> Span:
        """Each bound to the cent."""
        return Span(rounded(self.low), rounded(self.likely), rounded(self.high))


ZERO = Span.exactly(0)


def rounded(amount: Decimal) -> Decimal:
    """To the cent, half up, as bills are."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def together(spans: Iterable[Span]) -> Span:
    """The range of a sum of things that vary on their own.

    Likely values add up; distances to the bounds add as the root of their squares, because it is unlikely that
    everything is dear in one month. Plain addition of bounds would call a range P10 to P90 that is far wider.
    """
    listed = list(spans)
    likely = sum((each.likely for each in listed), NOTHING)
    below = sum(((each.likely - each.low) ** 2 for each in listed), NOTHING).sqrt()
    above = sum(((each.high - each.likely) ** 2 for each in listed), NOTHING).sqrt()
    return Span(likely - below, likely, likely + above)
