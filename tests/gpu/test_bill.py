"""What RunPod billed beside what the controller counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from infra.clients.runpod_types import BillingRecord
from ops.gpu.bill import Bill


def record(month: int, gpu_usd: str) -> BillingRecord:
    day = datetime(2026, month, 20, tzinfo=UTC)
    gpu = Decimal(gpu_usd)
    return BillingRecord(day, day, "e", gpu + Decimal("0.01"), gpu, Decimal("0.01"), Decimal(0))


def test_only_the_counted_month_is_compared_and_every_amount_is_exact_text() -> None:
    bill = Bill([record(10, "7"), record(11, "1.25"), record(11, "0.1")], "2026-11", Decimal("1.3999999"))
    assert bill.billed_usd == Decimal("1.35")
    assert bill.rows()[-1] == ("2026-11 billed / counted", "1.3500", "1.4000", "")
    data = json.loads(json.dumps(bill.as_data()))
    assert (data["billed_gpu_usd"], data["counted_usd"]) == ("1.35", "1.4000")
    assert data["days"][1] == {
        "day": "2026-11-20", "total_usd": "1.26", "gpu_usd": "1.25", "disk_usd": "0.01", "fee_usd": "0",
    }  # fmt: skip
