"""The only place that holds a session of psql open: a program for each query takes longer than the query.

During a switch nobody can write, and most of that time went to the start of some thirty programs.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.box import POSTGRES

HOME = "/var/lib/postgresql"
KEPT_ALIVE = "keepalives_idle=60 keepalives_interval=10 keepalives_count=6"
"""While a restore goes on for hours the session is silent, and a path that forgets it is noticed."""
SAID_BYTES = 800


class Session:
    """One psql, and what it is asked; from several threads one after the other."""

    def __init__(self, database: str, options: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts it; `environment` may hold a password, the command line holds none.

        Raises:
            TerraceError: psql is not installed.
        """
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 as long as the process
        # Without runuser: a login session of systemd's for each takes longer than the program.
        account = POSTGRES if os.geteuid() == 0 else None
        try:
            self._process = subprocess.Popen(
                ["psql", *options, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", f"dbname={database} {KEPT_ALIVE}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, errors="replace",
                cwd="/", env={**os.environ, "HOME": HOME, **environment, "LC_ALL": "C.UTF-8"},
                user=account, group=account, extra_groups=[] if account else None,
                # What interrupts us at a terminal is not for it: the way back asks it.
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise TerraceError(Fault("psql", "is not installed", "Run `terrace-host update`")) from error
        assert self._process.stdin  # noqa: S101 both are pipes
        assert self._process.stdout  # noqa: S101
        self._into, self._out = self._process.stdin, self._process.stdout

    def ask(self, query: str) -> str:
        """The answer.

        Raises:
            TerraceError: it failed; the session has ended, and what it had begun is rolled back.
        """
        with self._lock:
            end = f"end-{secrets.token_hex(8)}"
            text = f"{query.rstrip().rstrip(';')}\n;\n\\echo {end}\n"
            writing = threading.Thread(target=self._write, args=(text,), daemon=True)
            writing.start()
            lines: list[str] = []
            for line in self._out:
                if line.rstrip("\n") == end:
                    writing.join()
                    return "".join(lines).strip()
                lines.append(line)
            writing.join()
            raise self._failed()

    def close(self) -> None:
        """Ends it, and waits for its end."""
        with self._lock:
            self._write(None)
            self._out.close()
            self._process.wait()
            self._said.close()

    def _write(self, text: str | None) -> None:
        try:
            if text is None:
                self._into.close()
            else:
                self._into.write(text)
                self._into.flush()
        except (BrokenPipeError, ValueError):
            pass  # It ended, and its output says why.

    def _failed(self) -> TerraceError:
        code = self._process.wait()
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - SAID_BYTES))
        said = self._said.read().decode(errors="replace").strip()
        return TerraceError(Fault("psql", f"ended with {code}: {said or 'no message'}", "See above"))
