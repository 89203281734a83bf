"""The only place that says what memory a deploy may use: what the role's budgets leave, and no more than is free.

The figures are those of the 8 GB table (project document, "5.35 GB used"): what PostgreSQL, Nginx, agents and the
system may take, and the most that one service of each part takes.
"""

from __future__ import annotations

from pathlib import Path

from infra.core.release import ROLE_PARTS, Part

from .ports import Room

MEMINFO = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory.max"))
"""A machine in a control group sees its host's memory in /proc, and its own limit here."""

PART_MIB = {Part.BACKEND: 1536, Part.FRONTEND: 717}
SYSTEM_MIB = 1178
DATABASE_MIB = 2048
RESERVE_SHARE = 16
"""A sixteenth of the memory stays for the page cache."""


class BoxMemory:
    """The memory of a box of that role."""

    def __init__(self, role: str, meminfo: Path = MEMINFO, limits: tuple[Path, ...] = LIMITS) -> None:
        self._role, self._meminfo, self._limits = role, meminfo, limits

    def need_mib(self, part: Part) -> int:
        """What one more service of that part may take."""
        return PART_MIB[part]

    def room(self) -> Room:
        """What there is."""
        rows = (line.split(":", 1) for line in self._meminfo.read_text().splitlines())
        found = {name: int(value.split()[0]) // 1024 for name, value in rows}
        total = min([found["MemTotal"], *self._limited_mib()])
        budgeted = SYSTEM_MIB + sum(PART_MIB[part] for part in ROLE_PARTS[self._role])
        budgeted += DATABASE_MIB if self._role == "single" else 0
        free = total - total // RESERVE_SHARE - budgeted
        return Room(total, max(min(free, found["MemAvailable"]), 0))

    def _limited_mib(self) -> list[int]:
        texts = [path.read_text().strip() for path in self._limits if path.exists()]
        return [int(text) // 1024**2 for text in texts if text.isdecimal()]
