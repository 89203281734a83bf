"""The only place for what the controller is told: objective, price, patience, calendar, as plain values.

The values themselves stand in runpod/policy.yaml alone: nothing here has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import Any

from infra.core.errors import Fault, TerraceError, nearest
from infra.core.gpu.modes import Mode

SLOWEST_DOWN_SECONDS = 900
"""A way down is at least this slow: several cold starts, and a bill of minutes rather than a queue."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week with a mode; `start` and `end` are minutes of the day, end later than start."""

    days: tuple[int, ...]
    start: int
    end: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds, money in USD, rates in requests an hour."""

    poll_seconds: float
    objective_seconds: float
    usd_per_second_waited: float
    cold_start_seconds: float
    execution_seconds: float
    concurrency: int
    usd_per_second: float
    up_windows: int
    down_seconds: float
    dwell_seconds: float
    flips_a_day: int
    soft_requests_an_hour: float
    active_requests_an_hour: float
    stale_seconds: float
    unhealthy_windows: int
    dead_failures: int
    calendar_offset_hours: float
    calendar: tuple[Window, ...]

    @property
    def zone(self) -> timezone:
        """Where the days of the calendar, and of the receipts, begin and end."""
        return timezone(timedelta(hours=self.calendar_offset_hours))

    def scheduled(self, now: float) -> Mode | None:
        """The mode that the calendar wants at that time, or None; the dearest where windows meet."""
        local = datetime.fromtimestamp(now, self.zone)
        minute = local.hour * 60 + local.minute
        found = [w.mode for w in self.calendar if local.weekday() in w.days and w.start <= minute < w.end]
        return max(found, key=lambda mode: mode.rank, default=None)

    def workers_for(self, requests_an_hour: float) -> int:
        """Workers that carry that load at 70 % of their concurrency; at least 1."""
        at_once = requests_an_hour / 3600 * self.execution_seconds
        return max(1, -int(-at_once // (self.concurrency * 0.7)))

    def as_data(self) -> dict[str, Any]:
        """Plain values."""
        data = asdict(self)
        data["calendar"] = [
            {"days": list(w.days), "start": _clock(w.start), "end": _clock(w.end), "mode": w.mode.value}
            for w in self.calendar
        ]
        return data


def read_policy(data: Mapping[str, Any], *, where: str = "policy.yaml") -> Policy:
    """A policy from plain values.

    Raises:
        TerraceError: unknown keys, keys that are missing, or values out of range, all at once.
    """
    known = {each.name for each in fields(Policy)}
    faults = [
        Fault(f"{where}: {name}", f"is no key of the policy{nearest(name, known)}", "Take it out")
        for name in data
        if name not in known
    ]
    faults += [
        Fault(f"{where}: {name}", "is missing", "Write it: runpod/policy.yaml of the project names every key")
        for name in sorted(known - set(data))
    ]
    values = {name: value for name, value in data.items() if name in known and name != "calendar"}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            faults.append(Fault(f"{where}: {name}", f"{value!r} is no number from 0 on", "Correct it"))
    down = values.get("down_seconds", SLOWEST_DOWN_SECONDS)
    least = max(SLOWEST_DOWN_SECONDS, 4 * _number(values.get("cold_start_seconds", 120)))
    if _number(down) < least:
        faults.append(
            Fault(
                f"{where}: down_seconds", f"{down} is under {least:g}: 15 minutes, 4 cold starts", "Raise it"
            )
        )
    windows = []
    for index, each in enumerate(data.get("calendar") or []):
        try:
            window = Window(
                tuple(each["days"]), _minute(each["start"]), _minute(each["end"]), Mode(each["mode"])
            )
            if window.end <= window.start or not set(window.days) <= set(range(7)):
                raise ValueError("end is not after start, or a day is not 0 to 6")
            windows.append(window)
        except (KeyError, TypeError, ValueError) as error:
            faults.append(
                Fault(
                    f"{where}: calendar[{index}]",
                    f"is no window ({error})",
                    "days, start, end, mode as shown",
                )
            )
    if faults:
        raise TerraceError(*faults)
    return Policy(**values, calendar=tuple(windows))


def overshoot_usd(
    *, most_workers: int, burst: int, policy: Policy, job_timeout_seconds: float, idle_timeout_seconds: float
) -> float:
    """How far spending may go beyond the budget: what all workers cost until a stop has taken hold."""
    seconds = policy.poll_seconds + job_timeout_seconds + idle_timeout_seconds
    return (most_workers + burst) * policy.usd_per_second * seconds


def dearest_month_usd(start: datetime, end: datetime, *, policy: Policy) -> float:
    """What one kept worker costs between two times (UTC) in the month that has most of them; 0 where none is left."""
    dearest = 0.0
    while start < end:
        after = (start.replace(day=1) + timedelta(days=32)).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        dearest = max(dearest, (min(after, end) - start).total_seconds() * policy.usd_per_second)
        start = after
    return dearest


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _minute(text: str) -> int:
    hour, minute = str(text).split(":")
    return int(hour) * 60 + int(minute)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
