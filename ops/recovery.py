"""What to do after an engine was killed: its lock, and what it was making when it died.

A killed engine leaves its lock for ever; on a disk perhaps a state that is written half (it keeps a copy of the one
before, which lacks one step at most, as a step is noted before it is taken); and for each thing that it was creating
a pending operation without an id. A plain `up` would make those things a second time. So each is looked for in the
cloud: what holds data is taken into the state, anything else, seconds old and known to nobody, is removed, and the
next `up` makes it again. The engine's death does not reach its providers at once: a call that was on its way may
still make its thing seconds later, so what is missing is looked for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError

STATEFUL = frozenset(
    {
        "aws:ebs/volume:Volume",
        "aws:ec2/eip:Eip",
        "aws:kms/key:Key",
        "aws:rds/instance:Instance",
        "aws:s3/bucket:Bucket",
        "aws:backup/vault:Vault",
    }
)
"""Kinds that are adopted, never removed."""


PATIENCE_SECONDS = 10.0
"""How long a call of a dead engine's provider may still be on its way; most answer within one second."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a stack, as the engine wrote it down; `alive` is None where the holder is on another machine."""

    holder: str
    pid: int
    since: str
    alive: bool | None


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that the engine was doing when it died: `creating`, `updating`, `deleting`, `reading`."""

    urn: str
    token: str
    operation: str
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`Vpc vpc`, for people."""
        return f"{self.token.rpartition(':')[2]} {self.urn.rpartition('::')[2]}"


class StatePort(Protocol):
    """The stack's state."""

    def damage(self) -> str:
        """What is wrong with the state itself (a write that the kill cut off), or nothing."""

    def mend(self) -> None:
        """Puts the engine's own copy of the last whole state back."""

    def locks(self) -> Sequence[Lock]:
        """Who holds the stack."""

    def cancel(self) -> None:
        """Takes every lock away."""

    def pending(self) -> Sequence[Pending]:
        """What was under way."""

    def known_ids(self) -> frozenset[tuple[str, str]]:
        """Kind and id of everything in the state: a role and its profile may bear one name."""

    def settle(self, adopted: Mapping[str, str]) -> None:
        """Ends every pending operation, taking those in by URN and id; reads the rest from the cloud."""


class OrphansPort(Protocol):
    """Things in the cloud that no state knows."""

    def seeks(self, pending: Pending) -> bool:
        """Whether a second creation of its kind would double it, so that it is worth looking for."""

    def find(self, pending: Pending, known: frozenset[tuple[str, str]]) -> str | None:
        """The id of what the pending creation made, or None where it made nothing or making it again is harmless."""

    def undo(self, pending: Pending, identity: str) -> None:
        """Removes it."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is to be done, or was done: each sentence names one thing."""

    locks: tuple[Lock, ...]
    pending: tuple[Pending, ...]
    adopted: Mapping[str, str]
    removed: Mapping[str, str]
    damage: str = ""

    @property
    def needed(self) -> bool:
        """Whether anything is left over from a killed engine."""
        return bool(self.damage or self.locks or self.pending)

    def sentences(self) -> list[str]:
        """What is (to be) done, one line each."""
        said = [f"{self.damage}: the last whole state is put back"] if self.damage else []
        said += [f"lock of {lock.holder} (pid {lock.pid}, {lock.since}): taken away" for lock in self.locks]
        for each in self.pending:
            if each.urn in self.adopted:
                said.append(f"{each.name} exists as {self.adopted[each.urn]}: taken into the state")
            elif each.urn in self.removed:
                said.append(f"{each.name} exists as {self.removed[each.urn]}: removed, `up` makes it again")
            else:
                said.append(f"{each.name} was {each.operation}: nothing is left of it that matters")
        return said


def plan(
    state: StatePort,
    orphans: OrphansPort,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    pause: Callable[[float], object] = time.sleep,
) -> Recovery:
    """Looks only: the locks, what was under way, and what came of it within the patience.

    Raises:
        TerraceError: the engine that holds the lock is alive, and was so for the whole patience.
    """
    locks = tuple(state.locks())
    for _ in range(int(patience_seconds)):
        if not any(lock.alive for lock in locks):
            break
        # A killed engine of some hundred MiB takes its time to die, and one that is interrupted ends what it does.
        pause(1.0)
        locks = tuple(state.locks())
    damage = state.damage()
    if living := [lock for lock in locks if lock.alive]:
        raise TerraceError(
            *(
                Fault(
                    f"stack held by {lock.holder}",
                    f"process {lock.pid} has been at work since {lock.since} and lives",
                    "Wait for it, or end it first (Ctrl-C once lets it finish what it is doing)",
                )
                for lock in living
            )
        )
    pending, known = tuple(state.pending()), state.known_ids()
    sought = [each for each in pending if each.operation == "creating" and orphans.seeks(each)]
    found: dict[str, str] = {}
    for look in range(int(patience_seconds) + 1):
        if look:
            pause(1.0)
        found |= {
            each.urn: identity
            for each in sought
            if each.urn not in found and (identity := orphans.find(each, known)) is not None
        }
        if len(found) == len(sought):
            break
    tokens = {each.urn: each.token for each in pending}
    return Recovery(
        locks,
        pending,
        {urn: identity for urn, identity in found.items() if tokens[urn] in STATEFUL},
        {urn: identity for urn, identity in found.items() if tokens[urn] not in STATEFUL},
        damage,
    )


def carry_out(recovery: Recovery, state: StatePort, orphans: OrphansPort) -> None:
    """Does what was planned; may be interrupted and planned again.

    Raises:
        TerraceError: a step failed; what was done stays done.
    """
    if recovery.damage:
        state.mend()
    if recovery.locks:
        state.cancel()
    for each in recovery.pending:
        if each.urn in recovery.removed:
            orphans.undo(each, recovery.removed[each.urn])
    if recovery.pending:
        state.settle(recovery.adopted)
