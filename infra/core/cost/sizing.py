"""The only place for which instance type pays: where a burstable one stops being cheaper, what fits its memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.core.instances import INSTANCE_TYPES, InstanceType, instance_type
from infra.core.prices import HOURS_PER_MONTH, PriceBook

PAIRS = (("t4g.large", "m6g.large"), ("t4g.xlarge", "m6g.xlarge"))
"""Burstable types with the fixed ones of the same vCPUs and memory."""

PARTS_GB = (
    ("PostgreSQL", Decimal("2")),
    ("Spring Boot", Decimal("1.5")),
    ("Next.js", Decimal("0.7")),
    ("Nginx", Decimal("0.15")),
    ("system", Decimal("1")),
)
"""What the founding document expects each part to need on a box of 8 GB (its section E.2), in GB."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where a burstable type in `unlimited` mode costs as much as a fixed one.

    `cpu_percent` is the mean CPU of the month above which the fixed type is cheaper; None where it is at any CPU, or
    where the burstable one is up to 100 %.
    """

    burstable: InstanceType
    fixed: InstanceType
    burstable_monthly: Decimal
    fixed_monthly: Decimal
    cpu_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether the document's parts fit a type's memory, and what is left for caches."""

    instance: InstanceType
    monthly: Decimal | None
    needed_gb: Decimal
    left_gb: Decimal

    @property
    def fits(self) -> bool:
        """Whether anything is left."""
        return self.left_gb >= 0


def break_evens(book: PriceBook) -> list[BreakEven]:
    """Each pair whose prices the book has."""
    return [break_even(*pair, book) for pair in PAIRS if all(f"ec2.{name}" in book.prices for name in pair)]


def break_even(burstable: str, fixed: str, book: PriceBook) -> BreakEven:
    """Where a pair breaks even: baseline + (difference of prices) / (price of a surplus vCPU-hour x vCPUs).

    Raises:
        TerraceError: an unknown type, or a price that the book lacks.
    """
    one, other = instance_type(burstable), instance_type(fixed)
    cheap, dear = (book[f"ec2.{each.name}"].monthly(Decimal(1)) for each in (one, other))
    percent = None
    if (credit := book.prices.get("ec2.surplus-credit")) is not None and dear > cheap:
        share = (dear - cheap) / HOURS_PER_MONTH / (credit.usd * one.vcpus)
        found = Decimal(one.baseline_percent or 0) + share * 100
        percent = found if found <= 100 else None
    return BreakEven(one, other, cheap, dear, percent)


def surplus_monthly(burstable: str, cpu_percent: Decimal, book: PriceBook) -> Decimal:
    """What `unlimited` adds a month at that mean CPU (0 to 100)."""
    kind = instance_type(burstable)
    above = max(Decimal(0), cpu_percent - Decimal(kind.baseline_percent or 0)) / 100
    return book["ec2.surplus-credit"].usd * above * kind.vcpus * HOURS_PER_MONTH


def fits(book: PriceBook) -> Iterator[Fit]:
    """Every type of the project against the document's parts."""
    needed = sum((size for _, size in PARTS_GB), Decimal(0))
    for kind in INSTANCE_TYPES.values():
        price = book.prices.get(f"ec2.{kind.name}")
        monthly = price.monthly(Decimal(1)) if price else None
        yield Fit(kind, monthly, needed, Decimal(kind.memory_gib) - needed)
