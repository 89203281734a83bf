"""The only place that says what memory a deploy may use: what the role's budgets leave, and no more than is free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from infra.core.memory import BoxRole, budget
from infra.core.release import Part
from infra.host.box.system import LIMITS, MEMINFO, ram_mib

from .ports import Room


class BoxMemory:
    """The memory of a box of that role, whose worker, if it has one, keeps its own share."""

    def __init__(
        self, role: str, meminfo: Path = MEMINFO, limits: Sequence[Path] = LIMITS, *, worker: bool = False
    ) -> None:
        self._role, self._meminfo, self._limits = cast("BoxRole", role), meminfo, limits
        self._worker = worker

    def need_mib(self, part: Part) -> int:
        """What one more service of that part may take."""
        made = budget(self._role, self._total_mib(), worker=self._worker)
        service = made.backend if part is Part.BACKEND else made.frontend
        return service.expected_mib if service is not None else 0

    def room(self) -> Room:
        """What there is."""
        rows = (line.split(":", 1) for line in self._meminfo.read_text(encoding="ascii").splitlines())
        available = next(int(value.split()[0]) // 1024 for name, value in rows if name == "MemAvailable")
        total = self._total_mib()
        free = budget(self._role, total, worker=self._worker).free_mib
        return Room(total, max(min(free, available), 0))

    def _total_mib(self) -> int:
        return ram_mib(self._meminfo, self._limits)
