"""The only place where the controller lives for thousands of virtual hours on the double, with bad luck.

`drill` marks what takes minutes; `make test` lives two days (tests/gpu/test_endurance.py).
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded.runpod.befalls import strike
from embedded.runpod.double import Double, LostError
from embedded.runpod.faults import FaultName
from infra.clients.calling import ONCE, Caller, LostAnswerError, RunPodError
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import JobPolicy, Jobs
from infra.clients.transport import Key, NoAnswerError, Reply, Request
from infra.core.errors import TerraceError
from infra.core.gpu import bodies
from infra.core.gpu.definition import load, load_policy
from infra.core.gpu.modes import Envelope, IdleTimeouts, Mode, Wanted
from infra.core.gpu.platform import BURST_WORKERS
from infra.core.gpu.policy import overshoot_usd
from infra.core.gpu.traces import make
from infra.host.box.gpu.controller import Controller, Plan
from infra.host.box.gpu.record import ConflictError, Document, Journal

QUIET_MINUTES = 5
LIVES, PROCESSES = 4, 2
STRIKES = ("dead-engine", "crash-loop", "no-stock")
MEAN_HOURS = 100
BELOW_USD = 0.05
"""The count may lack what came and went between two looks, until it is billed: some starts that crashed."""

DAY = 86400


def endure_all(hours: int) -> list[dict[str, Any]]:
    """So many hours in all, shared by lives with seeds of their own, two at a time."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(endure, [hours // LIVES] * LIVES, range(7, 7 + LIVES)))


class Fate:
    """What befalls workers: engines die, starts fail, cards are gone; each about once in `MEAN_HOURS`, for hours."""

    def __init__(self, double: Double, seed: int) -> None:
        self.double, self.chance = double, random.Random(seed + 1)  # noqa: S311 a simulation
        self.struck = dict.fromkeys(STRIKES, 0)
        self.over_at = 0.0

    def minute(self) -> None:
        """Lets a minute's fate strike, or what struck be over."""
        now = self.double.world.now
        if self.over_at:
            if now >= self.over_at:
                strike({"kind": "runpod-well"}, self.double)
                self.over_at = 0.0
            return
        for name in STRIKES:
            if self.chance.random() < 1 / (MEAN_HOURS * 60):
                strike({"kind": f"runpod-{name}"}, self.double)
                self.struck[name] += 1
                self.over_at = now + self.chance.uniform(0.1, 6) * 3600
                return


class Unlucky:
    """A transport of which so many calls in a hundred go wrong, in every way that the double knows."""

    def __init__(self, double: Double, idle: IdleTimeouts, share: float, seed: int) -> None:
        self.double, self.idle, self.share = double, idle, share
        self.patches: list[float] = []
        """When somebody set workers."""
        self.flips: list[float] = []
        """When that changed the mode on the double, closing and opening aside: those know no limit."""
        self.chance = random.Random(seed)  # noqa: S311 a simulation

    def send(self, request: Request) -> Reply:
        """See `Transport.send`."""
        if self.chance.random() < self.share:
            kinds = [each for each in FaultName if each.value not in ("401", "403", "duplicate-create")]
            if request.method != "PATCH":
                kinds.remove(FaultName.WIPES_EXCLUSIONS)
            self.double.faults.planned = []
            self.double.faults.plan(self.chance.choice(kinds))
        before = _mode(self.double, self.idle)
        try:
            answer = self.double.handle(request.method, request.url, request.headers, request.content)
        except LostError:
            raise NoAnswerError("lost") from None
        finally:
            if request.method == "PATCH" and "workers" in (request.body or {}):
                self._set(before)
        if answer.delay_seconds > request.timeout_seconds:
            raise NoAnswerError("timed out")
        return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def _set(self, before: Mode | None) -> None:
        self.patches.append(self.double.world.now)
        after = _mode(self.double, self.idle)
        if before and after and before is not after:
            self.flips.append(self.double.world.now)


class Silent(Journal):
    """A journal without a disk."""

    def write(self, entry: dict[str, Any]) -> None:
        """Forgets."""


class InMemory:
    """The document without a disk, and without its text: half of a round would be JSON."""

    def __init__(self) -> None:
        self.document, self.version = Document(), 0

    def load(self) -> tuple[Document, str]:
        """See `Store`."""
        return self.document, str(self.version)

    def save(self, document: Document, version: str) -> str:
        """See `Store`."""
        if version != str(self.version):
            raise ConflictError
        self.document, self.version = document, self.version + 1
        return str(self.version)


