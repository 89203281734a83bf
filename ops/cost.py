"""What money questions are answered with: tables for people, the same as data for programs. No cloud is asked.

Amounts are USD a month before tax. A range is P10 to P90 of what use decides; a fixed line has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from infra.core.cost import (
    Basis,
    CostLine,
    Scope,
    Span,
    StackCost,
    Usage,
    price_stack,
    rounded,
    stage_cost,
    stage_resources,
    together,
)
from infra.core.cost.capacity import (
    SCENARIOS,
    concurrent,
    daily_users,
    first_stage_for,
    head_room,
    requests_per_day,
    single_box_rps,
)
from infra.core.cost.deviations import deviations
from infra.core.cost.diff import CostDiff, cost_diff
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
from infra.core.prices.age import age_days, confidence
from infra.core.prices.gaps import gaps
from infra.core.stages import LADDER, Option, Stage, listed

SMALL_USD = Decimal("0.5")
"""Lines of use that a bad month does not lift above this are summed up for people."""

BAR = 40
"""Width of a bar of a terminal's chart, in characters."""

USERS = (500, 1_000, 2_000, 4_000, 10_000, 50_000, 100_000, 500_000, 1_000_000)
"""Monthly users of the ladder's chart."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: heading, columns, rows of text, which columns are numbers, and what has to be said below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: tables for people, data for programs."""

    tables: tuple[Table, ...]
    data: Mapping[str, Any] = field(default_factory=dict)


def about(book: PriceBook, today: date) -> str:
    """Which book answered, and how far it is to be believed."""
    trust = "kept for comparison" if book.reference else f"confidence {confidence(book, today)}"
    return (
        f"price book {book.name}, {book.region}, of {book.as_of} ({age_days(book, today)} days old), {trust}"
    )


def stage(name: str, book: PriceBook, usage: Usage, today: date) -> Answer:
    """A stage's lines: fixed ones with their price, use as ranges."""
    rung = listed(name)
    compared = stage_cost(rung, book)
    if book.reference:
        rows = tuple(
            (each.name, usd(each.monthly_usd), str(each.scope), each.note)
            for each in compared.lines
            if each.scope is not Scope.USAGE
        )
        total = ("as options are compared", usd(compared.compared), "", "")
        table = Table(
            f"{name} a month", ("line", "USD", "", "note"), (*rows, total), (1,), (about(book, today),)
        )
        return Answer((table,), {"stage": name, "book": book.name, "compared": compared.compared})
    cost = price_stack(stage_resources(rung), book, usage)
    data = {
        "stage": name,
        "book": book.name,
        "as_of": book.as_of,
        "compared": compared.compared,
        **cost_data(cost),
    }
    return Answer(tuple(cost_tables(f"{name} a month", cost, compared.compared, today)), data)


def cost_tables(title: str, cost: StackCost, compared: Decimal | None, today: date) -> Sequence[Table]:
    """A stack's lines, the fixed ones first, and its sums."""
    fixed = sorted(
        (each for each in cost.lines if each.basis is Basis.FIXED), key=lambda each: -each.monthly.likely
    )
    rows = [(_what(each), usd(each.monthly.likely), _price(each)) for each in fixed if each.monthly.likely]
    free = sum(1 for each in fixed if not each.monthly.likely)
    if free:
        rows.append((f"{free} more within free quantities", usd(Decimal(0)), ""))
    rows.append(("all fixed lines", usd(cost.fixed), ""))
    if compared is not None:
        rows.append(("of these, what options are compared by", usd(compared), "machines, data, addresses"))
    used = sorted(
        (each for each in cost.lines if each.basis is not Basis.FIXED), key=lambda each: -each.monthly.likely
    )
    use_rows = [
        (_what(each), usd(each.monthly.likely), span(each.monthly), str(each.basis), each.component.why)
        for each in used
        if each.monthly.high >= SMALL_USD
    ]
    if small := [each.monthly for each in used if each.monthly.high < SMALL_USD]:
        together_ = together(small)
        use_rows.append((f"{len(small)} smaller lines", usd(together_.likely), span(together_), "", ""))
    use_rows.append(("all use", usd(cost.used.likely), span(cost.used), "", ""))
    total = cost.total
    notes = (
        f"In all {usd(total.likely)} ({usd(total.low)} to {usd(total.high)}), before tax.",
        about(cost.book, today),
    )
    return (
        Table(title, ("fixed", "USD", "price"), tuple(rows), (1,)),
        Table("what use decides", ("line", "USD", "P10 to P90", "", "why"), tuple(use_rows), (1, 2), notes),
    )


