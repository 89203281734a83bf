"""The only place that reads how much memory is free for a deploy: by the role's budgets, and by the kernel's word."""

from __future__ import annotations

from pathlib import Path

from infra.core.release import Part

from .ports import Room

MEMINFO = Path("/proc/meminfo")


class BoxMemory:
    def __init__(self, role: str) -> None:
        self._role = role

    def need_mib(self, part: Part) -> int:
        """What one more service of that part may take."""
        return {Part.BACKEND: 1536, Part.FRONTEND: 717}[part]

    def room(self) -> Room:
        """What there is."""
        found = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return Room(int(found["MemTotal"].split()[0]) // 1024, int(found["MemAvailable"].split()[0]) // 1024)
