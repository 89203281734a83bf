"""The only place for which mode the endpoint should be in: a pure function of state, observation, policy and time.

Precedence (docs/adr/0020): never kill running work > budget > health > override > an end date > calendar > latency
and demand. Up fast, down slowly; a mode is kept for a while; no more than so many flips a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from infra.core.gpu.modes import Envelope, Mode, Wanted, Workers
from infra.core.gpu.platform import INIT_LIMIT_SECONDS, QUIET_DAYS, Stock, WorkerStatus
from infra.core.gpu.policy import Policy

SLOTS = 48
SLOT_SECONDS = 1800
LEARNING = 0.3
"""The weight of the newest day in a slot's rate."""

DAY = 86400
EDIT_GRACE_SECONDS = 3600
"""How long somebody's edit inside the envelope is left alone."""

MOST_LOOKS = 120
"""Looks at a standing queue that are remembered; beyond, every second one."""

REST_AFTER_BOUNCES = 2
RETRY_CLOSED_SECONDS = 6 * 3600
LONGEST_START_SECONDS = 2 * INIT_LIMIT_SECONDS
"""Twice what the platform waits by itself, and more than the RUNPOD_INIT_TIMEOUT of runpod/endpoint.yaml."""


class Finding(StrEnum):
    """What is out of the ordinary; each has an action of its own."""

    NO_STOCK = "no-stock"
    CRASH_LOOP = "crash-loop"
    """Workers start over and over and none gets ready: a program that dies, an image that cannot be pulled."""
    DEAD_ENGINE = "dead-engine"
    ONE_DEAD_ENGINE = "dead-engine-beside-a-sound-one"
    """Most of what ends fails, though some is done: the dead one takes the more jobs, for it is quicker."""
    QUIETED = "scaled-down-by-the-platform"
    EDITED = "edited-in-the-console"
    OUTSIDE = "outside-the-envelope"
    STALE = "stale"
    BUDGET = "budget-reached"
    BUDGET_AHEAD = "budget-will-be-reached"


DEAD = frozenset({Finding.DEAD_ENGINE, Finding.ONE_DEAD_ENGINE})
A_PERSON = frozenset({Finding.NO_STOCK, Finding.CRASH_LOOP, *DEAD})
"""What stops the model's work and does not mend by itself; money has alarms of its own."""