def cost_data(cost: StackCost) -> dict[str, Any]:
    """A priced stack for programs."""
    return {
        "fixed": cost.fixed,
        "total": _span_data(cost.total),
        "used": _span_data(cost.used),
        "lines": [
            {
                "urn": each.urn,
                "resource": each.resource,
                "component": each.component.name,
                "key": each.component.key,
                "basis": each.basis,
                "quantity": _span_data(each.component.quantity),
                "monthly": _span_data(each.monthly.rounded()),
                "usd": each.price.usd,
                "unit": each.price.unit,
                "source": each.price.source,
            }
            for each in cost.lines
        ],
    }


def ladder(book: PriceBook, today: date) -> Answer:
    """The ladder's prices, and which rung so many users stand on with what it costs."""
    priced = [each for each in LADDER if each.option is not Option.ELASTIC]
    rows = []
    for each in priced:
        found = stage_cost(each, book)
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
            {
                "stage": each.name,
                "compared": stage_cost(each, book).compared,
                "fixed": stage_cost(each, book).fixed,
            }
            for each in priced
        ],
        "users": [
            {"monthly_users": users, "daily_users": dau, "stage": rung.name if rung else None, "usd": amount}
            for users, dau, rung, amount in climbs
        ],
    }
    return Answer((prices, users), data)


def _users_row(users: Decimal, book: PriceBook) -> tuple[Decimal, Decimal, Stage | None, Decimal | None]:
    dau = daily_users(users)
    rung = first_stage_for(users)
    amount = None
    if rung is not None and rung.option is not Option.ELASTIC:
        amount = stage_cost(rung, book).compared
    return users, dau, rung, amount


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
    return Answer(
        (table, _deviations()), {"book": book.name, "options": data, "deviations": _deviations_data()}
    )


def _deviations() -> Table:
    rows = tuple(
        (each.where, f"says {each.says}; it is {each.found}. {each.cause[0].upper()}{each.cause[1:]}.")
        for each in _all_deviations()
    )
    return Table("where the founding document differs", ("where", ""), rows)


def _all_deviations() -> list[Any]:
    return list(deviations(load("document"), load("us-east-1"), load("seoul-2026-10")))


def _deviations_data() -> list[dict[str, str]]:
    return [
        {"where": each.where, "says": each.says, "found": each.found, "cause": each.cause}
        for each in _all_deviations()
    ]


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


def capacity(users: int) -> Answer:
    """Users, requests by scenario, and how many times over each stage carries them; no prices in it."""
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
        ("stage", "requests/s it carries", "times the peak", "enough (1.5 ×)"),
        tuple(
            (
                each.stage.name,
                "{} – {}".format(*(each.stage.capacity_rps or ("–", "–"))),
                f"{each.times[0]:,.0f} – {each.times[1]:,.0f}",
                "yes" if each.enough else "no",
            )
            for each in rooms
        ),
        (1, 2),
        (
            f"One box by the document's arithmetic: {least:.0f} to {most:.0f} requests/s, rounded down to 50 to 150.",
        ),
    )
    data = {
        "monthly_users": users,
        "daily_users": dau,
        "requests_per_day": daily,
        "concurrent": [low, high],
        "scenarios": [{"name": each.name, "qps": each.qps(daily)} for each in SCENARIOS],
        "stages": [
            {"stage": each.stage.name, "times": list(each.times), "enough": each.enough} for each in rooms
        ],
    }
    return Answer((demand, room), data)


def diff(before: StackCost, after: StackCost, title: str, today: date) -> Answer:
    """Two prices, line by line."""
    found = cost_diff(before, after)
    return Answer((diff_table(found, title, today),), diff_data(found))


def stages_diff(one: str, other: str, book: PriceBook, usage: Usage, today: date) -> Answer:
    """What a climb or descent costs a month."""
    before, after = (price_stack(stage_resources(listed(name)), book, usage) for name in (one, other))
    return diff(before, after, f"{one} → {other}", today)


def diff_table(found: CostDiff, title: str, today: date) -> Table:
    """The lines that change, the dearest first."""
    rows = tuple(
        (
            each.sign,
            f"{each.resource}: {each.name}",
            usd(each.before.monthly.likely) if each.before else "",
            usd(each.after.monthly.likely) if each.after else "",
            f"{rounded(each.delta):+,}",
        )
        for each in found.changed
        if rounded(each.delta)
    )
    share = f" ({found.percent:+.0f} %)" if found.percent is not None else ""
    total = found.after.total
    return Table(
        f"{title}   {usd(found.before.total.likely)} → {usd(total.likely)} a month, {found.delta:+,.2f}{share}",
        ("", "line", "before", "after", "difference"),
        rows,
        (2, 3, 4),
        (
            f"After: {usd(total.low)} to {usd(total.high)}; {found.resting_on_use} lines rest on use.",
            about(found.after.book, today),
        ),
    )


