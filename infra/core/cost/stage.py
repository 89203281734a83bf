"""The only place for a stage's lines as options are compared by them, and their sum, in USD before tax."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from infra.core.cost.money import rounded
from infra.core.cost.standing import stage_resources
from infra.core.cost.watching import watching_quantities
from infra.core.prices import Price, PriceBook
from infra.core.shape import Shape, shape
from infra.core.stages import Stage

DOCUMENT_TRAFFIC_GIB = 10
"""What the founding document counts for Option A a month (its section E.6)."""


class Scope(StrEnum):
    """Whether a line is one of those that the options are compared by, or stands beside them."""

    COMPARED = "compared"
    BESIDE = "beside"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: `quantity` of what `price` is for; `monthly_usd` is unrounded."""

    name: str
    quantity: Decimal
    price: Price | None
    monthly_usd: Decimal
    scope: Scope
    note: str = ""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage costs a month by one book, without taxes, GPU and anything that only use decides."""

    stage: Stage
    book: PriceBook
    lines: tuple[Line, ...]

    def total(self, *scopes: Scope) -> Decimal:
        """The sum of the lines of those scopes, rounded to the cent."""
        return rounded(sum((each.monthly_usd for each in self.lines if each.scope in scopes), Decimal(0)))

    @property
    def compared(self) -> Decimal:
        """Machines, disks that hold data, database, balancer, NAT, addresses: what options are compared by."""
        return self.total(Scope.COMPARED)

    @property
    def fixed(self) -> Decimal:
        """Everything that is billed whether used or not."""
        return self.total(Scope.COMPARED, Scope.BESIDE)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    key: str
    quantity: Decimal | int
    scope: Scope = Scope.COMPARED


def stage_cost(stage: Stage, book: PriceBook, *, data_volume_gib: int | None = None) -> StageCost:
    """A stage's monthly cost by a book.

    Raises:
        TerraceError: the book lacks a price that the stage needs.
    """
    if (stated := book.stated_totals.get(stage.name)) is not None:
        line = Line(
            "total as stated", Decimal(1), stated, stated.usd, Scope.COMPARED, "the source gives no lines"
        )
        return StageCost(stage, book, (line,))
    standing = shape(stage, data_volume_gib=data_volume_gib)
    return StageCost(stage, book, tuple(_line(part, book) for part in _parts(standing, book)))


_WATCHING = {
    "cw.alarm": "alarms, by metrics that they read",
    "cw.alarm.high-resolution": "alarms of high resolution",
    "cw.alarm.composite": "composite alarms",
    "cw.metric": "custom metrics",
    "cw.dashboard": "dashboards",
}


def _line(part: _Part, book: PriceBook) -> Line:
    quantity = Decimal(part.quantity)
    if (why := book.absent.get(part.key)) is not None:
        return Line(part.name, quantity, None, Decimal(0), part.scope, why)
    price = book[part.key]
    return Line(part.name, quantity, price, price.monthly(quantity), part.scope, price.note)


def _parts(standing: Shape, book: PriceBook) -> Iterator[_Part]:
    holds_data_elsewhere = standing.data_volume_gib > 0
    for box in standing.boxes:
        yield _Part(f"box {box.name} {box.instance.name}", f"ec2.{box.instance.name}", 1)
    if holds_data_elsewhere:
        yield _Part("data volume gp3", "ebs.gp3", standing.data_volume_gib)
    if standing.boxes:
        # The document's two-box options have no disk but the root; its single box has one disk for all.
        scope = Scope.BESIDE if holds_data_elsewhere else Scope.COMPARED
        yield _Part("root volumes gp3", "ebs.gp3", sum(box.root_gib for box in standing.boxes), scope)
    if standing.database:
        yield _Part(f"database {standing.database.name}", f"rds.{standing.database.name}", 1)
        yield _Part("database storage gp3", "rds.gp3", standing.database_gib)
        yield _Part("managed master secret", "secrets.secret", 1, Scope.BESIDE)
    if standing.load_balancer_zones:
        yield _Part("load balancer", "alb", 1)
    if standing.nat_gateways:
        yield _Part("NAT gateway", "nat", standing.nat_gateways)
    if standing.public_addresses:
        yield _Part("public IPv4 addresses", "ipv4", standing.public_addresses)
    yield _Part("encryption key", "kms.key", 1, Scope.BESIDE)
    for key, quantity in watching_quantities(stage_resources(standing.stage)).items():
        yield _Part(_WATCHING[key], key, quantity, Scope.BESIDE)
    lump = f"traffic.{standing.stage.option}"
    if lump in book.prices:
        yield _Part("traffic out, one sum", lump, 1)
    else:
        yield _Part("traffic out", "traffic.out", DOCUMENT_TRAFFIC_GIB, Scope.USAGE)
