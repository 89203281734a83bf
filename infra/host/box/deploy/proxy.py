"""The only place that knows Nginx: the two upstream files, and how it takes up a new one.

At a reload Nginx starts new workers and tells the old ones to finish; an old one may still take a connection until it
has heard (nginx.org, "Controlling nginx"). So a switch waits until every old worker says that it is shutting down.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from infra.core.release import Part

from .command import run
from .errors import DeployError
from .journal import write_whole

RELOAD_SECONDS = 20.0
_KEEPALIVE = 16
_ELSEWHERE = """\
# Written by terrace-data while the writer changes.
keepalive_timeout 0;
upstream {part} {{ server {server}; }}
"""
_SERVER = re.compile(r"^\s*server 127\.0\.0\.1:(\d+)( backup)?;", re.MULTILINE)
_LED = re.compile(r"^upstream \w+ \{ server (\S+); \}$", re.MULTILINE)
_THIS_BOX = "127.0.0.1:"
_SHUTTING_DOWN = "worker process is shutting down"


def render(part: Part, ports: tuple[int, ...]) -> str:
    """The upstream of a part: the first port serves, a second one is asked only where the first refuses."""
    servers = "".join(
        f"    server 127.0.0.1:{port}{' backup' if index else ''};\n" for index, port in enumerate(ports)
    )
    return (
        f"# Written by terrace-deploy at every switch.\nupstream {part.value} {{\n{servers}"
        f"    keepalive {_KEEPALIVE};\n}}\n"
    )


class Nginx:
    """Nginx with its upstream files in `directory`."""

    def __init__(self, directory: Path, pid_file: Path = Path("/run/nginx.pid")) -> None:
        self._directory, self._pid_file = directory, pid_file

    def targets(self, part: Part) -> tuple[int, ...]:
        """The ports in the part's file, the first the one that serves; empty when there is no file."""
        try:
            return tuple(
                int(port) for port, _ in _SERVER.findall(self._path(part).read_text(encoding="utf-8"))
            )
        except FileNotFoundError:
            return ()

    def elsewhere(self, part: Part) -> str:
        """The server that `lead` sends the part's requests to, HOST:PORT; empty where own services serve."""
        found = _LED.search(self._text(part) or "")
        return found[1] if found else ""

    def switch(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        """Writes the files, lets Nginx check them, and waits until no old worker takes a new connection.

        Raises:
            DeployError: the configuration is refused, and then the files are as before; or the reload does nothing.
        """
        self._take_up({part: render(part, ports) for part, ports in targets.items()})

    def lead(self, part: Part, server: str) -> None:
        """Sends what is asked of a part to a server elsewhere, HOST:PORT, until the next `switch`.

        Who asks is told to ask by another connection next time: soon it will be somebody else who answers.

        Raises:
            DeployError: as `switch`.
        """
        self._take_up({part: _ELSEWHERE.format(part=part.value, server=server)})

    def _take_up(self, texts: Mapping[Part, str]) -> None:
        before = {part: self._text(part) for part in texts}
        for part, wanted in texts.items():
            write_whole(self._path(part), wanted)
        try:
            run(["nginx", "-t", "-q"])
        except DeployError as error:
            for part, text in before.items():
                if text is not None:
                    write_whole(self._path(part), text)
            raise DeployError(f"Nginx refuses the switch: {error.what}", error.remedy) from error
        if self._master():
            self._reload()

    def prepare(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        """Writes what differs; where Nginx runs already it is told.

        What is led to another box stays so: the own services may not write any more.
        """
        differing = {
            part: ports
            for part, ports in targets.items()
            if self.targets(part) != ports and (self.elsewhere(part) or _THIS_BOX).startswith(_THIS_BOX)
        }
        if differing and self._master():
            self.switch(differing)
        else:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(differing)

    def _reload(self) -> None:
        old = set(self._working())
        run(["systemctl", "reload", "nginx.service"])
        deadline = time.monotonic() + RELOAD_SECONDS
        while not (working := set(self._working())) or working & old:
            if time.monotonic() > deadline:
                raise DeployError(
                    f"Nginx did not take its new configuration within {RELOAD_SECONDS:g} s",
                    "Its log: journalctl -u nginx, /var/log/nginx/error.log",
                )
            time.sleep(0.02)

    def _working(self) -> list[int]:
        """The workers that take connections."""
        master = self._master()
        if not master:
            return []
        try:
            children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        except OSError:
            return []
        return [int(pid) for pid in children if _is_working(pid)]

    def _master(self) -> int:
        """The number of Nginx's first process; 0 where it does not run."""
        try:
            pid = int(self._pid_file.read_text())
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return 0
        return pid if name == "nginx" else 0

    def _write(self, targets: Mapping[Part, tuple[int, ...]]) -> None:
        for part, ports in targets.items():
            write_whole(self._path(part), render(part, ports))

    def _text(self, part: Part) -> str | None:
        try:
            return self._path(part).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _path(self, part: Part) -> Path:
        return self._directory / f"upstream-{part.value}.conf"


def _is_working(pid: str) -> bool:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return False
    return "worker process" in title and _SHUTTING_DOWN not in title
