"""The one place that makes small clones for tests of set-up: real venv, pip and uv; fake Go and Pulumi; no network.

Every run has a HOME with a `.pulumi` of a user who is logged in elsewhere; it is compared after each test.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = Path(getattr(sys, "_base_executable", sys.executable))
TIMEOUT_SECONDS = 60

BACKEND = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("tiny.pth", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["little"]

[project.optional-dependencies]
dev = ["uv"]
"""
# Writes where the real one writes: below PULUMI_HOME, or in the user's own folder where that is not set.
PULUMI = '#!/bin/sh\n: > "${{PULUMI_HOME:-$HOME/.pulumi}}/touched"\necho v{version}\n'
GO = r"""
import json, os, subprocess, sys, time
from pathlib import Path

here = Path(__file__).parent
plan = json.loads((here / "go.json").read_text())
arguments = sys.argv[1:]
kept = ("CGO_ENABLED", "GOFLAGS", "GOWORK", "GOARCH", "GOOS", "GOTMPDIR")
seen = {"arguments": arguments, "environment": {name: os.environ.get(name) for name in kept}, "cwd": os.getcwd()}
with (here / "go.log").open("a") as log:
    log.write(json.dumps(seen) + "\n")
if arguments[0] == "env":
    print("go: a warning that a user may have to live with", file=sys.stderr, flush=True)
    print(json.dumps({name: plan["env"].get(name, "") for name in arguments[2:]}))
elif arguments[:2] == ["list", "-deps"]:
    print("go: downloading example.com/module v1.0.0", file=sys.stderr)
    print("\n".join(f"example.com/package/{number}" for number in range(7)))
elif arguments[:2] == ["list", "-m"]:
    print(plan["sdk"])
elif arguments[0] == "build":
    (here / "go.pid").write_text(str(os.getpid()))
    if plan["sleep_seconds"] > 10:
        compiler = subprocess.Popen(["/bin/sleep", "60"])
        (here / "compiler.pid").write_text(str(compiler.pid))
    time.sleep(plan["sleep_seconds"])
    if plan["fails_with"]:
        sys.exit(plan["fails_with"])
    target = Path(arguments[arguments.index("-o") + 1]) / arguments[-1].rpartition("/")[2]
    target.write_text(plan["program"])
    target.chmod(0o755)
"""


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder with its time of change and its content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def write_program(path: Path, text: str) -> None:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Make a wheel and return the line of a lock that names it."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, text in files.items():
            member = zipfile.ZipInfo(inner)
            member.external_attr = 0o100755 << 16
            wheel.writestr(member, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{inner},sha256={digest},{len(text.encode())}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@dataclass(slots=True)
class Clone:
    """A clone with set-up's own code, two small locks, and a PATH that holds nothing but what a test puts there."""

    root: Path
    home: Path
    cache: Path
    path: Path
    wheels: Path
    more: dict[str, str] = field(default_factory=dict)
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.cache),
            "PATH": str(self.path),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "UV_OFFLINE": "1",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(self.wheels),
            "UV_CACHE_DIR": str(self.home.parent / "uv-cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TERM": "xterm",
            **self.more,
        }

    def start(
        self, patch: str = "", *arguments: str, stderr: int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Start set-up; `patch` is run before its `main`, for what only a test may change."""
        argv = [str(PYTHON), "-m", "tools.setup", *arguments]
        if patch:
            main = "import sys\nfrom tools.setup import run\nsys.exit(run.main([]))\n"
            argv = [str(PYTHON), "-c", textwrap.dedent(patch) + main]
        process = subprocess.Popen(
            argv,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, patch: str = "", *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run set-up to its end. Its talk is on standard error, and never a traceback."""
        with self.start(patch, *arguments) as process:
            try:
                out, talk = process.communicate(timeout=TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # before the end of `with`, which waits for it
                raise
        assert "Traceback" not in talk, talk
        assert out == ""
        return subprocess.CompletedProcess(process.args, process.returncode, out, talk)

    def put_pulumi(self, version: str = "3.260.1", *, host: bool = True, folder: str = "") -> None:
        """Put a fake `pulumi` on PATH, with its language host unless a test is about its absence."""
        write_program(self.path / folder / "pulumi", PULUMI.format(version=version))
        if host:
            write_program(self.path / folder / "pulumi-language-python", "#!/bin/sh\n")

    def put_go(
        self,
        version: str = "go1.26.8",
        *,
        toolchain: str = "local",
        fails_with: str = "",
        sleep_seconds: float = 0.0,
        engine: str = "3.259.0",
    ) -> None:
        """Put a fake `go` on PATH, which builds programs that say that they are the version `engine`."""
        sdk = self.home.parent / "sdk"
        for script in ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"):
            write_program(sdk / script, "#!/bin/sh\n")
            (sdk / script).chmod(0o444)
        caches = {"GOMODCACHE": str(self.home / "go"), "GOCACHE": str(self.home / "go-build")}
        plan = {
            "env": {"GOVERSION": version, "GOTOOLCHAIN": toolchain, **caches},
            "sdk": str(sdk),
            "sleep_seconds": sleep_seconds,
            "fails_with": fails_with,
            "program": PULUMI.format(version=engine),
        }
        write_program(self.path / "go", f"#!{PYTHON} -I\n{GO}")
        (self.path / "go.json").write_text(json.dumps(plan), encoding="utf-8")

    def go_calls(self) -> list[dict[str, object]]:
        """What the fake `go` was asked, in order."""
        log = self.path / "go.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def builds(self) -> int:
        """How often the fake `go` built the CLI."""
        return sum(
            str(call["arguments"]).endswith("pkg/v3/cmd/pulumi']") and "'build'" in str(call)
            for call in self.go_calls()
        )

    def engine(self) -> dict[str, str]:
        """What set-up wrote about the engine."""
        record: dict[str, str] = json.loads((self.root / ".local" / "engine.json").read_text())
        return record

    def cached(self) -> list[str]:
        """What stands in the cache, staging folders included."""
        folder = self.cache / "terrace" / "engine"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _make_clone(base: Path, wheels: Path, locks: dict[str, str]) -> Clone:
    root = base / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "tools", root / "tools", ignore=ignored)
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (root / "requirements").mkdir()
    for name, text in locks.items():
        (root / "requirements" / name).write_text(text, encoding="utf-8")
    return _around(base, wheels)


def _around(base: Path, wheels: Path) -> Clone:
    (base / "path").mkdir()
    user = base / "home" / ".pulumi"
    user.mkdir(parents=True)
    (user / "credentials.json").write_text('{"current": "https://elsewhere.invalid"}', encoding="utf-8")
    return Clone(base / "clone", base / "home", base / "cache", base / "path", wheels)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two wheels: uv, which starts the one that these tests run beside, and a package of one module."""
    uv = Path(sys.prefix) / "bin" / "uv"
    assert uv.exists(), f"{uv} is missing: run `make setup`"
    folder = tmp_path_factory.mktemp("wheels")
    script = {"uv-1.0.data/scripts/uv": f'#!/bin/sh\nexec {uv} "$@"\n'}
    (folder / "uv.txt").write_text(make_wheel(folder, "uv", script), encoding="utf-8")
    (folder / "dev.txt").write_text(
        make_wheel(folder, "little", {"little.py": "ANSWER = 42\n"}), encoding="utf-8"
    )
    return folder


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the first set-up of a clone said, and where that clone is. The clone is for reading."""

    clone: Clone
    done: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> FirstRun:
    """Set a clone up for a user whose environment is in the way, with an engine from PATH."""
    base = tmp_path_factory.mktemp("finished")
    clone = _make_clone(base, wheels, {name: (wheels / name).read_text() for name in ("uv.txt", "dev.txt")})
    clone.put_pulumi()
    hostile = base / "hostile"
    hostile.mkdir()
    (hostile / "pip.py").write_text("raise SystemExit('the wrong pip')", encoding="utf-8")
    clone.more |= {"PYTHONPATH": str(hostile), "VIRTUAL_ENV": "/elsewhere", "PIP_USER": "1"}
    done = clone.run()
    clone.more.clear()
    assert done.returncode == 0, done.stderr
    return FirstRun(clone, done)


@pytest.fixture
def bare(tmp_path: Path, wheels: Path) -> Iterator[Clone]:
    """A fresh clone; nothing has been set up."""
    clone = _make_clone(
        tmp_path, wheels, {name: (wheels / name).read_text() for name in ("uv.txt", "dev.txt")}
    )
    yield from _watched(clone)


@pytest.fixture
def clone(tmp_path: Path, wheels: Path, first_run: FirstRun) -> Iterator[Clone]:
    """A clone that has its `.venv` but no engine yet."""
    shutil.copytree(
        first_run.clone.root, tmp_path / "clone", symlinks=True, ignore=shutil.ignore_patterns(".local")
    )
    yield from _watched(_around(tmp_path, wheels))


def _watched(clone: Clone) -> Iterator[Clone]:
    before = tree(clone.home / ".pulumi")
    yield clone
    for process in clone.started:  # of a test that failed half-way
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert tree(clone.home / ".pulumi") == before, "the user's own ~/.pulumi was touched"
    assert not {path.name for path in clone.home.iterdir()} - {".pulumi", "go", "go-build"}
