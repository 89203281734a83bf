"""The only place for the modes of the endpoint, what each sets on the platform, and the envelope that Pulumi gives.

Pulumi owns whether the endpoint exists, its image, and this envelope; the controller owns `workers` inside it
(docs/adr/0021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KEY_VARIABLE = "RUNPOD_API_KEY"
ENDPOINT_VARIABLE, JOBS_URL_VARIABLE, SHARE_VARIABLE = "GPU_ENDPOINT_ID", "GPU_JOBS_URL", "GPU_SAMPLE_SHARE"
APPLICATION_IS_TOLD = (KEY_VARIABLE, ENDPOINT_VARIABLE, JOBS_URL_VARIABLE, SHARE_VARIABLE)
"""Settings that an endpoint brings to the application."""


class Mode(StrEnum):
    """How the endpoint is run.

    CLOSED is no choice of a person: it is where budget and health put an endpoint, with nothing running.
    """

    CLOSED = "closed"
    FLEX = "flex"
    SOFT = "soft"
    ACTIVE = "active"

    @property
    def rank(self) -> int:
        """The order of what they cost."""
        return _ORDER.index(self)


_ORDER = (Mode.CLOSED, Mode.FLEX, Mode.SOFT, Mode.ACTIVE)


class Wanted(StrEnum):
    """What `terrace:gpu.mode` may say; AUTO lets the controller choose among the modes."""

    OFF = "off"
    FLEX = "flex"
    SOFT = "soft"
    ACTIVE = "active"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Workers:
    """The platform's `workers`: least, most, and seconds before an idle one goes (None where the scaler has none)."""

    least: int
    most: int
    idle_timeout_seconds: int | None

    def as_body(self) -> dict[str, int]:
        """As the API takes it; always whole, for whether parts are merged is not established."""
        body = {"min": self.least, "max": self.most}
        return (
            body if self.idle_timeout_seconds is None else {**body, "idleTimeout": self.idle_timeout_seconds}
        )

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Workers:
        """From the API's own form."""
        idle = body.get("idleTimeout")
        return cls(int(body["min"]), int(body["max"]), None if idle is None else int(idle))

    def __str__(self) -> str:
        idle = "" if self.idle_timeout_seconds is None else f", idle {self.idle_timeout_seconds} s"
        return f"min {self.least}, max {self.most}{idle}"


@dataclass(frozen=True, slots=True)
class IdleTimeouts:
    """Seconds before an idle worker goes, by mode; 1 to 3600."""

    flex: int
    soft: int
    active: int

    def of(self, mode: Mode) -> int:
        """Of that mode; a closed endpoint lets its workers go at once."""
        return {Mode.CLOSED: 1, Mode.FLEX: self.flex, Mode.SOFT: self.soft, Mode.ACTIVE: self.active}[mode]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What Pulumi allows the controller: never more than `most_workers`, idle timeouts by mode.

    `idle_timeouts` is None where the scaler knows none (REQUEST_COUNT on a queue), which rules `soft` out.
    """

    wanted: Wanted
    most_workers: int
    idle_timeouts: IdleTimeouts | None

    def workers(self, mode: Mode, *, count: int = 1) -> Workers:
        """The platform's setting for a mode; ACTIVE keeps `count` workers, within the envelope."""
        idle = None if self.idle_timeouts is None else self.idle_timeouts.of(mode)
        if mode is Mode.CLOSED:
            return Workers(0, 0, idle)
        least = min(max(1, count), self.most_workers) if mode is Mode.ACTIVE else 0
        return Workers(least, self.most_workers, idle)

    def first(self) -> Workers:
        """What an endpoint is made with; `auto` begins cheaply."""
        mode = {Wanted.SOFT: Mode.SOFT, Wanted.ACTIVE: Mode.ACTIVE}.get(self.wanted, Mode.FLEX)
        return self.workers(mode)

    def holds(self, workers: Workers) -> bool:
        """Whether a live setting lies inside the envelope, where only the controller has a say."""
        return 0 <= workers.least <= self.most_workers and workers.most <= self.most_workers

    def clamped(self, workers: Workers) -> Workers:
        """The setting inside the envelope that is nearest to that one."""
        most = min(workers.most, self.most_workers)
        return Workers(min(max(0, workers.least), most), most, workers.idle_timeout_seconds)

    def as_data(self) -> dict[str, Any]:
        """Plain values, for a resource's inputs and the controller's parameter."""
        idle = self.idle_timeouts
        return {
            "mode": self.wanted.value,
            "mostWorkers": self.most_workers,
            "idleTimeouts": None if idle is None else [idle.flex, idle.soft, idle.active],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Envelope:
        """The opposite of `as_data`; numbers may have become floats on their way through the engine."""
        idle = data["idleTimeouts"]
        return cls(
            Wanted(data["mode"]),
            int(data["mostWorkers"]),
            None if idle is None else IdleTimeouts(*(int(each) for each in idle)),
        )
