"""The controller's count beside the double's bill: life by life, and day by day once a day is billed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.runpod.faults import FaultName
from infra.clients.runpod_jobs import JobPolicy
from infra.clients.runpod_types import BillingRecord
from infra.clients.transport import Reply, Request, Transport
from infra.core.gpu.definition import load_policy
from infra.host.box.gpu import money
from infra.host.box.gpu.record import Document, Money
from ops.gpu import bill

from .desk import DAY, Desk
from .support import NOW, bench

RATE = load_policy().usd_per_second
NOON = datetime(2026, 10, 10, 12, tzinfo=UTC).timestamp()


def count(desk: Desk) -> Money:
    """What the controller has counted."""
    return desk.controller.store.load()[0].money


def test_the_money_counted_for_workers_that_were_seen_is_never_below_the_bill_and_close_to_it(
    auto: Desk,
) -> None:
    for _ in range(6):
        auto.send(3)
        auto.rounds(20)
    counted = auto.controller.store.load()[0].money
    billed = auto.bench.double.world.billed_seconds(auto.bench.double.endpoints[0])
    assert billed <= counted.worker_seconds <= billed + 6 * 60
    assert json.loads(auto.controller.store.load()[1])["format"] == 1
    assert counted.since == NOW + 60


def test_the_count_agrees_with_the_bill_hour_by_hour_over_a_months_end(auto: Desk) -> None:
    world = auto.bench.double.world
    world.advance(datetime(2026, 9, 30, 22, tzinfo=UTC).timestamp())
    for _ in range(12):
        auto.send(3)
        auto.rounds(20)
        made = bill.counted(auto.controller.store.load()[0])
        assert made is not None
        hours = auto.bench.api.billing(start=made.start, end=made.end, bucket="hour")
        assert not bill.Bill([], hours, made).disagrees
    assert made.start == datetime(2026, 10, 1, tzinfo=UTC)


MOMENTS = st.lists(
    st.tuples(
        st.floats(1, 150),  # until something happens
        st.sampled_from(("look", "look", "look", "job", "job", "crashes", "well", "throw-away")),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=30)
@given(MOMENTS, st.integers(0, 86400))
def test_each_life_is_counted_no_less_than_billed_and_at_most_to_the_look_that_misses_it(
    moments: list[tuple[float, str]], second: int
) -> None:
    """Whatever lives there are, and whenever somebody looks, over midnight and a month's end too."""
    made = bench(execution_seconds=30.0, cold_seconds=40.0)
    world = made.double.world
    world.advance(datetime(2026, 9, 30, tzinfo=UTC).timestamp() + second)
    name = made.endpoint()
    (endpoint,) = made.double.endpoints
    known, looks = Money(), [world.now]
    for seconds, what in [*moments, (1.0, "look")]:
        world.advance(world.now + seconds)
        if what == "job":
            made.jobs(name).run({"input": 1}, JobPolicy(300, 3600))
        elif what == "throw-away":
            for worker in list(endpoint.workers.values()):
                world.stop(endpoint, worker)
        elif what != "look":
            endpoint.crashing = what == "crashes"
        else:
            known = money.counted(known, made.api.workers(name), world.now, RATE)
            looks.append(world.now)
    # A bill is rounded up to the second, life by life.
    least, most, begin = 0.0, 0.0, money.month_start(world.now)
    living = [each.billed_from for each in endpoint.workers.values() if each.billed_from is not None]
    for start, end in [*endpoint.lifetimes, *((start, world.now + 1) for start in living)]:
        if any(start <= look < end for look in looks):
            least += max(0.0, min(end, world.now) - max(start, begin))
            most += max(0.0, next((look for look in looks if look >= end), world.now) - max(start, begin))
    assert least - 1e-3 <= known.worker_seconds <= most + 1e-3
    assert known.usd == pytest.approx(known.worker_seconds * RATE)
    assert sum(counts for counts, _ in known.days.values()) == pytest.approx(known.worker_seconds)
    assert all(lived <= counts + 1e-3 for counts, lived in known.days.values())


def days_of_work(desk: Desk, days: int) -> None:
    """An hour of work a day from noon, looked at each minute; the rest of the day each hour."""
    world = desk.bench.double.world
    world.advance(NOON)
    for _ in range(days):
        for _ in range(6):
            desk.send()
            desk.rounds(10)
        for _ in range(23):
            desk.bench.pass_time(3600 - 60)
            desk.rounds(1)


