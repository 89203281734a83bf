"""The only place that lets a release change the database: its own command, as a unit of its own.

A unit, because systemd then reads the application's environment as it does for the application itself, and because a
migration outlives a killed deploy: the next one waits for it instead of running a second one beside it.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from infra.core.memory import MIGRATION_MIB

from .command import run
from .errors import DeployError
from .model import Unpacked
from .room import MIGRATION_HEAP_MIB

UNIT = "terrace-migrate.service"
USER = "terrace"
TIMEOUT_SECONDS = 1800.0
"""A migration that rewrites a large table takes minutes; more than half an hour wants a hand of its own."""

_POLL_SECONDS = 0.5
_JVM_NOTE = "Picked up JAVA_TOOL_OPTIONS"


class Migrations:
    """Runs the manifest's command as the application's user, with the application's environment."""

    def __init__(self, environment_file: Path) -> None:
        self._environment_file = environment_file

    def migrate(self, release: Unpacked) -> str:
        """Runs it in the release's directory; the last line that it said.

        Raises:
            DeployError: it failed; nothing was switched. A migration that was applied stays, and is compatible.
        """
        migrations = release.manifest.migrations
        if migrations is None:
            return ""
        self._wait_for_an_earlier_one()
        done = subprocess.run(
            self._command(release, migrations.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        words = [
            line.strip()
            for line in done.stdout.splitlines()
            if line.strip() and not line.startswith(_JVM_NOTE)
        ]
        if done.returncode:
            raise DeployError(
                f"the migrations of {release.version} ended with {done.returncode}: {' / '.join(words[-6:])}",
                "Nothing was switched; correct the migration and publish a new version",
            )
        return words[-1] if words else ""

    def _command(self, release: Unpacked, command: tuple[str, ...]) -> list[str]:
        settings = {
            "EnvironmentFile": str(self._environment_file),
            "WorkingDirectory": str(release.directory),
            "User": USER,
            "Group": USER,
            "MemoryMax": f"{MIGRATION_MIB}M",
            "RuntimeMaxSec": f"{TIMEOUT_SECONDS:g}",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "PrivateTmp": "yes",
        }
        variables = {
            "JAVA_TOOL_OPTIONS": f"-Xmx{MIGRATION_HEAP_MIB}m",
            "TERRACE_RELEASE": str(release.directory),
            "TERRACE_VERSION": release.version,
        }
        return [
            "systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={UNIT}",
            *(f"--property={name}={value}" for name, value in settings.items()),
            *(f"--setenv={name}={value}" for name, value in variables.items()),
            "--", *command,
        ]  # fmt: skip

    def _wait_for_an_earlier_one(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while run(["systemctl", "show", "--property=ActiveState", "--value", UNIT]).strip() in (
            "active",
            "activating",
            "deactivating",
        ):
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{UNIT} of an earlier deploy has run for more than {TIMEOUT_SECONDS:g} s",
                    f"Look at it: systemctl status {UNIT}",
                )
            time.sleep(_POLL_SECONDS)
