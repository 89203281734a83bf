"""The stack of a climb by the engine: what stands, what a preview on a copy says, up, and what a kill left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.core.cost import Resource
from infra.core.transition import Standing
from ops import recovery, stackfile
from ops.adapters.engine import Engine
from ops.adapters.orphans import Orphans
from ops.adapters.state import EngineState
from ops.climb.plan import Change
from ops.climb.planning import Previewed
from ops.climb.steps import Words

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
        self.engine = Engine(root, stack, variables=variables, work_dir=work_dir)
        self._one_look = one_look
        self._resources: list[dict[str, Any]] | None = None

    @property
    def file(self) -> Path:
        """The stack file."""
        return stackfile.path_of(self.work_dir, self.stack)

    @property
    def region(self) -> str:
        """The stack's region."""
        return str(stackfile.config(self.file)["aws:region"])

    def resources(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The state's resources; asked once unless `fresh`, and once for ever with `one_look`."""
        if self._resources is None or (fresh and not self._one_look):
            self._resources = self.engine.resources()
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
        """A preview with these words, on a copy of the stack file: `preview -c` would write into the file itself."""
        changes: dict[str, Change] = {}
        planned: dict[str, Resource] = {}

        def hear(event: Any) -> None:
            if event.resource_pre_event is None:
                return
            metadata = event.resource_pre_event.metadata
            operation = str(getattr(metadata.op, "value", metadata.op))
            state = metadata.new or metadata.old
            if operation not in SAME and (metadata.urn not in changes or operation == "replace"):
                why = tuple(sorted(metadata.diffs or ())) if "replace" in operation else ()
                changes[metadata.urn] = Change(metadata.urn, metadata.type, operation, why)
            if metadata.new is not None and state is not None:
                planned[metadata.urn] = Resource(
                    metadata.urn, metadata.type, state.inputs or {}, _outputs_of(known, metadata.urn),
                    custom=bool(state.custom),
                )  # fmt: skip

        known = {each["urn"]: each for each in self.resources()}
        with tempfile.TemporaryDirectory(prefix="terrace-plan-") as folder:
            copy = Path(folder)
            shutil.copy(self.work_dir / "Pulumi.yaml", copy)
            shutil.copy(self.file, copy)
            for name in ("infra", ".venv"):
                (copy / name).symlink_to(self.root / name)
            other = StackOfClimb(self.root, copy, self.project, self.stack, self.variables)
            other.write(words)
            other.engine.preview(on_event=hear)
        kinds = sorted(changes.values(), key=lambda each: each.urn)
        return Previewed(tuple(kinds), tuple(planned.values()))

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
        self._resources = None
        state = EngineState(self.work_dir, self.project, self.stack, self.engine.environment)
        orphans = Orphans(self.region)
        planned = recovery.plan(state, orphans)
        if not planned.needed:
            return []
        recovery.carry_out(planned, state, orphans)
        return planned.sentences()


def _outputs_of(known: Mapping[str, Mapping[str, Any]], urn: str) -> Mapping[str, Any]:
    found = known.get(urn)
    return (found.get("outputs") or {}) if found else {}
