"""The only place where backups and restores touch this machine: facts, programs, files, PostgreSQL's own state."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.core.naming import BACKUP_PASSPHRASE
from infra.host.box.backup.segments import Segment, parse

BOX_JSON = Path("/etc/terrace/box.json")
DATA = Path("/data")
PGDATA = DATA / "pgdata"
STATE = DATA / "state" / "backup"
LOCK = Path("/run/terrace/backup.lock")
POSTGRES = "postgres"
BIN = "/usr/lib/postgresql/17/bin"


@dataclass(frozen=True, slots=True)
class Facts:
    """What this box knows of itself (from box.json, which holds no secret)."""

    project: str
    stack: str
    region: str
    backups_bucket: str
    uploads_bucket: str
    parameters: str
    """The path of the stack's parameters, such as `/terrace/dev`."""
    key_arn: str = ""

    @property
    def pass_phrase_parameter(self) -> str:
        """The SecureString that opens the repository."""
        return f"{self.parameters}/{BACKUP_PASSPHRASE}"


def facts(path: Path = BOX_JSON) -> Facts:
    """Reads the facts.

    Raises:
        TerraceError: they are not there, or one is missing.
    """
    try:
        values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = Facts.__dataclass_fields__
        return Facts(**{name: values[name] for name in names if name in values})
    except (OSError, ValueError, TypeError) as error:
        raise TerraceError(
            Fault(str(path), f"cannot be used: {error}", "Run `terrace-host update` on this box")
        ) from error


class EndedError(TerraceError):
    """A program that failed; `code` is what it ended with."""

    def __init__(self, code: int, fault: Fault) -> None:
        self.code = code
        super().__init__(fault)


def program(
    *argv: str,
    user: str | None = None,
    stdin: str = "",
    timeout_seconds: float = 3600.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a program writes to stdout, run as another user if one is named.

    Raises:
        EndedError: it failed; what it said is in the fault. No secret may stand in `argv`.
        TerraceError: it is not installed, or did not end in time.
    """
    line = ("runuser", "-u", user, "--", *argv) if user and os.geteuid() == 0 else argv
    try:
        done = subprocess.run(
            line,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
            cwd="/",
            env={**os.environ, **(environment or {}), "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as error:
        raise TerraceError(Fault(argv[0], "is not installed", "Run `terrace-host update`")) from error
    except subprocess.TimeoutExpired as error:
        raise TerraceError(
            Fault(argv[0], f"did not end within {timeout_seconds:g} s", "Look at /var/log/pgbackrest")
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise EndedError(
            done.returncode,
            Fault(
                " ".join(argv[:4]),
                f"ended with {done.returncode}: {said}",
                "See above, and /var/log/pgbackrest",
            ),
        )
    return done.stdout


def psql(query: str, *, database: str = "postgres", port: int = 5432) -> str:
    """The answer to a query as `psql -XAt` prints it, as the superuser by peer authentication.

    Raises:
        TerraceError: PostgreSQL is not up, or refuses.
    """
    argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-p", str(port), "-d", database]
    return program(*argv, user=POSTGRES, stdin=query, timeout_seconds=600).strip()


def write(path: Path, text: str, *, mode: int = 0o644, owner: str = "root", group: str = "root") -> bool:
    """Puts a text into a file at once and for good; whether it was another one before."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except (OSError, UnicodeDecodeError):
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 a handle, not a path
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                shutil.chown(part, owner, group)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


@contextmanager
def lock(reason: str, path: Path = LOCK, *, wait: bool = False) -> Generator[None]:
    """One backup, dump or restore at a time.

    Raises:
        TerraceError: another holds it; who, why and since when is said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            raise TerraceError(
                Fault("backup", f"is under way: {file.read().strip()}", "Wait until it is through")
            ) from error
        file.seek(0)
        file.truncate()
        file.write(
            f"{reason}, process {os.getpid()}, since {datetime.now(UTC).isoformat(timespec='seconds')}\n"
        )
        file.flush()
        yield


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for the archive: finished segments, and since when the oldest is finished (UTC)."""

    waiting: tuple[Segment, ...]
    oldest_at: datetime | None


def queue(data_directory: Path = PGDATA) -> Queue:
    """Reads PostgreSQL's own notes: one file NAME.ready for each finished segment that is not archived."""
    found: list[Segment] = []
    oldest: float | None = None
    try:
        notes = list((data_directory / "pg_wal" / "archive_status").glob("*.ready"))
    except OSError:
        notes = []
    for note in notes:
        segment = parse(note.name)
        if segment is None or len(note.stem) != 24:
            continue
        try:
            written = note.stat().st_mtime
        except OSError:
            continue  # archived while we looked
        found.append(segment)
        oldest = written if oldest is None else min(oldest, written)
    at = datetime.fromtimestamp(oldest, UTC) if oldest is not None else None
    return Queue(tuple(sorted(found)), at)


def is_running(data_directory: Path = PGDATA) -> bool:
    """Whether a PostgreSQL server has this directory: its pid file names a process of PostgreSQL's user."""
    try:
        pid = int((data_directory / "postmaster.pid").read_text(encoding="ascii").split()[0])
        owner = Path(f"/proc/{pid}").stat().st_uid
    except (OSError, ValueError, IndexError):
        return False
    try:
        return owner == pwd.getpwnam(POSTGRES).pw_uid
    except KeyError:
        return True


def json_file(path: Path) -> Any:
    """What a file of ours holds; None when there is none or it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