def test_a_day_after_its_end_a_day_costs_what_was_billed_for_it(auto: Desk) -> None:
    days_of_work(auto, 4)
    world, made = auto.bench.double.world, count(auto)
    midnight = NOON // DAY * DAY
    assert sorted(made.days) == ["2026-10-13", "2026-10-14"]
    billed = world.billed_seconds(auto.platform, midnight, midnight + 3 * DAY) * RATE
    assert made.settled_usd == pytest.approx(billed)
    assert made.since == midnight
    assert 0 < made.usd - auto.spent_usd <= 6 * 60 * RATE
    assert [each["days"] for each in auto.controller.journal.read() if each["event"] == "settled"] == [
        "2026-10-10", "2026-10-11", "2026-10-12"
    ]  # fmt: skip


def test_what_came_and_went_unseen_is_in_the_count_once_it_is_billed(auto: Desk) -> None:
    world = auto.bench.double.world
    world.advance(NOON)
    auto.rounds(1)
    auto.send()
    auto.bench.pass_time(3600)
    auto.rounds(1)
    assert count(auto).usd == 0 < auto.spent_usd
    auto.bench.pass_time(1.5 * DAY)
    auto.rounds(1)
    assert count(auto).usd == pytest.approx(auto.spent_usd)


@dataclass
class Late:
    """A transport whose bill comes to so much of the truth."""

    inner: Transport
    share: float

    def send(self, request: Request) -> Reply:
        """See `Transport.send`."""
        reply: Reply = self.inner.send(request)
        if "/billing/" not in request.url:
            return reply
        raw = reply.json()
        for each in raw["records"]:
            each["gpuAmount"] *= self.share
        return replace(reply, content=json.dumps(raw).encode())


def test_a_bill_that_is_not_whole_yet_is_not_believed_and_one_that_never_comes_leaves_the_count(
    auto: Desk,
) -> None:
    auto.bench.api.caller.transport = Late(auto.bench.transport, 0.5)
    days_of_work(auto, 2)
    assert count(auto).settled_usd == 0
    assert "2026-10-10" in count(auto).days
    before = count(auto).usd
    auto.bench.pass_time(2 * DAY)
    auto.rounds(1)
    assert "2026-10-10" not in count(auto).days
    assert count(auto).usd == before > auto.spent_usd


def test_where_no_bill_is_to_be_had_it_is_asked_for_once_an_hour_and_the_budget_is_kept(auto: Desk) -> None:
    days_of_work(auto, 2)
    auto.bench.double.faults.plan(FaultName.SERVER_ERROR, times=99, path="/v2/billing")
    auto.bench.pass_time(12 * 3600)
    asked = [*auto.bench.double.requests]
    made = auto.rounds(120)
    calls = auto.bench.double.requests[len(asked) :]
    assert sum(1 for _, path, _ in calls if path.startswith("/v2/billing")) in (2, 3)
    assert all(each.decision for each in made)
    assert "bill not read" in {each["event"] for each in auto.controller.journal.read()}
    assert count(auto).usd >= auto.spent_usd


def test_a_document_of_before_days_were_kept_is_read_and_counted_on() -> None:
    text = Document(money=Money("2026-10", 1000.0, 1000 * RATE, {"w": NOON}, NOON - DAY)).dumps()
    raw = json.loads(text)
    del raw["money"]["days"], raw["money"]["settled_usd"]
    old = Document.loads(json.dumps(raw)).money
    made = money.counted(old, [], NOON + 60, RATE)
    assert made.worker_seconds == 1060
    later = money.settled(made, {"2026-10-10": Decimal(1)}, NOON + 3 * DAY, RATE)
    assert later.usd == pytest.approx(1000 * RATE + 1)


def test_a_day_of_several_records_costs_their_sum() -> None:
    def record(hour: int, usd: str) -> BillingRecord:
        start = datetime(2026, 11, 3, hour, tzinfo=UTC)
        return BillingRecord(start, start, "e", Decimal(usd), Decimal(usd), Decimal(0), Decimal(0))

    assert money.by_day([record(0, "0.10"), record(7, "0.25")]) == {"2026-11-03": Decimal("0.35")}
