"""The only place for what a set of resources costs a month: planned, standing, or made up from a stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from infra.core.cost.component import Component, used
from infra.core.cost.kinds import PRICED, is_free
from infra.core.cost.money import NOTHING, Basis, Span, rounded, together
from infra.core.cost.resource import NotKnownError, Resource
from infra.core.cost.usage import DEFAULT, Usage
from infra.core.cost.watching import custom_metrics
from infra.core.errors import Fault, TerraceError
from infra.core.prices import Price, PriceBook

WHOLE_STACK = "(stack)"
"""The URN of what is billed for the stack as a whole: its traffic, and metrics that no resource stands for."""

_REACHABLE = ("aws:ec2/instance:Instance", "aws:lb/loadBalancer:LoadBalancer")
_ACROSS_ZONES = ("aws:rds/instance:Instance", "aws:lb/loadBalancer:LoadBalancer")


@dataclass(frozen=True, slots=True)
class CostLine:
    """One component with its price; `monthly` is unrounded, after what is free."""

    urn: str
    resource: str
    component: Component
    price: Price
    monthly: Span

    @property
    def basis(self) -> Basis:
        """What the quantity rests on."""
        return self.component.basis


@dataclass(frozen=True, slots=True)
class StackCost:
    """What a set of resources costs a month by one book, in USD before tax."""

    book: PriceBook
    lines: tuple[CostLine, ...]
    free: int = 0
    lacking: tuple[str, ...] = ()
    """Components that a reference book has no price for, by name and key; never of a book that prices stacks."""

    @property
    def fixed(self) -> Decimal:
        """What is billed whether used or not, to the cent."""
        return rounded(
            sum((each.monthly.likely for each in self.lines if each.basis is Basis.FIXED), NOTHING)
        )

    @property
    def total(self) -> Span:
        """Everything, as a range, to the cent."""
        return together(each.monthly for each in self.lines).rounded()

    @property
    def used(self) -> Span:
        """What use decides, as a range, to the cent."""
        return together(each.monthly for each in self.lines if each.basis is not Basis.FIXED).rounded()

    def quantities(self, *, basis: Basis = Basis.FIXED) -> dict[str, Decimal]:
        """The likely quantity of each price key."""
        found: dict[str, Decimal] = {}
        for each in self.lines:
            if each.basis is basis:
                key = each.component.key
                found[key] = found.get(key, NOTHING) + each.component.quantity.likely
        return found


def price_stack(
    resources: Iterable[Resource], book: PriceBook, usage: Usage = DEFAULT, *, known_only: bool = False
) -> StackCost:
    """What those resources cost.

    With `known_only` what a reference book lacks is left out and named in `lacking`: such a book is for comparing.

    Free quantities of an account (alarms, metrics, logs) are given to the first lines of a key, in the order of URNs.

    Raises:
        TerraceError: a kind that is neither priced nor free, a price that the book lacks, a size that only an update
            will tell; every one of them, with its URN.
    """
    listed = sorted((each for each in resources if each.custom), key=lambda each: each.urn)
    faults: list[Fault] = []
    pairs: list[tuple[Resource, Component]] = []
    free = 0
    for resource in listed:
        if is_free(resource.token):
            free += 1
            continue
        pairs += [(resource, component) for component in _components(resource, usage, faults)]
    pairs += [(Resource(WHOLE_STACK, WHOLE_STACK), each) for each in _whole(listed, usage)]
    lacking: tuple[str, ...] = ()
    if known_only and book.reference:
        named = {f"{each.name} ({each.key})" for _, each in pairs if each.key not in book.prices}
        lacking = tuple(sorted(named))
        pairs = [pair for pair in pairs if pair[1].key in book.prices]
    lines = tuple(_lines(pairs, book, faults))
    if faults:
        raise TerraceError(*faults, summary="The stack cannot be priced; a missing price is never 0.")
    return StackCost(book, lines, free, lacking)


def _components(resource: Resource, usage: Usage, faults: list[Fault]) -> list[Component]:
    if (kind := PRICED.get(resource.token)) is None:
        faults.append(
            Fault(
                resource.urn,
                f"{resource.token} is neither priced nor on the list of free kinds",
                "Add it in infra/core/cost: docs/adding-a-resource.md",
            )
        )
        return []
    try:
        return list(kind(resource, usage))
    except NotKnownError as error:
        faults.append(
            Fault(resource.urn, f"{error} is known only after the update", "Give it as a plain value")
        )
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        faults.append(Fault(resource.urn, f"cannot be priced: {error}", "Look at its inputs"))
    return []


def _whole(resources: Sequence[Resource], usage: Usage) -> Iterator[Component]:
    yield from custom_metrics(resources)
    tokens = {each.token for each in resources}
    if tokens.intersection(_REACHABLE):
        yield used("traffic out", "traffic.out", usage, "traffic.out.gib")
    if tokens.intersection(_ACROSS_ZONES):
        yield used("traffic between zones, both ways", "traffic.zones", usage, "traffic.zones.gib", times=2)


def _lines(
    pairs: Iterable[tuple[Resource, Component]], book: PriceBook, faults: list[Fault]
) -> Iterator[CostLine]:
    # What is still free of each key in a low, a likely and a high month; a low month leaves more of it.
    left: dict[str, list[Decimal]] = {}
    for resource, component in pairs:
        price = book.prices.get(component.key)
        if price is None:
            faults.append(_unpriced(resource, component, book))
            continue
        free = left.setdefault(component.key, [price.free] * 3)
        billed = []
        quantity = component.quantity
        for month, amount in enumerate((quantity.low, quantity.likely, quantity.high)):
            units = price.units(amount)
            billed.append(max(NOTHING, units - free[month]) * price.usd)
            free[month] = max(NOTHING, free[month] - units)
        monthly = Span(*billed)
        yield CostLine(resource.urn, resource.name, component, price, monthly)


def _unpriced(resource: Resource, component: Component, book: PriceBook) -> Fault:
    try:
        book[component.key]
    except TerraceError as error:
        (fault,) = error.faults
        return Fault(resource.urn, f"{component.name}: {fault.path} has {fault.what}", fault.remedy)
    raise AssertionError(component.key)
