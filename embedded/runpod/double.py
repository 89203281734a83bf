"""The only place where the double is asked: one entry for both APIs, keys, rate limits, faults, the retired v1.

`handle` is what a server or a test's transport calls; a reply that is lost is a `LostError`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from embedded.runpod.bodies import Refused
from embedded.runpod.control import Control
from embedded.runpod.faults import FaultName, Faults
from embedded.runpod.model import Endpoint, Habits, Job
from embedded.runpod.world import World
from infra.core.gpu.platform import (
    JOB_TIMEOUT_SECONDS,
    JOB_TTL_SECONDS,
    RUN_BODY_BYTES,
    RUNSYNC_BODY_BYTES,
    JobStatus,
)

CONTROL = ("serverless", "registries", "catalog", "billing")
TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    410: "Gone", 413: "Content Too Large", 422: "Unprocessable Entity",
    429: "Too Many Requests", 500: "Internal Server Error",
}  # fmt: skip


class LostError(Exception):
    """The connection dies; `done` says whether the request was carried out."""

    def __init__(self, *, done: bool) -> None:
        super().__init__("the connection was lost")
        self.done = done


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    delay_seconds: float = 0.0
    """How long it is under way; whoever carries it waits."""


class Double:
    """RunPod, without a GPU. `base` is its address; both APIs answer there."""

    def __init__(
        self,
        *,
        base: str = "http://runpod.test",
        now: float | None = None,
        seed: int = 0,
        habits: Habits | None = None,
    ) -> None:
        self.world = World(now=time.time() if now is None else now, seed=seed, habits=habits)
        self.faults = Faults()
        self.control = Control(self.world, base=f"{base}/v2")
        self.requests: MutableSequence[tuple[str, str, Any]] = []
        self._minute, self._calls = 0, 0

    @property
    def habits(self) -> Habits:
        """What a test may set."""
        return self.world.habits

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that stand."""
        return list(self.world.endpoints.values())

    def handle(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """The answer to one request.

        Raises:
            LostError: a fault was planned.
        """
        address = urlsplit(url)
        path = address.path
        fault = self.faults.take(method, path)
        body, said = self._body(content), None
        self.requests.append((method, path, body))
        if fault is not None:
            if fault.name is FaultName.NO_ANSWER:
                raise LostError(done=False)
            if fault.name.value.isdigit():
                retry = (
                    {"Retry-After": str(fault.retry_after_seconds)} if fault.name is FaultName.LIMITED else {}
                )
                said = self._problem(int(fault.name), _DETAILS[fault.name], extra=retry)
            elif fault.name is FaultName.NOT_JSON:
                said = Answer(200, {"Content-Type": "text/html"}, b"<html>not what you asked for</html>")
        answer = said or self._answer(method, path, dict(parse_qsl(address.query)), headers, body, content)
        if fault is not None and fault.name is FaultName.DUPLICATE_CREATE and answer.status == 201:
            self._answer(method, path, dict(parse_qsl(address.query)), headers, body, content)
        if fault is not None and fault.name is FaultName.SLOW:
            answer = replace(answer, delay_seconds=fault.seconds)
        if fault is not None and fault.name is FaultName.LOST_REPLY:
            raise LostError(done=True)
        if fault is not None and fault.name is FaultName.WIPES_EXCLUSIONS:
            self.control.wipe_exclusions(path.rsplit("/", 1)[-1])
            shown = self.control.answer("GET", path.strip("/").split("/")[1:], {}, None)[1]
            answer = Answer(answer.status, answer.headers, json.dumps(shown).encode())
        return answer

    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Any,
        content: bytes | None,
    ) -> Answer:
        parts = [unquote(part) for part in path.split("/") if part]
        if parts[:1] == ["v1"]:
            return self._problem(410, "REST v1 has been retired; use v2")
        if parts[:1] != ["v2"]:
            return self._problem(404, "resource not found")
        given = {name.lower(): value for name, value in headers.items()}.get("authorization", "")
        key = given.removeprefix("Bearer ")
        right = self.habits.allowed_keys.get(key)
        if right is None:
            return self._problem(401, "missing bearer token" if not key else "invalid bearer token")
        control = parts[1:2] and parts[1] in CONTROL
        if control and right == "read" and method != "GET":
            return self._problem(403, "access denied")
        limits = self._limits() if control else {}
        if limits is None:
            left = 60 - int(self.world.now) % 60
            return self._problem(
                429, "rate limit exceeded for the minute window", extra={"Retry-After": str(left)}
            )
        try:
            if control:
                status, found = self.control.answer(method, parts[1:], query, body)
            else:
                status, found = self._job(method, parts[1:], query, body, len(content or b""))
        except Refused as refused:
            extra = {"Allow": refused.allow} if refused.allow else {}
            return self._problem(refused.status, refused.detail, *refused.errors, extra={**limits, **extra})
        content_type = {"Content-Type": "application/json", **limits}
        return Answer(status, content_type, b"" if found is None else json.dumps(found).encode())

    def _limits(self) -> dict[str, str] | None:
        """The rate-limit headers, or None where the minute is used up; no headers for exempt callers."""
        most = self.habits.calls_a_minute
        if not most:
            return {}
        minute = int(self.world.now // 60)
        if minute != self._minute:
            self._minute, self._calls = minute, 0
        if self._calls >= most:
            return None
        self._calls += 1
        left = 60 - int(self.world.now) % 60
        return {
            "RateLimit": f'"minute";r={most - self._calls};t={left}',
            "RateLimit-Policy": f'"minute";q={most};w=60',
        }

    def _job(
        self, method: str, parts: list[str], query: Mapping[str, str], body: Any, size: int
    ) -> tuple[int, Any]:
        endpoint = self.world.endpoints.get(parts[0]) if parts else None
        if endpoint is None:
            raise Refused(404, "endpoint not found")
        match method, parts[1:]:
            case "POST", ["run" | "runsync" as way]:
                if size > (RUN_BODY_BYTES if way == "run" else RUNSYNC_BODY_BYTES):
                    raise Refused(413, "body too large")
                job = self._submitted(endpoint, body, sync=way == "runsync")
                if way == "runsync":
                    self.world.advance(self.world.now + self._synchronous_seconds(query))
                return 200, self._shown(job)
            case "GET", ["status", name]:
                return 200, self._shown(self._find(endpoint, name))
            case "GET", ["stream", name]:
                job = self._find(endpoint, name)
                chunks = [{"output": job.output}] if job.status is JobStatus.COMPLETED else []
                return 200, {"status": job.status.value, "stream": chunks}
            case "POST", ["cancel", name]:
                job = self._find(endpoint, name)
                self.world.cancel(endpoint, job)
                return 200, self._shown(job)
            case "POST", ["retry", name]:
                return 200, self._shown(self._again(endpoint, self._find(endpoint, name)))
            case "POST", ["purge-queue"]:
                queued = [endpoint.jobs[each] for each in endpoint.queue]
                for job in queued:
                    self.world.cancel(endpoint, job)
                return 200, {"removed": len(queued), "status": "completed"}
            case "GET", ["health"]:
                return 200, self._health(endpoint)
        raise Refused(404, "resource not found")

    def _synchronous_seconds(self, query: Mapping[str, str]) -> float:
        """On the virtual clock the whole wait passes at once; a server overrides it."""
        wait = int(query.get("wait", "90000"))
        if not 1000 <= wait <= 300_000:
            raise Refused(400, "wait must be between 1000 and 300000")
        return wait / 1000

    def _submitted(self, endpoint: Endpoint, body: Any, *, sync: bool) -> Job:
        if not isinstance(body, dict) or "input" not in body:
            raise Refused(400, "input is required")
        policy = body.get("policy") or {}
        timeout, ttl = policy.get("executionTimeout", 600_000) / 1000, policy.get("ttl", 86_400_000) / 1000
        for value, (least, most) in ((timeout, JOB_TIMEOUT_SECONDS), (ttl, JOB_TTL_SECONDS)):
            if not least <= value <= most:
                raise Refused(400, f"policy out of range: {value} s is not within {least} to {most}")
        low = bool(policy.get("lowPriority"))
        job = Job(self.world.name("job"), body["input"], self.world.now, low_priority=low, sync=sync)
        job.execution_timeout_seconds, job.ttl_seconds = timeout, ttl
        self.world.submit(endpoint, job)
        return job

    def _again(self, endpoint: Endpoint, job: Job) -> Job:
        if job.status not in (JobStatus.FAILED, JobStatus.TIMED_OUT):
            raise Refused(400, "only failed or timed-out jobs can be retried")
        job.status, job.error, job.ended, job.started = JobStatus.IN_QUEUE, "", None, None
        endpoint.retried += 1
        self.world.submit(endpoint, job)
        return job

    def _find(self, endpoint: Endpoint, name: str) -> Job:
        if (job := endpoint.jobs.get(name)) is None:
            raise Refused(404, "job not found")
        return job

    def _shown(self, job: Job) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": job.id, "status": job.status.value}
        if job.started is not None:
            shown["delayTime"], shown["workerId"] = int((job.started - job.submitted) * 1000), job.worker
        if job.ended is not None and job.started is not None:
            shown["executionTime"] = int((job.ended - job.started) * 1000)
        if job.status is JobStatus.COMPLETED:
            shown["output"] = job.output
        if job.error:
            shown["error"] = job.error
        return shown

    def _health(self, endpoint: Endpoint) -> dict[str, Any]:
        running = sum(len(each.running) for each in endpoint.workers.values())
        counts: dict[str, int] = {}
        for worker in endpoint.workers.values():
            counts[worker.status.value.lower()] = counts.get(worker.status.value.lower(), 0) + 1
        jobs = {
            "completed": endpoint.completed, "failed": endpoint.failed, "inProgress": running,
            "inQueue": len(endpoint.queue), "retried": endpoint.retried,
        }  # fmt: skip
        return {"jobs": jobs, "workers": counts}

    def _body(self, content: bytes | None) -> Any:
        try:
            return json.loads(content) if content else None
        except ValueError:
            return None

    def _problem(
        self, status: int, detail: str, *errors: str, extra: Mapping[str, str] | None = None
    ) -> Answer:
        problem: dict[str, Any] = {"title": TITLES[status], "status": status, "detail": detail}
        if errors:
            problem["errors"] = list(errors)
        headers = {"Content-Type": "application/problem+json", **(extra or {})}
        return Answer(status, headers, json.dumps(problem).encode())


_DETAILS = {
    FaultName.UNAUTHORIZED: "missing bearer token",
    FaultName.FORBIDDEN: "access denied",
    FaultName.LIMITED: "rate limit exceeded for the minute window",
    FaultName.SERVER_ERROR: "internal server error",
}
