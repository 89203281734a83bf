"""The only place for the quick simulation in which policies are compared: minutes, workers, one queue.

One model for all, the optimum included: a worker is billed from its start, is ready after the cold start, serves so
many requests a minute, and stops only when it is idle. Not modelled: stock, failures, FlashBoot, seconds within a
minute. The double (embedded/runpod) has those; it is too slow for months of a million users.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from infra.core.gpu.decide import Bounds, Observation, State, decide
from infra.core.gpu.modes import Envelope, IdleTimeouts, Mode, Wanted, Workers
from infra.core.gpu.platform import WorkerStatus
from infra.core.gpu.policy import Policy
from infra.core.gpu.traces import Trace

STEP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy wants for the next minute; `scales`: the platform's queue-delay scaler adds workers."""

    least: int
    idle_minutes: int
    scales: bool = True


@dataclass(slots=True)
class View:
    """What a policy may see: the past."""

    minute: int = 0
    on: int = 0
    starting: int = 0
    queue: int = 0
    arrived: int = 0
    """In the last minute."""
    served: int = 0
    total_arrived: int = 0
    total_served: int = 0
    cost_usd: float = 0.0


Chooser = Callable[[View], Setting]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy came to on a trace; waits in seconds, to the minute, and counts where it has them."""

    policy: str
    trace: str
    cost_usd: float
    waited_usd: float
    wait_p50_seconds: float | None = None
    wait_p95_seconds: float | None = None
    cold_starts: int | None = None
    flips: int | None = None

    @property
    def total_usd(self) -> float:
        """J: the bill and what waiting beyond the objective is worth."""
        return self.cost_usd + self.waited_usd


def simulate(trace: Trace, name: str, choose: Chooser, policy: Policy) -> Outcome:
    """Runs one policy over a trace."""
    view = View()
    cold = cold_steps(policy)
    capacity = served_a_minute(policy)
    unit = policy.usd_per_second * STEP_SECONDS
    starts: deque[int] = deque()
    idle: list[int] = []
    queue: deque[list[int]] = deque()
    waits: dict[int, int] = {}
    waited_usd, cold_starts, flips, last = 0.0, 0, 0, None
    for minute, arrived in enumerate(trace.minutes):
        setting = choose(view)
        if last is not None and (setting.least, setting.idle_minutes) != last and setting.scales:
            flips += 1
        last = (setting.least, setting.idle_minutes)
        while starts and starts[0] <= minute:
            starts.popleft()
            idle.append(0)
        if arrived:
            queue.append([minute, arrived])
        waiting = view.queue + arrived
        room = trace.most_workers - len(idle) - len(starts)
        wanted = max(0, min(setting.least - len(idle) - len(starts), room))
        if setting.scales and waiting > len(idle) * capacity and not wanted and room > 0:
            wanted = 1 if waiting > (len(idle) + len(starts)) * capacity or not (idle or starts) else 0
        for _ in range(wanted):
            starts.append(minute + cold)
        cold_starts += wanted
        served = min(waiting, len(idle) * capacity)
        left = served
        while left:
            first = queue[0]
            taken = min(first[1], left)
            waits[minute - first[0]] = waits.get(minute - first[0], 0) + taken
            left -= taken
            first[1] -= taken
            if not first[1]:
                queue.popleft()
        view.cost_usd += (len(idle) + len(starts)) * unit
        busy = -(-served // capacity)
        idle = [0] * busy + [each + 1 for each in sorted(idle)[: len(idle) - busy]]
        while (
            len(idle) > busy and len(idle) + len(starts) > setting.least and max(idle) >= setting.idle_minutes
        ):
            idle.remove(max(idle))
        view.queue = waiting - served
        late = max(0, view.queue - arrived)
        waited_usd += policy.usd_per_second_waited * STEP_SECONDS * late
        view.minute, view.on, view.starting = minute + 1, len(idle), len(starts)
        view.arrived, view.served = arrived, served
        view.total_arrived += arrived
        view.total_served += served
    return Outcome(
        name, trace.name, view.cost_usd, waited_usd, _rank(waits, 0.5), _rank(waits, 0.95), cold_starts, flips
    )


def cold_steps(policy: Policy) -> int:
    """Minutes that a worker takes to start: the nearest whole number, at least one."""
    return max(1, round(policy.cold_start_seconds / STEP_SECONDS))


def served_a_minute(policy: Policy) -> int:
    """Requests that a worker serves in a minute, all its places taken."""
    return max(1, int(policy.concurrency * STEP_SECONDS / policy.execution_seconds))


def fixed(least: int, idle_minutes: int) -> Chooser:
    """A mode that never changes."""
    setting = Setting(least, idle_minutes)
    return lambda _: setting


def request_count(value: int, most: int) -> Chooser:
    """RunPod's REQUEST_COUNT: as many workers as the queue and what runs ask for, gone within the minute."""
    return lambda view: Setting(min(most, -(-(view.queue + view.arrived) // value)), 1, scales=False)


def ray_serve_like(target: float, policy: Policy, most: int) -> Chooser:
    """Ongoing requests per replica, up after 30 s, down after 600 s (Ray Serve's defaults)."""
    highest: deque[int] = deque(maxlen=10)

    def choose(view: View) -> Setting:
        running = view.served * policy.execution_seconds / STEP_SECONDS
        highest.append(min(most, -int(-(view.queue + running) // target)))
        return Setting(max(highest), 1, scales=False)

    return choose


def knative_like(policy: Policy, most: int) -> Chooser:
    """Concurrency over 60 s against 70 % of a worker's, the last one gone after the window and 30 s more."""
    last = [0, 0]

    def choose(view: View) -> Setting:
        running = view.queue + view.served * policy.execution_seconds / STEP_SECONDS
        wanted = min(most, -int(-running // (policy.concurrency * 0.7)))
        last[0], last[1] = last[1], wanted
        return Setting(max(last), 1, scales=False)

    return choose


def ours(policy: Policy, most: int, idle: IdleTimeouts, *, start: float = 1_790_553_600.0) -> Chooser:
    """The controller's own decision, once a minute. `start` is a Monday, midnight UTC."""
    envelope = Envelope(Wanted.AUTO, most, idle)
    bounds = Bounds(envelope, 1e9, 1e6, 1e6, 300.0)
    kept = [State(), envelope.workers(Mode.FLEX)]

    def choose(view: View) -> Setting:
        state, live = kept
        assert isinstance(state, State)  # noqa: S101 the types of one list
        assert isinstance(live, Workers)  # noqa: S101
        now = start + view.minute * STEP_SECONDS
        seen = Observation(
            now, live, {WorkerStatus.IDLE: view.on, WorkerStatus.INITIALIZING: view.starting}, view.queue, 0,
            view.total_served, 0, 0.0,
        )  # fmt: skip
        decision = decide(state, seen, policy, bounds, now)
        kept[0], kept[1] = decision.state, decision.workers
        seconds = decision.workers.idle_timeout_seconds or 60
        return Setting(decision.workers.least, max(1, round(seconds / STEP_SECONDS)))

    return choose


def all_policies(policy: Policy, trace: Trace, idle: IdleTimeouts) -> dict[str, Chooser]:
    """Every policy that is compared, by name, fresh."""
    most = trace.most_workers
    return {
        "flex (queue delay)": fixed(0, max(1, idle.flex // 60)),
        "request count": request_count(policy.concurrency, most),
        "soft": fixed(0, idle.soft // 60),
        "active": fixed(1, 1),
        "Ray-Serve-like": ray_serve_like(policy.concurrency * 0.7, policy, most),
        "Knative-like": knative_like(policy, most),
        "ours": ours(policy, most, idle),
    }


def with_cold_start(policy: Policy, seconds: float) -> Policy:
    """The policy on a platform with another cold start."""
    return replace(policy, cold_start_seconds=seconds)


def _rank(waits: dict[int, int], share: float) -> float:
    total = sum(waits.values())
    seen = 0
    for minutes in sorted(waits):
        seen += waits[minutes]
        if seen >= share * total:
            return float(minutes * STEP_SECONDS)
    return 0.0
