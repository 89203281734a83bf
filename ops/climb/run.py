"""The only place that carries a climb out, goes on with one, and takes one back. It knows steps and no stages.

For each step: check, record `before`, do, verify, record `after`. Whatever dies in between leaves a record that says
what was under way; `resume` asks reality whether it was done, and does it again where not: every pair of hands may be
asked twice. A step that cannot be undone begins only when its record is in the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from ops.climb import history
from ops.climb.journal import Event, Journal, Record
from ops.climb.lock import Lock
from ops.climb.moving import LED, Moving
from ops.climb.plan import BRANCH, Plan
from ops.climb.steps import SHIFT, SHIFT_SECONDS, Kind, Step, Words


class StepFailedError(TerraceError):
    """A step failed; the fault holds the two ways on."""


class SloMissedError(TerraceError):
    """The load test came out beyond its objective."""


class Hands(Protocol):
    """What the steps do. Every method may be repeated: what is done already is found, and left."""

    def words(self) -> Words:
        """What the stack file of this clone says."""
        ...

    def stands(self) -> Words:
        """What the stack's own guard says that stands."""
        ...

    def write(self, words: Words, *, branch: str, base: str, why: str) -> str:
        """Writes the words, commits them on that branch (begun at `base` where it is new); the commit."""
        ...

    def stack_file(self) -> str:
        """The stack file's text."""
        ...

    def up(self, *, refresh: bool = False) -> None:
        """Makes the cloud as the words say; with `refresh`, what stands is read first."""
        ...

    def at_rest(self) -> bool:
        """Whether a preview would change nothing."""
        ...

    def recover(self) -> Sequence[str]:
        """Clears up after a killed engine; what was done, in sentences."""
        ...

    def restore_point(self, climb: str) -> Mapping[str, Any]:
        """Makes one unless this climb has one; what it is."""
        ...

    def restore_point_faults(self, point: Mapping[str, Any]) -> Sequence[str]:
        """Why it could not be restored from."""
        ...

    def serving(self, stage: str) -> Sequence[str]:
        """What of the stage does not run or answer."""
        ...

    def unready(self, stage: str) -> Sequence[str]:
        """Boxes of the stage whose services are not healthy, though the rows are there; waits for them."""
        ...

    def linger(self, seconds: float) -> None:
        """Gives those who remember what the service's name led to the time to ask again, where there may be some."""
        ...

    def watched(self, stage: str) -> Sequence[str]:
        """What of the stage's alarms, dashboard and budget does not stand."""
        ...

    def load_test(self, peak_rps: float, stage: str) -> Mapping[str, Any]:
        """Sends the load; what it came to. Raises SloMissedError."""
        ...

    def rows(self, plan: Plan, *, all_ready: bool = False) -> Moving:
        """The move of the rows, once the box that makes it can be asked; `all_ready`: and every box is installed."""
        ...

    def probe(self, *, until_it_answers: bool) -> AbstractContextManager[Callable[[], Mapping[str, Any]]]:
        """Asks the service without a pause while the block lasts; the callable says how it answered.

        With `until_it_answers` the callable waits for an answer first, where the service answered before the climb.
        """
        ...


Moment = Callable[[Step, str], object]
"""Hears `before`, `doing`, `done`, `recorded` of each step."""


def branch_of(plan: Plan) -> str:
    """The branch that the climb's words are committed on."""
    return f"{BRANCH}{plan.id}"