def endure(hours: int, seed: int = 7, share: float = 0.01) -> dict[str, Any]:
    """So many hours of the double with bad luck: jobs lost, endpoints, spend beyond the budget, flips a day."""
    started = time.process_time()
    double = Double(base="http://runpod.test", now=1_790_000_000.0, seed=seed)
    world, policy, definition = double.world, load_policy(), load()
    double.requests = _Forgetful()
    assert definition.idle_timeouts is not None
    unlucky, fate = Unlucky(double, definition.idle_timeouts, share, seed), Fate(double, seed)
    caller = Caller(unlucky, Key("double-key"), ONCE, sleep=lambda _: None)
    api = RunPod(caller, url="http://runpod.test")
    envelope = Envelope(Wanted.AUTO, 2, definition.idle_timeouts)
    body = bodies.create_body(
        bodies.spec(definition, name="bench"), envelope.first(), secrets={}, registry=None
    )
    while not (found := _tried(lambda: api.named("bench"))):
        _tried(lambda: api.create(body))
    (endpoint,) = double.endpoints
    jobs = Jobs(caller, f"http://runpod.test/v2/{found[0].id}", sleep=lambda _: None)
    budget = 120.0
    plan = Plan(
        endpoint.id,
        envelope,
        budget,
        float(definition.execution_timeout_seconds),
        cards=bodies.cards(definition),
    )
    journal, store = Silent(Path()), InMemory()
    controller = Controller(api, jobs, store, journal, plan, policy, "bench", lambda: world.now)
    trace = make("meals", users=500, days=hours // 24 + 1, seed=seed).minutes
    sent = unknown = 0
    worst = -budget
    months: dict[str, tuple[float, float]] = {}
    apart = (0.0, 0.0)
    rounds = 0
    for minute in range(hours * 60):
        begin = world.now
        # Anywhere in the minute: rounds and lives of workers in step would see each end equally late.
        for second in sorted(unlucky.chance.uniform(0, 60) for _ in range(trace[minute % len(trace)])):
            world.advance(begin + second)
            try:
                jobs.run({}, JobPolicy(300, 7 * 86400))
                sent += 1
            except LostAnswerError:
                unknown += 1  # it may have been submitted; it is never sent again
            except RunPodError:
                continue  # refused: it was not submitted
        world.advance(begin + 60)
        fate.minute()
        # Where nothing lives and nothing waits, a round in QUIET_MINUTES is enough: it would see the same.
        if _stirs(endpoint, store.document) or trace[minute % len(trace)] or minute % QUIET_MINUTES == 0:
            _tried(controller.round)
            rounds += 1
        if minute % 60 == 0:
            document = store.document
            assert Document.loads(document.dumps()) == document
            month = document.money.month
            billed = (
                world.billed_seconds(endpoint, _month_begin(world.now), world.now) * policy.usd_per_second
            )
            worst = max(worst, billed - budget)
            if month == f"{datetime.fromtimestamp(world.now, UTC):%Y-%m}":
                months[month] = (document.money.usd, billed)
                apart = (
                    min(apart[0], document.money.usd - billed),
                    max(apart[1], document.money.usd - billed),
                )
            _compact(endpoint, world.now)
    most_flips = _most_a_day(unlucky.flips)
    ended = endpoint.completed + endpoint.failed
    waiting = sum(1 for job in endpoint.jobs.values() if not job.status.ended)
    idle = max(definition.idle_timeouts.flex, definition.idle_timeouts.soft)
    bound = overshoot_usd(
        most_workers=2, burst=BURST_WORKERS, policy=policy, job_timeout_seconds=plan.job_timeout_seconds,
        idle_timeout_seconds=idle,
    )  # fmt: skip
    result = {
        "hours": hours, "rounds": rounds, "completed": endpoint.completed, "sent": sent, "unknown": unknown,
        "ended": ended, "waiting": waiting,
        "endpoints": len(double.endpoints), "most_flips_a_day": most_flips, "flips_allowed": policy.flips_a_day,
        "dearest_month_usd": budget + worst, "budget_usd": budget,
        "worst_overshoot_usd": max(0.0, worst), "overshoot_bound_usd": bound,
        "faults": len(double.faults.struck), "failed": endpoint.failed, "befell": fate.struck,
        "months": months, "counted_below_bill_usd": -apart[0], "counted_above_bill_usd": apart[1],
        "most_patches_a_day": _most_a_day(unlucky.patches), "flips": len(unlucky.flips),
        "cpu_seconds": time.process_time() - started,
    }  # fmt: skip
    # Of lost answers some were carried out: what ended is at least what was surely sent.
    assert sent <= ended + waiting <= sent + unknown, result
    assert result["endpoints"] == 1, result
    assert most_flips <= policy.flips_a_day, result
    assert worst <= bound, result
    assert -apart[0] <= BELOW_USD, result
    # Few PATCHes are sent, so few drop exclusions: after all that, a drop is put right as on the first day.
    unlucky.share, double.faults.planned = 0.0, []
    double.control.wipe_exclusions(endpoint.id)
    for _ in range(2):
        world.advance(world.now + 60)
        _tried(controller.round)
    assert set(endpoint.body["gpu"]["excludedTypes"]) == set(definition.gpu.excluded_types), result
    return result


def _mode(double: Double, idle: IdleTimeouts) -> Mode | None:
    """The mode that the double's workers are set to; None where the endpoint is closed, or closing."""
    if not double.endpoints:
        return None
    workers = double.endpoints[0].body["workers"]
    if not workers["max"] or workers["idleTimeout"] == idle.of(Mode.CLOSED):
        return None
    if workers["min"]:
        return Mode.ACTIVE
    return Mode.SOFT if workers["idleTimeout"] == idle.soft else Mode.FLEX


def _most_a_day(times: list[float]) -> int:
    """The most of them within any 24 hours."""
    return max((sum(1 for each in times if at - DAY < each <= at) for at in times), default=0)


class _Forgetful(list[Any]):
    """A list that keeps nothing: 10 000 hours of requests are many."""

    def append(self, _: Any) -> None:
        """Forgets."""


def _stirs(endpoint: Any, document: Document) -> bool:
    """Whether something lives or waits, or lived at the last look: its end would be seen late."""
    return bool(endpoint.workers or endpoint.queue or document.money.alive)


def _compact(endpoint: Any, now: float) -> None:
    """Lifetimes of earlier months are not looked at again."""
    begin = _month_begin(now)
    endpoint.lifetimes = [each for each in endpoint.lifetimes if each[1] >= begin]


def _month_begin(now: float) -> float:
    moment = datetime.fromtimestamp(now, UTC)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _tried(act: Any) -> Any:
    try:
        return act()
    except (RunPodError, TerraceError):
        return None
