"""Clones to run the scripts in: the same code by link, a `.local` of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.client import LocalCloud

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
TIMEOUT_SECONDS = 600
LOGIN = '{"current": "https://api.pulumi.example"}'
"""A user who is logged in elsewhere."""


@dataclass(frozen=True)
class Clone:
    """A folder like a fresh clone after `make setup`."""

    root: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """A user's own environment, logged in elsewhere."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            "PULUMI_ACCESS_TOKEN": "pul-somebody-elses",
            "PULUMI_BACKEND_URL": "https://api.pulumi.example",
            "AWS_PROFILE": "production",
        }

    def script(
        self, name: str, *arguments: str, check: bool = True, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script as a person would."""
        done = subprocess.run(
            [str(self.root / "scripts" / f"{name}.py"), *arguments],
            cwd=self.home,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{name} {' '.join(arguments)}: {done.stdout}\n{done.stderr}")
        return done

    def start_script(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Starts a script in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [str(self.root / "scripts" / f"{name}.py"), *arguments],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def cloud(self) -> LocalCloud:
        """Its embedded cloud."""
        return LocalCloud(self.root)


def make_clone(folder: Path) -> Clone:
    """A clone in that folder, and the home of a user who is logged in elsewhere."""
    root, home = folder / "clone", folder / "home"
    (home / ".pulumi").mkdir(parents=True)
    (home / ".pulumi" / "credentials.json").write_text(LOGIN)
    root.mkdir()
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in (".venv", "infra", "embedded", "ops", "tools"):
        (root / name).symlink_to(ROOT / name)
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        shutil.copy(ROOT / name, root / name)
    (root / ".local").mkdir()
    shutil.copy(ROOT / ".local" / "engine.json", root / ".local" / "engine.json")
    return Clone(root, home)


def end(clone: Clone) -> None:
    """Ends whatever a test has left running there, and looks whether the user's own login is as it was."""
    if (running := clone.cloud.running()) is not None:
        os.kill(running.pid, signal.SIGKILL)
    theirs = {path.name: path.read_text() for path in (clone.home / ".pulumi").rglob("*") if path.is_file()}
    assert theirs == {"credentials.json": LOGIN}, "the user's own ~/.pulumi was touched"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """A clone; whatever it started is ended afterwards."""
    made = make_clone(tmp_path)
    yield made
    end(made)


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose cloud runs, for tests that change nothing in it."""
    made = make_clone(tmp_path_factory.mktemp("standing"))
    made.script("local", "start", "--no-boxes")
    yield made
    end(made)
