"""The only place that makes a plan: it reads, previews on a copy, prices, asks the gates, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from infra.core.alarms import alarm_set
from infra.core.cost import Resource, Span, StackCost, price_stack, rounded
from infra.core.errors import Fault, TerraceError, nearest
from infra.core.instances import instance_type
from infra.core.prices import PriceBook
from infra.core.stages import Stage, built_stages, find, listed
from infra.core.thresholds import Facts
from infra.core.transition import climb_faults
from ops.climb import advise, steps
from ops.climb.gates import Gathered, ask
from ops.climb.plan import EXPIRES_HOURS, Bound, Change, Money, Plan
from ops.climb.rules import Figures, Gates
from ops.climb.steps import Step, Words
from ops.climb.verdicts import Answer, Verdict
from ops.recovery import STATEFUL
from ops.watch import Report

OVERRIDABLE = frozenset({"need", "freeze", "margin", "reserve", "budget", "capacity", "load-test"})
"""Judgements that people may overrule; facts about the machines and the data are not among them."""


class BlockedError(TerraceError):
    """A gate, a guard or the account stands in the way."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a preview on a copy said: changes, and the resources as they would stand."""

    changes: tuple[Change, ...]
    resources: tuple[Resource, ...]


class Sources(Protocol):
    """What a plan is made of."""

    def account(self) -> str:
        """Whose credentials these are."""
        ...

    def state_account(self) -> str:
        """The account that the state names; empty for one that names none."""
        ...

    def words(self) -> Words:
        """What the stack file says."""
        ...

    def stands(self) -> Words:
        """What the stack's guard says that stands."""
        ...

    def resources(self) -> Sequence[Resource]:
        """What stands, by the state."""
        ...

    def preview(self, words: Words) -> Previewed:
        """A preview with these words, on a copy of the stack file."""
        ...

    def bound(self) -> Bound:
        """What a plan is bound to, as it is now."""
        ...

    def report(self) -> Report | None:
        """The stack against its thresholds; None where alarms cannot be read."""
        ...

    def series(self, names: Sequence[str]) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Metrics that conditions ask for, of the last two weeks."""
        ...

    def figures(self, file: str) -> Figures | None:
        """The finance file, or None where there is none."""
        ...

    def offered(self, names: Iterable[str]) -> Mapping[str, bool | None]:
        """Whether each type can be had in the box's zone."""
        ...

    def vcpus_left(self) -> int | None:
        """What the account's quota leaves."""
        ...

    def answers(self) -> bool:
        """Whether the service answers now."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `overrides`: the reason by gate; `overlap`: the budget may be exceeded meanwhile.

    `away_seconds` and `move_seconds` are what earlier resizes and moves of this stack took, where one was measured.
    """

    stack: str
    to: str
    by: str
    overrides: Mapping[str, str]
    overlap: bool = False
    contract: bool = False
    away_seconds: float | None = None
    move_seconds: float | None = None


