"""Moving the rows between PostgreSQL on the box and RDS, from a person's side: asked of the box, answered by it.

The work is done by `terrace-data` on the box that has one of the two databases; it is idempotent, so a command that
was cut short is asked again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from infra.core.errors import Fault, TerraceError

PROGRAM = "terrace-data"
SECONDS = 6 * 3600
"""How long a verb may take; a writer that may not be without its database so long is followed."""

REFUSED_CODE, BUSY_CODE, PROPOSED_CODE = 4, 5, 10
Verb = Literal["plan", "copy", "follow", "verify", "switch", "back", "provide", "password"]


class RefusedError(TerraceError):
    """Nothing was changed."""


class BusyError(RefusedError):
    """An earlier command is still at it."""


_KINDS = {REFUSED_CODE: RefusedError, BUSY_CODE: BusyError}


class Answer(Protocol):
    """How a command on a box ended."""

    @property
    def exit_code(self) -> int:
        """0 done, 4 refused, 5 an earlier command is under way, 10 something to do."""
        ...

    @property
    def stdout(self) -> str:
        """What it answers, as JSON."""
        ...

    @property
    def stderr(self) -> str:
        """What it says."""
        ...


class Boxes(Protocol):
    """Commands on boxes."""

    def run(self, instance_id: str, script: str, *, seconds: float) -> Answer:
        """Runs a shell script as root and waits for its end."""
        ...


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the move is made, by a stack's outputs; no secret, only the name of one."""

    instance_id: str
    endpoint: str
    master_secret: str
    storage_gib: int
    parameters: str
    region: str

    @classmethod
    def of(cls, outputs: Mapping[str, Any], *, parameters: str, region: str) -> Databases:
        """From the outputs of a stack.

        Raises:
            TerraceError: the stack has one database only.
        """
        found = outputs.get("database")
        if not found or not outputs.get("mover"):
            raise TerraceError(
                Fault(
                    "stack",
                    "has no RDS instance, so there is nothing to move to",
                    "Begin the climb: terrace:climb: {to: split, phase: expanded}, and pulumi up",
                )
            )
        return cls(
            str(outputs["mover"]), found["endpoint"], found["master_secret"], int(found["storage_gib"]),
            parameters, region,
        )  # fmt: skip

    def words(self, verb: Verb, *options: str) -> list[str]:
        """The command on the box."""
        return [
            PROGRAM, verb, *options, "--region", self.region, "--parameters", self.parameters, "--endpoint",
            self.endpoint, "--master-secret", self.master_secret, "--storage-gib", str(self.storage_gib),
        ]  # fmt: skip


def ask(boxes: Boxes, databases: Databases, verb: Verb, *options: str) -> dict[str, Any]:
    """What the box answers; what it said on the way stands under `said`.

    Raises:
        RefusedError: nothing was changed, with the reasons.
        TerraceError: it failed; the same command again goes on.
    """
    done = boxes.run(databases.instance_id, shlex.join(databases.words(verb, *options)), seconds=SECONDS)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if not done.stdout.strip():
        kind = _KINDS.get(done.exit_code, TerraceError)
        raise kind(
            *(Fault(databases.instance_id, line, "") for line in said[-3:]),
            summary=f"{verb} ended with {done.exit_code} on the box.",
        )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise TerraceError(
            Fault(
                databases.instance_id, f"answered {done.stdout[:200]!r}", "Look at the box: Session Manager"
            )
        ) from error
    return {**found, "said": said}
