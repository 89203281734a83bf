"""The only place for the controller's round: lead, look, decide, write, read back.

Level-triggered: each round starts from what the platform says, so a round that was killed is simply followed by the
next. Nothing is sent where nothing differs, and never a request to keep a worker awake.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from infra.clients.calling import (
    ForbiddenError,
    LimitedError,
    RunPodError,
    UnauthorizedError,
)
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import Jobs
from infra.clients.runpod_types import Endpoint, Worker
from infra.core import metrics
from infra.core.errors import Fault, TerraceError
from infra.core.gpu.cards import Cards
from infra.core.gpu.decide import Bounds, Decision, Observation, decide
from infra.core.gpu.modes import Envelope
from infra.core.gpu.platform import Stock, WorkerStatus
from infra.core.gpu.policy import Policy
from infra.host.box.gpu import money
from infra.host.box.gpu.inferences import COLD_WAIT_SECONDS, Inference
from infra.host.box.gpu.record import ConflictError, Document, Journal, Lease, Money, Store, change

LEASE_POLLS = 3
"""A leader that is silent for so many polls has lost the lead."""


LONGEST_REST_SECONDS = 3600.0
"""However long RunPod asks to be left alone, so often one call is made: the budget is to be kept."""

Figures = dict[str, list[float]]
"""Values by the name of their metric (infra/core/metrics.py), each a sample of this round."""


class Metrics(Protocol):
    """Where figures go."""

    def publish(self, values: Figures) -> None:
        """Figures by metric name.

        Raises:
            OSError: they could not be told; a round does not end by that.
        """


class Clients(Protocol):
    """What clients saw."""

    def since(self, start: float) -> Sequence[Inference]:
        """Inferences that ended after that time (seconds of the epoch), the oldest first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What Pulumi gave: the envelope and the money."""

    endpoint_id: str
    envelope: Envelope
    budget_usd: float
    job_timeout_seconds: float
    active_until: float | None = None
    cards: Cards | None = None
    """None where the parameter is older than this program: then no selection is compared."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to."""

    role: str
    said: str
    decision: Decision | None = None
    changed: bool = False
    next_check_seconds: float = 60.0
    metrics: Figures = field(default_factory=dict)


