"""What RunPod billed beside what the controller counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.clients.runpod_types import BillingRecord
from infra.core.gpu.decide import State
from infra.host.box.gpu.record import Document, Money
from ops.gpu.bill import Bill, Counted, counted

START, END = datetime(2026, 11, 20, 6, tzinfo=UTC), datetime(2026, 11, 21, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(start: datetime, gpu_usd: str, *, lasts: timedelta = HOUR) -> BillingRecord:
    gpu = Decimal(gpu_usd)
    return BillingRecord(
        start, start + lasts, "e", gpu + Decimal("0.03"), gpu, Decimal("0.01"), Decimal("0.02")
    )


def test_only_the_hours_of_the_count_are_compared_and_every_amount_is_exact_text() -> None:
    day = record(datetime(2026, 11, 20, tzinfo=UTC), "1.25", lasts=timedelta(days=1))
    hours = [record(START - HOUR, "7"), record(START, "1.25"), record(END - HOUR, "0.1"), record(END, "9")]
    bill = Bill([day], [*hours, day], Counted(Decimal("1.3999999"), START, END))
    assert bill.billed_usd == Decimal("1.35")
    assert bill.beside_usd == Decimal("0.06")
    assert not bill.disagrees
    data = json.loads(json.dumps(bill.as_data()))
    assert data["compared"] == {
        "start": "2026-11-20T06:00:00+00:00", "end": "2026-11-21T09:00:00+00:00", "billed_gpu_usd": "1.35",
        "counted_usd": "1.4000", "difference_usd": "-0.0500", "difference_share": "-0.0370",
        "disk_and_fee_usd": "0.06", "disagrees": False,
    }  # fmt: skip
    assert data["days"] == [
        {"day": "2026-11-20", "total_usd": "1.28", "gpu_usd": "1.25", "disk_usd": "0.01", "fee_usd": "0.02"}
    ]
    assert bill.rows()[-2] == ("difference", "-3.7 %", "-0.0500", "", "")


@pytest.mark.parametrize(
    ("billed", "count", "disagrees"),
    [
        ("10", "9.01", False),
        ("10", "8.99", True),
        ("10", "11.01", True),
        ("0.15", "0.06", False),
        ("0.5", "0.39", True),
        ("0", "0.2", True),
    ],
)
def test_beyond_a_tenth_and_ten_cents_somebody_should_look(billed: str, count: str, disagrees: bool) -> None:
    bill = Bill([], [record(START, billed)], Counted(Decimal(count), START, END))
    assert bill.disagrees is disagrees


def test_the_count_says_since_when_it_is_and_never_reaches_into_another_month() -> None:
    look = datetime(2026, 11, 21, 8, 59, tzinfo=UTC).timestamp()
    state = State(last_at=look)
    document = Document(state=state, money=Money("2026-11", 60.0, 1.5, since=START.timestamp() + 700))
    assert counted(Document.loads(document.dumps())) == Counted(Decimal("1.5"), START, END)
    whole = Document(state=state, money=Money("2026-11", 60.0, 1.5))
    assert counted(whole) == Counted(Decimal("1.5"), datetime(2026, 11, 1, tzinfo=UTC), END)
    assert counted(Document()) is None
    assert not Bill([], [record(START, "5")]).disagrees
    assert Bill([record(START, "5")]).rows()[-1][0] == "2026-11-20"
