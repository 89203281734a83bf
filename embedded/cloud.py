"""The only place where the parts of the embedded cloud come together in one process: API, provider, machines, memory.

    with Cloud(directory, cache=cache) as cloud:
        subprocess.run(["pulumi", "up", ...], env={**environment, **cloud.variables()})

moto keeps its state in the process: there is one cloud in a process, and what it knows is saved to `directory`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from embedded.alarms.evaluator import Transition
from embedded.alarms.service import AlarmService
from embedded.aws.hooks import HOOKS
from embedded.aws.server import ApiServer
from embedded.environment import ACCOUNT, REGION, variables
from embedded.faults import EngineFaults, strike
from embedded.provider.server import ProviderServer
from embedded.runpod.kept import KeptRunPod

if TYPE_CHECKING:
    from embedded.machines import Machines

AUTOSAVE_QUIET_SECONDS = 1.0
AUTOSAVE_LONGEST_SECONDS = 10.0


class Cloud:
    """The AWS API and the stand-in provider over it, with a memory that outlives the process.

    What was saved in `directory` stands again after `start`; what changes is saved a second after the last change,
    and every ten seconds while changes go on, so a killed cloud loses no more than that.
    """

    def __init__(
        self,
        directory: Path,
        *,
        cache: Path,
        port: int = 0,
        provider_port: int = 0,
        runpod_port: int = 0,
        boxes: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self.api = ApiServer(port=port)
        self.runpod = KeptRunPod(directory / "runpod", port=runpod_port)
        self.engine_faults = EngineFaults()
        self._cache, self._provider_port = cache, provider_port
        self._provider: ProviderServer | None = None
        self.alarms = AlarmService(directory / "mail", endpoint=lambda: self.api.url)
        self.machines: Machines | None = None
        self.without_boxes = "" if boxes else "switched off"
        """Why there are no real machines; empty where there are."""
        self._progress = progress
        self._stopping = threading.Event()
        self._saver = threading.Thread(target=self._autosave, name="autosave", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def state_file(self) -> Path:
        """Where the cloud's memory is."""
        return self.directory / "state"

    def start(self) -> None:
        """Listens; what was saved stands again.

        Raises:
            EmbeddedAwsError: a port is taken, or the saved state was made by another version.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.api.start()
        try:
            if self.state_file.exists():
                self.api.load(self.state_file)
            else:
                self.api.reset()  # of what an earlier cloud of this process left
            self.runpod.start()
            if not self.without_boxes:
                self._open_boxes()
            self._provider = ProviderServer(
                self.api.url,
                region=REGION,
                account=ACCOUNT,
                cache=self._cache / "schema",
                port=self._provider_port,
                before_change=self.engine_faults.before_change,
            )
            self._provider.start()
        except BaseException:
            if self._provider is not None:
                self._provider.stop()
            self.runpod.stop()
            self.api.stop()
            raise
        self.alarms.start()
        HOOKS.advance_alarms = self._advance
        HOOKS.fault = lambda values: (
            self.runpod.befall(values) or strike(values, self.engine_faults, self.machines)
        )
        self._saver.start()

    def stop(self) -> None:
        """Saves and ends. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.alarms.stop()
        self._saver.join()
        self.save()
        self.runpod.stop()
        if self._provider is not None:
            self._provider.stop()
        if self.machines is not None:
            self.machines.close()
        self.api.stop()

    def save(self) -> None:
        """Writes the memory down now, if it changed."""
        if self.api.dirty or not self.state_file.exists():
            self.api.save(self.state_file)

    def _advance(self, by: timedelta) -> list[Transition]:
        self.runpod.advance(by)
        return self.alarms.advance(self.alarms.now + by)

    @property
    def provider_port(self) -> int:
        """The provider's loopback port."""
        if self._provider is None:
            raise RuntimeError("the cloud has not been started")
        return self._provider.port

    def variables(self) -> dict[str, str]:
        """What a program needs in its environment to live in this cloud; boto3 and the AWS CLI read the same."""
        return variables(self.api.url, self.provider_port, self.runpod.url)

    def _open_boxes(self) -> None:
        """Machines are had where they can be; where not, everything else goes on."""
        from embedded import endpoint
        from embedded.boxes import BoxesError
        from embedded.machines import Machines

        try:
            self.machines = Machines(self.directory / "boxes", self.api, progress=self._progress)
            endpoint.serve_runpod(self.machines.host, self.runpod.server)
        except BoxesError as error:
            self.without_boxes = str(error)

    def _autosave(self) -> None:
        seen, waited = 0, 0.0
        while not self._stopping.wait(AUTOSAVE_QUIET_SECONDS):
            with contextlib.suppress(OSError):
                self.runpod.save()
            dirty = self.api.dirty
            waited += AUTOSAVE_QUIET_SECONDS
            if dirty and (dirty == seen or waited >= AUTOSAVE_LONGEST_SECONDS):
                # A full disk must not end the cloud; the next round tries again, and `stop` says what is wrong.
                with contextlib.suppress(OSError):
                    self.save()
                dirty, waited = 0, 0.0
            seen = dirty
