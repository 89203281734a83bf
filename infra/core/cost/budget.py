"""The only place for a stack's monthly budget: in USD, or in KRW at a rate with its date; the GPU's share apart.

AWS never sees what RunPod bills, so the whole is divided: `gpuShare` of it is the GPU's, the rest AWS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from infra.core.cost.money import rounded
from infra.core.errors import Fault, TerraceError

KEY = "terrace:budget"
EXAMPLE = '{monthly: "100000", currency: KRW, krwPerUsd: "1341.49", rateOf: 2026-10-09, gpuShare: "0.2"}'
"""The rate of the example: European Central Bank, reference rates of 2026-10-09."""


class Currency(StrEnum):
    """What a budget is stated in."""

    USD = "USD"
    KRW = "KRW"


@dataclass(frozen=True, slots=True)
class Budget:
    """A month's money. `said` is how the team states it."""

    usd: Decimal
    gpu_share: Decimal
    said: str

    @property
    def gpu_usd(self) -> Decimal:
        """The GPU's part."""
        return rounded(self.usd * self.gpu_share)

    @property
    def aws_usd(self) -> Decimal:
        """What AWS Budgets watches."""
        return rounded(self.usd - self.gpu_usd)

    def percent(self, amount: Decimal) -> int:
        """How much of the budget that amount is."""
        return int((amount / self.usd * 100).to_integral_value())

    def over(self, amount: Decimal) -> bool:
        """Whether that amount is more than the budget."""
        return amount > self.usd


def read_budget(raw: Any) -> Budget | None:
    """The budget of a stack's settings; None where it has none.

    Raises:
        TerraceError: an amount that is not positive, KRW without a rate and its date, a share beyond 0 to 1.
    """
    if raw is None:
        return None
    faults: list[Fault] = []
    if not isinstance(raw, Mapping):
        raise TerraceError(Fault(KEY, f"{raw!r} is no map", f"Write it as {EXAMPLE}"))
    monthly = _decimal(raw, "monthly", faults)
    share = _decimal(raw, "gpuShare", faults, default="0")
    currency = raw.get("currency", Currency.USD)
    rate = Decimal(1)
    said = f"{monthly:,f} {currency}"
    if currency == Currency.KRW:
        rate = _decimal(raw, "krwPerUsd", faults)
        day = _day(raw.get("rateOf"))
        if day is None:
            faults.append(
                Fault(f"{KEY}.rateOf", f"{raw.get('rateOf')!r} is no date", "Say when the rate held")
            )
        said += f" at {rate:f} of {day}"
    elif currency != Currency.USD:
        faults.append(
            Fault(f"{KEY}.currency", f"{currency!r} is unknown", f"Currencies: {', '.join(Currency)}")
        )
    if monthly <= 0 or rate <= 0:
        faults.append(Fault(f"{KEY}.monthly", f"{monthly} at {rate} is not above 0", "Leave it out for none"))
    if not 0 <= share <= 1:
        faults.append(Fault(f"{KEY}.gpuShare", f"{share} is not within 0 to 1", "0.2 is a fifth"))
    if faults:
        raise TerraceError(*faults)
    return Budget(rounded(monthly / rate), share, said)


def _decimal(raw: Mapping[str, Any], name: str, faults: list[Fault], default: str | None = None) -> Decimal:
    value = raw.get(name, default)
    try:
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise InvalidOperation
        amount = Decimal(value)
        if not amount.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        faults.append(Fault(f"{KEY}.{name}", f"{value!r} is no decimal in quotes", f"Write it as {EXAMPLE}"))
        return Decimal(1)
    return amount


def _day(value: Any) -> date | None:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None