@dataclass(frozen=True, slots=True)
class Override:
    """A person's choice, until a time."""

    mode: Mode
    until: float
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen. Counts of what has ended are cumulative.

    `wait_p95_seconds` is the clients' own, None where nobody asked.
    """

    at: float
    workers: Workers
    states: dict[WorkerStatus, int]
    queued: int
    in_progress: int
    completed: int
    failed: int
    spend_usd: float
    wait_p95_seconds: float | None = None
    stock: Stock | None = None

    @property
    def requests(self) -> int:
        """All that ever came."""
        return self.queued + self.in_progress + self.completed + self.failed

    @property
    def taken(self) -> int:
        """Those of them that a worker has taken."""
        return self.requests - self.queued

    @property
    def ready(self) -> int:
        """Workers that take jobs."""
        return self.states.get(WorkerStatus.IDLE, 0) + self.states.get(WorkerStatus.RUNNING, 0)


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered from one decision to the next; times in seconds of the epoch."""

    mode: Mode = Mode.FLEX
    since: float = 0.0
    flips: tuple[float, ...] = ()
    bad_windows: int = 0
    lower_since: float | None = None
    wrote: Workers | None = None
    before: Workers | None = None
    """What stood when something else was about to be written: a kill in between leaves it standing."""
    edited_at: float | None = None
    last_at: float = 0.0
    last_requests: int = -1
    last_completed: int = 0
    last_failed: int = 0
    """Of the last look that judged them."""
    seen_failed: int = -1
    last_request_at: float = 0.0
    arrivals: tuple[tuple[float, int], ...] = ()
    """How many requests had come at each look since the oldest of the queue came."""
    slot: int = -1
    slot_requests: int = 0
    slot_began: float = 0.0
    rates: tuple[float, ...] = field(default=(-1.0,) * SLOTS)
    recent: float = 0.0
    unhealthy_windows: int = 0
    without_card_windows: int = 0
    starting_since: float | None = None
    """Since when workers have been starting while none was ready."""
    ends: tuple[tuple[int, int], ...] = ()
    """Failed and completed in each of the last looks that saw anything end."""
    bounces: tuple[float, ...] = ()
    closed_until: float = 0.0
    closing_since: float | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain values."""
        data = {name: getattr(self, name) for name in self.__slots__}
        for name in ("wrote", "before"):
            data[name] = None if data[name] is None else data[name].as_body()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> State:
        """The opposite of `as_data`."""
        known = {name: value for name, value in data.items() if name in cls.__slots__}
        for name in ("flips", "rates", "bounces"):
            known[name] = tuple(known.get(name) or getattr(cls(), name))
        known["arrivals"] = tuple((at, count) for at, count in known.get("arrivals") or ())
        known["ends"] = tuple((failed, done) for failed, done in known.get("ends") or ())
        known["mode"] = Mode(known["mode"])
        for name in ("wrote", "before"):
            known[name] = Workers.from_body(known[name]) if known.get(name) else None
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to set, why, and when to look again."""

    mode: Mode
    workers: Workers
    reason: str
    findings: tuple[Finding, ...]
    next_check_seconds: float
    state: State

    def needs_a_person(self, now: float) -> int:
        """How many things somebody should look at; what an endpoint rests from still counts while it rests."""
        rests = self.mode is Mode.CLOSED and self.state.closed_until > now
        return len(A_PERSON & set(self.findings)) or int(rests)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the decision must keep: the envelope, the month's money, the last day of `active`.

    `budget_usd` is the month's; `month_left_seconds` and `month_gone_seconds` say where in the month this is.
    """

    envelope: Envelope
    budget_usd: float
    month_gone_seconds: float
    month_left_seconds: float
    job_timeout_seconds: float
    active_until: float | None = None
    override: Override | None = None


def decide(state: State, seen: Observation, policy: Policy, bounds: Bounds, now: float) -> Decision:
    """The mode that the endpoint should be in now."""
    if now - seen.at > policy.stale_seconds or now < state.last_at - policy.stale_seconds:
        workers = state.wrote or seen.workers
        said = f"what is known is {now - seen.at:.0f} s old" if now >= seen.at else "the clock went back"
        return Decision(
            state.mode,
            workers,
            f"hold: {said}",
            (Finding.STALE,),
            policy.poll_seconds,
            replace(state, last_at=now),
        )
    findings: list[Finding] = []
    state = _learned(state, seen, policy, now)
    state = _health(state, seen, policy, findings)
    state = _edits(state, seen, bounds, findings, now)
    mode, reason, count = _wanted(state, seen, policy, bounds, findings, now)
    state, mode, reason, at_once = _paced(
        state, mode, reason, policy, findings, now, bounds.job_timeout_seconds
    )
    workers = bounds.envelope.workers(mode, count=count)
    # Behind a dead engine nothing runs that could be killed: all that is taken fails at once, until it is gone.
    if mode is Mode.CLOSED and Finding.DEAD_ENGINE not in findings:
        workers, state = _drained(state, seen, bounds, workers, policy, now)
    else:
        state = replace(state, closing_since=None)
    held = Finding.EDITED in findings and not at_once
    if held:
        workers, reason = seen.workers, f"an edit in the console is left alone for an hour ({reason})"
    wrote = state.wrote if held else workers
    before = seen.workers if workers != seen.workers else None
    state = replace(state, wrote=wrote, before=before, last_at=now)
    return Decision(mode, workers, reason, tuple(findings), policy.poll_seconds, state)


def forecast(state: State, now: float, lead_seconds: float) -> float:
    """Requests an hour that are expected within the lead: the slots' learned rates, or what is recent where more."""
    expected = []
    for at in (now, now + lead_seconds):
        learned = state.rates[_slot(at)]
        if learned >= 0:
            expected.append(learned)
    if not expected:
        return state.recent
    learned = max(expected)
    # What is happening counts where it is more than usual; where it is much less, the day is not a usual one.
    return max(
        learned if state.recent > learned / 4 or _begins(now, lead_seconds) else learned / 2, state.recent
    )