def make(sources: Sources, gates: Gates, wish: Wish, *, facts: Facts, facts_after: Facts, book: PriceBook,
         budget_usd: Decimal | None, now: datetime) -> Plan:  # fmt: skip
    """A plan to the stage that is wished for, or to what `advise` says where none is.

    Raises:
        BlockedError: another account, a pending change, a replacement of what holds data.
        TerraceError: nothing to do, no such stage.
    """
    refuse_foreign_account(sources)
    words, stands = sources.words(), sources.stands()
    if (words.stage, words.climb_to, words.phase) != (stands.stage, stands.climb_to, stands.phase):
        raise BlockedError(
            Fault(
                f"stack {wish.stack}",
                f"stands at {stands.said()} where its file says {words.said()}",
                f"Bring them together first: pulumi up -s {wish.stack}, or scripts/scale_up.py resume",
            )
        )
    report = sources.report()
    before = find(words.stage)
    advice = None
    if report is not None:
        what = advise.seen(report, now=now)
        advice = advise.advise(what)
    walk, after = _walk(wish, words, before, advice)
    first = next(step.words for step in walk if step.words is not None)
    with ThreadPoolExecutor() as beside:
        # The preview takes longer than everything else; none of this needs what it says.
        offered = beside.submit(_offered, sources, gates, after)
        left = beside.submit(_left, sources, gates)
        asked = [row.metric for row in gates.for_stage(after.name)]
        series = beside.submit(sources.series, asked) if gates.rules.conditions else None
        bound, answers_now = beside.submit(sources.bound), beside.submit(sources.answers)
        previewed = sources.preview(first)
    _refuse_losses(previewed.changes)
    standing = price_stack(sources.resources(), book)
    planned = price_stack(previewed.resources, book)
    money = _money(standing, planned, book, budget_usd, resize=before.option is after.option)
    seen_peak = advise.seen(report, now=now).peak_rps if report is not None else None
    gathered = Gathered(
        report, advice, seen_peak, sources.figures(gates.rules.finance.file) if gates.rules.revenue else None,
        Decimal(money.after[2]), offered.result(), left.result(),
        max(_vcpus(after) - (_vcpus(before) if before.option is after.option else 0), 0),
        series.result() if series is not None else {},
    )  # fmt: skip
    answers = [*ask(gates, before, after, gathered, now), *_budget(money, budget_usd, overlap=wish.overlap)]
    return Plan(
        stack=wish.stack,
        before=before.name,
        after=after.name,
        account=sources.account(),
        requested_by=wish.by,
        made_at=now.isoformat(timespec="seconds"),
        expires_at=(now + timedelta(hours=EXPIRES_HOURS)).isoformat(timespec="seconds"),
        bound=bound.result(),
        steps=tuple(walk),
        changes=previewed.changes,
        answers=tuple(_overridden(answers, wish.overrides)),
        reasons=advice.reasons if advice and advice.to == after.name else _unasked(wish, advice),
        money=money,
        thresholds=tuple(_thresholds(facts, facts_after)),
        capacity=(_carried(before), _carried(after)),
        risks=tuple(_risks(before, after, walk)),
        peak_rps=round(seen_peak or 0.0, 3),
        approvals=gates.rules.approvals.min,
        roles=gates.rules.approvals.roles,
        contracts=wish.contract,
        evidence={
            "advice": advice.as_json() if advice else None,
            "answers": answers_now.result(),
            "away": _measured(wish, before, after),
        },
    )


def _measured(wish: Wish, before: Stage, after: Stage) -> str:
    known = wish.move_seconds if steps.moves_data(before, after) else wish.away_seconds
    return (
        "assumed: no such climb of this stack was measured"
        if known is None
        else "the median of those measured"
    )


def refuse_foreign_account(sources: Sources) -> None:
    """Raises BlockedError where the credentials belong to another account than the state names."""
    mine, its = sources.account(), sources.state_account()
    if its and mine != its:
        raise BlockedError(
            Fault(
                "AWS credentials", f"are of account {mine}, and the stack stands in {its}", "Set AWS_PROFILE"
            )
        )


def _walk(wish: Wish, words: Words, before: Stage, advice: advise.Advice | None) -> tuple[list[Step], Stage]:
    if wish.contract:
        if words.phase != "moved":
            raise TerraceError(
                Fault(
                    "--contract",
                    f"the stack rests at {words.said()}",
                    "Contract after a climb across options",
                )
            )
        after = listed(words.climb_to)
        return steps.contraction(before, after, tuple(words.kept or ())), after
    name = wish.to or (advice.to if advice else "")
    if not name:
        raise TerraceError(
            Fault("--to", "is needed: alarms cannot be read, so nothing is advised", "Name a stage")
        )
    after = find(name, path="--to")
    if after.name == before.name:
        known = ", ".join(stage.name for stage in built_stages() if stage is not before)
        part = f" ({advice.headline})" if advice and advice.part else ""
        raise TerraceError(
            Fault(
                "--to", f"{name} is where the stack stands{part}", f"Name another: {known}{nearest(name, [])}"
            ),
            summary="Nothing to do.",
        )
    if faults := climb_faults(before, after) if before.option is not after.option else []:
        raise BlockedError(*faults)
    away = wish.move_seconds if steps.moves_data(before, after) else wish.away_seconds
    return steps.walk(before, after, kept=tuple(words.kept or ()), away_seconds=away), after


def _refuse_losses(changes: Iterable[Change]) -> None:
    lost = [
        each
        for each in changes
        if each.kind in STATEFUL and ("replace" in each.operation or each.operation == "delete")
    ]
    if lost:
        raise BlockedError(
            *(
                Fault(
                    f"{each.kind} {each.name}",
                    f"would be {'deleted' if each.operation == 'delete' else 'replaced'}"
                    + (f" because of {', '.join(each.why)}" if each.why else ""),
                    "It holds data: find out why, and plan again",
                )
                for each in lost
            )
        )


