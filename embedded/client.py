"""The only place that finds, starts and ends the embedded cloud of a clone from outside of its process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from embedded.environment import variables
from embedded.running import ALREADY_RUNS, Running, is_locked
from infra.core.errors import Fault, TerraceError
from tools.process import lives
from tools.setup.engine import engine_environment, engine_variables, read_engine

START_SECONDS = 180
"""The first start makes the machines' root file system (about a minute) and reads pulumi_aws's annotations."""
STOP_SECONDS = 30
ADMIN_SECONDS = 60


class LocalCloud:
    """The embedded cloud of the clone at `root`; its state is under `.local/cloud`, Pulumi's under `.local/state`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / ".local" / "cloud"
        self.backend = root / ".local" / "state"

    @property
    def cache(self) -> Path:
        """What every clone of this user shares."""
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"

    def running(self) -> Running | None:
        """The cloud that runs, or None."""
        return Running.read(self.directory)

    def start(self, *, boxes: bool = True, says: Callable[[str], None] = lambda _: None) -> Running:
        """Starts it unless it runs; `says` hears what is waited for.

        Raises:
            TerraceError: it ended at once, or did not answer in time; the end of its log is in the fault.
        """
        if (running := self.running()) is not None:
            return running
        self.directory.mkdir(parents=True, exist_ok=True)
        self.backend.mkdir(parents=True, exist_ok=True)
        (self.directory / "failure").unlink(missing_ok=True)
        options = ["--cache", str(self.cache), *([] if boxes else ["--no-boxes"])]
        log = self.directory / "log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "embedded.daemon", str(self.directory), *options],
                env=_without_accounts(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.root,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if (running := self.running()) is not None:
                return running
            if process.poll() is not None and process.returncode != ALREADY_RUNS:
                raise self._failed(log)
            if (progress := self.directory / "progress").exists():
                says(progress.read_text(encoding="utf-8", errors="replace"))
            time.sleep(0.05)
        raise self._failed(log)

    def stop(self) -> bool:
        """Ends it and waits until it is gone; whether there was one.

        Raises:
            TerraceError: it does not end.
        """
        running = self.running()
        if running is None:
            return False
        os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while is_locked(self.directory) or lives(running.pid):
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(
                        f"process {running.pid}",
                        f"did not end within {STOP_SECONDS} s",
                        f"End it: kill -9 {running.pid}; the next start tidies up",
                    )
                )
            time.sleep(0.05)
        return True

    def reset(self) -> None:
        """Forgets everything that stood in this cloud: its state, its volumes, Pulumi's state of it."""
        self.stop()
        for path in (self.directory, self.backend):
            shutil.rmtree(path, ignore_errors=True)

    def orphaned_stacks(self) -> list[str]:
        """Stacks in Pulumi's state whose cloud is not remembered any more."""
        if (self.directory / "state").exists():
            return []
        stacks = self.backend / ".pulumi" / "stacks"
        found = []
        for path in stacks.glob("*/*.json"):
            checkpoint = json.loads(path.read_text(encoding="utf-8")).get("checkpoint") or {}
            if ((checkpoint.get("latest") or {}).get("resources")) or []:
                found.append(path.stem)
        return found

    def variables(self) -> dict[str, str]:
        """The environment that points pulumi, boto3 and the AWS CLI at this cloud.

        Raises:
            TerraceError: it does not run.
        """
        running = self.running()
        if running is None:
            raise TerraceError(Fault("embedded cloud", "does not run", "Start it: scripts/local.py start"))
        return {
            **engine_variables(self.root),
            **variables(running.api_url, running.provider_port, running.runpod_url),
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": "",
        }

    def path(self) -> str:
        """PATH with the project's Python and engine first."""
        return engine_environment(self.root)["PATH"]

    def engine_bin(self) -> Path:
        """Where `pulumi` is."""
        return read_engine(self.root).bin

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to the cloud's admin surface.

        Raises:
            TerraceError: it does not run or refuses.
        """
        running = self.running()
        if running is None:
            raise TerraceError(Fault("embedded cloud", "does not run", "Start it: scripts/local.py start"))
        try:
            answer = httpx.request(
                method, f"{running.api_url}/_terrace/{path}", json=body, timeout=ADMIN_SECONDS
            )
        except httpx.HTTPError as error:
            raise TerraceError(
                Fault(
                    "embedded cloud",
                    f"does not answer: {error}",
                    "Start it anew: scripts/local.py stop, start",
                )
            ) from error
        if answer.is_error:
            raise TerraceError(Fault("embedded cloud", answer.text.strip(), "See scripts/local.py --help"))
        return answer.json()

    def _failed(self, log: Path) -> TerraceError:
        failure = self.directory / "failure"
        said = failure.read_text(encoding="utf-8") if failure.exists() else ""
        tail = "" if said else log.read_text(encoding="utf-8", errors="replace")[-1500:]
        return TerraceError(
            Fault(
                "embedded cloud", f"did not start: {said or tail.strip() or 'it said nothing'}", f"Log: {log}"
            )
        )


def _without_accounts(environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing of a person's own AWS accounts and Pulumi logins reaches the cloud's process."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("AWS_", "PULUMI_"))}
    return {**kept, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