def diff_data(found: CostDiff) -> dict[str, Any]:
    """A difference for programs."""
    return {
        "book": found.after.book.name,
        "before": _span_data(found.before.total),
        "after": _span_data(found.after.total),
        "delta": found.delta,
        "percent": found.percent,
        "lines": [
            {
                "sign": each.sign,
                "urn": each.urn,
                "name": each.name,
                "before": rounded(each.before.monthly.likely) if each.before else None,
                "after": rounded(each.after.monthly.likely) if each.after else None,
                "delta": rounded(each.delta),
            }
            for each in found.changed
        ],
    }


SERVICES: Mapping[str, tuple[str, ...]] = {
    "Amazon Elastic Compute Cloud": ("ec2.", "ebs.", "nat"),
    "Amazon Virtual Private Cloud": ("ipv4", "vpce"),
    "Amazon Relational Database Service": ("rds.",),
    "Elastic Load Balancing": ("alb",),
    "Amazon Simple Storage Service": ("s3.",),
    "AWS Key Management Service": ("kms.",),
    "AWS Secrets Manager": ("secrets.",),
    "AmazonCloudWatch": ("cw.", "logs."),
    "Amazon Simple Notification Service": ("sns.",),
    "Amazon Route 53": ("route53.",),
    "AWS WAF": ("waf.",),
    "AWS Backup": ("backup.",),
    "AWS Data Transfer": ("traffic.",),
}
"""Which of our price keys each line of a bill by service holds (names as Cost Explorer shows them) (verify)."""


def calibrate(cost: StackCost, bill: Mapping[str, Decimal], today: date) -> Answer:
    """The estimate against a month's bill, service by service; what neither knows is shown, not dropped."""
    estimated: dict[str, Span] = {}
    for line in cost.lines:
        service = next(
            (name for name, keys in SERVICES.items() if line.component.key.startswith(keys)),
            line.component.key,
        )
        before = estimated.get(service, Span.exactly(0))
        estimated[service] = Span(
            before.low + line.monthly.low,
            before.likely + line.monthly.likely,
            before.high + line.monthly.high,
        )
    rows = []
    data = []
    for service in sorted({*estimated, *bill}):
        thought, billed = estimated.get(service), bill.get(service)
        within = thought is not None and billed is not None and thought.low <= billed <= thought.high
        off = (billed or Decimal(0)) - (thought.likely if thought else Decimal(0))
        verdict = "within the range" if within else "look" if abs(off) >= Decimal(1) else "small"
        rows.append(
            (
                service,
                usd(thought.likely) if thought else "–",
                span(thought) if thought else "",
                usd(billed) if billed is not None else "–",
                f"{off:+,.2f}",
                verdict,
            )
        )
        data.append(
            {
                "service": service,
                "estimate": _span_data(thought.rounded()) if thought else None,
                "billed": billed,
                "off": rounded(off),
                "verdict": verdict,
            }
        )
    whole = sum(bill.values(), Decimal(0))
    table = Table(
        f"estimate {usd(cost.total.likely)} against a bill of {usd(whole)}",
        ("service", "estimate", "P10 to P90", "bill", "off", ""),
        tuple(rows),
        (1, 2, 3, 4),
        ("Write what was measured into a usage file (--usage), and ask again.", about(cost.book, today)),
    )
    return Answer((table,), {"book": cost.book.name, "services": data, "billed": whole})


def book(found: PriceBook, today: date) -> Answer:
    """What a book does not know: AWS's own names of prices, prices nobody checked, absent ones."""
    missing = gaps(found)
    rows = (
        ("prices", f"{len(found.prices)}"),
        ("without SKU or usage type", ", ".join(missing.nameless) or "none"),
        ("that nobody has checked (verify)", ", ".join(missing.unchecked) or "none"),
        *((f"absent: {key}", why) for key, why in missing.absent),
    )
    table = Table(f"price book {found.name}", ("what", ""), rows, (), (about(found, today),))
    data = {
        "book": found.name,
        "prices": len(found.prices),
        "without_names": missing.nameless,
        "unchecked": missing.unchecked,
        "absent": dict(missing.absent),
    }
    return Answer((table,), data)


def usd(amount: Decimal) -> str:
    """An amount as text."""
    return f"{rounded(amount):,}"


def span(amount: Span) -> str:
    """A range as text."""
    return f"{usd(amount.low)} – {usd(amount.high)}"


def _what(line: CostLine) -> str:
    return line.component.name if line.urn == line.resource else f"{line.resource}: {line.component.name}"


def _price(line: CostLine) -> str:
    quantity = line.component.quantity.likely
    times = f"{quantity.normalize():f} × " if quantity != 1 else ""
    return f"{times}{line.price.usd} / {line.price.unit}"


def _span_data(amount: Span) -> dict[str, Decimal]:
    return {"low": amount.low, "likely": amount.likely, "high": amount.high}
