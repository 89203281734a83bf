"""What there is to choose from, by price: rungs, options, GPUs, machines, room for users, and price books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from infra.core.cost import rounded, stage_cost
from infra.core.cost.capacity import (
    SCENARIOS,
    concurrent,
    daily_users,
    first_stage_for,
    head_room,
    requests_per_day,
    single_box_rps,
)
from infra.core.cost.deviations import Deviation, deviations
from infra.core.cost.gpu import (
    Assumptions,
    Way,
    active_month,
    break_even_seconds,
    crossings,
    curve,
    per_receipt,
)
from infra.core.cost.platforms import platform_costs
from infra.core.cost.sizing import break_evens, fits, surplus_monthly
from infra.core.prices import PriceBook, load
from infra.core.prices.gaps import gaps
from infra.core.stages import LADDER, Option, Stage, listed
from ops.cost.answer import Answer, Table, about, span, usd

BAR = 40
"""Width of a bar of a terminal's chart, in characters."""

USERS = (500, 1_000, 2_000, 4_000, 10_000, 50_000, 100_000, 500_000, 1_000_000)
"""Monthly users of the ladder's chart."""


def ladder(book: PriceBook, today: date) -> Answer:
    """The ladder's prices, and which rung so many users stand on with what it costs."""
    priced = [(each, stage_cost(each, book)) for each in LADDER if each.option is not Option.ELASTIC]
    rows = []
    for each, found in priced:
        rows.append((each.name, each.option.value, usd(found.compared), usd(found.fixed), each.leave_when))
    prices = Table(
        "the ladder", ("stage", "option", "compared", "fixed", "leave when"), tuple(rows), (2, 3),
        (about(book, today),),
    )  # fmt: skip
    climbs = [_users_row(Decimal(users), book) for users in USERS]
    most = max((amount for *_, amount in climbs if amount is not None), default=Decimal(1))
    chart = tuple(
        (
            f"{users:,}",
            f"{dau:,.0f}",
            rung.name if rung else "–",
            usd(amount) if amount is not None else "not priced yet",
            "█" * max(1, round(amount / most * BAR)) if amount is not None else "",
        )
        for users, dau, rung, amount in climbs
    )
    users = Table(
        "users and money",
        ("monthly users", "daily", "stage", "USD", ""),
        chart,
        (0, 1, 3),
        (
            "Daily users are 12 % of monthly ones (founding document, E.1). A is left at 500 of them, B at 400",
            "at once, D by its own numbers of users. Option D is on the ladder and not priced yet.",
        ),
    )
    data = {
        "book": book.name,
        "stages": [
            {"stage": each.name, "compared": found.compared, "fixed": found.fixed} for each, found in priced
        ],
        "users": [
            {"monthly_users": users, "daily_users": dau, "stage": rung.name if rung else None, "usd": amount}
            for users, dau, rung, amount in climbs
        ],
    }
    return Answer((prices, users), data)


def _compared(stage: Stage, book: PriceBook) -> Decimal | None:
    """What options are compared by; None for a stage without prices."""
    return None if stage.option is Option.ELASTIC else stage_cost(stage, book).compared


def _users_row(users: Decimal, book: PriceBook) -> tuple[Decimal, Decimal, Stage | None, Decimal | None]:
    dau = daily_users(users)
    rung = first_stage_for(users)
    return users, dau, rung, None if rung is None else _compared(rung, book)


