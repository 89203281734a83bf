"""The only place for what the service would cost on platforms instead of AWS, by the founding document's sizes.

Its section B.2: a backend of 1 vCPU and 2 GB, a frontend of 0.5 vCPU and 1 GB, a database of 5 to 10 USD. Railway's
20 USD plan holds a credit of as much, which the document adds up without taking it off; so does this, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.core.cost.money import Span
from infra.core.prices import PriceBook

CREDIT_USD = Decimal(20)


@dataclass(frozen=True, slots=True)
class Platform:
    """A way of running the service on platforms: plans by price key, vCPUs and GB on Railway, a database or none."""

    name: str
    plans: tuple[str, ...]
    vcpu: Decimal
    gib: Decimal
    database_beside: bool


PLATFORMS = (
    Platform(
        "Vercel + Railway",
        ("paas.vercel.pro", "paas.railway.pro"),
        Decimal(1),
        Decimal(2),
        database_beside=False,
    ),
    Platform("Railway only", ("paas.railway.pro",), Decimal("1.5"), Decimal(3), database_beside=True),
)
DATABASE_USD = (Decimal(5), Decimal(10))


@dataclass(frozen=True, slots=True)
class PlatformCost:
    """A month in USD, as the document adds it up, and with the plan's credit taken off."""

    platform: Platform
    lines: tuple[tuple[str, Span], ...]

    @property
    def total(self) -> Span:
        """Low and high differ by the database alone."""
        spans = [span for _, span in self.lines]
        return Span(
            sum((each.low for each in spans), Decimal(0)),
            sum((each.likely for each in spans), Decimal(0)),
            sum((each.high for each in spans), Decimal(0)),
        )

    @property
    def after_credit(self) -> Span:
        """With Railway's credit taken off what is used."""
        return Span(*(each - CREDIT_USD for each in (self.total.low, self.total.likely, self.total.high)))


def platform_costs(book: PriceBook) -> list[PlatformCost]:
    """Every platform by that book.

    Raises:
        TerraceError: the book has no price of a platform.
    """
    return [PlatformCost(each, tuple(_lines(each, book))) for each in PLATFORMS]


def _lines(platform: Platform, book: PriceBook) -> Iterator[tuple[str, Span]]:
    for key in platform.plans:
        yield key, Span.exactly(book[key].monthly(Decimal(1)))
    yield f"{platform.vcpu} vCPU", Span.exactly(book["paas.railway.vcpu"].monthly(platform.vcpu))
    yield f"{platform.gib} GB", Span.exactly(book["paas.railway.gib"].monthly(platform.gib))
    if platform.database_beside:
        low, high = DATABASE_USD
        yield "PostgreSQL, by use", Span(low, (low + high) / 2, high)