@dataclass(slots=True)
class Controller:
    """One candidate for the lead; `holder` names the box."""

    api: RunPod
    jobs: Jobs
    store: Store
    journal: Journal
    plan: Plan
    policy: Policy
    holder: str
    clock: Callable[[], float]
    metrics: Metrics | None = None
    clients: Clients | None = None
    dry_run: bool = False

    def round(self) -> Round:
        """One round.

        Raises:
            TerraceError: the key is refused or the endpoint is gone: a person is needed. Anything else is waited out.
        """
        now = self.clock()
        document, version = self.store.load()
        if document.lease.holder not in ("", self.holder) and document.lease.until > now:
            return Round(
                "follower", f"{document.lease.holder} leads", next_check_seconds=self.policy.poll_seconds
            )
        if not self.dry_run:
            until = now + LEASE_POLLS * self.policy.poll_seconds
            document = replace(document, lease=Lease(self.holder, until))
            try:
                version = self.store.save(document, version)
            except ConflictError:
                return Round(
                    "follower", "another box was quicker", next_check_seconds=self.policy.poll_seconds
                )
        # Further away than it is ever set: the clock went back since.
        if now < document.not_before <= now + LONGEST_REST_SECONDS:
            self._publish({metrics.GPU_BLIND.name: [1.0]})
            left = document.not_before - now
            return Round("leader", f"hold: RunPod asks for {left:.0f} s of rest", next_check_seconds=left)
        try:
            return self._lead(document, version, now)
        except (UnauthorizedError, ForbiddenError):
            self._publish({metrics.GPU_BLIND.name: [1.0]})
            raise
        except LimitedError as error:
            self._publish({metrics.GPU_BLIND.name: [1.0]})
            wait = min(max(self.policy.poll_seconds, error.retry_after_seconds), LONGEST_REST_SECONDS)
            self.journal.write({"at": _text(now), "event": "hold", "why": str(error)})
            if not self.dry_run:
                # The timer knows nothing of it, and the next round may be another box's.
                change(self.store, lambda latest: replace(latest, not_before=now + wait))
            return Round("leader", str(error), next_check_seconds=wait)
        except RunPodError as error:
            self._publish({metrics.GPU_BLIND.name: [1.0]})
            self.journal.write({"at": _text(now), "event": "hold", "why": str(error)})
            return Round("leader", f"hold: {error}", next_check_seconds=self.policy.poll_seconds)
        except ConflictError:
            return Round(
                "follower", "somebody wrote meanwhile; the next round looks again", next_check_seconds=1.0
            )

    def _lead(self, document: Document, version: str, now: float) -> Round:
        endpoint = self.api.endpoint(self.plan.endpoint_id)
        if endpoint is None:
            raise TerraceError(
                Fault(
                    f"RunPod endpoint {self.plan.endpoint_id}",
                    "is gone (deleted in the console?)",
                    "Make it anew: pulumi refresh, then pulumi up",
                )
            )
        workers = self.api.workers(endpoint.id)
        spent = self._counted(document, workers, now)
        seen = self._observed(endpoint, workers, spent, self._ended(document), now)
        decision = decide(document.state, seen, self.policy, self._bounds(document, now), now)
        figures = self._figures(document, seen, spent)
        figures[metrics.GPU_FINDINGS.name] = [float(decision.needs_a_person(now))]
        if self.dry_run:
            said = (
                f"would set {decision.workers}: {decision.reason}"
                if decision.workers != seen.workers
                else "as it is"
            )
            return Round("dry run", said, decision, metrics=figures)
        changed = decision.workers != endpoint.workers
        document = replace(
            document, state=decision.state, money=spent, failed=seen.failed, why=decision.reason,
            findings=tuple(decision.findings),
        )  # fmt: skip
        # What will be written is remembered before it is: after a kill in between, it is no stranger's edit.
        version = self.store.save(document, version)
        if changed:
            entry = {"at": _text(now), "event": "set", "mode": decision.mode.value, "why": decision.reason}
            entry |= {"from": str(endpoint.workers), "to": str(decision.workers), "seen": _seen(seen)}
            entry["findings"] = ", ".join(decision.findings)
            self.journal.write({**entry, "event": "will set"})
            self._write(endpoint, decision)
            self.journal.write(entry)
        else:
            self._keep_cards(endpoint)
        self._publish(figures)
        return Round(
            "leader",
            decision.reason,
            decision,
            changed=changed,
            next_check_seconds=decision.next_check_seconds,
            metrics=figures,
        )

    def _write(self, endpoint: Endpoint, decision: Decision) -> None:
        """Sets the workers, reads back, and looks after the cards, for a PATCH may drop exclusions."""
        body: dict[str, Any] = {"workers": decision.workers.as_body()}
        self.api.patch(endpoint.id, body)
        after = self.api.endpoint(endpoint.id)
        if after is None:
            return
        self._keep_cards(after)
        if after.workers != decision.workers:
            raise TerraceError(
                Fault(
                    f"RunPod endpoint {endpoint.id}",
                    f"stands at {after.workers} after {decision.workers} was set",
                    "The next round tries again",
                )
            )

    def _keep_cards(self, endpoint: Endpoint) -> None:
        """Sends the selection where exclusions are gone: dearer cards, or ones too small, would be taken else."""
        cards = self.plan.cards
        if cards is None or cards.stand_in(endpoint.body):
            return
        stood = (endpoint.body.get("gpu") or {}).get("excludedTypes") or []
        said = {"from": ", ".join(stood) or "none", "to": ", ".join(cards.excluded_types) or "none"}
        self.journal.write(
            {"at": _text(self.clock()), "event": "will repair", "why": "exclusions differ", **said}
        )
        self.api.patch(endpoint.id, {"gpu": cards.as_body()})
        self.journal.write(
            {"at": _text(self.clock()), "event": "repaired", "why": "exclusions differ", **said}
        )

    def _observed(
        self,
        endpoint: Endpoint,
        workers: list[Worker],
        spent: Money,
        ended: Sequence[Inference],
        now: float,
    ) -> Observation:
        health = self.jobs.health()
        states: dict[WorkerStatus, int] = {}
        for worker in workers:
            states[worker.status] = states.get(worker.status, 0) + 1
        stock: Stock | None = None
        if (cards := self.plan.cards) is not None and states.get(WorkerStatus.THROTTLED):
            try:
                for each in self.api.gpu_types():
                    if each.id == cards.type:
                        stock = cards.stock(each.stock, each.cuda)
            except ForbiddenError:
                stock = None  # a key that may lead the endpoint and not read the catalogue: nothing is known
        return Observation(
            at=now,
            workers=endpoint.workers,
            states=states,
            queued=health.queued,
            in_progress=health.in_progress,
            completed=health.completed,
            failed=health.failed,
            spend_usd=spent.usd,
            wait_p95_seconds=_p95([each.wait_seconds for each in ended]),
            stock=stock,
        )

    def _counted(self, document: Document, workers: list[Worker], now: float) -> Money:
        """The month's money with this look in it; once an hour with what was billed for days gone by."""
        rate = self.policy.usd_per_second
        made = money.counted(document.money, workers, now, rate)
        days = money.due(made, now)
        if not days or self.dry_run or document.state.last_at // 3600 == now // 3600:
            return made
        start, end = money.span(days)
        try:
            records = self.api.billing(start=start, end=end, endpoint_id=self.plan.endpoint_id)
        except LimitedError:
            raise
        except RunPodError as error:
            # The count stands without it, and keeps the budget.
            self.journal.write({"at": _text(now), "event": "bill not read", "why": str(error)})
            records = None
        billed = None if records is None else money.by_day(records)
        after = money.settled(made, billed, now, rate)
        if put_right := sorted(set(days) - set(after.days)):
            said = {"days": ", ".join(put_right), "from": f"{made.usd:.4f} USD", "to": f"{after.usd:.4f} USD"}
            self.journal.write({"at": _text(now), "event": "settled", **said})
        return after

    def _bounds(self, document: Document, now: float) -> Bounds:
        begin = money.month_start(now)
        moment = datetime.fromtimestamp(now, UTC)
        length = calendar.monthrange(moment.year, moment.month)[1] * 86400
        return Bounds(
            self.plan.envelope,
            self.plan.budget_usd,
            now - begin,
            begin + length - now,
            self.plan.job_timeout_seconds,
            self.plan.active_until,
            document.override,
        )

    def _ended(self, before: Document) -> Sequence[Inference]:
        """What clients saw end since the last round."""
        return self.clients.since(before.state.last_at) if self.clients and before.state.last_at else ()

    def _figures(self, before: Document, seen: Observation, spent: Money) -> Figures:
        """What alarms and dashboards name. Counts are those since the last round."""
        known = before.state.last_requests >= 0
        told = {
            metrics.LLM_QUEUE: float(seen.queued),
            metrics.LLM_REQUESTS: float(max(0, seen.requests - before.state.last_requests) if known else 0),
            metrics.LLM_FAILED: float(max(0, seen.failed - before.failed) if before.failed >= 0 else 0),
            metrics.GPU_SPEND: 100 * spent.usd / self.plan.budget_usd,
            metrics.GPU_BLIND: 0.0,
            **{
                metrics.GPU_WORKERS[state.value.lower()]: float(seen.states.get(state, 0))
                for state in WorkerStatus
            },
        }
        figures = {metric.name: [value] for metric, value in told.items()}
        if ended := self._ended(before):
            figures[metrics.LLM_WAIT.name] = [each.wait_seconds for each in ended]
        # The objective is for requests that meet a warm worker; the others are told by their wait.
        if warm := [e.wait_seconds + e.run_seconds for e in ended if e.wait_seconds <= COLD_WAIT_SECONDS]:
            figures[metrics.LLM_SECONDS.name] = warm
        return figures

    def _publish(self, values: Figures) -> None:
        if self.metrics is None or self.dry_run:
            return
        try:
            self.metrics.publish(values)
        except OSError as error:
            self.journal.write({"at": _text(self.clock()), "event": "figures not told", "why": str(error)})


def _p95(waits: Sequence[float]) -> float | None:
    """Of one round: a single cold start is one bad window, and only waits that go on are several in a row."""
    ordered = sorted(waits)
    return ordered[max(0, -int(-len(ordered) * 0.95 // 1) - 1)] if ordered else None


def _seen(seen: Observation) -> str:
    states = ", ".join(f"{count} {state.value.lower()}" for state, count in sorted(seen.states.items()))
    return f"queue {seen.queued}, running {seen.in_progress}, workers {states or 'none'}, {seen.spend_usd:.2f} USD"


def _text(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
