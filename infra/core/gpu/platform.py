"""The only place for what RunPod Serverless knows: its words, its limits, its habits.

Sources, named behind each fact: `API` is RunPod's own REST v2 description (info.version 2.0.0), `docs` the pages
under docs.runpod.io/serverless as of November 2026. What neither establishes carries the mark (verify).
"""

from __future__ import annotations

from enum import StrEnum

API_URL = "https://api.runpod.io"
"""The control plane (API, servers)."""


class EndpointType(StrEnum):
    """How requests reach workers; never changes once an endpoint stands (API, UpdateEndpointRequest)."""

    QUEUE = "QUEUE"
    LOAD_BALANCER = "LOAD_BALANCER"


class Scaler(StrEnum):
    """The platform's own autoscaling signals (API, EndpointScaling)."""

    QUEUE_DELAY = "QUEUE_DELAY"
    REQUEST_COUNT = "REQUEST_COUNT"


class FlashBoot(StrEnum):
    """Cold-start acceleration (API, FlashBoot)."""

    OFF = "OFF"
    FLASHBOOT = "FLASHBOOT"
    PRIORITY_FLASHBOOT = "PRIORITY_FLASHBOOT"


class WorkerStatus(StrEnum):
    """What a worker is doing (API, WorkerStatus); a worker that was scaled down is not listed at all."""

    RUNNING = "RUNNING"
    IDLE = "IDLE"
    INITIALIZING = "INITIALIZING"
    THROTTLED = "THROTTLED"
    UNHEALTHY = "UNHEALTHY"


class JobStatus(StrEnum):
    """What became of a job (docs, job states)."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self not in (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS)


class Stock(StrEnum):
    """How much of a GPU type is free (API, AvailabilityLevel)."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


POOLS: dict[str, tuple[str, ...]] = {
    "AMPERE_24": ("NVIDIA L4", "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"),
    "ADA_24": ("NVIDIA GeForce RTX 4090",),
    "AMPERE_48": ("NVIDIA A40", "NVIDIA RTX A6000"),
    "ADA_48_PRO": ("NVIDIA L40S", "NVIDIA L40", "NVIDIA RTX 6000 Ada Generation"),
}
"""The GPU types of the pools that fit this model (docs, GPU pools); the catalogue is asked before they are set."""

IDLE_TIMEOUT_SECONDS = (1, 3600)
"""The range of `workers.idleTimeout` (API, EndpointWorkers)."""

QUEUE_DELAY_LEAST_SECONDS = 0.5
"""The least of `scaling.queueDelay` (API, QueueDelayScaling)."""

JOB_TIMEOUT_SECONDS = (5, 7 * 86400)
"""The range of a job's execution timeout (docs, execution policies)."""

JOB_TTL_SECONDS = (10, 7 * 86400)
"""The range of a job's time to live; at its end the job is deleted, even while it runs (docs)."""

INIT_LIMIT_SECONDS = 420
"""A worker that takes longer to start is unhealthy (docs); RUNPOD_INIT_TIMEOUT extends it."""

BURST_WORKERS = 2
"""Workers beyond `workers.max` that may appear on a burst (docs, "extra workers")."""

QUOTA_WORKERS = 5
"""Workers over all endpoints of a new account (docs)."""

QUIET_DAYS = {3: 2, 7: 0}
"""Days without a request, and what the platform then lowers `workers.max` to, for good (docs)."""

RUN_BODY_BYTES = 10 * 1000**2
RUNSYNC_BODY_BYTES = 20 * 1000**2
"""The largest body of /run and /runsync; base64 counts as it is sent (docs)."""

RESULT_KEPT_SECONDS = {"run": 1800, "runsync": 60}
"""How long a result can be fetched (docs)."""

RUNSYNC_WAIT_MS = (1000, 300_000)
"""The range of /runsync's `wait`, by default 90 000 (docs)."""
