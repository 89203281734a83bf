"""The only place that says whether a climb's plan lets somebody else than the climb make one of its steps.

A workflow whose stack file is at another place of the ladder than its stack carries a plan, by the name of its branch
or by hand. The plan lets exactly its own steps pass, forwards, by the rules by which the climb itself begins: whole,
in time, its gates open, approved, and made on what is there now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from ops.climb import approval, history, shared
from ops.climb.approval import Approval, Signer
from ops.climb.journal import Event, Journal, Record
from ops.climb.lock import Lock
from ops.climb.plan import BRANCH, Bound, Plan, expired
from ops.climb.rules import Gates
from ops.climb.steps import Kind, Step, Words
from ops.climb.store import Objects

AGAIN = "Plan again: scripts/scale_up.py plan"
_ID = re.compile(rf"(?:{BRANCH})?([0-9a-f]{{10}})")
_OVER = (Event.ENDED, Event.GOING_BACK, Event.ROLLED_BACK)


class Sources(Protocol):
    """What is asked of a clone and its stack."""

    stack: str

    def objects(self) -> Objects:
        """The bucket that every clone shares."""
        ...

    def journal(self, *, must: bool) -> Journal:
        """The stack's journal, opened; an error, never a part of it, where the bucket does not answer and `must`."""
        ...

    def agreed(self) -> tuple[Gates, str, str]:
        """Gates and signers as the default branch has them; between them the text of the gates."""
        ...

    def bound(self) -> Bound:
        """What a plan is bound to, as it is now."""
        ...

    def differing(self, commit: str) -> Sequence[str] | None:
        """Files whose content is another here than at that commit; None where the clone does not know it."""
        ...

    def file_at(self, commit: str) -> dict[str, Any]:
        """The stack file as it was there, parsed."""
        ...

    def file_here(self) -> dict[str, Any]:
        """The stack file, parsed."""
        ...

    def file_name(self) -> str:
        """Its name."""
        ...


@dataclass(frozen=True, slots=True)
class Carried:
    """The plans of one stack, for whoever wants to make a step of theirs."""

    sources: Sources
    signer: Signer
    now: Callable[[], datetime]

    def refusals(self, carries: str, before: Words, wanted: Words) -> list[Fault]:
        """Why that step may not be made; empty where the plan that `carries` names lets it pass.

        `carries` is a plan's id or its branch, `climb/ID`. What cannot be read is a refusal, never an error.
        """
        named = _ID.fullmatch(carries.strip())
        if named is None:
            return [
                Fault(
                    "--carries", f"{carries!r} names no climb's plan", "Its branch, climb/ID, or its id alone"
                )
            ]
        try:
            return list(self._refusals(named[1], before, wanted))
        except TerraceError as error:
            return list(error.faults)

    def _refusals(self, plan_id: str, before: Words, wanted: Words) -> Iterator[Fault]:
        objects = self.sources.objects()
        yield from _at_work(objects, self.sources.stack)
        plan = shared.fetch_plan(objects, self.sources.stack, plan_id)
        step = step_of(plan, before, wanted)
        if step is None:
            its = "; ".join(f"{one.said()} to {other.said()}" for one, other in _pairs(plan))
            yield Fault(
                f"plan {plan.id}",
                f"has no step from {before.said()} to {wanted.said()}; its own: {its}",
                "Write the words of its next step, or plan the climb that the file asks for",
            )
            return
        journal = self.sources.journal(must=True)
        records = journal.of(plan.id)
        gates, _, signers = self.sources.agreed()
        yield from unfit(
            plan, gates, shared.fetch_approvals(objects, plan.stack, plan), signers, self.signer, self.now()
        )
        yield from _over(plan, journal, records)
        moved = list(self._moved(plan, begun=bool(records)))
        yield from _rows_behind(plan, step, records, applies=not moved)
        yield from moved
        yield from self._more(plan, step)

    def _moved(self, plan: Plan, *, begun: bool) -> Iterator[Fault]:
        """What is another than the plan was made on; a climb that has begun has moved state and prices itself."""
        now = self.sources.bound()
        own = plan.bound
        now = replace(now, commit=own.commit, stack_file=own.stack_file)
        yield from own.moved(replace(now, state=own.state, prices=own.prices) if begun else now)

    def _more(self, plan: Plan, step: Step) -> Iterator[Fault]:
        """What else than the step's words differs from the program that the plan was made of."""
        commit, name = plan.bound.commit, self.sources.file_name()
        differing = self.sources.differing(commit)
        if differing is None:
            yield Fault(
                "the program", f"of the plan, {commit[:12]}, is not in this clone", "git fetch --unshallow"
            )
            return
        if others := [each for each in differing if each != name]:
            said = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            yield Fault("the program", f"differs from the plan's, {commit[:12]}: {said}", AGAIN)
        assert step.words is not None  # noqa: S101 step_of's own
        then, here = self.sources.file_at(commit), self.sources.file_here()
        config = {**(then.get("config") or {}), **step.words.settings()}
        wanted = {**then, "config": {key: value for key, value in config.items() if value is not None}}
        if wanted != here:
            yield Fault(
                name, f"says more than the words of the step: {', '.join(_differing(wanted, here))}", AGAIN
            )


