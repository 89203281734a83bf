"""The only place where RunPod's bill is put beside what the controller has counted, over the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from infra.clients.runpod_types import BillingRecord
from infra.host.box.gpu.record import Document

HEAD = ("day", "total USD", "GPU", "disk", "fee")
CENTS = Decimal("0.0001")
LARGEST_SHARE = Decimal("0.10")
SMALLEST_USD = Decimal("0.10")
"""A difference is worth a person's time beyond both: a bill's hours are whole, and its delay is not established."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the controller counted in USD, from its first look of the month to its last; whole hours of UTC."""

    usd: Decimal
    start: datetime
    end: datetime


def counted(document: Document) -> Counted | None:
    """The count in a document; None before the first one."""
    money, last = document.money, document.state.last_at
    if not money.month or not last:
        return None
    begin = datetime.strptime(money.month, "%Y-%m").replace(tzinfo=UTC)
    start = max(begin, _hour(money.since)) if money.since else begin
    return Counted(Decimal(str(money.usd)), start, _hour(last) + timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Bill:
    """What was billed, a record a day, and beside the count the records of its hours; all in USD."""

    days: Sequence[BillingRecord]
    hours: Sequence[BillingRecord] = ()
    counted: Counted | None = None

    @property
    def compared(self) -> Sequence[BillingRecord]:
        """Records that lie wholly within the time of the count: others are never compared with it."""
        if self.counted is None:
            return ()
        return [
            each for each in self.hours if self.counted.start <= each.start and each.end <= self.counted.end
        ]

    @property
    def billed_usd(self) -> Decimal:
        """What those come to: the GPU alone, which is what the controller counts."""
        return sum((each.gpu_usd for each in self.compared), start=Decimal(0))

    @property
    def beside_usd(self) -> Decimal:
        """Disk and fee of the same time: billed, and neither counted nor in the GPU's budget."""
        return sum((each.disk_usd + each.fee_usd for each in self.compared), start=Decimal(0))

    @property
    def difference_usd(self) -> Decimal:
        """How much more was billed than counted; below 0 where less was."""
        return self.billed_usd - (self.counted.usd if self.counted else Decimal(0))

    @property
    def share(self) -> Decimal | None:
        """The difference as a share of the bill; None where nothing was billed."""
        return self.difference_usd / self.billed_usd if self.billed_usd else None

    @property
    def disagrees(self) -> bool:
        """Whether somebody should look."""
        limit = max(SMALLEST_USD, LARGEST_SHARE * self.billed_usd)
        return self.counted is not None and abs(self.difference_usd) > limit

    def rows(self) -> list[tuple[str, ...]]:
        """For a table under `HEAD`, the comparison last."""
        listed: list[tuple[str, ...]] = [
            (
                f"{each.start:%Y-%m-%d}",
                *map(_text, (each.total_usd, each.gpu_usd, each.disk_usd, each.fee_usd)),
            )
            for each in self.days
        ]
        if self.counted is None:
            return listed
        share = "" if self.share is None else f"{100 * self.share:+.1f} %"
        span = f"{self.counted.start:%m-%d %H:00} to {self.counted.end:%m-%d %H:00} UTC"
        return [
            *listed,
            (f"billed, {span}", "", _text(self.billed_usd), "", ""),
            ("counted by the controller", "", _text(self.counted.usd), "", ""),
            ("difference", share, _text(self.difference_usd), "", ""),
            ("disk and fee beside, in no budget", _text(self.beside_usd), "", "", ""),
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
                for each in self.days
            ],
            "compared": None
            if self.counted is None
            else {
                "start": self.counted.start.isoformat(),
                "end": self.counted.end.isoformat(),
                "billed_gpu_usd": str(self.billed_usd),
                "counted_usd": str(self.counted.usd.quantize(CENTS)),
                "difference_usd": str(self.difference_usd.quantize(CENTS)),
                "difference_share": None if self.share is None else str(self.share.quantize(CENTS)),
                "disk_and_fee_usd": str(self.beside_usd),
                "disagrees": self.disagrees,
            },
        }


def _hour(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds // 3600 * 3600, UTC)


def _text(amount: Decimal) -> str:
    return str(amount.quantize(CENTS))