def options(book: PriceBook, today: date) -> Answer:
    """A, B, C beside platforms, each as the founding document set them side by side."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    for name, said in (("single-8g", "A"), ("split", "B"), ("private", "C")):
        amount = stage_cost(listed(name), book).compared
        rows.append((f"Option {said} ({name})", usd(amount), "one domain, own machines"))
        data.append({"option": said, "low": amount, "high": amount})
    for each in platform_costs(book):
        total = each.total
        rows.append(
            (
                each.platform.name,
                usd(total.low) if total.exact else f"{usd(total.low)} – {usd(total.high)}",
                "a domain for each service; with the plan's credit of 20 taken off "
                + (usd(each.after_credit.low) if total.exact else span(each.after_credit)),
            )
        )
        data.append({"option": each.platform.name, "low": rounded(total.low), "high": rounded(total.high)})
    titles = ("way", "USD a month", "")
    table = Table("ways of running the service", titles, tuple(rows), (1,), (about(book, today),))
    differs = deviations(load("document"), load("us-east-1"), load("seoul-2026-10"))
    return Answer(
        (table, _deviations(differs)),
        {
            "book": book.name,
            "options": data,
            "deviations": [
                {"where": each.where, "says": each.says, "found": each.found, "cause": each.cause}
                for each in differs
            ],
        },
    )


def _deviations(differs: list[Deviation]) -> Table:
    rows = tuple(
        (each.where, f"says {each.says}; it is {each.found}. {each.cause[0].upper()}{each.cause[1:]}.")
        for each in differs
    )
    return Table("where the founding document differs", ("where", ""), rows)


def gpu(book: PriceBook, assumed: Assumptions, today: date) -> Answer:
    """What reading receipts costs by each way of having a GPU, over requests a day, and where they cross."""
    points = curve(book, assumed)
    ways = tuple(Way)
    rows = tuple(
        (
            f"{each.per_day:,}",
            *(usd(each.monthly[way]) for way in ways),
            str(each.cheapest),
            f"{each.cold_share[Way.FLEX] * 100:.0f} %",
            f"{each.cold_share[Way.SOFT] * 100:.0f} %",
        )
        for each in points
    )
    table = Table(
        "a GPU, over requests a day",
        ("a day", "g4dn", "flex", "soft", "active", "API", "cheapest GPU", "cold flex", "cold soft"),
        rows,
        tuple(range(len(ways) + 1)),
        (
            f"{assumed.busy_seconds} s of GPU a receipt, cold start {assumed.cold_start_seconds} s, idle "
            f"{assumed.flex_idle_seconds} s (flex), {assumed.soft_idle_seconds} s (soft), at random.",
            f"The API ({assumed.model}) asks {per_receipt(book, assumed):.6f} a receipt; flex is cheaper below "
            f"{break_even_seconds(book, assumed):.2f} billed s.",
            f"Receipts go to an external API only where a team says so. Always on: {usd(active_month(book))}.",
            about(book, today),
        ),
    )
    found = crossings(book, assumed)
    crossing_rows = tuple(
        (
            f"{each.dearer} above {each.cheaper}",
            f"from {each.per_day:,.0f} a day" if each.per_day is not None else f"never up to {each.up_to:,}",
        )
        for each in found
    )
    cross = Table("break-even", ("what", "where"), crossing_rows)
    data = {
        "book": book.name,
        "points": [
            {
                "per_day": each.per_day,
                "monthly": {str(way): rounded(each.monthly[way]) for way in ways},
                "cold_share": {str(way): each.cold_share[way] for way in ways},
                "cheapest": each.cheapest,
            }
            for each in points
        ],
        "crossings": [
            {"dearer": each.dearer, "cheaper": each.cheaper, "per_day": each.per_day} for each in found
        ],
    }
    return Answer((table, cross), data)


def instance(book: PriceBook, today: date) -> Answer:
    """Where a burstable type stops being cheaper, what credits cost above the baseline, and what fits."""
    rows = []
    data = []
    has_credits = "ec2.surplus-credit" in book.prices
    for each in break_evens(book):
        at = f"{each.cpu_percent:.1f} % mean CPU" if each.cpu_percent is not None else "never"
        extra = [
            usd(surplus_monthly(each.burstable.name, Decimal(percent), book)) if has_credits else "–"
            for percent in (40, 60, 80)
        ]
        rows.append(
            (
                each.burstable.name,
                each.fixed.name,
                usd(each.burstable_monthly),
                usd(each.fixed_monthly),
                at,
                *extra,
            )
        )
        data.append(
            {
                "burstable": each.burstable.name,
                "fixed": each.fixed.name,
                "burstable_monthly": rounded(each.burstable_monthly),
                "fixed_monthly": rounded(each.fixed_monthly),
                "break_even_cpu_percent": each.cpu_percent,
            }
        )
    pays = Table(
        "burstable against fixed",
        ("burstable", "fixed", "USD", "USD", "fixed is cheaper above", "+ at 40 %", "at 60 %", "at 80 %"),
        tuple(rows),
        (2, 3, 5, 6, 7),
        ("+ is what surplus credits add a month in `unlimited` mode at that mean CPU.", about(book, today)),
    )
    memory = tuple(
        (
            each.instance.name,
            f"{each.instance.memory_gib}",
            usd(each.monthly) if each.monthly is not None else "–",
            f"{each.needed_gb}",
            f"{each.left_gb}" if each.fits else f"{each.left_gb}: does not fit",
        )
        for each in fits(book)
    )
    fit = Table(
        "all parts on one box, by memory", ("type", "GiB", "USD", "needed", "left"), memory, (1, 2, 3),
        ("PostgreSQL 2, Spring Boot 1.5, Next.js 0.7, Nginx 0.15, system 1: the founding document's E.2.",),
    )  # fmt: skip
    return Answer((pays, fit), {"book": book.name, "pairs": data})


def capacity(users: int, book: PriceBook, today: date) -> Answer:
    """Users, requests by scenario, and how many times over each stage carries them at which price."""
    dau = daily_users(Decimal(users))
    daily = requests_per_day(dau)
    low, high = concurrent(dau)
    demand = Table(
        f"{users:,} monthly users",
        ("scenario", "requests/s"),
        tuple((each.name, f"{each.qps(daily):.3g}") for each in SCENARIOS),
        (1,),
        (f"{dau:,.0f} daily users, {daily:,.0f} requests a day, {low:,.0f} to {high:,.0f} at once (E.1).",),
    )
    rooms = [each for each in head_room(dau) if each.scenario is SCENARIOS[-1]]
    least, most = single_box_rps()
    room = Table(
        "head-room at the sharpest peak",
        ("stage", "requests/s it carries", "times the peak", "enough (1.5 ×)", "USD a month"),
        tuple(
            (
                each.stage.name,
                "{} – {}".format(*(each.stage.capacity_rps or ("–", "–"))),
                f"{each.times[0]:,.0f} – {each.times[1]:,.0f}",
                "yes" if each.enough else "no",
                usd(amount) if (amount := _compared(each.stage, book)) is not None else "not priced yet",
            )
            for each in rooms
        ),
        (1, 2, 4),
        (
            about(book, today),
            f"One box by the document's arithmetic: {least:.0f} to {most:.0f} requests/s, rounded down to 50 to 150.",
        ),
    )
    data = {
        "book": book.name,
        "monthly_users": users,
        "daily_users": dau,
        "requests_per_day": daily,
        "concurrent": [low, high],
        "scenarios": [{"name": each.name, "qps": each.qps(daily)} for each in SCENARIOS],
        "stages": [
            {
                "stage": each.stage.name,
                "times": list(each.times),
                "enough": each.enough,
                "usd": _compared(each.stage, book),
            }
            for each in rooms
        ],
    }
    return Answer((demand, room), data)


def book(found: PriceBook, today: date) -> Answer:
    """What a book does not know: AWS's own names of prices, prices nobody checked, absent ones."""
    missing = gaps(found)
    rows = (
        ("prices", f"{len(found.prices)}"),
        ("without SKU or usage type", ", ".join(missing.nameless) or "none"),
        ("that nobody has checked (verify)", ", ".join(missing.unchecked) or "none"),
        ("much older than the book", ", ".join(missing.older) or "none"),
        *((f"absent: {key}", why) for key, why in missing.absent),
    )
    table = Table(f"price book {found.name}", ("what", ""), rows, (), (about(found, today),))
    data = {
        "book": found.name,
        "prices": len(found.prices),
        "without_names": missing.nameless,
        "unchecked": missing.unchecked,
        "older": missing.older,
        "absent": dict(missing.absent),
    }
    return Answer((table,), data)
