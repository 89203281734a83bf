"""The only place for the restore itself: refused, begun, killed, taken up again, through.

A journal beside the directory says that what lies there is a restore that was begun; only that, and a directory that
was named in so many words, is ever emptied.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup import box, config, gaps
from infra.host.box.backup.repository import Bucket, PgBackRest, pass_phrase
from infra.host.box.restore.choice import Choice, Wish, choose

RESTORE_CONF = Path("/etc/pgbackrest-restore.conf")
CLUSTER = Path("/etc/postgresql/17/main/postgresql.conf")
SCRATCH_PORT = 5433
START_SECONDS = 15.0
"""Nothing is waited for when the server is started: for so long it may not have written its pid file yet."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to; seconds by the wall clock."""

    directory: str
    port: int
    wish: str
    backup: str
    files_seconds: float
    recovery_seconds: float
    warning: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Restores from one repository into directories of this machine."""

    facts: box.Facts
    bucket: Bucket
    say: Callable[[str], Any]
    conf: Path = RESTORE_CONF

    def choice(self, wish: Wish, directory: Path) -> Choice:
        """What would be restored; changes nothing but pgBackRest's own configuration for it.

        Raises:
            TerraceError: it is refused.
        """
        phrase = pass_phrase(self.facts, self.bucket, may_make=False)
        where = config.Repository(self.bucket.name, self.facts.region)
        text = config.pgbackrest(where, pass_phrase=phrase, data_directory=str(directory), queue_bytes=None)
        box.write(self.conf, text, mode=0o640, group=box.POSTGRES)
        backups = PgBackRest(str(self.conf)).backups()
        return choose(wish, backups, self.bucket.gaps(), now=datetime.now(UTC))

    def restore(
        self, wish: Wish, directory: Path, *, empty: Path | None = None, start: bool = True
    ) -> Restored:
        """Restores into `directory`, which is empty, or `empty` itself, or holds a restore that was killed.

        Raises:
            TerraceError: refused before anything changed, or failed; then the same command takes it up again.
        """
        with box.lock(f"restore of {wish} into {directory}"):
            check_target(directory, empty=empty)
            choice = self.choice(wish, directory)
            if choice.warning:
                self.say(choice.warning)
            _note(directory, {"wish": str(wish), "backup": choice.label, "state": "begun"})
            _emptied(directory)
            began = time.monotonic()
            self.say(f"restoring {choice.label} into {directory}")
            PgBackRest(str(self.conf)).run("restore", f"--pg1-path={directory}", *choice.arguments)
            files_seconds = time.monotonic() - began
            _note(directory, {"wish": str(wish), "backup": choice.label, "state": "files"})
            port, began = self._port(directory), time.monotonic()
            if start:
                self.say("replaying WAL")
                serve(directory, port)
            journal(directory).unlink()
            return Restored(
                str(directory), port, str(wish), choice.label,
                files_seconds, time.monotonic() - began, choice.warning,
            )  # fmt: skip

    def _port(self, directory: Path) -> int:
        return 5432 if directory == box.PGDATA else SCRATCH_PORT


def check_target(directory: Path, *, empty: Path | None) -> None:
    """Refuses a directory that a server runs in, and one that holds something nobody named.

    Raises:
        TerraceError: it is one of these, or no absolute path below a directory that exists.
    """
    if not directory.is_absolute() or not directory.parent.is_dir():
        raise TerraceError(
            Fault(str(directory), "is no absolute path below an existing directory", "Is /data mounted?")
        )
    if box.is_running(directory):
        raise TerraceError(
            Fault(
                str(directory), "has a running PostgreSQL", "Stop it first: systemctl stop postgresql@17-main"
            )
        )
    filled = directory.is_dir() and any(directory.iterdir())
    if filled and not journal(directory).exists() and empty != directory:
        raise TerraceError(
            Fault(
                str(directory),
                "is not empty",
                f"To delete all that is in it and restore there: --empty {directory}",
            )
        )


def journal(directory: Path) -> Path:
    """The note that a restore into the directory was begun and is not through."""
    return directory.with_name(f"{directory.name}.restore.json")


def serve(directory: Path, port: int, *, seconds: int = 4 * 3600) -> None:
    """Starts PostgreSQL on what was restored and waits until it takes writes.

    The box's own cluster by its unit; anything else as a scratch server that only this machine's sockets reach and
    that archives nothing.

    Raises:
        TerraceError: it did not come up; the end of its log is in the fault.
    """
    if directory == box.PGDATA and CLUSTER.exists():
        box.program("systemctl", "start", "--no-block", "postgresql@17-main", timeout_seconds=60)
    else:
        _scratch(directory, port)
    began = time.monotonic()
    until, seen = began + seconds, False
    while True:
        try:
            if box.psql("select pg_is_in_recovery()", port=port) == "f":
                return
        except TerraceError as error:
            running = box.is_running(directory)
            seen = seen or running
            may_be_starting = not seen and time.monotonic() - began < START_SECONDS
            if not running and not may_be_starting and _has_failed(directory):
                raise TerraceError(
                    Fault(
                        str(directory),
                        f"was restored, but PostgreSQL ended: {_log(directory)}",
                        _remedy(directory),
                    )
                ) from error
        if time.monotonic() > until:
            raise TerraceError(
                Fault(str(directory), f"still replays after {seconds} s", "Wait, or look at the log")
            )
        time.sleep(0.5)


def stop(directory: Path) -> None:
    """Stops a scratch server; none running is fine."""
    if box.is_running(directory):
        box.program(f"{box.BIN}/pg_ctl", "stop", "--mode=fast", f"--pgdata={directory}", user=box.POSTGRES)


def _scratch(directory: Path, port: int) -> None:
    home = directory.with_name(f"{directory.name}.scratch")
    home.mkdir(exist_ok=True)
    shutil.chown(home, box.POSTGRES, box.POSTGRES)
    settings = {
        "data_directory": str(directory),
        "hba_file": str(home / "pg_hba.conf"),
        "ident_file": str(home / "pg_ident.conf"),
        "unix_socket_directories": "/var/run/postgresql",
        "listen_addresses": "",
        "port": str(port),
        "archive_mode": "off",
        "hot_standby": "off",
        "wal_level": "replica",
    }
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    box.write(home / "postgresql.conf", lines)
    box.write(home / "pg_hba.conf", "local all postgres peer\n")
    box.write(home / "pg_ident.conf", "")
    box.program("install", "-d", "-o", box.POSTGRES, "-g", box.POSTGRES, "-m", "2775", "/var/run/postgresql")
    # No pipe of ours may be left to the server: the call would wait for its end.
    box.program(
        "/bin/sh", "-c",
        'exec "$0" start --no-wait --pgdata="$1" --log="$2" --options="--config-file=$3" >/dev/null 2>&1',
        f"{box.BIN}/pg_ctl", str(directory), str(home / "log"), str(home / "postgresql.conf"), user=box.POSTGRES,
    )  # fmt: skip


def _log(directory: Path) -> str:
    own = directory == box.PGDATA and CLUSTER.exists()
    path = (
        Path("/var/log/postgresql/postgresql-17-main.log")
        if own
        else directory.with_name(f"{directory.name}.scratch") / "log"
    )
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    told = [line for line in lines[-40:] if "FATAL" in line or "PANIC" in line or "ERROR" in line]
    return " / ".join(told[-3:]) or "its log holds no error"


def _remedy(directory: Path) -> str:
    if "before configured recovery target was reached" in _log(directory):
        return "The archive ends before that time: ask for the newest state, or for an earlier time"
    return "Read its log"


def _has_failed(directory: Path) -> bool:
    if directory == box.PGDATA and CLUSTER.exists():
        state = box.program("systemctl", "show", "--value", "--property=ActiveState", "postgresql@17-main")
        return state.strip() in ("failed", "inactive")
    return not (directory / "postmaster.pid").exists()


def _emptied(directory: Path) -> None:
    for each in directory.iterdir() if directory.is_dir() else ():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    directory.mkdir(exist_ok=True)
    directory.chmod(0o700)
    if os.geteuid() == 0:
        shutil.chown(directory, box.POSTGRES, box.POSTGRES)


def _note(directory: Path, values: dict[str, str]) -> None:
    box.write(journal(directory), json.dumps({**values, "at": gaps.stamp(datetime.now(UTC))}) + "\n")