def _learned(state: State, seen: Observation, policy: Policy, now: float) -> State:
    """Counts arrivals; at the end of a slot its rate is learned."""
    new = max(0, seen.requests - state.last_requests) if state.last_requests >= 0 else 0
    elapsed = max(1.0, now - state.last_at) if state.last_at else policy.poll_seconds
    weight = min(1.0, elapsed / 600)
    recent = state.recent + weight * (new * 3600 / elapsed - state.recent)
    slot = _slot(now)
    if slot == state.slot:
        state = replace(state, slot_requests=state.slot_requests + new)
    else:
        lasted = now - state.slot_began
        if state.slot >= 0 and SLOT_SECONDS * 0.9 <= lasted <= SLOT_SECONDS * 1.5:
            rate, old = state.slot_requests * 3600 / lasted, state.rates[state.slot]
            rates = list(state.rates)
            rates[state.slot] = rate if old < 0 else old + LEARNING * (rate - old)
            state = replace(state, rates=tuple(rates))
        state = replace(state, slot=slot, slot_requests=new, slot_began=now)
    arrivals = _arrivals(state, seen, now)
    oldest_seconds = now - arrivals[0][0] if arrivals else 0.0
    bad = max(oldest_seconds, seen.wait_p95_seconds or 0.0) > policy.objective_seconds
    return replace(
        state,
        arrivals=arrivals,
        recent=recent,
        last_requests=seen.requests,
        last_request_at=now if new or not state.last_request_at else state.last_request_at,
        bad_windows=state.bad_windows + 1 if bad else 0,
    )


def _arrivals(state: State, seen: Observation, now: float) -> tuple[tuple[float, int], ...]:
    """Looks since the oldest of the queue came.

    The queue is served in its order, so the oldest is the request after those that were taken. It came at the first
    look that counts it, or before: what it has waited is at least the time since.
    """
    if not seen.queued:
        return ()
    # Fewer than there were: the platform counts anew, or somebody has emptied the queue.
    known = state.arrivals if seen.requests >= state.last_requests else ()
    kept = tuple(each for each in (*known, (now, seen.requests)) if each[1] > seen.taken)
    return kept if len(kept) <= MOST_LOOKS else kept[::2]


def _health(state: State, seen: Observation, policy: Policy, findings: list[Finding]) -> State:
    """No stock, a crash loop, a dead engine behind living workers: told apart."""
    throttled, unhealthy = (
        seen.states.get(each, 0) for each in (WorkerStatus.THROTTLED, WorkerStatus.UNHEALTHY)
    )
    # The catalogue may call a card free that this endpoint does not get: then the rounds without one say so.
    without = state.without_card_windows + 1 if throttled and not seen.ready else 0
    if without and (seen.stock in (None, Stock.NONE) or without >= policy.unhealthy_windows):
        findings.append(Finding.NO_STOCK)
    # Between two crashes a worker looks as if it were starting: only a ready one, or none at all, is health.
    healthy = bool(seen.ready) or not any(seen.states.values())
    sick = 0 if healthy else state.unhealthy_windows + bool(unhealthy)
    starting = bool(seen.states.get(WorkerStatus.INITIALIZING)) and not healthy and not throttled
    since = (state.starting_since or seen.at) if starting or (unhealthy and not healthy) else None
    # An image that cannot be pulled shows as a start without end: unhealthy for moments that few looks meet.
    if sick >= policy.unhealthy_windows or (since is not None and seen.at - since > LONGEST_START_SECONDS):
        findings.append(Finding.CRASH_LOOP)
    failed, completed = seen.failed - state.last_failed, seen.completed - state.last_completed
    ends = _ends(state, seen, policy)
    # What drains may hold a sound worker's long job beside a dead one: there the drain's own end is waited for.
    dead = failed >= policy.dead_failures and completed <= 0 and state.closing_since is None
    if dead and seen.ready:
        findings.append(Finding.DEAD_ENGINE)
    elif seen.ready and _one_is_dead(ends, policy):
        findings.append(Finding.ONE_DEAD_ENGINE)
    counted = failed >= policy.dead_failures or completed > 0
    return replace(
        state,
        unhealthy_windows=sick,
        without_card_windows=without,
        starting_since=since,
        last_failed=seen.failed if counted or failed < 0 else state.last_failed,
        last_completed=seen.completed,
        seen_failed=seen.failed,
        ends=() if A_PERSON & set(findings) else ends,
    )


def _ends(state: State, seen: Observation, policy: Policy) -> tuple[tuple[int, int], ...]:
    """What ended at the last looks, this one with it; nothing while it is closed for what was found before."""
    failed, completed = seen.failed - state.seen_failed, seen.completed - state.last_completed
    if state.seen_failed < 0 or min(failed, completed) < 0 or state.closed_until > seen.at:
        return ()
    ends = (*state.ends, (failed, completed)) if failed or completed else state.ends
    return ends[-policy.unhealthy_windows :]


