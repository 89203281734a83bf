"""The only place for where the founding document contradicts itself or the price list: what it says, what is, why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.core.cost.money import rounded
from infra.core.cost.stage import stage_cost
from infra.core.prices import SECONDS_PER_MONTH, PriceBook
from infra.core.stages import Stage, listed


@dataclass(frozen=True, slots=True)
class Deviation:
    """One of them; amounts in USD a month."""

    where: str
    says: str
    found: str
    cause: str


def deviations(document: PriceBook, us_east_1: PriceBook, seoul: PriceBook) -> list[Deviation]:
    """All of them, by the three books."""
    return list(_deviations(document, us_east_1, seoul))


def _deviations(document: PriceBook, us_east_1: PriceBook, seoul: PriceBook) -> Iterator[Deviation]:
    single = listed("single-8g")
    yield Deviation(
        "E.2, E.6: t4g.large in Seoul",
        "0.0672 an hour, ~49",
        f"{seoul['ec2.t4g.large'].usd} an hour, {_machine(seoul, 'ec2.t4g.large')}",
        f"0.0672 is us-east-1's price ({_machine(us_east_1, 'ec2.t4g.large')} a month) under a Seoul label",
    )
    yield Deviation(
        "E.6: Option A in all",
        f"~{_whole(document, single)}",
        f"{_compared(us_east_1, single)} in us-east-1, {_compared(seoul, single)} in Seoul",
        f"as above; and no line for the public address, {rounded(seoul['ipv4'].monthly(Decimal(1)))} a month",
    )
    disk = document["ebs.gp3"].monthly(Decimal(100))
    yield Deviation(
        "E.5: gp3 100 GB",
        f"~{rounded(disk)} (0.114 a GB)",
        f"{rounded(seoul['ebs.gp3'].monthly(Decimal(100)))} (0.0912 a GB)",
        "0.114 is gp2's price in Seoul; in us-east-1 gp3 is "
        f"{rounded(us_east_1['ebs.gp3'].monthly(Decimal(100)))}",
    )
    dear = listed("single-16g-fixed")
    yield Deviation(
        "F.2: m6g.xlarge",
        "~140, without lines",
        f"{_compared(us_east_1, dear)} in us-east-1, {_compared(seoul, dear)} in Seoul",
        "no sum of the document's own prices gives 140; Seoul's list comes above it",
    )
    for name, option in (("split", "B"), ("private", "C")):
        stage = listed(name)
        addresses = {"split": 2, "private": 3}[name]
        yield Deviation(
            f"D.2: Option {option}",
            f"~{_whole(document, stage)}",
            f"{_compared(us_east_1, stage)} in us-east-1, {_compared(seoul, stage)} in Seoul",
            f"{addresses} public addresses are missing, database storage is inside one sum, prices are us-east-1's",
        )
    yield Deviation(
        "C.1 against C.4: RunPod, always on",
        "50 to 100 in the table of ways, ~343 in the table of workers",
        f"{rounded(seoul['gpu.l4.active'].usd * SECONDS_PER_MONTH)} by the list price, "
        f"{rounded(document['gpu.l4.active'].usd * SECONDS_PER_MONTH)} by the document's 0.00013",
        "50 to 100 is no price of a worker that always runs; 0.00013 a second needs a contract",
    )
    yield Deviation(
        "C.4: 343 a month",
        "0.47 an hour x 730",
        f"{rounded(document['gpu.l4.active'].usd * SECONDS_PER_MONTH)}",
        "0.00013 x 3 600 is 0.468, rounded up before it was multiplied",
    )


def _machine(book: PriceBook, key: str) -> Decimal:
    return rounded(book[key].monthly(Decimal(1)))


def _compared(book: PriceBook, stage: Stage) -> Decimal:
    return stage_cost(stage, book).compared


def _whole(book: PriceBook, stage: Stage) -> int:
    return round(stage_cost(stage, book).compared)
