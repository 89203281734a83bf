"""The one place that makes `.venv`: created, uv and pip put in, the locked packages, the project itself, editable.

`.venv/terrace.json` says what it was made from, and `whole: false` while it is being made: a set-up that was
interrupted is seen by that, and its `.venv` made again from nothing.
"""

import hashlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.setup.errors import SetupError, explain, explain_os
from tools.setup.files import discard, write_whole
from tools.setup.process import run
from tools.setup.talk import Step, Talk

UV_LOCK = "requirements/uv.txt"
LOCK = "requirements/dev.txt"
INDEX = "the Python package index"
PROBE = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
PROBE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """What a `.venv` is made from."""

    python: str
    uv: str
    lock: str
    project: str


class Packages:
    """The virtual environment of one clone."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._venv = root / ".venv"
        self._state = self._venv / "terrace.json"
        # A user's PYTHONPATH, or a pip that is told to install elsewhere, must not reach into a fresh .venv.
        self._environment = {
            name: value
            for name, value in environment.items()
            if name
            not in (
                "PYTHONPATH",
                "PYTHONHOME",
                "VIRTUAL_ENV",
                "PIP_TARGET",
                "PIP_PREFIX",
                "UV_REQUIRE_HASHES",
            )
        } | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_PROGRESS": "1"}

    @property
    def python(self) -> Path:
        """The interpreter of `.venv`."""
        return self._venv / "bin" / "python"

    @property
    def uv(self) -> Path:
        """The locked uv, once `bring_uv` is done."""
        return self._venv / "bin" / "uv"

    def wanted(self) -> Made:
        """What `.venv` should be made from now. Raises SetupError when a lock or pyproject.toml cannot be read."""
        try:
            uv, lock = ((self._root / name).read_bytes() for name in (UV_LOCK, LOCK))
            project = tomllib.loads((self._root / "pyproject.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SetupError(
                f"the project's own files cannot be read: {error}", "`git status` shows what is amiss"
            ) from error
        installed = {name: project.get(name) for name in ("project", "build-system")} | {
            "tool": project.get("tool", {}).get("hatch")
        }
        return Made(
            "{}.{}".format(*sys.version_info[:2]),
            hashlib.sha256(uv).hexdigest(),
            hashlib.sha256(lock).hexdigest(),
            hashlib.sha256(json.dumps(installed, sort_keys=True, default=str).encode()).hexdigest(),
        )

    def current(self) -> bool:
        """Whether there is nothing to do."""
        return self._standing() == self.wanted()

    def count(self) -> int:
        """How many packages the lock names."""
        lines = (self._root / LOCK).read_text(encoding="utf-8").splitlines()
        return sum("==" in line and not line.startswith((" ", "#")) for line in lines)

    def bring(self, talk: Talk) -> None:
        """Do what there is to do. Raises SetupError."""
        try:
            fresh = self.bring_uv(talk)
            self._install(talk, fresh=fresh)
        except OSError as error:
            raise explain_os(error, f"{self._venv} cannot be made") from error

    def bring_uv(self, talk: Talk) -> bool:
        """Make `.venv` if needed, with the locked uv and pip. Returns whether all else in it is in doubt."""
        with talk.step("python") as step:
            require_venv_module()
            step.done(f"{sys.version.split()[0]}, {sys.executable}")
        wanted, standing = self.wanted(), self._standing()
        fault = self._fault(standing, wanted)
        with talk.step("venv") as step:
            if fault is not None:
                self._create(step, fault)
            elif standing is None:
                step.done(".venv is not by set-up but works: taken over")
        if standing is not None and fault is None and standing.uv == wanted.uv:
            return False
        with talk.step("uv") as step:
            self._mark(wanted, whole=False)
            pip = [
                str(self.python),
                "-I",
                "-m",
                "pip",
                "install",
                "--no-input",
                "--progress-bar=off",
                "--retries=2",
            ]
            locked = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", UV_LOCK]
            self._run(step, pip + locked, "pip", "installs uv")
            step.done(f"from {UV_LOCK}")
        return standing is None or fault is not None

    def _install(self, talk: Talk, *, fresh: bool) -> None:
        wanted = self.wanted()
        self._mark(wanted, whole=False)
        uv_pip, python = [str(self.uv), "pip"], ["--python", str(self.python)]
        with talk.step("packages") as step:
            # A .venv that was taken over may hold halves of packages: they are all laid down again, from uv's cache.
            again = ["--reinstall"] if fresh else []
            sync = [*uv_pip, "sync", *python, "--require-hashes", *again, LOCK]
            self._run(step, sync, "uv", f"installs {self.count()} packages")
            step.done(f"{self.count()} from {LOCK}")
        with talk.step("project") as step:
            editable = [*uv_pip, "install", *python, "--no-deps", "--no-build-isolation", "--editable", "."]
            self._run(step, editable, "uv", "installs the project")
            step.done("installed editable")
        self._mark(wanted, whole=True)

    def _standing(self) -> Made | None:
        """What `.venv` was made from, if set-up made it, and to the end."""
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            made = Made(**state["made"]) if state["whole"] else None
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return made if os.access(self.python, os.X_OK) else None

    def _fault(self, standing: Made | None, wanted: Made) -> str | None:
        """Why `.venv` has to be made from nothing, or None."""
        if not self._venv.is_dir():
            return "" if not os.path.lexists(self._venv) else "it was no folder"
        if standing is not None:
            return None if standing.python == wanted.python else f"it had Python {standing.python}"
        if not os.access(self.python, os.X_OK):
            return "it had no Python, or one that has gone"
        if self._state.exists():
            return "a set-up had not come to its end in it"
        try:
            answer = run(
                [self.python, "-I", "-c", PROBE],
                cwd=self._root,
                environment=self._environment,
                timeout_seconds=PROBE_SECONDS,
            )
        except OSError:
            return "its Python could not be started"
        said = answer.output.strip()
        if answer.code != 0:
            return "its Python or pip did not work"
        return None if said == wanted.python else f"it had Python {said}"

    def _create(self, step: Step, fault: str) -> None:
        step.waits_for("makes room for a new .venv")
        discard(self._venv, into=self._root / ".local")
        self._mark(self.wanted(), whole=False)
        # Set-up may itself run on the interpreter of the .venv that was just taken away.
        base: str = getattr(sys, "_base_executable", sys.executable)
        self._run(step, [base, "-I", "-m", "venv", ".venv"], "python -m venv", "makes .venv")
        step.done(f".venv made{' again: ' + fault if fault else ''}")

    def _mark(self, made: Made, *, whole: bool) -> None:
        fields = {name: getattr(made, name) for name in Made.__slots__}
        write_whole(self._state, json.dumps({"whole": whole, "made": fields}, indent=2) + "\n")

    def _run(self, step: Step, argv: Sequence[str], program: str, doing: str) -> None:
        path = os.pathsep.join([str(self._venv / "bin"), self._environment.get("PATH", os.defpath)])
        last = ""

        def keep_last(line: str) -> None:
            nonlocal last
            last = line.strip()[:60]

        finished = run(
            argv,
            cwd=self._root,
            environment=self._environment | {"PATH": path},
            on_line=keep_last,
            on_tick=lambda: step.waits_for(f"{doing}: {last}" if last else doing),
        )
        if finished.code != 0:
            raise explain(program, INDEX, finished.code, finished.output)


def require_venv_module() -> None:
    """Raise SetupError unless this Python can make virtual environments with pip in them."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        version = "{}.{}".format(*sys.version_info[:2])
        package = (
            f"`apt install python{version}-venv`"
            if shutil.which("apt")
            else "install the venv package of your system"
        )
        raise SetupError(
            f"Python {version} ({sys.executable}) lacks the module {error.name}, which makes virtual environments",
            f"{package}, then run `make setup` again",
        ) from error
