"""The only place for what a change costs: the lines of two prices of a stack, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from infra.core.cost.money import NOTHING, Basis, rounded
from infra.core.cost.stack import CostLine, StackCost
from infra.core.prices import Price


@dataclass(frozen=True, slots=True)
class LineChange:
    """One component before and after; None where it does not stand."""

    urn: str
    resource: str
    name: str
    before: CostLine | None
    after: CostLine | None

    @property
    def any_line(self) -> CostLine:
        """Whichever stands."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 one of both stands by construction
        return found

    @property
    def price(self) -> Price:
        """The price after, else before."""
        return self.any_line.price

    @property
    def delta(self) -> Decimal:
        """The likely difference, unrounded."""
        after = self.after.monthly.likely if self.after else NOTHING
        return after - (self.before.monthly.likely if self.before else NOTHING)

    @property
    def sign(self) -> str:
        """`+` new, `-` gone, `~` another, blank the same; use is marked apart."""
        if self.before is None:
            return "+"
        if self.after is None:
            return "-"
        same = self.before.monthly == self.after.monthly and self.before.price.key == self.after.price.key
        return " " if same else "~"


@dataclass(frozen=True, slots=True)
class CostDiff:
    """What a change costs a month."""

    before: StackCost
    after: StackCost
    lines: tuple[LineChange, ...]

    @property
    def changed(self) -> list[LineChange]:
        """The lines that differ, the dearest first."""
        return sorted(
            (each for each in self.lines if each.sign != " "), key=lambda each: (-abs(each.delta), each.urn)
        )

    @property
    def delta(self) -> Decimal:
        """The likely difference, to the cent: of the sums before they are rounded, as each line's is."""
        return rounded(sum((each.delta for each in self.lines), NOTHING))

    @property
    def percent(self) -> Decimal | None:
        """The difference of what stood before; None where nothing did."""
        before = self.before.total.likely
        return self.delta / before * 100 if before else None

    @property
    def resting_on_use(self) -> int:
        """How many lines of the price after rest on use."""
        return sum(1 for each in self.after.lines if each.basis is not Basis.FIXED)


def cost_diff(before: StackCost, after: StackCost) -> CostDiff:
    """Both prices, line by line. A line is known by its URN and its component's family (a resized machine is one)."""
    lines: dict[tuple[str, str], list[CostLine | None]] = {}
    for index, cost in enumerate((before, after)):
        for line in cost.lines:
            lines.setdefault((line.urn, _family(line)), [None, None])[index] = line
    changes = []
    for (urn, _), (one, other) in lines.items():
        some = other or one
        assert some is not None  # noqa: S101 each entry was made by a line
        changes.append(LineChange(urn, some.resource, some.component.name, one, other))
    return CostDiff(before, after, tuple(changes))


def _family(line: CostLine) -> str:
    """`machine t4g.large` and `machine t4g.xlarge` are one line that changed."""
    key = line.component.key
    return next((each for each in _SIZED if key.startswith(each)), key)


_SIZED = ("ec2.t", "ec2.m", "ec2.g", "rds.db.")
"""Keys that end with a size."""
