"""The only place that says whether the services of a deploy fit beside what runs, with the numbers."""

from __future__ import annotations

from infra.core.memory import MIGRATION_MIB
from infra.core.release import Part, Strategy

from .errors import RefusedError
from .model import State
from .ports import Memory

MIGRATION_HEAP_MIB = 256
"""Of a JVM that runs migrations; half of it again is for itself."""


def check_room(
    memory: Memory,
    strategy: Strategy,
    changing: tuple[Part, ...],
    state: State,
    version: str,
    *,
    migrates: bool,
) -> int:
    """MiB that the deploy needs at its fullest beside what runs.

    Raises:
        RefusedError: it needs more than is free.
    """
    need, what = _need(memory, strategy, changing, state, migrates=migrates)
    room = memory.room()
    if need > room.free_mib:
        raise RefusedError(
            f"{strategy} of {version} needs {need} MiB beside what runs ({what}), {room.free_mib} MiB of "
            f"{room.total_mib} MiB are free",
            _REMEDY[strategy],
        )
    return need


_REMEDY = {
    Strategy.ROLLING: "Use --strategy big-bang (it has downtime), or a larger box: scripts/scale_up.py",
    Strategy.BLUE_GREEN: "Use --strategy rolling, which needs one service at a time, or a box of 16 GB",
    Strategy.BIG_BANG: "Use a larger box: scripts/scale_up.py",
}


def _need(
    memory: Memory, strategy: Strategy, changing: tuple[Part, ...], state: State, *, migrates: bool
) -> tuple[int, str]:
    beside = {part: memory.need_mib(part) for part in changing if part in state.parts}
    needs = {"a migration": MIGRATION_MIB} if migrates and state.parts else {}
    if strategy is Strategy.BLUE_GREEN and beside:
        needs[" and ".join(f"a second {part.value}" for part in beside)] = sum(beside.values())
    elif strategy is Strategy.ROLLING:
        needs |= {f"a second {part.value}": mib for part, mib in beside.items()}
    if not needs:
        return 0, "nothing"
    # They stand one after the other, so the largest counts.
    largest = max(needs, key=lambda name: needs[name])
    return needs[largest], largest
