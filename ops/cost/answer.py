"""The only place for what an answer about money is: tables for people, the same as data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from infra.core.cost import Span, rounded
from infra.core.prices import PriceBook
from infra.core.prices.age import age_days, confidence


@dataclass(frozen=True, slots=True)
class Table:
    """One table: heading, columns, rows of text, which columns are numbers, and what has to be said below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: tables for people, data for programs."""

    tables: tuple[Table, ...]
    data: Mapping[str, Any] = field(default_factory=dict)


def about(book: PriceBook, today: date) -> str:
    """Which book answered, and how far it is to be believed."""
    trust = "kept for comparison" if book.reference else f"confidence {confidence(book, today)}"
    return (
        f"price book {book.name}, {book.region}, of {book.as_of} ({age_days(book, today)} days old), {trust}"
    )


def usd(amount: Decimal) -> str:
    """An amount as text."""
    return f"{rounded(amount):,}"


def span(amount: Span) -> str:
    """A range as text."""
    return f"{usd(amount.low)} – {usd(amount.high)}"


def span_data(amount: Span) -> dict[str, Decimal]:
    """A range for programs."""
    return {"low": amount.low, "likely": amount.likely, "high": amount.high}
