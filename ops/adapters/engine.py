"""The only place that runs the Pulumi engine for us: by the Automation API, on the project's own program."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pulumi import automation

from infra.core.errors import Fault, TerraceError
from tools.setup.engine import SLOWING, engine_environment, read_engine

OnEvent = Callable[[automation.EngineEvent], Any]

_LEAVES_ALONE = ("same", "read", "refresh")
LOCKED = "docs/runbook.md#engine-killed"


class Engine:
    """The engine on the program of `root`, for one stack.

    `variables` are added to the environment of set-up's engine (backend, passphrase, cloud); `work_dir` is where
    Pulumi.yaml and the stack files are, `root` itself unless a test has its own.
    """

    def __init__(
        self, root: Path, stack: str, *, variables: Mapping[str, str], work_dir: Path | None = None
    ) -> None:
        self.root, self.stack = root, stack
        self.environment = _environment(root, variables)
        self._workspace = _workspace(root, self.environment, work_dir or root)
        self._made: automation.Stack | None = None

    def up(self, *, on_event: OnEvent | None = None, refresh: bool = False) -> dict[str, Any]:
        """Makes the cloud as the program says; the outputs. With `refresh`, what stands is read first.

        Raises:
            TerraceError: the engine refused or failed; what it printed is in the fault.
        """
        with _speaking(self.stack, "up"):
            result = self._stack().up(on_event=on_event, refresh=refresh, color="never")
        return {name: output.value for name, output in result.outputs.items()}

    def preview(self, *, on_event: OnEvent | None = None, refresh: bool = False) -> dict[str, int]:
        """How many resources an up would create, update, replace, delete, leave the same."""
        with _speaking(self.stack, "preview"):
            result = self._stack().preview(on_event=on_event, refresh=refresh, color="never")
        return {str(operation): count for operation, count in result.change_summary.items()}

    def refresh(self) -> dict[str, int]:
        """Reads what stands into the state; how many resources differed."""
        with _speaking(self.stack, "refresh"):
            result = self._stack().refresh(color="never")
        return {str(operation): count for operation, count in (result.summary.resource_changes or {}).items()}

    def destroy(self) -> None:
        """Deletes everything that is not protected."""
        with _speaking(self.stack, "destroy"):
            self._stack().destroy(color="never")

    def forget(self) -> None:
        """Removes a stack that holds nothing any more from the state."""
        with _speaking(self.stack, "stack rm"):
            self._workspace.remove_stack(self.stack)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they were last exported; empty for a stack that never stood."""
        with _speaking(self.stack, "outputs"):
            return {name: output.value for name, output in self._stack().outputs().items()}

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, as the engine keeps them."""
        found: list[dict[str, Any]] = self.deployment().get("resources") or []
        return found

    def differences(self) -> dict[str, str]:
        """What an up would do to what stands, read anew: the operation by URN; empty where nothing differs."""
        found: dict[str, str] = {}

        def note(event: automation.EngineEvent) -> None:
            if event.resource_pre_event is not None:
                about = event.resource_pre_event.metadata
                operation = str(getattr(about.op, "value", about.op))
                if operation not in _LEAVES_ALONE:
                    found[about.urn] = operation

        self.preview(on_event=note, refresh=True)
        return found

    def deployment(self) -> dict[str, Any]:
        """The whole state, as `pulumi stack export` gives it; empty for a stack that nobody has made."""
        with _speaking(self.stack, "state"):
            try:
                # By name: selecting the stack first would be a second start of the engine, and would make the stack.
                return dict(self._workspace.export_stack(self.stack).deployment or {})
            except automation.StackNotFoundError:
                return {}

    def save_plan(self, path: Path, *, policy_pack: Path) -> dict[str, int]:
        """Previews with the rules, and saves what an up would do; how many resources, by operation.

        Raises:
            TerraceError: the engine or a mandatory rule refused.
        """
        with _speaking(self.stack, "preview"):
            result = self._stack().preview(plan=str(path), policy_packs=[str(policy_pack)], color="never")
        return {str(operation): count for operation, count in result.change_summary.items()}

    def apply_plan(self, path: Path, *, policy_pack: Path) -> None:
        """Does what the plan says and nothing else. Whether the state moved, ops/ci.py looks; the engine does not.

        Raises:
            TerraceError: the engine refused or failed, or the program wanted what is not in the plan.
        """
        with _speaking(self.stack, "up"):
            self._stack().up(plan=str(path), policy_packs=[str(policy_pack)], color="never")

    def _stack(self) -> automation.Stack:
        if self._made is None:
            self._made = automation.Stack.create_or_select(self.stack, self._workspace)
        return self._made


def workspace(root: Path, variables: Mapping[str, str], work_dir: Path) -> automation.LocalWorkspace:
    """Set-up's engine in a directory with a Pulumi.yaml."""
    return _workspace(root, _environment(root, variables), work_dir)


def _workspace(root: Path, environment: Mapping[str, str], work_dir: Path) -> automation.LocalWorkspace:
    return automation.LocalWorkspace(
        work_dir=str(work_dir),
        env_vars=dict(environment),
        pulumi_command=_command(root, environment["PULUMI_HOME"]),
    )


def _environment(root: Path, variables: Mapping[str, str]) -> dict[str, str]:
    # Automation adds to this process's own variables and takes none away: empty ones hide a user's own.
    return {**_hidden(os.environ), **engine_environment(root), **variables}


def _command(root: Path, pulumi_home: str) -> automation.PulumiCommand:
    """The engine as Automation runs it; its first `pulumi version` gets this process's own variables alone."""
    before = os.environ.get("PULUMI_HOME")
    os.environ["PULUMI_HOME"] = pulumi_home
    try:
        return automation.PulumiCommand(root=str(read_engine(root).bin.parent))
    finally:
        if before is None:
            del os.environ["PULUMI_HOME"]
        else:
            os.environ["PULUMI_HOME"] = before


@contextmanager
def _speaking(stack: str, verb: str) -> Generator[None]:
    """Turns what the Automation API raises into a sentence with a remedy."""
    try:
        with _engine_finishes_first():
            yield
    except automation.ConcurrentUpdateError as error:
        raise TerraceError(
            Fault(
                f"stack {stack}",
                f"`{verb}` found the stack locked: another update is under way, or one was killed",
                f"If none runs any more: {LOCKED}",
            )
        ) from error
    except automation.CommandError as error:
        raise TerraceError(
            Fault(f"stack {stack}", f"`{verb}` failed: {_essence(str(error))}", "See above")
        ) from error


@contextmanager
def _engine_finishes_first() -> Generator[None]:
    """Holds Ctrl-C back until the engine has ended.

    The terminal's SIGINT reaches the engine too: it cancels, writes its state and gives its lock back; a second one
    makes it end at once. Leaving it alone meanwhile would close the pipes that it writes to, and kill it by that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupted:
            raise KeyboardInterrupt


def _essence(message: str) -> str:
    """Of what the engine printed, the lines that say what was wrong."""
    lines = [line.strip() for line in message.splitlines() if "error:" in line]
    return "; ".join(dict.fromkeys(lines)) or message.strip()[-500:]


def _hidden(environment: Mapping[str, str]) -> dict[str, str]:
    """A user's own login, stack and account, and what slows Python down, as empty variables."""
    return {name: "" for name in environment if name.startswith(("PULUMI_", "AWS_")) or name in SLOWING}
