"""The only place for how old a price book may be, and for which stacks it may price.

After 90 days a book's prices count less, after 180 no stack is priced by it (design: "decisions", stale price book).
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from infra.core.errors import Fault
from infra.core.prices import PriceBook

FRESH_DAYS = 90
LAST_DAYS = 180

REFRESH = "Make a newer one: scripts/cost.py book refresh, then set terrace:priceBook to it"


class Confidence(StrEnum):
    """How far a price is to be believed."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def age_days(book: PriceBook, today: date) -> int:
    """Days since the book's date; negative for a book of the future."""
    return (today - book.as_of).days


def confidence(book: PriceBook, today: date) -> Confidence:
    """High within 90 days, low after; medium needs usage and is decided by who knows it."""
    return Confidence.HIGH if age_days(book, today) <= FRESH_DAYS else Confidence.LOW


def age_faults(book: PriceBook, today: date) -> list[Fault]:
    """Why this book is too old (or from the future) to answer; a reference book is never too old."""
    days = age_days(book, today)
    where = f"price book {book.name}"
    if book.reference:
        return []
    if days < 0:
        return [
            Fault(where, f"is of {book.as_of}, which is after {today}", "Look at its as_of and the clock")
        ]
    if days > LAST_DAYS:
        return [Fault(where, f"is {days} days old where {LAST_DAYS} are the most", REFRESH)]
    return []


def stack_faults(book: PriceBook, region: str, today: date) -> list[Fault]:
    """Why no stack of that region may be priced by this book."""
    faults = age_faults(book, today)
    where = f"price book {book.name}"
    if book.reference:
        faults.append(
            Fault(where, "is kept for comparison alone", "Set terrace:priceBook to a book of the region")
        )
    if book.region != region:
        faults.append(
            Fault(
                where,
                f"holds prices of {book.region} where the stack stands in {region}",
                "Set terrace:priceBook to a book of that region",
            )
        )
    return faults