def _one_is_dead(ends: tuple[tuple[int, int], ...], policy: Policy) -> bool:
    """As many failures as that many dead looks would have, and more of them than of answers."""
    failed, completed = (sum(each) for each in zip(*ends, strict=True)) if ends else (0, 0)
    many = len(ends) == policy.unhealthy_windows and failed >= policy.dead_failures * policy.unhealthy_windows
    return many and failed > completed


def _edits(state: State, seen: Observation, bounds: Bounds, findings: list[Finding], now: float) -> State:
    """Whether live workers are what was written last, and who else it was."""
    if not bounds.envelope.holds(seen.workers):
        findings.append(Finding.OUTSIDE)
        return replace(state, edited_at=None)
    if state.wrote is None or seen.workers in (state.wrote, state.before):
        return replace(state, edited_at=None)
    quiet_days = (now - state.last_request_at) / DAY
    habits = [most for days, most in QUIET_DAYS.items() if quiet_days >= days - 0.5]
    if seen.workers.most < state.wrote.most and seen.workers.most in habits:
        findings.append(Finding.QUIETED)
        return replace(state, edited_at=None)
    edited = state.edited_at or now
    if now - edited < EDIT_GRACE_SECONDS:
        findings.append(Finding.EDITED)
    return replace(state, edited_at=edited)


def _wanted(
    state: State, seen: Observation, policy: Policy, bounds: Bounds, findings: list[Finding], now: float
) -> tuple[Mode, str, int]:
    """What precedence comes to, before pace: mode, reason, workers to keep."""
    if seen.spend_usd >= bounds.budget_usd:
        findings.append(Finding.BUDGET)
        return Mode.CLOSED, f"the month's {bounds.budget_usd:.2f} USD are spent ({seen.spend_usd:.2f})", 0
    if Finding.CRASH_LOOP in findings:
        return (
            Mode.CLOSED,
            "workers crash at their start, or never get ready: nothing is started until it is looked into",
            0,
        )
    if Finding.DEAD_ENGINE in findings:
        return Mode.CLOSED, "jobs fail at once behind living workers: they are thrown away", 0
    if Finding.ONE_DEAD_ENGINE in findings:
        return Mode.CLOSED, "most jobs fail beside a worker that works: all go, once what runs has ended", 0
    if state.closed_until > now:
        return Mode.CLOSED, f"closed for another {(state.closed_until - now) / 60:.0f} min after failures", 0
    if (chosen := bounds.override) is not None and now < chosen.until:
        return chosen.mode, f"{chosen.who}: {chosen.reason}", 1
    wanted = bounds.envelope.wanted
    if wanted is Wanted.ACTIVE:
        if bounds.active_until is None or now < bounds.active_until:
            return _affordable(Mode.ACTIVE, "the validation runs", seen, policy, bounds, findings, 1)
        return Mode.FLEX, "the validation is over", 1
    if wanted in (Wanted.FLEX, Wanted.SOFT):
        return _affordable(Mode(wanted.value), "as the stack says", seen, policy, bounds, findings, 1)
    scheduled = policy.scheduled(now + policy.cold_start_seconds) or policy.scheduled(now)
    rate = forecast(state, now, policy.cold_start_seconds + 2 * policy.poll_seconds)
    count = policy.workers_for(rate)
    if scheduled is not None:
        return _affordable(scheduled, "the calendar", seen, policy, bounds, findings, count)
    if rate >= policy.active_requests_an_hour:
        said = f"{rate:.0f} requests an hour are expected"
        return _affordable(Mode.ACTIVE, said, seen, policy, bounds, findings, count)
    if rate >= policy.soft_requests_an_hour:
        said = f"{rate:.0f} requests an hour are worth an idle worker"
        return _affordable(Mode.SOFT, said, seen, policy, bounds, findings, 1)
    if state.bad_windows >= policy.up_windows and Finding.NO_STOCK not in findings:
        said = f"waits over {policy.objective_seconds:.0f} s in {state.bad_windows} windows"
        return _affordable(Mode.SOFT, said, seen, policy, bounds, findings, 1)
    return Mode.FLEX, f"{rate:.0f} requests an hour are not worth an idle worker", 1


