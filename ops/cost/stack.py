"""What a stack costs, what a change of it costs, and how an estimate stands against a bill."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from infra.core.cost.diff import CostDiff, cost_diff
from infra.core.errors import Fault, TerraceError
from infra.core.prices import PriceBook
from infra.core.stages import Option, Stage, listed
from ops.cost.answer import Answer, Table, about, span, span_data, usd

SMALL_USD = Decimal("0.5")
"""Lines below this are summed up for people, those of use where a bad month does not lift them above it."""
FEW = 3
"""So many small lines are listed one by one."""

_BELOW = f"below {SMALL_USD:.2f} each; --output json names them"
_SHOWN = Decimal("0.0001")
"""How closely a quantity is shown to people; it is multiplied whole."""


def priced_stage(name: str) -> Stage:
    """The rung of that name.

    Raises:
        TerraceError: no such rung, or one of Option D, which has no prices yet.
    """
    rung = listed(name)
    if rung.option is Option.ELASTIC:
        remedy = "Name a stage of Option A, B or C"
        raise TerraceError(Fault(name, "is on the ladder and not priced yet (Option D)", remedy))
    return rung


def stage(name: str, book: PriceBook, usage: Usage, today: date) -> Answer:
    """A stage's lines: fixed ones with their price, use as ranges."""
    rung = priced_stage(name)
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


def stack(title: str, cost: StackCost, today: date) -> Answer:
    """What a set of resources costs, planned or standing."""
    return Answer(
        tuple(cost_tables(f"{title} a month", cost, None, today)), {"stack": title, **cost_data(cost)}
    )


def cost_tables(title: str, cost: StackCost, compared: Decimal | None, today: date) -> Sequence[Table]:
    """A stack's lines, the fixed ones first, and its sums."""
    fixed = sorted(
        (each for each in cost.lines if each.basis is Basis.FIXED), key=lambda each: -each.monthly.likely
    )
    small = [each for each in fixed if 0 < each.monthly.likely < SMALL_USD]
    small = small if len(small) > FEW else []
    rows = [
        (_what(each), usd(each.monthly.likely), _price(each))
        for each in fixed
        if each.monthly.likely and each not in small
    ]
    if small:
        rows.append((_named(len(small)), usd(together(each.monthly for each in small).likely), _BELOW))
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
    if minor := [each.monthly for each in used if each.monthly.high < SMALL_USD]:
        whole = together(minor)
        use_rows.append((_named(len(minor)), usd(whole.likely), span(whole), "", ""))
    use_rows.append(("all use", usd(cost.used.likely), span(cost.used), "", ""))
    total = cost.total
    notes = (
        f"In all {usd(total.likely)} ({usd(total.low)} to {usd(total.high)}), before tax.",
        *lacks(cost),
        about(cost.book, today),
    )
    return (
        Table(title, ("fixed", "USD", "price"), tuple(rows), (1,)),
        Table("what use decides", ("line", "USD", "P10 to P90", "", "why"), tuple(use_rows), (1, 2), notes),
    )


def lacks(*costs: StackCost) -> list[str]:
    """What a reference book has no price for, in words; nothing where it has all."""
    named = sorted({each for cost in costs for each in cost.lacking})
    return (
        [f"Without what the book {costs[0].book.name} has no price for: {', '.join(named)}."] if named else []
    )


def cost_data(cost: StackCost) -> dict[str, Any]:
    """A priced stack for programs."""
    return {
        "lacking": list(cost.lacking),
        "fixed": cost.fixed,
        "total": span_data(cost.total),
        "used": span_data(cost.used),
        "lines": [
            {
                "urn": each.urn,
                "resource": each.resource,
                "component": each.component.name,
                "key": each.component.key,
                "basis": each.basis,
                "quantity": span_data(each.component.quantity),
                "monthly": span_data(each.monthly.rounded()),
                "usd": each.price.usd,
                "unit": each.price.unit,
                "source": each.price.source,
            }
            for each in cost.lines
        ],
    }


def diff(before: StackCost, after: StackCost, title: str, today: date) -> Answer:
    """Two prices, line by line; for people the small ones as one."""
    found = cost_diff(before, after)
    return Answer((diff_table(found, title, today),), diff_data(found))


