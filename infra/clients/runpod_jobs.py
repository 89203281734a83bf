"""The only place for calls of an endpoint's job API: submit, look, wait, cancel. A job is submitted once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from infra.clients.calling import BadReplyError, Caller, NotFoundError, RejectedError, parsed
from infra.core.gpu.platform import RUN_BODY_BYTES, RUNSYNC_BODY_BYTES, RUNSYNC_WAIT_MS, JobStatus
from infra.core.gpu.platform import WorkerStatus as Status

FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 10.0

_COUNTS = ("inQueue", "inProgress", "completed", "failed", "retried")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the platform tells of it; delay is the wait before a worker took it, both in milliseconds."""

    id: str
    status: JobStatus
    delay_ms: int = 0
    execution_ms: int = 0
    output: Any = field(default=None, repr=False)
    error: str = ""
    worker_id: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Counts of an endpoint's jobs and workers; keys that are absent count as 0."""

    queued: int
    in_progress: int
    completed: int
    failed: int
    retried: int
    workers: dict[Status, int]


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """How long a job may run and live. At the end of `ttl_seconds` it is deleted, even while it runs."""

    execution_timeout_seconds: int
    ttl_seconds: int
    low_priority: bool = False
    """Does not make the platform start a worker: for batches and probes."""

    def as_body(self) -> Json:
        """As the API takes it."""
        body: Json = {
            "executionTimeout": self.execution_timeout_seconds * 1000,
            "ttl": self.ttl_seconds * 1000,
        }
        return {**body, "lowPriority": True} if self.low_priority else body


class Jobs:
    """The job API at `url` (an endpoint's /run without its last part)."""

    def __init__(
        self,
        caller: Caller,
        url: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.caller, self.url = caller, url.rstrip("/")
        self._sleep, self._clock = sleep, clock

    def run(self, payload: Json, policy: JobPolicy) -> Job:
        """Submits a job and comes back at once.

        Raises:
            LostAnswerError: it may have been submitted; it is not sent again here.
        """
        return self._submit("/run", payload, policy, RUN_BODY_BYTES, timeout_seconds=60)

    def run_and_wait(self, payload: Json, policy: JobPolicy, *, wait_seconds: float) -> Job:
        """Submits a job by /runsync and waits for it, 1 to 300 s; it may come back still queued."""
        least, most = RUNSYNC_WAIT_MS
        milliseconds = int(min(max(wait_seconds * 1000, least), most))
        return self._submit(
            f"/runsync?wait={milliseconds}",
            payload,
            policy,
            RUNSYNC_BODY_BYTES,
            timeout_seconds=milliseconds / 1000 + 30,
        )

    def status(self, job_id: str) -> Job | None:
        """How a job stands; None where its time to live is over."""
        try:
            reply = self.caller.call("GET", f"{self.url}/status/{quote(job_id, safe='')}", repeatable=True)
        except NotFoundError:
            return None
        return _job(parsed(reply, "status"))

    def cancel(self, job_id: str) -> Job:
        """Takes a job out of the queue, or stops it."""
        reply = self.caller.call("POST", f"{self.url}/cancel/{quote(job_id, safe='')}", repeatable=True)
        return _job(parsed(reply, "cancel"))

    def retry(self, job_id: str) -> Job:
        """Queues a failed or timed-out job again."""
        reply = self.caller.call("POST", f"{self.url}/retry/{quote(job_id, safe='')}", repeatable=False)
        return _job(parsed(reply, "retry"))

    def health(self) -> Health:
        """Counts of jobs and workers."""
        raw = parsed(self.caller.call("GET", f"{self.url}/health", repeatable=True), "health")
        try:
            jobs, workers = raw["jobs"], raw.get("workers") or {}
            counts = {name: int(jobs.get(name, 0)) for name in _COUNTS}
            return Health(
                counts["inQueue"],
                counts["inProgress"],
                counts["completed"],
                counts["failed"],
                counts["retried"],
                {status: int(workers.get(status.value.lower(), 0)) for status in Status},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadReplyError(
                "RunPod health", f"is not what the API promises ({error})", "Report it"
            ) from None

    def wait_for(self, job: Job, *, deadline_seconds: float) -> Job:
        """Looks until the job has ended or `deadline_seconds` are over, less and less often; then as it stands.

        A job whose results were already forgotten comes back TIMED_OUT.
        """
        until, pause = self._clock() + deadline_seconds, FIRST_LOOK_SECONDS
        while not job.status.ended and (left := until - self._clock()) > 0:
            self._sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
            found = self.status(job.id)
            if found is None:
                return Job(
                    job.id,
                    JobStatus.TIMED_OUT,
                    error="the platform has forgotten it: its time to live is over",
                )
            job = found
        return job

    def stream(self, job: Job, *, deadline_seconds: float) -> Iterator[Any]:
        """Outputs of a job as they come, until it has ended or the deadline is over."""
        until, pause = self._clock() + deadline_seconds, FIRST_LOOK_SECONDS
        while True:
            reply = self.caller.call("GET", f"{self.url}/stream/{quote(job.id, safe='')}", repeatable=True)
            raw = parsed(reply, "stream")
            chunks = raw.get("stream") or []
            for chunk in chunks:
                yield chunk.get("output")
            if JobStatus(_status(raw)).ended or self._clock() >= until:
                return
            pause = FIRST_LOOK_SECONDS if chunks else min(pause * 1.5, LONGEST_LOOK_SECONDS)
            self._sleep(min(pause, max(0.0, until - self._clock())))

    def _submit(
        self, path: str, payload: Json, policy: JobPolicy, most_bytes: int, *, timeout_seconds: float
    ) -> Job:

        body = {"input": payload, "policy": policy.as_body()}
        size_bytes = len(json.dumps(body, separators=(",", ":")).encode())
        if size_bytes > most_bytes:
            raise RejectedError(
                f"RunPod POST {path.split('?')[0]}",
                f"{size_bytes} bytes are more than the {most_bytes} that the platform takes, base64 included",
                "Send a smaller image, or its address",
            )
        reply = self.caller.call(
            "POST", self.url + path, body, repeatable=False, timeout_seconds=timeout_seconds
        )
        return _job(parsed(reply, "submit"))


def _status(raw: Json) -> str:
    # Documents say RUNNING where the API says IN_PROGRESS.
    found = str(raw["status"])
    return JobStatus.IN_PROGRESS.value if found == "RUNNING" else found


def _job(raw: Any) -> Job:
    try:
        error = raw.get("error")
        return Job(
            str(raw["id"]),
            JobStatus(_status(raw)),
            int(raw.get("delayTime") or 0),
            int(raw.get("executionTime") or 0),
            raw.get("output"),
            "" if error is None else str(error),
            str(raw.get("workerId") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadReplyError("RunPod job", f"is not what the API promises ({error})", "Report it") from None
