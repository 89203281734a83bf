"""The only place for what happens on the double as time goes by: scaling, starts, jobs, bills, quiet endpoints."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator

from embedded.runpod.model import Endpoint, Habits, Job, Worker
from infra.core.gpu.platform import (
    INIT_LIMIT_SECONDS,
    QUIET_DAYS,
    RESULT_KEPT_SECONDS,
    JobStatus,
    Scaler,
    WorkerStatus,
)

CRASH_SECONDS = 20.0
"""How soon a worker of a crashing endpoint dies, and how soon another is started."""

DAY = 86400.0


class World:
    """Every endpoint, and the time (seconds of the epoch). Time passes only by `advance`."""

    def __init__(self, *, now: float, seed: int = 0, habits: Habits | None = None) -> None:
        self.now = now
        self.habits = habits or Habits()
        self.endpoints: dict[str, Endpoint] = {}
        self.deleted: list[Endpoint] = []
        self._chance = random.Random(seed)  # noqa: S311 a simulation
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._names = itertools.count(1)

    def name(self, prefix: str) -> str:
        """An id that nothing else has."""
        return f"{prefix}{next(self._names):06d}"

    def advance(self, to: float) -> None:
        """Lets time pass until `to`; everything that was due happens in its order."""
        while self._events and self._events[0][0] <= to:
            at, _, act = heapq.heappop(self._events)
            self.now = max(self.now, at)
            act()
        self.now = max(self.now, to)

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something `seconds` from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act))

    def add(self, endpoint: Endpoint) -> None:
        """A new endpoint begins to live."""
        self.endpoints[endpoint.id] = endpoint
        endpoint.last_request = self.now
        self.at(DAY / 4, lambda: self._watch_quiet(endpoint))
        self.balance(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """The endpoint with its workers and jobs goes."""
        del self.endpoints[endpoint.id]
        endpoint.gone = True
        for job in endpoint.jobs.values():
            if not job.status.ended:
                self._end(job, JobStatus.CANCELLED)
        for worker in list(endpoint.workers.values()):
            self.stop(endpoint, worker)
        self.deleted.append(endpoint)

    def submit(self, endpoint: Endpoint, job: Job) -> None:
        """A job joins the queue."""
        endpoint.jobs[job.id] = job
        endpoint.queue.append(job.id)
        endpoint.last_request, endpoint.quieted = self.now, 0
        self.at(job.ttl_seconds, lambda: self._forget(endpoint, job))
        self._dispatch(endpoint)
        self.balance(endpoint)

    def cancel(self, endpoint: Endpoint, job: Job) -> None:
        """A job leaves the queue or its worker."""
        if job.status.ended:
            return
        self._leave(endpoint, job, JobStatus.CANCELLED)

    def balance(self, endpoint: Endpoint) -> None:
        """What the platform's scaler does now."""
        if endpoint.gone:
            return
        counted = [each for each in endpoint.workers.values() if each.status is not WorkerStatus.UNHEALTHY]
        self._stop_surplus(endpoint, counted)
        counted = [each for each in endpoint.workers.values() if each.status is not WorkerStatus.UNHEALTHY]
        wanted = min(max(endpoint.least, self._demand(endpoint, counted)), self._ceiling(endpoint))
        for _ in range(wanted - len(counted)):
            if endpoint.crashing and len(endpoint.workers) >= max(1, self._ceiling(endpoint)):
                break  # the unhealthy ones hold their places until they are thrown away
            self._start(endpoint)

    def stop(self, endpoint: Endpoint, worker: Worker) -> None:
        """A worker goes; what it was running is queued again."""
        endpoint.workers.pop(worker.id, None)
        self._settle(endpoint, worker)
        for job_id in list(worker.running):
            job = endpoint.jobs.get(job_id)
            if job is not None and not job.status.ended:
                job.status, job.started, job.worker = JobStatus.IN_QUEUE, None, ""
                endpoint.queue.appendleft(job_id)
                endpoint.retried += 1
        worker.running.clear()

    def lifetimes(self, endpoint: Endpoint) -> Iterator[tuple[float, float]]:
        """When workers were billed; those that live are billed until now."""
        yield from endpoint.lifetimes
        for worker in endpoint.workers.values():
            if worker.billed_from is not None:
                yield worker.billed_from, self.now

    def billed_seconds(self, endpoint: Endpoint, start: float = 0.0, end: float = math.inf) -> int:
        """Worker seconds in a window, each lifetime rounded up to the second."""
        return sum(
            math.ceil(min(e, end) - max(s, start) - 1e-9)
            for s, e in self.lifetimes(endpoint)
            if min(e, end) > max(s, start)
        )

    def spend_usd(self, endpoint: Endpoint) -> float:
        """What its workers cost so far."""
        return self.billed_seconds(endpoint) * self.habits.usd_per_second

    def _ceiling(self, endpoint: Endpoint) -> int:
        most = endpoint.most
        burst = len(endpoint.queue) > most * endpoint.concurrency
        return most + self.habits.extra_workers if most > 0 and burst else most

    def _demand(self, endpoint: Endpoint, counted: list[Worker]) -> int:
        scaling = endpoint.body["scaling"]
        if scaling["type"] == Scaler.REQUEST_COUNT:
            running = sum(len(each.running) for each in counted)
            return math.ceil((len(endpoint.queue) + running) / int(scaling["requestCount"]))
        delay = float(scaling["queueDelay"])
        oldest = next(
            (job for job in map(endpoint.jobs.__getitem__, endpoint.queue) if not job.low_priority), None
        )
        if oldest is None:
            return 0
        waited = self.now - oldest.submitted
        if waited < delay - 1e-9:
            self._look(endpoint, delay - waited)
            return 0
        starting = sum(1 for each in counted if not each.ready)
        if starting * endpoint.concurrency >= len(endpoint.queue):
            return len(counted)
        self._look(endpoint, delay)
        return len(counted) + 1

    def _look(self, endpoint: Endpoint, seconds: float) -> None:
        """The scaler looks at the queue again then, unless it is about to."""
        if self.now < endpoint.looks_at <= self.now + seconds:
            return
        endpoint.looks_at = self.now + seconds + 1e-6
        self.at(seconds + 1e-6, lambda: self._again(endpoint))

    def _again(self, endpoint: Endpoint) -> None:
        if endpoint.queue:
            self.balance(endpoint)

    def _stop_surplus(self, endpoint: Endpoint, counted: list[Worker]) -> None:
        surplus = len(counted) - self._ceiling(endpoint)
        for worker in sorted(counted, key=lambda each: bool(each.running)):
            if surplus <= 0:
                return
            surplus -= 1
            if worker.running:
                worker.stops_when_idle = True
            else:
                self.stop(endpoint, worker)

    def _start(self, endpoint: Endpoint) -> None:
        worker = Worker(self.name("w"), WorkerStatus.INITIALIZING, endpoint.version, self.now)
        endpoint.workers[worker.id] = worker
        self._place(endpoint, worker)

    def _place(self, endpoint: Endpoint, worker: Worker) -> None:
        if worker.id not in endpoint.workers:
            return
        excluded = endpoint.body["gpu"].get("excludedTypes", []) if endpoint.body.get("gpu") else []
        if all(level == "NONE" for card, level in self.habits.stock.items() if card not in excluded):
            worker.status = WorkerStatus.THROTTLED
            self.at(30, lambda: self._place(endpoint, worker))
            return
        worker.status = WorkerStatus.INITIALIZING
        if endpoint.body["image"] in self.habits.bad_images:
            self.at(INIT_LIMIT_SECONDS, lambda: self._sicken(endpoint, worker))
            return
        self.at(self.habits.pull_seconds, lambda: self._load(endpoint, worker))

    def _load(self, endpoint: Endpoint, worker: Worker) -> None:
        if worker.id not in endpoint.workers:
            return
        worker.billed_from = self.now
        if endpoint.crashing or not endpoint.environment_is_complete:
            endpoint.crashing = True
            self.at(CRASH_SECONDS, lambda: self._sicken(endpoint, worker))
            return
        flash = endpoint.body["flashboot"] != "OFF" and self._chance.random() < self.habits.flash_hits
        seconds = self.habits.flash_seconds if flash else self.habits.cold_seconds
        limit = float(endpoint.body["env"].get("RUNPOD_INIT_TIMEOUT", INIT_LIMIT_SECONDS))
        if seconds > limit:
            self.at(limit, lambda: self._sicken(endpoint, worker))
        else:
            self.at(seconds, lambda: self._ready(endpoint, worker))

    def _ready(self, endpoint: Endpoint, worker: Worker) -> None:
        if worker.id not in endpoint.workers:
            return
        worker.ready, worker.dead_engine = True, endpoint.dead_engines
        self._rest(endpoint, worker)
        self._dispatch(endpoint)

    def _sicken(self, endpoint: Endpoint, worker: Worker) -> None:
        """An unhealthy worker is not billed; it is thrown away and another takes its place."""
        if worker.id not in endpoint.workers:
            return
        self._settle(endpoint, worker)
        worker.status = WorkerStatus.UNHEALTHY
        self.at(CRASH_SECONDS, lambda: self._discard(endpoint, worker))

    def _discard(self, endpoint: Endpoint, worker: Worker) -> None:
        endpoint.workers.pop(worker.id, None)
        self.balance(endpoint)

    def _rest(self, endpoint: Endpoint, worker: Worker) -> None:
        worker.status, worker.idle_since = WorkerStatus.IDLE, self.now
        since = self.now
        if worker.stops_when_idle or worker.version != endpoint.version:
            self.stop(endpoint, worker)
            self.balance(endpoint)
            return
        self.at(endpoint.idle_seconds, lambda: self.idle_over(endpoint, worker, since))

    def idle_over(self, endpoint: Endpoint, worker: Worker, since: float) -> None:
        """An idle timeout may have changed since it was set: it is looked at again."""
        if worker.id not in endpoint.workers or worker.idle_since != since:
            return
        left = since + endpoint.idle_seconds - self.now
        if left > 1e-6:
            self.at(left, lambda: self.idle_over(endpoint, worker, since))
            return
        healthy = sum(1 for each in endpoint.workers.values() if each.status is not WorkerStatus.UNHEALTHY)
        if healthy > endpoint.least:
            self.stop(endpoint, worker)

    def _dispatch(self, endpoint: Endpoint) -> None:
        for worker in list(endpoint.workers.values()):
            if worker.stops_when_idle:
                continue
            while worker.ready and endpoint.queue and len(worker.running) < endpoint.concurrency:
                self._take(endpoint, worker, endpoint.jobs[endpoint.queue.popleft()])

    def _take(self, endpoint: Endpoint, worker: Worker, job: Job) -> None:
        job.status, job.started, job.worker = JobStatus.IN_PROGRESS, self.now, worker.id
        job.tries += 1
        worker.status, worker.idle_since = WorkerStatus.RUNNING, None
        worker.running[job.id] = self.now
        limit = job.execution_timeout_seconds
        if timeout_ms := endpoint.body.get("timeout"):
            limit = min(limit, timeout_ms / 1000)
        takes = 0.2 if worker.dead_engine else self.habits.execution_seconds
        started = self.now
        self.at(min(takes, limit), lambda: self._done(endpoint, worker, job, started, late=takes > limit))

    def _done(self, endpoint: Endpoint, worker: Worker, job: Job, started: float, *, late: bool) -> None:
        if job.started != started or job.status is not JobStatus.IN_PROGRESS:
            return
        if late:
            self._leave(endpoint, job, JobStatus.TIMED_OUT)
        elif worker.dead_engine:
            job.error = "worker_error: engine is not reachable"
            self._leave(endpoint, job, JobStatus.FAILED)
        else:
            job.output, job.error = self.habits.answer(job.payload)
            self._leave(endpoint, job, JobStatus.FAILED if job.error else JobStatus.COMPLETED)

    def _leave(self, endpoint: Endpoint, job: Job, status: JobStatus) -> None:
        """A job ends, wherever it was."""
        if job.id in endpoint.queue:
            endpoint.queue.remove(job.id)
        self._end(job, status)
        endpoint.completed += status is JobStatus.COMPLETED
        endpoint.failed += status in (JobStatus.FAILED, JobStatus.TIMED_OUT)
        kept = RESULT_KEPT_SECONDS["runsync" if job.sync else "run"]
        self.at(kept, lambda: self._forget(endpoint, job))
        worker = endpoint.workers.get(job.worker)
        if worker is not None and worker.running.pop(job.id, None) is not None:
            self._dispatch(endpoint)
            if not worker.running and worker.id in endpoint.workers:
                self._rest(endpoint, worker)

    def _end(self, job: Job, status: JobStatus) -> None:
        job.status, job.ended = status, self.now

    def _forget(self, endpoint: Endpoint, job: Job) -> None:
        """A time to live is hard: even a running job is deleted."""
        if endpoint.jobs.get(job.id) is not job:
            return
        if job.status.ended and job.ended is not None:
            kept = RESULT_KEPT_SECONDS["runsync" if job.sync else "run"]
            if self.now < min(job.ended + kept, job.submitted + job.ttl_seconds) - 1e-6:
                return
        else:
            self._leave(endpoint, job, JobStatus.TIMED_OUT)
        endpoint.jobs.pop(job.id, None)

    def _settle(self, endpoint: Endpoint, worker: Worker) -> None:
        if worker.billed_from is not None:
            endpoint.lifetimes.append((worker.billed_from, self.now))
            worker.billed_from = None

    def _watch_quiet(self, endpoint: Endpoint) -> None:
        """3 days without a request: `max` 2; 7 days: 0, for good, whatever the mode."""
        if endpoint.gone:
            return
        quiet = self.now - endpoint.last_request
        for days, most in sorted(QUIET_DAYS.items()):
            if quiet >= days * DAY and endpoint.quieted < days:
                endpoint.quieted = days
                workers = endpoint.body["workers"]
                workers["max"] = min(workers["max"], most)
                workers["min"] = min(workers["min"], most)
                self.balance(endpoint)
        self.at(DAY / 4, lambda: self._watch_quiet(endpoint))