def unfit(
    plan: Plan, gates: Gates, approvals: Sequence[Approval], signers: str, signer: Signer, now: datetime
) -> Iterator[Fault]:
    """Why no step of the plan may be made: its time, its gates, its approvals."""
    if expired(plan, now):
        yield Fault(f"plan {plan.id}", f"ended at {plan.expires_at}", AGAIN)
    for each in plan.answers:
        if not each.open:
            yield Fault(
                f"gate {each.gate}",
                f"{each.verdict}: {each.saw} ({each.asks})",
                f"Plan again once it holds, or with --override {each.gate}=REASON",
            )
    yield from approval.lacking(plan, gates, approvals, signers, signer, now)


def step_of(plan: Plan, before: Words, wanted: Words) -> Step | None:
    """The plan's step that leads from the one place on the ladder to the other, forwards."""
    for step in plan.steps:
        if step.back is None or step.words is None:
            continue
        if (step.back.place, step.words.place) == (before.place, wanted.place):
            return step
    return None


def _pairs(plan: Plan) -> list[tuple[Words, Words]]:
    return [
        (each.back, each.words) for each in plan.steps if each.back is not None and each.words is not None
    ]


def _at_work(objects: Objects, stack: str) -> Iterator[Fault]:
    """Whoever climbs this moment. A look and no lock: a workflow's role writes none (components/roles.py)."""
    if (found := Lock(objects, stack).holder()) is not None and not found[1]:
        yield Fault(
            f"stack {stack}", f"is held by {found[0].said()}", "Run the workflow again once that is done"
        )


def _over(plan: Plan, journal: Journal, records: Sequence[Record]) -> Iterator[Fault]:
    under_way = history.open_climb(journal)
    if under_way is not None and under_way.climb != plan.id:
        yield Fault(
            f"stack {plan.stack}",
            f"is in the middle of climb {under_way.climb}",
            f"End that first: scripts/scale_up.py resume -s {plan.stack}, or rollback -s {plan.stack}",
        )
    if last := next((each for each in reversed(records) if each.event in _OVER), None):
        how = {
            Event.ENDED: "is done",
            Event.GOING_BACK: "is on its way back",
            Event.ROLLED_BACK: "was taken back",
        }
        yield Fault(f"climb {plan.id}", f"{how[last.event]} since {last.at}", AGAIN)


def _rows_behind(plan: Plan, step: Step, records: Sequence[Record], *, applies: bool) -> Iterator[Fault]:
    """Steps that move rows and come before this one: without them the other side would serve an empty database.

    Unless it `applies`, scripts/scale_up.py would refuse the plan too: a step that a workflow made moved the state,
    and only a climb that has begun in the journal may go on over that.
    """
    telling = (Event.AFTER, Event.BEFORE_UNDO, Event.UNDONE)
    for each in plan.steps[: plan.steps.index(step)]:
        known = [one.event for one in records if one.step == each.name and one.event in telling]
        if each.kind in (Kind.COPY, Kind.SWITCH) and known[-1:] != [Event.AFTER]:
            yield Fault(
                f"climb {plan.id}",
                f"has not done {each.name}: {each.does}",
                f"scripts/scale_up.py moves the rows: apply {plan.id} -s {plan.stack}" if applies else AGAIN,
            )


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Settings, and what stands beside them, that the two do not share."""
    flat = [{**each, **(each.get("config") or {})} for each in (one, other)]
    names = sorted({*flat[0], *flat[1]} - {"config"})
    return [name for name in names if flat[0].get(name) != flat[1].get(name)]
