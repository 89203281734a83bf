"""The only place for the month's count of the GPU's money: lifetimes as they are seen, days as they were billed.

A worker is seen once a round, so its end is known to a round: until a day's bill is there it counts until the look
that misses it, up to a round too much and never too little. What comes and goes between two looks is not seen at
all. Both are put right a day later, when the day's count gives way to its bill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from infra.clients.runpod_types import BillingRecord, Worker
from infra.core.gpu.platform import WorkerStatus
from infra.host.box.gpu.record import Money

DAY = 86400
SETTLED_AFTER_SECONDS = 1 * DAY
"""So long after its end a day's bill is first believed; how late RunPod bills is not established (verify)."""

GIVEN_UP_AFTER_SECONDS = 3 * DAY
"""So long after its end a day that has no such bill keeps its count for good."""

WHOLE_SHARE = 0.98
"""A bill below so much of what workers have surely lived is not whole yet, or of another rate: it is not believed."""


def counted(money: Money, workers: Sequence[Worker], now: float, usd_per_second: float) -> Money:
    """Adds what workers cost since the last look (`now` in seconds of the epoch): by lifetimes, never by states.

    One that has vanished since, or is unhealthy by now, is counted until now.
    """
    begin = month_start(now)
    month, today = _text(now, "%Y-%m"), _text(now)
    fresh = money.month != month
    total = 0.0 if fresh else money.worker_seconds
    days = {} if fresh else dict(money.days)
    for day in _days(max(days, default=today), today):
        days.setdefault(day, (0.0, 0.0))
    last = max(money.alive.values(), default=begin)
    alive: dict[str, float] = {}
    spans: list[tuple[float, float, bool]] = []
    for worker in workers:
        if worker.started_at is None or worker.status is WorkerStatus.UNHEALTHY:
            continue
        since = max(money.alive.get(worker.id, worker.started_at.timestamp()), begin)
        spans.append((since, now, True))
        alive[worker.id] = now
    # After a clock that went ahead `last` lies beyond now, and nothing is counted twice.
    vanished = [until for name, until in money.alive.items() if name not in alive]
    spans += [(max(until, begin), now, False) for until in vanished if last <= now]
    for start, end, sure in spans:
        for day, seconds in _by_day(start, end):
            counts, lived = days.get(day, (0.0, 0.0))
            days[day] = (counts + seconds, lived + seconds * sure)
            total += seconds
    began = {month: money.since or begin, "": now}.get(money.month, begin)
    settled = 0.0 if fresh else money.settled_usd
    return Money(month, total, settled + total * usd_per_second, alive, began, days, settled)


def due(money: Money, now: float) -> list[str]:
    """Days (YYYY-MM-DD, UTC) that ended long enough ago for their bill."""
    return sorted(day for day in money.days if now - _end(day) >= SETTLED_AFTER_SECONDS)


def settled(
    money: Money, billed_usd: Mapping[str, Decimal] | None, now: float, usd_per_second: float
) -> Money:
    """Days that are due get what was billed for them, where that is whole; others wait.

    A day that the bill does not name cost nothing; None where there is no bill to be had. A day that has waited too
    long keeps its count and is not asked about again.
    """
    days, total, usd, since = dict(money.days), money.worker_seconds, money.settled_usd, money.since
    for day in due(money, now):
        counts, lived = days[day]
        billed = -1.0 if billed_usd is None else float(billed_usd.get(day, 0))
        if billed >= WHOLE_SHARE * lived * usd_per_second:
            del days[day]
            total, usd, since = total - counts, usd + billed, min(since, _end(day) - DAY)
        elif now - _end(day) >= GIVEN_UP_AFTER_SECONDS:
            del days[day]
    total = max(0.0, total)
    return replace(
        money,
        worker_seconds=total,
        usd=usd + total * usd_per_second,
        days=days,
        settled_usd=usd,
        since=since,
    )


def by_day(records: Sequence[BillingRecord]) -> dict[str, Decimal]:
    """What the cards cost by day (YYYY-MM-DD, UTC); a day may have several records."""
    found: dict[str, Decimal] = {}
    for each in records:
        day = f"{each.start:%Y-%m-%d}"
        found[day] = found.get(day, Decimal(0)) + each.gpu_usd
    return found


def span(days: Sequence[str]) -> tuple[datetime, datetime]:
    """From the first of these days until after the last."""
    return _start(days[0]), _start(days[-1]) + timedelta(days=1)


def month_start(now: float) -> float:
    """When the month of `now` began; both in seconds of the epoch."""
    moment = datetime.fromtimestamp(now, UTC)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _by_day(start: float, end: float) -> Iterator[tuple[str, float]]:
    while start < end:
        stop = min(end, start // DAY * DAY + DAY)
        yield _text(start), stop - start
        start = stop


def _days(first: str, last: str) -> Iterator[str]:
    at = _start(first)
    while (day := f"{at:%Y-%m-%d}") < last:
        yield day
        at += timedelta(days=1)
    yield last


def _start(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)


def _end(day: str) -> float:
    return _start(day).timestamp() + DAY


def _text(now: float, form: str = "%Y-%m-%d") -> str:
    return datetime.fromtimestamp(now, UTC).strftime(form)
