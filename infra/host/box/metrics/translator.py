"""The stand-in for Amazon's CloudWatch agent, where its package cannot be had: it translates the agent's own JSON.

It knows what `agent.py` writes (`mem`, `disk`, log files) and refuses the rest by name. On AWS the real agent runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import DATA, DISK, MEMORY, Metric
from infra.host.box.metrics import place

KNOWN = {"mem": {"mem_used_percent"}, "disk": {"used_percent", "disk_used_percent"}}
LIMITS = (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory.max"))
USED = (Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"), Path("/sys/fs/cgroup/memory.current"))
MOST_EVENTS, MOST_BATCH_BYTES, EVENT_OVERHEAD_BYTES = 10_000, 1_048_576, 26
MOST_EVENT_BYTES = 200_000
"""PutLogEvents takes so much at once, 26 bytes counted for each event (CloudWatch Logs API reference)."""


@dataclass(slots=True)
class Translator:
    """One box's agent: metrics to `teller`, lines of logs to `logs`."""

    configured: Mapping[str, Any]
    teller: place.Teller
    logs: Any
    instance_id: str
    state: Path
    now: Callable[[], float] = time.time
    memory_percent: Callable[[], float] = field(default_factory=lambda: used_memory_percent)
    root: Path = Path("/")

    def __post_init__(self) -> None:
        for kind, section in self.configured["metrics"]["metrics_collected"].items():
            unknown = set(section.get("measurement", ())) - KNOWN.get(kind, set())
            if kind not in KNOWN or unknown:
                what = f"{kind} {', '.join(sorted(unknown))}".strip()
                raise TerraceError(
                    Fault(
                        what,
                        "is not translated",
                        f"Known here: {', '.join(sorted(KNOWN))}; or the real agent",
                    )
                )

    def once(self) -> None:
        """Measures, and sends what was added to the logs."""
        self.teller.tell(self._measured())
        for wanted in self.configured["logs"]["logs_collected"]["files"]["collect_list"]:
            stream = wanted["log_stream_name"].replace("{instance_id}", self.instance_id)
            self._send(Path(wanted["file_path"]), wanted["log_group_name"], stream)

    def _measured(self) -> dict[Metric, float]:
        collected = self.configured["metrics"]["metrics_collected"]
        found: dict[Metric, float] = {}
        if "mem" in collected:
            found[MEMORY] = self.memory_percent()
        for metric in (DISK, DATA):
            path = dict(metric.fixed)["path"]
            if path in collected.get("disk", {}).get("resources", ()) and (self.root / path[1:]).exists():
                found[metric] = used_disk_percent(self.root / path[1:])
        return found

    def _send(self, path: Path, group: str, stream: str) -> None:
        place_of = group.strip("/").replace("/", "-") + stream.removeprefix(self.instance_id)
        remembered = self.state / f"{place_of}.json"
        known = place.remembered(remembered)
        tail = place.Tail(self.root / str(path)[1:], int(known.get("inode", 0)), int(known.get("offset", 0)))
        stamp = int(self.now() * 1000)
        events = [
            {"timestamp": stamp, "message": text[:MOST_EVENT_BYTES]}
            for line in tail.lines()
            if (text := line.decode("utf-8", "replace").strip())
        ]
        for batch in _batches(events):
            self._put(group, stream, batch)
        # Killed before this line, the same lines go again: told twice rather than never.
        place.remember(remembered, {"inode": tail.inode, "offset": tail.offset})

    def _put(self, group: str, stream: str, batch: list[dict[str, Any]]) -> None:
        send = {"logGroupName": group, "logStreamName": stream}
        try:
            self.logs.put_log_events(**send, logEvents=batch)
        except self.logs.exceptions.ResourceNotFoundException:
            self.logs.create_log_stream(**send)
            self.logs.put_log_events(**send, logEvents=batch)


def _batches(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    made: list[list[dict[str, Any]]] = []
    room = 0
    for event in events:
        size = len(event["message"].encode()) + EVENT_OVERHEAD_BYTES
        if not made or size > room or len(made[-1]) >= MOST_EVENTS:
            made.append([])
            room = MOST_BATCH_BYTES
        made[-1].append(event)
        room -= size
    return made


def used_disk_percent(path: Path) -> float:
    """As the agent counts it: used of what is used or free for ordinary users."""
    disk = os.statvfs(path)
    used = disk.f_blocks - disk.f_bfree
    return 100 * used / (used + disk.f_bavail) if used + disk.f_bavail else 0.0


def used_memory_percent(meminfo: Path = Path("/proc/meminfo")) -> float:
    """What is not available, of the machine's memory, or of its control group's where that is less."""
    rows = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
    kib = {row[0].rstrip(":"): int(row[1]) for row in rows}
    total, used = kib["MemTotal"] * 1024, (kib["MemTotal"] - kib["MemAvailable"]) * 1024
    limit = next((int(text) for text in map(_text, LIMITS) if text.isdecimal()), total)
    if limit < total:
        held = next((int(text) for text in map(_text, USED) if text.isdecimal()), used)
        total, used = limit, max(0, held - _cached_bytes())
    return min(100.0, 100 * used / total)


def _cached_bytes() -> int:
    """Page cache of the control group, which goes when memory is asked for."""
    for path, key in (
        ("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"),
        ("/sys/fs/cgroup/memory.stat", "inactive_file"),
    ):
        for line in _text(Path(path)).splitlines():
            if line.startswith(f"{key} "):
                return int(line.split()[1])
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
