"""The only place that puts a report together: changes, money, budget, findings, thresholds, interruptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from infra.core.cost import DEFAULT, Basis, Resource, StackCost, Usage, price_stack, rounded
from infra.core.cost.diff import CostDiff, cost_diff
from infra.core.errors import Fault, TerraceError
from infra.core.prices import HOURS_PER_MONTH, PriceBook, Unit, load
from infra.core.prices.age import Confidence, confidence, stack_faults
from infra.settings import Budget, Settings, parse
from ops.report import consequences
from ops.report.findings import Finding
from ops.report.plan import Change, Op, Plan
from ops.report.watched import Moved, objectives, thresholds

OVERLAP_HOURS = 1
"""How long both of a replaced thing are counted where the new one comes first; AWS bills seconds, so it is a most."""

WARN_SHARE = Decimal("0.9")
"""The part of a budget from which a report speaks of it (the budget's own mails: 75, 90 and 100 %)."""


@dataclass(frozen=True, slots=True)
class OneOff:
    """What is paid once."""

    what: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A month's budget against what will stand; amounts in USD."""

    budget: Decimal
    after: Decimal
    said: str

    @property
    def share(self) -> Decimal:
        """How much of it is spent: 1 is all."""
        return self.after / self.budget

    @property
    def over(self) -> bool:
        """Whether the likely month costs more."""
        return self.after > self.budget


@dataclass(frozen=True, slots=True)
class Report:
    """What a change does and costs. `faults` say why it has no price."""

    plan: Plan
    today: date
    cost: CostDiff | None
    faults: tuple[Fault, ...]
    one_off: tuple[OneOff, ...]
    budget: BudgetLine | None
    findings: tuple[Finding, ...]
    thresholds: tuple[Moved, ...]
    objectives: tuple[Moved, ...]
    notes: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether nothing may be applied: the guard, a mandatory rule, a missing or old price."""
        refused = any(each.by_guard or each.by_protection for each in self.plan.refusals)
        return refused or bool(self.faults) or any(each.blocks for each in self.findings)

    @property
    def failed(self) -> bool:
        """Whether the preview itself came to no end."""
        return bool(self.plan.refusals)

    @property
    def over_budget(self) -> bool:
        """Whether the likely month costs more than the budget."""
        return self.budget is not None and self.budget.over

    @property
    def silent(self) -> bool:
        """Whether there is nothing to say: no change, and nothing that blocks one."""
        return not (self.plan.proposes or self.blocked or self.failed)

    @property
    def confidence(self) -> Confidence | None:
        """How far the price is to be believed: less where lines rest on use, least of an old book."""
        if self.cost is None:
            return None
        found = confidence(self.cost.after.book, self.today)
        return Confidence.MEDIUM if found is Confidence.HIGH and self.cost.resting_on_use else found

    def touched(self, *ops: Op) -> list[Change]:
        """The changes of those kinds, what holds data first, then by kind and name."""
        return sorted(
            self.plan.of(*ops),
            key=lambda each: (not consequences.stateful(each), each.resource.kind, each.resource.name),
        )

    @property
    def unprotected(self) -> list[Change]:
        """What loses Pulumi's protection."""
        return [each for each in self.plan.changes if each.unprotected]

    @property
    def interruptions(self) -> list[tuple[Change, str]]:
        """What stands still while the change is made."""
        listed = self.touched(Op.REPLACE, Op.DELETE, Op.UPDATE)
        return [(each, said) for each in listed if (said := consequences.interrupted(each))]


def report(
    plan: Plan,
    *,
    today: date,
    book: PriceBook | None = None,
    usage: Usage = DEFAULT,
    findings: Sequence[Finding] = (),
) -> Report:
    """The report of a plan. The price book is the settings' unless one is given.

    Raises:
        TerraceError: settings in the plan that this revision does not take (and that nothing else refused).
    """
    settings = _settings(plan)
    cost, faults, notes = _cost(plan, settings, book, usage, today)
    return Report(
        plan,
        today,
        cost,
        faults,
        tuple(_one_offs(plan, cost)) if cost else (),
        _budget(settings.budget, cost) if settings and settings.budget and cost else None,
        tuple(findings),
        tuple(thresholds(plan)),
        tuple(objectives(plan)),
        notes,
    )


def _settings(plan: Plan) -> Settings | None:
    if not plan.config:
        return None
    try:
        return parse(plan.config, where=f"the settings in {plan.source}")
    except TerraceError:
        if plan.refusals:
            return None
        raise


def _cost(
    plan: Plan, settings: Settings | None, book: PriceBook | None, usage: Usage, today: date
) -> tuple[CostDiff | None, tuple[Fault, ...], tuple[str, ...]]:
    if plan.refusals:
        return None, (), ()
    if not plan.whole:
        left_out = Fault(
            plan.source,
            "leaves out what stays the same, so the stack has no price",
            "Preview with --show-sames, or give the state: --state EXPORT",
        )
        return None, (left_out,), ()
    chosen = book or (load(settings.price_book) if settings else load())
    if aged := stack_faults(chosen, settings.region if settings else chosen.region, today):
        return None, tuple(aged), ()
    try:
        after = price_stack(plan.after, chosen, usage)
    except TerraceError as error:
        return None, error.faults, ()
    before, notes = _standing(plan.before, chosen, usage)
    return cost_diff(before, after), (), notes


def _standing(before: Sequence[Resource], book: PriceBook, usage: Usage) -> tuple[StackCost, tuple[str, ...]]:
    """What stands, without what has no price any more: it is going, or the price of what comes would have said so."""
    try:
        return price_stack(before, book, usage), ()
    except TerraceError as error:
        unknown = {each.path for each in error.faults}
        known = [each for each in before if each.urn not in unknown]
        notes = tuple(f"not in the price before: {each}" for each in error.faults)
        return price_stack(known, book, usage), notes


def _one_offs(plan: Plan, cost: CostDiff) -> list[OneOff]:
    """Both of what is replaced, for as long as they stand together."""
    hourly = {Unit.HOUR, Unit.MINUTE, Unit.SECOND}
    found = []
    for change in plan.of(Op.REPLACE):
        if change.old_first is not False:
            continue
        lines = [each for each in cost.before.lines if each.urn == change.urn and each.basis is Basis.FIXED]
        monthly = sum((each.monthly.likely for each in lines if each.price.unit in hourly), Decimal(0))
        if usd := rounded(monthly / HOURS_PER_MONTH * OVERLAP_HOURS):
            name = f"{change.resource.kind} {change.resource.name}"
            found.append(OneOff(f"{name}: old and new together, up to {OVERLAP_HOURS} h", usd))
    return found


def _budget(budget: Budget, cost: CostDiff) -> BudgetLine:
    said = f"{budget.monthly:,} {budget.currency}"
    if budget.krw_per_usd:
        said += f" at {budget.krw_per_usd} KRW a dollar" + (f" of {budget.rate_of}" if budget.rate_of else "")
    return BudgetLine(budget.usd, cost.after.total.likely, said)
