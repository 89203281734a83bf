"""The only place that asks apt: a set of packages with all that they need, for another suite and architecture.

apt resolves and fetches in a directory of its own, as for a machine on which nothing is installed: what is found is
complete whatever the image of the boxes has. It refuses an index that the distribution did not sign, and a package
whose checksum that index does not name. Proxies and the like are this machine's apt's own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from infra.core.packages import ARCHITECTURE, SUITE
from ops.packages import Deb
from tools import debian

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT_SECONDS = 1800
_TOOLS = ("apt-get", "apt-cache")


def repositories(mirror: str) -> str:
    """deb822 text of the repositories at a mirror that has `debian` and `debian-security` below it; where none is
    given, this machine's own with the boxes' suite.

    Raises:
        TerraceError: none is given, and this machine has none.
    """
    if not mirror:
        if found := debian.repositories(SUITE):
            return found
        raise TerraceError(
            Fault(
                "--mirror",
                "is not given, and this machine's apt knows no Debian",
                "Name a mirror of Debian that is near you: it has debian and debian-security below it",
            )
        )
    places = {"debian": f"{SUITE} {SUITE}-updates", "debian-security": f"{SUITE}-security"}
    return "\n".join(
        f"Types: deb\nURIs: {mirror.rstrip('/')}/{place}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
        for place, suites in places.items()
    )


@dataclass(frozen=True, slots=True)
class Apt:
    """Debian by this machine's apt, from those repositories (deb822)."""

    repositories: str
    architecture: str = ARCHITECTURE

    def fetch(self, directory: Path, names: Sequence[str]) -> list[Deb]:
        """Those packages with everything that they depend on; what was fetched before is not fetched again.

        Raises:
            TerraceError: apt or Debian's keys are not here, the mirror is not reached, or a signature is wrong.
        """
        self._check()
        directory = directory.resolve()
        for each in ("lists/partial", "archives/partial"):
            (directory / each).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        (directory / "mirror.sources").write_text(self.repositories, encoding="utf-8")
        self._apt(directory, "apt-get", "update")
        self._apt(
            directory, "apt-get", "install", "--yes", "--no-install-recommends", "--download-only", *names
        )
        said = self._apt(
            directory, "apt-get", "install", "--yes", "--no-install-recommends", "--print-uris",
            "-o", f"Dir::Cache::archives={directory}/none", *names,
        )  # fmt: skip
        files = re.findall(r"^'\S+' (\S+\.deb) \d+ ", said, re.MULTILINE)
        return self._described(directory, files)

    def _described(self, directory: Path, files: Sequence[str]) -> list[Deb]:
        """Each file with its paragraph of the index, all of them in one call: apt reads its lists at each."""
        wanted = [name.removesuffix(".deb").replace("%3a", ":").rsplit("_", 1)[0] for name in files]
        shown = self._apt(directory, "apt-cache", "show", *(each.replace("_", "=", 1) for each in wanted))
        paragraphs: dict[str, str] = {}
        for text in shown.strip().split("\n\n"):
            deb = Deb(directory, text)
            paragraphs[f"{deb.field('Package')}_{deb.field('Version')}"] = text
        return [
            Deb(directory / "archives" / name, paragraphs.get(each, ""))
            for name, each in zip(files, wanted, strict=True)
        ]

    def _check(self) -> None:
        if lacking := [tool for tool in _TOOLS if shutil.which(tool) is None]:
            raise TerraceError(
                Fault(
                    ", ".join(lacking),
                    "is not on this machine, and Debian's packages are resolved by Debian's own apt",
                    "Build on Debian or Ubuntu, or in a container of one; the archive is the same everywhere",
                )
            )
        if not KEYRING.exists():
            raise TerraceError(
                Fault(
                    str(KEYRING),
                    "is not there, and without it nobody can tell Debian's packages from others",
                    "apt-get install debian-archive-keyring",
                )
            )

    def _apt(self, directory: Path, tool: str, *words: str) -> str:
        options = {
            "Dir::State": directory,
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory,
            "Dir::Cache::archives": directory / "archives",
            "Dir::Etc::sourcelist": directory / "mirror.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Get::AllowUnauthenticated": "false",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
        }
        line = [tool, "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        done = subprocess.run(
            [*line, *words], capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        said = [each for each in done.stderr.splitlines() if each.startswith(("E:", "Err:"))]
        if done.returncode or (words[0] == "update" and said):
            what = " / ".join(said[-3:]) or f"ended with {done.returncode}"
            raise TerraceError(Fault(f"{tool} {words[0]}", what, "Look at the mirror and the network"))
        return done.stdout
