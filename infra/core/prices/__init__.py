"""The only place for price books: reading them, and refusing a price without unit, source or date.

prices = load("seoul-2026-10")
prices["ec2.t4g.large"].monthly(Decimal(1))

A regional book prices the stages of one AWS region; it may lean on a book of services beside AWS (`with:`). Age rules
are in age.py, what a book does not know in gaps.py.
"""

from __future__ import annotations

import re
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

DAYS_PER_MONTH = Decimal(HOURS_PER_MONTH) / 24
SECONDS_PER_HOUR = 3600
SECONDS_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR
MINUTES_PER_HOUR = 60

DEFAULT_BOOK = "seoul-2026-10"

FOLDER = Path(__file__).parent
_AWS_REGION = re.compile(r"^region: [a-z]{2}(-[a-z]+)+-\d\s*$", re.MULTILINE)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unit(StrEnum):
    """What a price is for one of. `hour`, `minute` and `second` are of things that last all month."""

    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"
    MONTH = "month"
    GIB_MONTH = "gib-month"
    GIB = "gib"
    IOPS_MONTH = "iops-month"
    MIBPS_MONTH = "mibps-month"
    VCPU_HOUR = "vcpu-hour"
    LCU_HOUR = "lcu-hour"
    GPU_SECOND = "gpu-second"
    ONE = "one"
    THOUSAND = "thousand"
    TEN_THOUSAND = "ten-thousand"
    HUNDRED_THOUSAND = "hundred-thousand"
    MILLION = "million"


_PER_MONTH = {
    Unit.HOUR: HOURS_PER_MONTH,
    Unit.MINUTE: HOURS_PER_MONTH * MINUTES_PER_HOUR,
    Unit.SECOND: HOURS_PER_MONTH * SECONDS_PER_HOUR,
}


@dataclass(frozen=True, slots=True)
class Price:
    """USD before tax for one `unit`; the first `free` units of a month cost nothing.

    `sku` and `usage_type` are AWS's own names of the price, empty where nobody has seen them at a source.
    """

    key: str
    usd: Decimal
    unit: Unit
    source: str
    as_of: date
    free: Decimal = Decimal(0)
    sku: str = ""
    note: str = ""
    usage_type: str = ""

    def units(self, quantity: Decimal) -> Decimal:
        """How many units a month `quantity` things are: of hours and the like, what they last."""
        return quantity * _PER_MONTH.get(self.unit, 1)

    def monthly(self, quantity: Decimal) -> Decimal:
        """USD a month for `quantity` things that last all month (hours and months), or for that many units."""
        return self.usd * max(Decimal(0), self.units(quantity) - self.free)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices of one region at one date. `absent` says why a book has no price for something it knows of.

    A `reference` book shows what a plan was made from; no stack is priced by it.
    """

    name: str
    region: str
    as_of: date
    prices: Mapping[str, Price]
    absent: Mapping[str, str] = field(default_factory=dict)
    stated_totals: Mapping[str, Price] = field(default_factory=dict)
    reference: bool = False

    def __getitem__(self, key: str) -> Price:
        """The price of that key.

        Raises:
            TerraceError: the book has none; a missing price is never 0.
        """
        if (found := self.prices.get(key)) is not None:
            return found
        why = f" ({self.absent[key]})" if key in self.absent else nearest(key, self.prices)
        raise TerraceError(
            Fault(
                f"price book {self.name}",
                f"no price for {key!r}{why}",
                "Add it with unit, source and date, or choose another book: " + ", ".join(book_names()),
            )
        )


@cache
def book_names() -> list[str]:
    """The books that price an AWS region, by name."""
    return sorted(
        path.stem for path in FOLDER.glob("*.yaml") if _AWS_REGION.search(path.read_text(encoding="utf-8"))
    )


@cache
def load(name: str = DEFAULT_BOOK) -> PriceBook:
    """The book of that name, with the services book that it leans on.

    Raises:
        TerraceError: no such book, or a book with a price that lacks something; all faults at once.
    """
    if name not in book_names():
        raise TerraceError(
            Fault(
                "terrace:priceBook",
                f"{name!r} is no price book",
                f"Books: {', '.join(book_names())}{nearest(name, book_names())}",
            )
        )
    path = FOLDER / f"{name}.yaml"
    raw = parsed(path.read_text(encoding="utf-8"), where=path.name)
    beside = raw.get("with")
    if not beside:
        return read(raw, where=path.name)
    other = FOLDER / f"{beside}.yaml"
    if not other.exists():
        raise TerraceError(Fault(f"{path.name}: with", f"there is no book {beside!r}", "Name one beside it"))
    services = read(parsed(other.read_text(encoding="utf-8"), where=other.name), where=other.name)
    return read(raw, where=path.name, beside=services.prices)


def parsed(text: str, *, where: str) -> dict[str, Any]:
    """A book's YAML.

    Raises:
        TerraceError: it is none, or no map.
    """
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 a safe loader, in C where there is one
    except yaml.YAMLError as error:
        raise TerraceError(Fault(where, f"is no YAML: {error}", "Put the last whole version back")) from error
    if not isinstance(raw, dict):
        raise TerraceError(Fault(where, "is empty or no map", "Put the last whole version back"))
    return raw


def read(raw: Mapping[str, Any], *, where: str, beside: Mapping[str, Price] | None = None) -> PriceBook:
    """A book from its parsed YAML; prices of `beside` stand where it has none.

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
            key: priced
            for key, entry in (raw.get(section) or {}).items()
            if (priced := _price(f"{where}: {section}.{key}", key, entry, raw, faults))
        }
        for section in ("prices", "stated_totals")
    }
    if faults:
        raise TerraceError(*faults)
    return PriceBook(
        raw["name"],
        raw["region"],
        raw["as_of"],
        {**(beside or {}), **prices["prices"]},
        dict(raw.get("absent") or {}),
        prices["stated_totals"],
        reference=bool(raw.get("reference")),
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
    as_of = entry.get("as_of", book["as_of"])
    if not isinstance(as_of, date):
        faults.append(Fault(f"{where}: as_of", f"{as_of!r} is no date", "Write it as 2026-10-01"))
    amounts = {name: _amount(where, entry.get(name, default), faults) for name, default in _AMOUNTS}
    if len(faults) > before:
        return None
    return Price(
        key,
        amounts["price"],
        Unit(entry["unit"]),
        book["sources"][source],
        as_of,
        amounts["free"],
        entry.get("sku", ""),
        entry.get("note", ""),
        entry.get("usage_type", ""),
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
