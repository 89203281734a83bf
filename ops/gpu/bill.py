"""The only place where RunPod's bill is put beside what the controller has counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.clients.runpod_types import BillingRecord

HEAD = ("day", "total USD", "GPU", "disk")
CENTS = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Bill:
    """What was billed, a record a day, and what was counted in the `month` (as `2026-11`), all in USD."""

    records: Sequence[BillingRecord]
    month: str
    counted_usd: Decimal

    @property
    def billed_usd(self) -> Decimal:
        """What the counted month's records come to: GPU alone, which is what the controller counts."""
        ours = (each.gpu_usd for each in self.records if each.start.strftime("%Y-%m") == self.month)
        return sum(ours, start=Decimal(0))

    def rows(self) -> list[tuple[str, ...]]:
        """For a table under `HEAD`, the comparison last."""
        listed = [
            (f"{each.start:%Y-%m-%d}", *map(_text, (each.total_usd, each.gpu_usd, each.disk_usd)))
            for each in self.records
        ]
        return [
            *listed,
            (f"{self.month} billed / counted", _text(self.billed_usd), _text(self.counted_usd), ""),
        ]

    def as_data(self) -> dict[str, Any]:
        """For JSON; every amount is a string, as exact as it came."""
        return {
            "days": [
                {
                    "day": f"{each.start:%Y-%m-%d}",
                    "total_usd": str(each.total_usd),
                    "gpu_usd": str(each.gpu_usd),
                    "disk_usd": str(each.disk_usd),
                    "fee_usd": str(each.fee_usd),
                }
                for each in self.records
            ],
            "month": self.month,
            "billed_gpu_usd": str(self.billed_usd),
            "counted_usd": str(self.counted_usd.quantize(CENTS)),
        }


def _text(amount: Decimal) -> str:
    return str(amount.quantize(CENTS))