def _money(
    standing: StackCost, planned: StackCost, book: PriceBook, budget: Decimal | None, *, resize: bool
) -> Money:
    before, after = standing.total, planned.total
    # Across options the preview is of both sides beside each other: what it costs meanwhile.
    during = after
    over = ""
    if budget is not None:
        over = "after" if after.likely > budget and resize else "during" if during.likely > budget else ""
    snapshot = rounded(book["ebs.snapshot"].usd) if "ebs.snapshot" in book.prices else Decimal(0)
    back = f"{_usd(before.likely)} a month again, and {snapshot} USD per GiB-month of restore points"
    return Money(
        book.name, str(book.as_of), _three(before), _three(during), _three(after), back,
        "" if budget is None else _usd(budget), over,
    )  # fmt: skip


def _three(amount: Span) -> tuple[str, str, str]:
    return _usd(amount.low), _usd(amount.likely), _usd(amount.high)


def _usd(amount: Decimal) -> str:
    return f"{rounded(amount)}"


def _budget(money: Money, budget: Decimal | None, *, overlap: bool) -> list[Answer]:
    if budget is None:
        return []
    saw = f"{money.after[1]} after, {money.during[1]} meanwhile"
    shut = money.over == "after" or (money.over == "during" and not overlap)
    return [
        Answer("budget", f"within {money.budget_usd} USD a month", saw, f"price book {money.book}",
               Verdict.FAIL if shut else Verdict.PASS)
    ]  # fmt: skip


def _overridden(answers: Iterable[Answer], overrides: Mapping[str, str]) -> Iterable[Answer]:
    listed_ = list(answers)
    known = {answer.gate for answer in listed_ if not answer.open}
    for gate in overrides:
        if gate not in OVERRIDABLE:
            raise TerraceError(
                Fault("--override", f"{gate} cannot be overruled: it is a fact, no judgement",
                      f"Those that can: {', '.join(sorted(OVERRIDABLE))}")
            )  # fmt: skip
        if gate not in known:
            raise TerraceError(Fault("--override", f"{gate} is not shut", "Leave it out"))
    for answer in listed_:
        reason = overrides.get(answer.gate, "")
        yield replace(answer, overridden=reason) if reason and not answer.open else answer


def _offered(sources: Sources, gates: Gates, after: Stage) -> Mapping[str, bool | None]:
    if gates.rules.technical is None or not gates.rules.technical.capacity:
        return {}
    return sources.offered(after.boxes.values())


def _left(sources: Sources, gates: Gates) -> int | None:
    technical = gates.rules.technical
    return sources.vcpus_left() if technical is not None and technical.capacity else None


def _vcpus(stage: Stage) -> int:
    return sum(instance_type(name).vcpus for name in stage.boxes.values())


def _thresholds(before: Facts, after: Facts) -> Iterable[str]:
    """What the alarms would compare with, where that changes."""
    old = {alarm.name: alarm for alarm in alarm_set(before).alarms}
    new = {alarm.name: alarm for alarm in alarm_set(after).alarms}
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if one is None and other is not None:
            yield f"+ {name} {other.value.normalize():f}"
        elif other is None and one is not None:
            yield f"- {name} {one.value.normalize():f}"
        elif one is not None and other is not None and one.value != other.value:
            yield f"~ {name} {one.value.normalize():f} → {other.value.normalize():f}"


def _carried(stage: Stage) -> str:
    found = advise.capacity(stage)
    return "nobody has said" if found is None else f"{found[0]} to {found[1]} requests/s"


def _unasked(wish: Wish, advice: advise.Advice | None) -> tuple[str, ...]:
    said = advice.headline if advice else "nothing: alarms cannot be read"
    return (f"asked for by {wish.by}; advised is {said}",)


def _risks(before: Stage, after: Stage, walk: Sequence[Step]) -> Iterable[str]:
    away = sum(step.away_seconds for step in walk)
    if steps.moves_data(before, after):
        if away:
            yield f"the application is without its database for about {away:.0f} s; the rehearsal tells it closer"
            yield "a move back later takes as long, and grows with the rows"
    elif away:
        yield f"the service is away for about {away:.0f} s while the box restarts"
        yield "the new type may not be had at that moment: then the old one is put back and started"
        yield "CPU credits that were saved may be gone after the restart (verify)"
    if before.option is not after.option:
        yield "both sides stand, and are billed, until the old one is contracted"
    for step in walk:
        if step.irreversible:
            yield f"{step.name} cannot be undone: {step.does}"
