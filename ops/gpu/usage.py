"""The only place for how a receipt is sent to the endpoint and what is remembered of it: one request, one record.

A request is sent once. Where nobody is warm the answer is "being analysed" and the job's id: the caller asks again.
Receipts go to our own endpoint and nowhere else; there is no code that would send them elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from infra.clients.calling import LimitedError, LostAnswerError, RejectedError, RunPodError
from infra.clients.runpod_jobs import Job, JobPolicy, Jobs
from infra.core.gpu.definition import Definition
from infra.core.gpu.platform import JobStatus, WorkerStatus
from infra.host.box.gpu.inferences import parse
from ops.gpu.images import Picture
from ops.gpu.receipts import PROMPT, SCHEMA, Reading, Verdict, read

COLD_START_MARGIN = 3
"""A deadline is so many cold starts and the job's own timeout: a retry in a cold start would double the queue."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one inference; nothing of the receipt is in it. Times in seconds."""

    at: str
    model: str
    revision: str
    job: str
    verdict: Verdict
    why: str
    wait_seconds: float
    run_seconds: float
    tokens_in: int
    tokens_out: int
    pixels: int
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The normal answer in `flex`: being analysed."""

    job_id: str
    said: str = "being analysed"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its record; `text` is what the model said, for the caller alone."""

    reading: Reading
    record: Record
    job: Job
    is_double: bool = False
    text: str = field(default="", repr=False)