@dataclass
class Climb:
    """One plan being carried out. The lock is held by whoever calls."""

    plan: Plan
    journal: Journal
    lock: Lock
    hands: Hands
    says: Callable[[str], object] = lambda _: None
    moment: Moment = lambda _step, _what: None

    def go_on(self, *, versions: Mapping[str, str] | None = None) -> None:
        """Begins, or goes on from wherever an earlier run ended.

        Raises:
            StepFailedError: a step failed; the words on disk, in git and in the cloud are the same.
        """
        self._settle(versions)
        for step in self.plan.steps:
            if self._is_done(step):
                continue
            self._carry_out(step)
        self.journal.append(self.plan.id, Event.ENDED, **self._summary())

    def go_back(self) -> None:
        """Takes the climb back, step by step in reverse, as far as it can go.

        Raises:
            TerraceError: it has passed its point of no return; nothing was done.
            StepFailedError: an undoing failed; it may be repeated.
        """
        if passed := self.beyond():
            raise TerraceError(
                Fault(
                    f"climb {self.plan.id}",
                    f"has passed its point of no return ({passed.name}: {passed.does})",
                    f"Climb back by a plan of its own: scripts/scale_up.py plan --to {self.plan.before}",
                )
            )
        if not self._going_back():
            self.journal.append(self.plan.id, Event.GOING_BACK)
        self._recover()
        for step in reversed(self.plan.steps):
            if step.undo and self._touched(step):
                self._undo(step)
        self.journal.append(self.plan.id, Event.ROLLED_BACK, **self._summary())

    def beyond(self) -> Step | None:
        """The step that cannot be undone, where it has begun."""
        return next((step for step in self.plan.steps if step.irreversible and self._touched(step)), None)

    # -- one step -------------------------------------------------------------------------------------------------

    def _carry_out(self, step: Step) -> None:
        self._still_ours()
        self.moment(step, "before")
        self.journal.append(
            self.plan.id, Event.BEFORE, step.name, must_be_mirrored=step.irreversible,
            does=step.does, stack_file=self.hands.stack_file() if step.kind is Kind.WORDS else "",
        )  # fmt: skip
        began = time.monotonic()
        try:
            self.moment(step, "doing")
            result = self._do(step)
            self.moment(step, "done")
            if faults := self._faults(step, result):
                raise TerraceError(
                    *(Fault(step.name, each, "See docs/scaling.md#a-step-failed") for each in faults)
                )
        except KeyboardInterrupt:
            if history.fenced_now(self.plan, self.journal.of(self.plan.id)):
                self.says("the application is without its database until resume or rollback")
            self.journal.append(self.plan.id, Event.FAILED, step.name, why="interrupted")
            raise
        except TerraceError as error:
            self._failed(step, error)
        seconds = round(time.monotonic() - began, 3)
        self.journal.append(self.plan.id, Event.AFTER, step.name, seconds=seconds, result=result)
        self.moment(step, "recorded")

    def _do(self, step: Step) -> dict[str, Any]:
        hands = self.hands
        match step.kind:
            case Kind.RESTORE_POINT:
                return dict(hands.restore_point(self.plan.id))
            case Kind.WORDS:
                assert step.words is not None  # noqa: S101 the walk's own table
                if step.name == SHIFT and self._led() and (faults := hands.unready(self.plan.after)):
                    raise TerraceError(*(Fault(step.name, each, "Look at that box") for each in faults))
                return self._write_and_up(step.words, f"{self.plan.before} → {self.plan.after}: {step.name}")
            case Kind.REHEARSE:
                return self._rehearsed(hands.rows(self.plan, all_ready=True).rehearse())
            case Kind.COPY | Kind.SWITCH:
                rows = hands.rows(self.plan)
                with hands.probe(until_it_answers=False) as answered:
                    found = rows.copy() if step.kind is Kind.COPY else rows.switch()
                    # Without its database a service may answer or not: what is lost is told, the time by `fenced`.
                    return {**found, "lost": answered().get("lost")}
            case Kind.LOAD_TEST:
                return dict(hands.load_test(self.plan.peak_rps, self.plan.after))
            case Kind.SERVING | Kind.WATCHED:
                return {}

    def _led(self) -> bool:
        """Whether the old side sends requests on: then nobody waits for the shift, and it may wait for who is new."""
        return any((each.data.get("result") or {}).get(LED) for each in self.journal.of(self.plan.id))

    def _rehearsed(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The forecast of the plan gives way to what practice took."""
        if "rows_away_seconds" in found:
            forecast = round(found["rows_away_seconds"] + SHIFT_SECONDS, 1)
        elif "forecast_away_seconds" in found:
            forecast = float(found["forecast_away_seconds"])
        else:
            return dict(found)
        self.says(f"the application will be without its database for about {forecast:.0f} s")
        return {**found, "forecast_away_seconds": forecast}

    def _write_and_up(self, words: Words, why: str, *, refresh: bool = False) -> dict[str, Any]:
        commit = self.hands.write(words, branch=branch_of(self.plan), base=self.plan.bound.commit, why=why)
        with self.hands.probe(until_it_answers=True) as answered:
            self.hands.up(refresh=refresh)
            found = dict(answered())
        return {"commit": commit, "words": words.said(), **found}

    def _faults(self, step: Step, result: Mapping[str, Any]) -> Sequence[str]:
        match step.kind:
            case Kind.RESTORE_POINT:
                return self.hands.restore_point_faults(result)
            case Kind.WORDS:
                assert step.words is not None  # noqa: S101 the walk's own table
                faults = _other(step.words, self.hands.stands())
                # Where people are now, an answer counts more than what the cloud says that it did.
                return faults or (self.hands.serving(self.plan.after) if step.name == SHIFT else [])
            case Kind.SERVING:
                return self.hands.serving(self.plan.after)
            case Kind.WATCHED:
                return self.hands.watched(self.plan.after)
            case Kind.REHEARSE | Kind.COPY | Kind.SWITCH | Kind.LOAD_TEST:
                return ()

    def _failed(self, step: Step, error: TerraceError) -> None:
        """Says what failed and both ways on; what a failed step must not leave is taken back at once."""
        why = "; ".join(f"{fault.path}: {fault.what}" for fault in error.faults)[:2000]
        self.journal.append(self.plan.id, Event.FAILED, step.name, why=why)
        back: list[Fault] = []
        for each in self._to_be_taken_back(step):
            try:
                self.says(f"{step.name} failed: going back ({each.undo})")
                self._undo(each)
                back.append(
                    Fault(each.name, "was taken back", "The service is where it was before this step")
                )
            except TerraceError as second:
                back += second.faults
        stack = self.plan.stack
        ways = f"scripts/scale_up.py resume -s {stack}, or scripts/scale_up.py rollback -s {stack}"
        raise StepFailedError(
            *error.faults, *back, Fault("two ways on", "mend what is said above and go on, or go back", ways),
            summary=f"Step {step.name} failed.",
        ) from error  # fmt: skip

    def _to_be_taken_back(self, step: Step) -> Sequence[Step]:
        """What must not be left as it is: a box that is down, a fenced database, people on what failed its load."""
        if step.kind is Kind.WORDS and step.away_seconds:
            return [step]
        moving = [each for each in self.plan.steps if each.kind in (Kind.COPY, Kind.SWITCH)]
        if step in moving or step.name == SHIFT or step.kind is Kind.LOAD_TEST:
            those = [*(each for each in self.plan.steps if each.name == SHIFT), *reversed(moving)]
            return [each for each in those if self._touched(each)]
        return []

    def _undo(self, step: Step) -> None:
        self._still_ours()
        shifted = any(
            (each.step, each.event) == (SHIFT, Event.BEFORE) for each in self.journal.of(self.plan.id)
        )
        if step.lingers_seconds and shifted:
            self.hands.linger(step.lingers_seconds)
        self.moment(step, "before-undo")
        self.journal.append(
            self.plan.id, Event.BEFORE_UNDO, step.name, does=step.undo, stack_file=self.hands.stack_file()
        )
        began = time.monotonic()
        result: dict[str, Any] = {}
        if step.kind in (Kind.COPY, Kind.SWITCH):
            result = self.hands.rows(self.plan).bring_back()
        elif step.back is not None:
            why = f"{self.plan.after} → {self.plan.before}: {step.name} taken back"
            result = self._write_and_up(step.back, why, refresh=True)
            if faults := [*_other(step.back, self.hands.stands()), *self._unwell(step.back)]:
                raise StepFailedError(
                    *(Fault(step.name, each, "rollback may be repeated") for each in faults)
                )
        self.moment(step, "undone")
        self.journal.append(
            self.plan.id, Event.UNDONE, step.name, seconds=round(time.monotonic() - began, 3), result=result
        )
        self.moment(step, "recorded-undo")

    def _unwell(self, words: Words) -> Sequence[str]:
        return () if words.climb_to else self.hands.serving(words.stage)

    # -- what was done already ------------------------------------------------------------------------------------

    def _settle(self, versions: Mapping[str, str] | None) -> None:
        """Reality first: a killed engine is cleared up after, and this clone's words are those of the journal."""
        known = self.journal.of(self.plan.id)
        if not known:
            self.journal.append(
                self.plan.id, Event.BEGAN, before=self.plan.before, after=self.plan.after, sha256=self.plan.sha256,
                commit=self.plan.bound.commit, requested_by=self.plan.requested_by, versions=dict(versions or {}),
                forecast_away_seconds=self.plan.away_seconds, money=self.plan.money.after[1],
                overridden={each.gate: each.overridden for each in self.plan.overridden},
                plan=self.plan.text(), stack_file=self.hands.stack_file(),
            )  # fmt: skip
            return
        if known[-1].event is not Event.RESUMED:
            self.journal.append(self.plan.id, Event.RESUMED)
        self._recover()
        if (words := self._last_words()) is not None:
            why = f"{self.plan.before} → {self.plan.after}: as the journal says"
            self.hands.write(words, branch=branch_of(self.plan), base=self.plan.bound.commit, why=why)

    def _recover(self) -> None:
        for sentence in self.hands.recover():
            self.says(sentence)

    def _last_words(self) -> Words | None:
        """The words of the last step that wrote some and was not taken back."""
        done = [step for step in self.plan.steps if step.kind is Kind.WORDS and self._touched(step)]
        return done[-1].words if done else None

    def _is_done(self, step: Step) -> bool:
        """Whether the journal says so, or reality does; a step that writes words is done only while they stand."""
        state = self._state(step)
        if state is None or state.event in (Event.UNDONE, Event.BEFORE_UNDO):
            return False
        if step.kind is Kind.WORDS:
            later = [
                each for each in self.plan.steps[self.plan.steps.index(step) + 1 :] if each.kind is Kind.WORDS
            ]
            if any(self._touched(each) for each in later):
                return True
            assert step.words is not None  # noqa: S101 the walk's own table
            stands = not _other(step.words, self.hands.stands()) and self.hands.at_rest()
            if stands and state.event is not Event.AFTER:
                self.journal.append(self.plan.id, Event.AFTER, step.name, found="it had been done")
            return stands
        return state.event is Event.AFTER and self._holds(step)

    def _holds(self, step: Step) -> bool:
        """Whether what the journal says of the rows is so: somebody may have opened the old side by hand."""
        if step.kind not in (Kind.COPY, Kind.SWITCH):
            return True
        rows = self.hands.rows(self.plan)
        return rows.switched() or (step.kind is Kind.COPY and rows.copied())

    def _state(self, step: Step) -> Record | None:
        """The last record that says how a step stands."""
        telling = (Event.BEFORE, Event.AFTER, Event.BEFORE_UNDO, Event.UNDONE)
        own = [
            each for each in self.journal.of(self.plan.id) if each.step == step.name and each.event in telling
        ]
        return own[-1] if own else None

    def _touched(self, step: Step) -> bool:
        state = self._state(step)
        return state is not None and state.event is not Event.UNDONE

    def _going_back(self) -> bool:
        return history.going_back(self.journal.of(self.plan.id))

    def _still_ours(self) -> None:
        if self.lock.lost:
            raise TerraceError(
                Fault(
                    "lock", self.lock.lost, f"See who works: scripts/scale_up.py status -s {self.plan.stack}"
                )
            )

    def _summary(self) -> dict[str, Any]:
        """What the history shows: forecast and measured interruption, requests lost, the whole time."""
        records = self.journal.of(self.plan.id)
        results = [
            each.data.get("result") or {} for each in records if each.event in (Event.AFTER, Event.UNDONE)
        ]
        away = [each["away_seconds"] for each in results if each.get("away_seconds") is not None]
        if (fenced := history.fenced_seconds(self.plan, records)) is not None:
            away = [max(fenced, sum(away))]
        lost = [each["lost"] for each in results if each.get("lost") is not None]
        told = [each["forecast_away_seconds"] for each in results if "forecast_away_seconds" in each]
        return {
            "forecast_away_seconds": told[-1] if told else self.plan.away_seconds,
            "away_seconds": round(sum(away), 2) if away else None,
            "requests_lost": sum(lost) if lost else None,
            "step_seconds": round(sum(float(each.data.get("seconds", 0)) for each in records), 1),
        }


def _other(wanted: Words, standing: Words) -> list[str]:
    """How what stands differs from what a step wanted."""
    same = (wanted.stage, wanted.climb_to, wanted.phase) == (
        standing.stage,
        standing.climb_to,
        standing.phase,
    )
    return [] if same else [f"the stack stands at {standing.said()}, not at {wanted.said()}"]
