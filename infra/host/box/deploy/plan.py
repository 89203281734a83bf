"""The only place that says what a deploy would do, without doing anything."""

from __future__ import annotations

from typing import Any

from infra.core.release import ROLE_PARTS, Part, Published, Strategy, released_in

from .errors import RefusedError
from .model import Patience, State, Verb
from .ports import Memory
from .room import check_room


def plan(
    about: Published,
    strategy: Strategy,
    verb: Verb,
    *,
    role: str,
    state: State,
    memory: Memory,
    patience: Patience,
) -> dict[str, Any]:
    """The steps in words, with the memory that they need; `refused` says why it would not begin.

    Raises:
        ReleaseError: the release lacks a part that the box runs.
    """
    parts = released_in(role, about.parts, about.version)
    changing = tuple(
        part for part in parts if part not in state.parts or state.parts[part].version != about.version
    )
    migrates = verb is Verb.RELEASE and Part.BACKEND in ROLE_PARTS[role]
    refused, need = "", 0
    try:
        need = check_room(memory, strategy, changing, state, about.version, migrates=migrates)
    except RefusedError as error:
        refused = str(error)
    room = memory.room()
    return {
        "verb": verb.value,
        "version": about.version,
        "from": state.current,
        "strategy": strategy.value,
        "role": role,
        "size_bytes": about.size_bytes,
        "git": about.git,
        "created_at": about.to_json()["created_at"],
        "steps": _steps(about, strategy, changing, state, patience, migrates=migrates),
        "need_mib": need,
        "free_mib": room.free_mib,
        "total_mib": room.total_mib,
        "downtime": strategy is Strategy.BIG_BANG and any(part in state.parts for part in changing),
        "refused": refused,
    }


def _steps(
    about: Published,
    strategy: Strategy,
    changing: tuple[Part, ...],
    state: State,
    patience: Patience,
    *,
    migrates: bool,
) -> list[str]:
    if not changing:
        return []
    steps = ["fetch and check the release"]
    if migrates:
        steps.append("migrate the database")
    soak = f"watch it under traffic for {patience.soak_seconds:g} s"
    if strategy is Strategy.BIG_BANG:
        names = " and ".join(part.value for part in changing)
        return [*steps, f"stop {names}", f"start {names} of {about.version}", soak]
    groups = [changing] if strategy is Strategy.BLUE_GREEN else [(part,) for part in changing]
    for group in groups:
        new = " and ".join(f"{part.value} on {state.spare(part).port}" for part in group)
        beside = any(part in state.parts for part in group)
        steps += [f"start {new}{' beside what serves' if beside else ''}", "switch", soak]
        if beside:
            steps.append(f"drain and stop the old {' and '.join(part.value for part in group)}")
    return steps