def sampled(content: bytes, share: float) -> bool:
    """Whether this request belongs to the share that is sent to the model; the same one always does or never."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") < share * 2**64


_UNSENT: dict[type[RunPodError], Reading] = {
    LostAnswerError: Reading(Verdict.NO_ANSWER, "the connection was lost while it was sent"),
    RejectedError: Reading(Verdict.REFUSED, "the endpoint refused the request"),
    LimitedError: Reading(
        Verdict.REFUSED, "the endpoint asked to be left alone for longer than our patience"
    ),
}

FORGOTTEN = "the endpoint knows no such job: what ended is forgotten after half an hour"


@dataclass(slots=True)
class Reader:
    """Reads receipts by one endpoint. `now` is the wall clock; `zone` is where "today" is that of the receipts."""

    jobs: Jobs
    definition: Definition
    cold_start_seconds: float
    zone: tzinfo
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def deadline_seconds(self) -> float:
        """Longer than a cold start and the job itself."""
        return COLD_START_MARGIN * self.cold_start_seconds + self.definition.execution_timeout_seconds

    @property
    def policy(self) -> JobPolicy:
        """How long a job may run, and live."""
        timeout = self.definition.execution_timeout_seconds
        return JobPolicy(timeout, int(self.deadline_seconds) + timeout)

    def payload(self, picture: Picture) -> dict[str, Any]:
        """The request: the prompt and schema before the image, so that their prefix is cached."""
        content = [
            {"type": "text", "text": PROMPT},
            {"type": "image_url", "image_url": {"url": picture.data_url}},
        ]
        return {
            "openai_route": "/v1/chat/completions",
            "openai_input": {
                "model": self.definition.model.served_name,
                "messages": [{"role": "user", "content": content}],
                "max_tokens": self.definition.request.output_tokens,
                "temperature": 0,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "receipt", "schema": SCHEMA, "strict": True},
                },
            },
        }

    def submit(self, picture: Picture) -> Pending:
        """Sends it and comes back: the asynchronous way.

        Raises:
            LostAnswerError: it may have been submitted; whoever sends it again may be charged twice.
        """
        return Pending(self.jobs.run(self.payload(picture), self.policy).id)

    def fetch(self, pending: Pending, picture_pixels: int) -> Pending | Answered:
        """The answer, where there is one by now."""
        job = self.jobs.status(pending.job_id)
        if job is not None and not job.status.ended:
            return pending
        gone = Job(pending.job_id, JobStatus.TIMED_OUT, error=FORGOTTEN)
        return self._answered(job or gone, picture_pixels)

    def read(
        self,
        picture: Picture,
        *,
        wait_seconds: float | None = None,
        job_id: str = "",
        sent: Callable[[str], None] = lambda _: None,
    ) -> Pending | Answered:
        """Sends it and waits, by default longer than a cold start; Pending where it goes on after that.

        With `job_id` it was sent before and is only waited for. `sent` hears the job's id before the waiting begins:
        whoever is interrupted then can look again, and sends nothing twice.
        """
        pixels = picture.width * picture.height
        if job_id:
            return self.again(job_id, pixels=pixels, wait_seconds=wait_seconds)
        try:
            job = self.jobs.run(self.payload(picture), self.policy)
        except (LostAnswerError, RejectedError, LimitedError) as error:
            job = Job("", JobStatus.FAILED, error=str(error))
            return self._answered(job, pixels, unsent=_UNSENT[type(error)])
        sent(job.id)
        return self._waited(job, pixels, wait_seconds)

    def again(self, job_id: str, *, pixels: int = 0, wait_seconds: float | None = None) -> Pending | Answered:
        """Looks at a job that was sent before, and waits for it; with a wait of 0 it looks once. Sends nothing.

        `pixels` are those of its picture, for the record; 0 where nobody knows.
        """
        found = self.fetch(Pending(job_id), pixels)
        if isinstance(found, Answered):
            return found
        return self._waited(Job(job_id, JobStatus.IN_QUEUE), pixels, wait_seconds)

    def answers_soon(self) -> bool:
        """Whether a worker is ready: otherwise an answer takes a cold start, and `submit` is the way."""
        workers = self.jobs.health().workers
        return workers[WorkerStatus.IDLE] + workers[WorkerStatus.RUNNING] > 0

    def _waited(self, job: Job, pixels: int, wait_seconds: float | None) -> Pending | Answered:
        limit = self.deadline_seconds if wait_seconds is None else wait_seconds
        job = self.jobs.wait_for(job, deadline_seconds=limit)
        return self._answered(job, pixels) if job.status.ended else Pending(job.id)

    def _answered(self, job: Job, pixels: int, *, unsent: Reading | None = None) -> Answered:
        text, reason, usage, is_double = _completion(job.output)
        if unsent is not None:
            reading = unsent
        elif job.status is JobStatus.TIMED_OUT:
            reading = Reading(Verdict.TIMED_OUT, "the job was not done in its time")
        elif job.status is not JobStatus.COMPLETED:
            reading = Reading(Verdict.JOB_FAILED, f"the job ended {job.status.value}")
        else:
            reading = read(text, finish_reason=reason, today=self.now().astimezone(self.zone).date())
        record = Record(
            self.now().isoformat(timespec="seconds"),
            self.definition.model.name,
            self.definition.model.revision,
            job.id,
            reading.verdict,
            reading.why,
            job.delay_ms / 1000,
            job.execution_ms / 1000,
            int(usage.get("prompt_tokens", 0)),
            int(usage.get("completion_tokens", 0)),
            pixels,
        )
        return Answered(reading, record, job, is_double, text)


@dataclass(slots=True)
class Records:
    """Records as lines of JSON, ours or a backend's log; a line that a kill cut off, or another one, is skipped."""

    path: Path

    def add(self, record: Record) -> None:
        """Writes one down, to the disk; the same job's a second time is not."""
        if record.job and any(each.job == record.job for each in self.all()):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def all(self) -> list[Record]:
        """Every whole record."""
        found = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                raw = parse(line)
                if raw is None:
                    continue
                try:
                    known: dict[str, Any] = {f.name: raw[f.name] for f in fields(Record) if f.name in raw}
                    known["verdict"] = Verdict(raw["verdict"])
                    found.append(Record(**known))
                except (ValueError, TypeError, KeyError):
                    continue
        return found


def _completion(output: Any) -> tuple[str, str, dict[str, Any], bool]:
    """Text, finish reason and usage of a worker's output: a list with a chat completion, or the completion itself."""
    first = output[0] if isinstance(output, list) and output else output
    try:
        choice = first["choices"][0]
        return (
            str(choice["message"]["content"]),
            str(choice.get("finish_reason") or ""),
            dict(first.get("usage") or {}),
            bool(first.get("double")),
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        return "", "", {}, False
