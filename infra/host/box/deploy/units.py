"""The only place that knows systemd: the services of a part, each on a port, with the release in its environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from infra.core.release import Part

from . import sockets
from .command import run
from .journal import write_whole
from .model import Instance, Unpacked

STOP_SECONDS = 90.0
"""Longer than the units' own TimeoutStopSec, after which systemd kills."""

WORKER = "terrace-worker.service"
GROUP = "terrace"
DROP_INS = Path("/run/systemd/system")
CACHES = Path("/var/cache/terrace/frontend")
"""On the root disk: what lies here can be made again."""

NOBODYS_PORT = {"PORT": "0", "SERVER_PORT": "0", "SERVER_ADDRESS": "127.0.0.1"}
"""Any that is free (Spring Boot reference, `server.port`)."""


class Systemd:
    """The units `terrace-backend@PORT` and `terrace-frontend@PORT`, with their environment in `run_directory`."""

    def __init__(self, run_directory: Path, *, worker: bool = False) -> None:
        self._run, self._worker = run_directory, worker
        self._restarts: dict[Instance, int] = {}

    def running(self, instance: Instance) -> str:
        """The version in the live process's own environment; a file may have been changed after its start."""
        pid = self._show(instance)["MainPID"]
        if pid == "0":
            return ""
        try:
            environment = Path("/proc", pid, "environ").read_bytes().split(b"\0")
        except OSError:
            return ""
        found = (
            each.removeprefix(b"TERRACE_VERSION=")
            for each in environment
            if each.startswith(b"TERRACE_VERSION=")
        )
        return next(found, b"").decode()

    def process(self, instance: Instance) -> str:
        """The process that listens on the port."""
        return sockets.listener(instance.port)

    def fault(self, instance: Instance) -> str:
        """Why the unit has ended or was restarted since `start`; empty while neither happened."""
        shown = self._show(instance)
        if int(shown["NRestarts"]) > self._restarts.get(instance, 0):
            return f"ended by itself ({shown['Result']}) and was restarted by systemd"
        if shown["ActiveState"] in ("failed", "inactive"):
            return f"ended by itself: {shown['Result']}, exit status {shown['ExecMainStatus']}"
        if shown["SubState"] == "auto-restart":
            return f"ended by itself with exit status {shown['ExecMainStatus']}"
        return ""

    def start(self, instance: Instance, release: Unpacked, *, wait: bool = True) -> None:
        """Writes the instance's environment and starts it; `wait=False` only queues the job."""
        name = f"{instance.part.value}@{instance.port}.env"
        self._write(name, {**_environment(release, instance.part), **_place(instance)})
        if instance.part is Part.FRONTEND:
            self._cache(instance, release)
        run(["systemctl", "reset-failed", instance.unit]) if self._loaded(instance) else None
        run(["systemctl", "start", *([] if wait else ["--no-block"]), instance.unit])
        self._restarts[instance] = int(self._show(instance)["NRestarts"]) if wait else 0

    def stop(self, instance: Instance) -> None:
        """Ends it; what is under way in it is finished by its own SIGTERM handler."""
        run(["systemctl", "stop", instance.unit], timeout_seconds=STOP_SECONDS)

    def follow(self, release: Unpacked, *, wait: bool = True) -> None:
        """The worker runs the backend's jar, on a port that nobody asks: the jar's own would be the backend's."""
        if not self._worker:
            return
        changed = self._write("worker.env", {**_environment(release, Part.BACKEND), **NOBODYS_PORT})
        verb = "restart" if changed else "start"
        queued = [] if wait else ["--no-block"]
        run(["systemctl", verb, *queued, WORKER], timeout_seconds=STOP_SECONDS)

    def _cache(self, instance: Instance, release: Unpacked) -> None:
        """Next.js writes its cache into its build, which is read-only: there it sees a directory from elsewhere."""
        build = Path(_environment(release, Part.FRONTEND)["TERRACE_ENTRY"]).parent / ".next"
        drop_in = DROP_INS / f"{instance.unit}.d" / "cache.conf"
        text = ""
        if build.is_dir():
            # An empty directory does not count in the release's digest; without it there is nothing to mount on.
            (build / "cache").mkdir(exist_ok=True)
            cache = CACHES / release.version
            cache.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(cache, GROUP, GROUP)
            text = f"[Service]\nBindPaths={cache}:{build}/cache\n"
        if text != (drop_in.read_text(encoding="utf-8") if drop_in.exists() else ""):
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            write_whole(drop_in, text)
            run(["systemctl", "daemon-reload"])
        for old in CACHES.glob("*"):
            if not (release.directory.parent / old.name).is_dir():
                shutil.rmtree(old, ignore_errors=True)

    def _loaded(self, instance: Instance) -> bool:
        return self._show(instance)["ActiveState"] == "failed"

    def _show(self, instance: Instance) -> dict[str, str]:
        names = ("ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainStatus")
        said = run(["systemctl", "show", f"--property={','.join(names)}", instance.unit])
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        return {name: found.get(name) or "0" for name in names}

    def _write(self, name: str, values: dict[str, str]) -> bool:
        """Writes an environment; whether it was another one before."""
        path, text = self._run / name, "".join(f"{key}={value}\n" for key, value in values.items())
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        write_whole(path, text, mode=0o640)
        if os.geteuid() == 0:
            shutil.chown(path, "root", GROUP)
        return changed


def _place(instance: Instance) -> dict[str, str]:
    """Where it listens, in the names that Spring Boot, and Next.js's standalone server, read."""
    port = str(instance.port)
    if instance.part is Part.BACKEND:
        return {"PORT": port, "SERVER_PORT": port, "SERVER_ADDRESS": "127.0.0.1"}
    return {"PORT": port, "HOSTNAME": "127.0.0.1"}


def _environment(release: Unpacked, part: Part) -> dict[str, str]:
    files = release.manifest.parts[part]
    first = release.directory / files.path
    return {
        "TERRACE_RELEASE": str(release.directory),
        "TERRACE_VERSION": release.version,
        **(
            {"TERRACE_JAR": str(first)}
            if part is Part.BACKEND
            else {"TERRACE_ENTRY": str(first / files.entry)}
        ),
    }
