"""The only place for price books: reading them, and refusing a price without unit, source or date.

prices = load("seoul-2026-10")
prices["ec2.t4g.large"].monthly(Decimal(1))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.core.errors import Fault, TerraceError, nearest

HOURS_PER_MONTH = 730
"""The month of AWS's own calculator: 8 760 hours a year over twelve."""

DEFAULT_BOOK = "seoul-2026-10"

_FOLDER = Path(__file__).parent


class Unit(StrEnum):
    """What a price is for one of."""

    HOUR = "hour"
    MONTH = "month"
    GIB_MONTH = "gib-month"
    GIB = "gib"
    VCPU_HOUR = "vcpu-hour"
    LCU_HOUR = "lcu-hour"


@dataclass(frozen=True, slots=True)
class Price:
    """USD before tax for one `unit`; the first `free` units of a month cost nothing."""

    key: str
    usd: Decimal
    unit: Unit
    source: str
    as_of: date
    free: Decimal = Decimal(0)
    sku: str = ""
    note: str = ""

    def monthly(self, quantity: Decimal) -> Decimal:
        """USD a month for `quantity` things that last all month (hours and months), or for that many units."""
        if self.unit is Unit.HOUR:
            quantity *= HOURS_PER_MONTH
        return self.usd * max(Decimal(0), quantity - self.free)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices of one region at one date. `absent` says why a book has no price for something it knows of."""

    name: str
    region: str
    as_of: date
    prices: Mapping[str, Price]
    absent: Mapping[str, str] = field(default_factory=dict)
    stated_totals: Mapping[str, Price] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Price:
        """The price of that key.

        Raises:
            TerraceError: the book has none; a missing price is never 0.
        """
        if (found := self.prices.get(key)) is None:
            raise TerraceError(
                Fault(
                    f"price book {self.name}",
                    f"no price for {key!r}{nearest(key, self.prices)}",
                    "Add it with unit, source and date, or choose another book: " + ", ".join(book_names()),
                )
            )
        return found


def book_names() -> list[str]:
    """The books that are at hand, by name."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def load(name: str = DEFAULT_BOOK) -> PriceBook:
    """The book of that name.

    Raises:
        TerraceError: no such book, or a book with a price that lacks something; all faults at once.
    """
    path = _FOLDER / f"{name}.yaml"
    if name not in book_names():
        raise TerraceError(
            Fault(
                "terrace:priceBook",
                f"{name!r} is no price book",
                f"Books: {', '.join(book_names())}{nearest(name, book_names())}",
            )
        )
    return read(yaml.safe_load(path.read_text(encoding="utf-8")), where=path.name)


def read(raw: Mapping[str, Any], *, where: str) -> PriceBook:
    """A book from its parsed YAML.

    Raises:
        TerraceError: a price without unit or source, a price that is not a decimal string, negative, or a
            book without date or region.
    """
    faults: list[Fault] = [
        Fault(where, f"{key!r} is missing", "Give the book its name, region, as_of (YYYY-MM-DD) and sources")
        for key in ("name", "region", "as_of", "sources")
        if not raw.get(key)
    ]
    as_of = raw.get("as_of")
    if as_of and not isinstance(as_of, date):
        faults.append(Fault(f"{where}: as_of", f"{as_of!r} is no date", "Write it as 2026-10-01"))
    if faults:
        raise TerraceError(*faults)
    prices = {
        section: {
            key: parsed
            for key, entry in (raw.get(section) or {}).items()
            if (parsed := _price(f"{where}: {section}.{key}", key, entry, raw, faults))
        }
        for section in ("prices", "stated_totals")
    }
    if faults:
        raise TerraceError(*faults)
    return PriceBook(
        raw["name"],
        raw["region"],
        raw["as_of"],
        prices["prices"],
        dict(raw.get("absent") or {}),
        prices["stated_totals"],
    )


def _price(
    where: str, key: str, entry: Mapping[str, Any], book: Mapping[str, Any], faults: list[Fault]
) -> Price | None:
    before = len(faults)
    source = entry.get("source")
    if source not in book["sources"]:
        faults.append(
            Fault(where, f"source {source!r} is none of the book's", f"Sources: {', '.join(book['sources'])}")
        )
    if entry.get("unit") not in set(Unit):
        faults.append(Fault(where, f"unit {entry.get('unit')!r} is unknown", f"Units: {', '.join(Unit)}"))
    amounts = {name: _amount(where, entry.get(name, default), faults) for name, default in _AMOUNTS}
    if len(faults) > before:
        return None
    return Price(
        key,
        amounts["price"],
        Unit(entry["unit"]),
        book["sources"][source],
        entry.get("as_of", book["as_of"]),
        amounts["free"],
        entry.get("sku", ""),
        entry.get("note", ""),
    )


_AMOUNTS = (("price", None), ("free", "0"))


def _amount(where: str, value: object, faults: list[Fault]) -> Decimal:
    """A quoted decimal; an unquoted one has already been rounded to a binary float by the YAML reader."""
    try:
        if not isinstance(value, str):
            raise InvalidOperation
        amount = Decimal(value)
        if not amount.is_finite() or amount < 0:
            raise InvalidOperation
    except InvalidOperation:
        faults.append(
            Fault(where, f"{value!r} is no price", 'Write a decimal of at least 0 in quotes, as "0.0832"')
        )
        return Decimal(0)
    return amount
