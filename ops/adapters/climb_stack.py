"""The stack of a climb by the engine: what stands, what a preview on a copy says, up, and what a kill left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from infra.core.cost import Resource, masked
from infra.core.errors import Fault, TerraceError
from infra.core.transition import Standing
from ops import stackfile
from ops.adapters import preview as command_line
from ops.climb.plan import Change
from ops.climb.planning import Previewed
from ops.climb.steps import Words
from ops.report.plan import Op
from ops.report.preview import COMMAND, read_preview
from tools.setup.engine import engine_environment

if TYPE_CHECKING:
    # The Automation API takes longer to import than a status may wait: what only reads never does.
    from ops.adapters.engine import Engine

GUARD = "::guard"
SAME = ("same", "read", "refresh")


class StackOfClimb:
    """One stack. `work_dir` holds Pulumi.yaml and the stack file; `root` the program and its environment."""

    def __init__(
        self,
        root: Path,
        work_dir: Path,
        project: str,
        stack: str,
        variables: Mapping[str, str],
        on_event: Callable[[Any], Any] | None = None,
        *,
        one_look: bool = False,
    ) -> None:
        self.root, self.work_dir, self.project, self.stack = root, work_dir, project, stack
        self.variables, self.on_event = dict(variables), on_event
        self._one_look = one_look
        self._resources: list[dict[str, Any]] | None = None
        self._looking = Lock()

    @cached_property
    def engine(self) -> Engine:
        """The engine by the Automation API, for what changes something."""
        from ops.adapters.engine import Engine

        return Engine(self.root, self.stack, variables=self.variables, work_dir=self.work_dir)

    @cached_property
    def environment(self) -> dict[str, str]:
        """What `pulumi` runs in: the caller's variables, and nothing else of another login or account."""
        ambient = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**engine_environment(self.root, ambient), **self.variables}

    @property
    def file(self) -> Path:
        """The stack file."""
        return stackfile.path_of(self.work_dir, self.stack)

    @property
    def region(self) -> str:
        """The stack's region."""
        return str(stackfile.config(self.file)["aws:region"])

    def resources(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The state's resources, secrets masked; asked once unless `fresh`, and once for ever with `one_look`."""
        with self._looking:
            if self._resources is None or (fresh and not self._one_look):
                self._resources = self._read()
            return self._resources

    def outputs(self, *, fresh: bool = False) -> dict[str, Any]:
        """The stack's outputs, from the same state."""
        for each in self.resources(fresh=fresh):
            if each["type"] == "pulumi:pulumi:Stack":
                return dict(each.get("outputs") or {})
        return {}

    def words(self) -> Words:
        """What the stack file says."""
        return Words.read(stackfile.config(self.file))

    def stands(self) -> Words:
        """What the guard remembers."""
        for each in self.resources(fresh=True):
            if each["urn"].endswith(GUARD):
                standing = Standing.from_inputs(each.get("outputs") or each["inputs"])
                return Words(standing.stage, standing.climb_to, standing.climb_phase, standing.kept)
        return Words("")

    def write(self, words: Words) -> None:
        """Writes them into the stack file."""
        for key, value in words.settings().items():
            stackfile.set_setting(self.file, key, value)

    def up(self, *, refresh: bool = False) -> None:
        """Makes the cloud as the words say."""
        self._resources = None
        self.engine.up(on_event=self.on_event, refresh=refresh)

    def at_rest(self) -> bool:
        """Whether a preview would change nothing."""
        return all(name.rpartition(".")[2].lower() in SAME for name in self.engine.preview())

    def preview(self, words: Words) -> Previewed:
        """A preview with these words, on a copy of the stack file: `preview -c` would write into the file itself.

        Raises:
            TerraceError: the engine or the guard refused; what they said is in the fault.
        """
        known = {each["urn"]: each for each in self.resources()}
        with tempfile.TemporaryDirectory(prefix="terrace-plan-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder)
            shutil.copy(self.work_dir / "Pulumi.yaml", copy)
            shutil.copy(self.file, copy)
            for name in ("infra", ".venv"):
                (copy / name).symlink_to(self.root / name)
            for key, value in words.settings().items():
                stackfile.set_setting(stackfile.path_of(copy, self.stack), key, value)
            text = command_line.preview(copy, self.stack, self.environment).text
        read = read_preview(text, where=COMMAND)
        if read.refusals:
            said = "; ".join(dict.fromkeys(each.message for each in read.refusals))
            raise TerraceError(Fault(f"stack {self.stack}", f"`preview` failed: {said}", "See above"))
        changes = [
            Change(
                each.urn, each.resource.token, each.op.value, each.forced_by if each.op is Op.REPLACE else ()
            )
            for each in read.changes
            if each.op is not Op.SAME
        ]
        planned = [
            replace(each.after, outputs=_outputs_of(known, each.urn))
            for each in read.changes
            if each.after is not None
        ]
        return Previewed(tuple(sorted(changes, key=lambda each: each.urn)), tuple(planned))

    def standing(self) -> Sequence[Resource]:
        """What stands, as costs and rules see it."""
        return [
            Resource(
                each["urn"],
                each["type"],
                each.get("inputs") or {},
                each.get("outputs") or {},
                custom=bool(each.get("custom")),
            )
            for each in self.resources()
        ]

    def recover(self) -> list[str]:
        """Clears up after a killed engine; what was done."""
        from ops import recovery
        from ops.adapters.orphans import Orphans
        from ops.adapters.state import EngineState

        self._resources = None
        state = EngineState(self.work_dir, self.project, self.stack, self.environment)
        orphans = Orphans(self.region)
        planned = recovery.plan(state, orphans)
        if not planned.needed:
            return []
        recovery.carry_out(planned, state, orphans)
        return planned.sentences()

    def _read(self) -> list[dict[str, Any]]:
        deployment = command_line.deployment(self.work_dir, self.stack, self.environment)
        return [
            {**each, "inputs": masked(each.get("inputs") or {}), "outputs": masked(each.get("outputs") or {})}
            for each in deployment.get("resources") or []
        ]


def instances_of(resources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Instance ids by logical name."""
    return {
        each["urn"].rpartition("::")[2]: each["id"]
        for each in resources
        if each["type"] == "aws:ec2/instance:Instance" and each.get("id")
    }


def database_of(resources: Sequence[Mapping[str, Any]]) -> str:
    """The RDS instance's identifier, or nothing where none stands."""
    for each in resources:
        if each["type"] == "aws:rds/instance:Instance":
            return str((each.get("outputs") or {}).get("identifier") or each["id"])
    return ""


def _outputs_of(known: Mapping[str, Mapping[str, Any]], urn: str) -> Mapping[str, Any]:
    found = known.get(urn)
    return (found.get("outputs") or {}) if found else {}