def _affordable(
    mode: Mode,
    reason: str,
    seen: Observation,
    policy: Policy,
    bounds: Bounds,
    findings: list[Finding],
    count: int,
) -> tuple[Mode, str, int]:
    """A month that would go beyond its budget is run in flex, where only work is paid."""
    gone = max(bounds.month_gone_seconds, DAY)
    ahead, begun = seen.spend_usd + seen.spend_usd / gone * bounds.month_left_seconds, seen.spend_usd > 0
    if mode is Mode.ACTIVE and bounds.envelope.wanted is Wanted.ACTIVE:
        if bounds.active_until is None:
            ahead = max(ahead, seen.spend_usd + policy.usd_per_second * bounds.month_left_seconds)
        else:
            # It ends: what it cost so far says nothing about the days after.
            left = min(max(0.0, bounds.active_until - seen.at), bounds.month_left_seconds)
            ahead, begun = seen.spend_usd + policy.usd_per_second * count * left, True
    if mode.rank > Mode.FLEX.rank and begun and ahead > bounds.budget_usd:
        findings.append(Finding.BUDGET_AHEAD)
        return Mode.FLEX, f"the month would come to {ahead:.2f} USD", 1
    return mode, reason, count


def _paced(
    state: State,
    mode: Mode,
    reason: str,
    policy: Policy,
    findings: list[Finding],
    now: float,
    drain_seconds: float,
) -> tuple[State, Mode, str, bool]:
    """Hysteresis. Safety and money do not wait; the last element says whether this was one of them."""
    flips = tuple(each for each in state.flips if now - each < DAY)
    state = replace(state, flips=flips)
    urgent = {Finding.BUDGET, Finding.BUDGET_AHEAD, Finding.CRASH_LOOP, Finding.OUTSIDE, *DEAD}
    at_once = bool(urgent & set(findings))
    if Finding.CRASH_LOOP in findings:
        state = replace(state, closed_until=now + RETRY_CLOSED_SECONDS)
    if DEAD & set(findings):
        bounces = (*(each for each in state.bounces if now - each < 3600), now)
        rest = policy.poll_seconds if Finding.DEAD_ENGINE in findings else drain_seconds
        if len(bounces) > REST_AFTER_BOUNCES:
            rest = RETRY_CLOSED_SECONDS
        state = replace(state, bounces=bounces, closed_until=now + rest)
    if mode is state.mode:
        return replace(state, lower_since=None), mode, reason, at_once
    if mode is not Mode.CLOSED and state.mode is not Mode.CLOSED:
        if mode.rank > state.mode.rank:
            state = replace(state, lower_since=None)
            if Finding.NO_STOCK in findings:
                return state, state.mode, f"hold: no card is to be had ({reason})", at_once
            if len(flips) >= policy.flips_a_day - 1:
                return state, state.mode, f"hold: {len(flips)} flips today ({reason})", at_once
        elif not at_once:
            since = now if state.lower_since is None else state.lower_since
            state = replace(state, lower_since=since)
            if now - since < policy.down_seconds:
                left = policy.down_seconds - (now - since)
                return state, state.mode, f"hold: down in {left:.0f} s ({reason})", at_once
        if now - state.since < policy.dwell_seconds and not at_once and mode.rank < state.mode.rank:
            return state, state.mode, f"hold: {state.mode} is new ({reason})", at_once
    counted = flips if Mode.CLOSED in (mode, state.mode) else (*flips, now)
    state = replace(state, mode=mode, since=now, flips=counted, lower_since=None, bad_windows=0)
    return state, mode, reason, at_once


def _drained(
    state: State, seen: Observation, bounds: Bounds, closed: Workers, policy: Policy, now: float
) -> tuple[Workers, State]:
    """Running work is not killed: until it has ended, or its timeout is over, no worker is added and none is kept."""
    since = now if state.closing_since is None else state.closing_since
    state = replace(state, closing_since=since)
    over = now - since >= bounds.job_timeout_seconds - policy.poll_seconds
    if seen.in_progress == 0 or over or seen.workers.most == 0:
        return closed, state
    busy = max(1, min(seen.states.get(WorkerStatus.RUNNING, 0), bounds.envelope.most_workers))
    return Workers(0, busy, closed.idle_timeout_seconds), state


def _slot(at: float) -> int:
    return int(at % DAY // SLOT_SECONDS)


def _begins(now: float, lead_seconds: float) -> bool:
    """Whether a slot begins within the lead or has just begun: what is recent says nothing about it yet."""
    return _slot(now) != _slot(now + lead_seconds) or now % SLOT_SECONDS < 600
