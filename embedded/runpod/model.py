"""The only place for what the double keeps: endpoints, workers, jobs, and the habits that a test may set."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.core.gpu.platform import JobStatus, WorkerStatus

Json = dict[str, Any]
Answer = Callable[[Any], tuple[Any, str]]
"""What a job's input comes to: output, and an error where it fails."""

L4_USD_PER_SECOND = 0.00019
"""List price of the 24 GB class (RunPod's serverless pricing page, table of 2026-06-08)."""


def _echo(_payload: Any) -> tuple[Any, str]:
    return [{"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "double": True}], ""


@dataclass(slots=True)
class Habits:
    """How the platform behaves; times in seconds, money in USD.

    The times are choices of the double, not measurements: real cold starts are not established.
    """

    pull_seconds: float = 0.0
    cold_seconds: float = 120.0
    flash_seconds: float = 15.0
    flash_hits: float = 0.0
    execution_seconds: float = 6.0
    extra_workers: int = 0
    """Workers beyond `max` on a burst; the platform allows 2, tests of the overshoot set it."""
    quota_workers: int = 5
    usd_per_second: float = L4_USD_PER_SECOND
    disk_usd_per_gb_month: float = 0.10
    fee_share: float = 0.0
    stock: dict[str, str] = field(default_factory=lambda: {"NVIDIA L4": "MEDIUM"})
    calls_a_minute: int = 0
    """Calls an authenticated client may make in a minute; 0 is exempt, without headers."""
    pages_of: int = 0
    """Items of a list in one answer, with a cursor; 0 is all."""
    allowed_keys: dict[str, str] = field(default_factory=lambda: {"double-key": "all"})
    """Keys that are known, each `all` or `read`."""
    answer: Answer = _echo
    bad_images: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Worker:
    """One worker; `billed_from` is when its container started, None before."""

    id: str
    status: WorkerStatus
    version: int
    created: float
    billed_from: float | None = None
    ready: bool = False
    idle_since: float | None = None
    running: dict[str, float] = field(default_factory=dict)
    dead_engine: bool = False
    extra: bool = False
    stops_when_idle: bool = False


@dataclass(slots=True)
class Job:
    """One job."""

    id: str
    payload: Any
    submitted: float
    status: JobStatus = JobStatus.IN_QUEUE
    low_priority: bool = False
    execution_timeout_seconds: float = 600.0
    ttl_seconds: float = 86400.0
    sync: bool = False
    started: float | None = None
    ended: float | None = None
    worker: str = ""
    output: Any = None
    error: str = ""
    tries: int = 0


@dataclass(slots=True)
class Endpoint:
    """One endpoint; `body` is what the API shows of it, without id and addresses."""

    id: str
    body: Json
    created: float
    version: int = 1
    releases: list[Json] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    queue: deque[str] = field(default_factory=deque)
    lifetimes: list[tuple[float, float]] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    retried: int = 0
    last_request: float = 0.0
    quieted: int = 0
    crashing: bool = False
    dead_engines: bool = False
    gone: bool = False
    looks_at: float = 0.0
    """When the scaler looks at the queue again."""

    @property
    def most(self) -> int:
        """`workers.max`."""
        return int(self.body["workers"]["max"])

    @property
    def least(self) -> int:
        """`workers.min`."""
        return int(self.body["workers"]["min"])

    @property
    def idle_seconds(self) -> float:
        """`workers.idleTimeout`; 5 s where the scaler has none."""
        return float(self.body["workers"].get("idleTimeout", 5))

    @property
    def concurrency(self) -> int:
        """Jobs that a worker pulls at once (worker-vllm's default is 30)."""
        return int(self.body["env"].get("MAX_CONCURRENCY", 30))

    @property
    def environment_is_complete(self) -> bool:
        """Whether the worker finds what it must have."""
        return "MODEL_NAME" in self.body["env"]
