"""The only place for what a cost component is: a name, a price's key, a quantity and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from infra.core.cost.money import Basis, Span
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage
from infra.core.prices import HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that a resource is billed for; `quantity` in the unit of the price at `key`."""

    name: str
    key: str
    quantity: Span
    basis: Basis
    why: str = ""


Priced = Callable[[Resource, Usage], Iterable[Component]]
"""What a kind of resource is billed for."""


def fixed(name: str, key: str, quantity: Decimal | int | float | str = 1, why: str = "") -> Component:
    """A component that is billed whether used or not. Numbers come as floats from the engine; they are whole here."""
    return Component(name, key, Span.exactly(Decimal(str(quantity))), Basis.FIXED, why)


def used(name: str, key: str, usage: Usage, item: str, *, times: Decimal | int = 1) -> Component:
    """A component that is billed by use; `times` units of the price for one of the use."""
    use = usage[item]
    return Component(name, key, use.amount.times(times), use.basis, use.why)


def used_all_month(name: str, key: str, usage: Usage, item: str) -> Component:
    """A component billed by the hour, of a use that is a mean over the month."""
    return used(name, key, usage, item, times=HOURS_PER_MONTH)
