"""The only place for what boxes report about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a box is in its life: the states of the EC2 API, and `FAILED` for one that this machine could not
    start or that lost its power (on AWS: status checks fail)."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    FAILED = "failed"


class Boot(StrEnum):
    """How far systemd in the box has come: `systemctl is-system-running`, shortened."""

    OFF = "off"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStatus:
    """What is known of one box. `cloud_init` is cloud-init's own word (`not started`, `running`, `done`,
    `error`). `since` is when `state` was entered, UTC. `reason` says why a box failed or went down by itself.
    `memory_used_bytes` leaves out what the kernel could drop; `cpu_used_seconds` counts all processors since the
    boot. Both are None while the box is down or where this machine does not count them."""

    instance_id: str
    state: State
    boot: Boot
    cloud_init: str
    since: datetime
    boots: int
    reason: str = ""
    failed_units: tuple[str, ...] = ()
    memory_used_bytes: int | None = None
    cpu_used_seconds: float | None = None

    @property
    def booted(self) -> bool:
        """Whether the boot has come to its end, well (running) or not (degraded)."""
        return self.state is State.RUNNING and self.boot in (Boot.RUNNING, Boot.DEGRADED)


class Attachment(StrEnum):
    """`detaching` lasts as long as the box still has the device open, as on EC2."""

    CREATING = "creating"
    AVAILABLE = "available"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStatus:
    """What is known of one volume; `used_bytes` is what its sparse image takes on this machine's disk."""

    volume_id: str
    state: Attachment
    size_bytes: int
    used_bytes: int
    attached_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ran in a box. `returncode` is 128 + signal for a killed one; the output is cut at the
    caller's bound, and then `truncated` says so."""

    returncode: int
    stdout: str
    stderr: str
    truncated: bool = False
    timed_out: bool = False