def stages_diff(one: str, other: str, book: PriceBook, usage: Usage, today: date) -> Answer:
    """What a climb or descent costs a month."""
    before, after = (price_stack(stage_resources(priced_stage(name)), book, usage) for name in (one, other))
    return diff(before, after, f"{one} → {other}", today)


def diff_table(found: CostDiff, title: str, today: date) -> Table:
    """The lines that change, the dearest first."""
    changed = [each for each in found.changed if rounded(each.delta)]
    small = [each for each in changed if abs(each.delta) < SMALL_USD]
    small = small if len(small) > FEW else []
    rows = [
        (
            each.sign,
            f"{each.resource}: {each.name}",
            usd(each.before.monthly.likely) if each.before else "",
            usd(each.after.monthly.likely) if each.after else "",
            f"{rounded(each.delta):+,}",
        )
        for each in changed
        if each not in small
    ]
    if small:
        before = together(each.before.monthly for each in small if each.before).likely
        after = together(each.after.monthly for each in small if each.after).likely
        named = f"{_named(len(small))}, differences {_BELOW}"
        rows.append(("~", named, usd(before), usd(after), f"{rounded(after - before):+,}"))
    share = f" ({found.percent:+.0f} %)" if found.percent is not None else ""
    total = found.after.total
    return Table(
        f"{title}   {usd(found.before.total.likely)} → {usd(total.likely)} a month, {found.delta:+,.2f}{share}",
        ("", "line", "before", "after", "difference"),
        tuple(rows),
        (2, 3, 4),
        (
            f"After: {usd(total.low)} to {usd(total.high)}; {found.resting_on_use} lines rest on use.",
            *lacks(found.before, found.after),
            about(found.after.book, today),
        ),
    )


def diff_data(found: CostDiff) -> dict[str, Any]:
    """A difference for programs."""
    return {
        "book": found.after.book.name,
        "before": span_data(found.before.total),
        "after": span_data(found.after.total),
        "delta": found.delta,
        "percent": found.percent,
        "lacking": sorted({*found.before.lacking, *found.after.lacking}),
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
    "Amazon Elastic Compute Cloud - Compute": ("ec2.t", "ec2.m", "ec2.g"),
    "EC2 - Other": ("ec2.surplus-credit", "ebs.", "nat", "traffic."),
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
    "AWS Lambda": ("lambda.",),
    "Amazon GuardDuty": ("guardduty.",),
    "AWS Systems Manager": ("ssm.",),
    "AWS Budgets": ("budgets.",),
    "RunPod": ("gpu.",),
}
"""Which of our price keys each line of a bill by service holds: Cost Explorer's own names (verify).

RunPod is on no bill of AWS: write its own beside.
"""

INVOICE: Mapping[str, tuple[str, ...]] = {
    "AWS Data Transfer": ("traffic.",),
    "Amazon Elastic Compute Cloud": ("ec2.", "ebs.", "nat", "traffic."),
}
"""How an invoice says the same (verify): where a bill has one of these names, it holds what it holds there."""


def _service(key: str, bill: Collection[str]) -> str:
    tables = {name: keys for name, keys in INVOICE.items() if name in bill} | dict(SERVICES)
    return next((name for name, keys in tables.items() if key.startswith(keys)), key)


def calibrate(cost: StackCost, bill: Mapping[str, Decimal], today: date) -> Answer:
    """The estimate against a month's bill, service by service; what neither knows is shown, not dropped."""
    estimated: dict[str, Span] = {}
    for line in cost.lines:
        service = _service(line.component.key, bill)
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
                "estimate": span_data(thought.rounded()) if thought else None,
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
        (
            "Write what was measured into a usage file (--usage), and ask again.",
            *lacks(cost),
            about(cost.book, today),
        ),
    )
    return Answer((table,), {"book": cost.book.name, "services": data, "billed": whole})


def _what(line: CostLine) -> str:
    return line.component.name if line.urn == line.resource else f"{line.resource}: {line.component.name}"


def _named(count: int) -> str:
    return f"{count} smaller line{'s' if count > 1 else ''}"


def _price(line: CostLine) -> str:
    quantity = line.component.quantity.likely
    shown = quantity if quantity == quantity.to_integral_value() else quantity.quantize(_SHOWN)
    times = f"{shown.normalize():f} × " if quantity != 1 else ""
    return f"{times}{line.price.usd} / {line.price.unit}"
