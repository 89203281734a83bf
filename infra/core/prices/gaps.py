"""The only place for what a price book does not know: AWS's names of its prices, and what nobody has checked."""

from __future__ import annotations

from dataclasses import dataclass

from infra.core.prices import PriceBook
from infra.core.prices.age import FRESH_DAYS

UNCHECKED = "(verify)"


@dataclass(frozen=True, slots=True)
class Gaps:
    """Keys of one book: without SKU and usage type, unchecked, absent with the reason, much older than it."""

    nameless: tuple[str, ...]
    unchecked: tuple[str, ...]
    absent: tuple[tuple[str, str], ...]
    older: tuple[str, ...] = ()


def gaps(book: PriceBook) -> Gaps:
    """What is missing in a book; an empty name was not seen at a source, and is not made up."""
    aws = [price for price in book.prices.values() if not price.key.startswith(("gpu.", "paas.", "llm."))]
    return Gaps(
        tuple(sorted(price.key for price in aws if not price.sku and not price.usage_type)),
        tuple(
            sorted(
                price.key
                for price in book.prices.values()
                if UNCHECKED in price.note or UNCHECKED in price.source
            )
        ),
        tuple(sorted(book.absent.items())),
        tuple(
            f"{price.key} ({price.as_of})"
            for price in sorted(book.prices.values(), key=lambda each: each.key)
            if (book.as_of - price.as_of).days > FRESH_DAYS
        ),
    )
