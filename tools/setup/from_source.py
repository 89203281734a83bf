"""The one place for the third way to the engine: built from the Go modules that `tools/engine/` pins.

Two modules, since the language host left the sdk module after v3.78. Measured with Go 1.26 on 2 cores with nothing
cached: 1,683 packages, 500 s of processor time, five minutes on a calm machine and eight on a busy one; 1.8 GB of
memory while linking; 1.6 GB of modules, 1.8 GB of build cache, 1.6 GB of work files that go again.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.setup.engine import DYNAMIC_PROVIDER, EXECUTOR, LANGUAGE_HOST, PROGRAM
from tools.setup.errors import SetupError, WayClosed, explain
from tools.setup.files import free_bytes
from tools.setup.pins import CLI, LANGUAGE, Pins, module_directory
from tools.setup.process import Finished, run
from tools.setup.talk import Step

SDK = "github.com/pulumi/pulumi/sdk/v3"
# Pulumi's tools read their version from here; the Automation API refuses an engine that has none.
VERSION_VARIABLE = f"{SDK}/go/common/version.Version"
FLAGS = ("-trimpath", "-tags", "osusergo,grpcnotrace")
PROXY = "the Go module proxy (`go env GOPROXY`)"
FIRST_WITH_TOOLCHAINS = (1, 21, 0)  # an older Go cannot fetch a newer toolchain (go.dev/doc/toolchain)
GO_REMEDY = (
    "install Go {needed} or newer (go.dev/doc/install) so that `go` is on PATH, then run `make setup` again"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One program to build."""

    name: str
    module: str
    package: str


PARTS = (
    Part(LANGUAGE_HOST, LANGUAGE, f"{SDK}/python/cmd/{LANGUAGE_HOST}"),
    Part(PROGRAM, CLI, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
)
# Scripts inside the sdk module of the engine's own version.
SCRIPTS = (f"python/cmd/{EXECUTOR}", f"python/dist/{DYNAMIC_PROVIDER}")
RECIPE = repr((FLAGS, VERSION_VARIABLE, PARTS, SCRIPTS))

# What a build with nothing cached fills, rounded up from the figures above; the work files are beside the engine.
NEEDED_BYTES = {"GOMODCACHE": 1_700_000_000, "GOCACHE": 2_000_000_000, "engine": 1_900_000_000}


@dataclass(frozen=True, slots=True)
class Go:
    """The Go that was found, and the environment that it builds in."""

    program: Path
    root: Path
    environment: dict[str, str]
    settings: dict[str, str] = field(repr=False)


def build(
    pins: Pins, architecture: str, root: Path, bin_directory: Path, environment: Mapping[str, str], step: Step
) -> None:
    """Fill `bin_directory` with a build for `architecture` (as Go names it).

    Raises WayClosed when there is no Go that serves, SetupError when space is short or the build fails.
    """
    go = find_go(pins, architecture, root, environment)
    require_space(go, bin_directory)
    # Not in /tmp: what a killed build leaves, over a gigabyte, goes with the staging folder at the next set-up.
    work = bin_directory.parent / "work"
    work.mkdir()
    go.environment["GOTMPDIR"] = str(work)
    versions = {LANGUAGE: pins.language_host, CLI: pins.engine}
    for part in PARTS:
        _compile(go, part, versions[part.module], bin_directory, step)
    finished = _go(
        go, CLI, ["list", "-m", "-f", "{{.Dir}}", SDK], Progress(step, "looks for the scripts of the sdk")
    )
    source = Path(finished.output.strip().splitlines()[-1])
    for script in SCRIPTS:
        target = bin_directory / Path(script).name
        shutil.copyfile(source / script, target)
        target.chmod(0o755)  # the module cache has them as 444
    shutil.rmtree(work)


def find_go(pins: Pins, architecture: str, root: Path, environment: Mapping[str, str]) -> Go:
    """Find a Go that can build the pinned modules. Raises WayClosed."""
    needed = ".".join(map(str, pins.oldest_go))
    remedy = GO_REMEDY.format(needed=needed)
    program = shutil.which("go", path=environment.get("PATH"))
    if program is None:
        raise WayClosed("no `go` on PATH", remedy)
    ours = {
        name: value
        for name, value in environment.items()
        if name not in ("GOOS", "GOARM64", "GOAMD64", "GOEXPERIMENT")
    }
    ours |= {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOARCH": architecture,
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }
    names = ["GOVERSION", "GOTOOLCHAIN", "GOMODCACHE", "GOCACHE"]
    try:
        finished = run([program, "env", "-json", *names], cwd=Path("/"), environment=ours, timeout_seconds=60)
        said = finished.output
        answer = said[said.find("{") :] if finished.code == 0 else "{}"  # warnings may stand before it
        settings: dict[str, str] = json.loads(answer)
    except (OSError, ValueError) as error:
        raise WayClosed(f"{program} does not answer `go env`: {error}", remedy) from error
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", settings.get("GOVERSION", "").removeprefix("devel "))
    if found is None:
        last = (finished.output.strip().splitlines() or ["nothing"])[-1][:200]
        raise WayClosed(
            f"{program} does not say its version; `go env` ended with {finished.code}: {last}", remedy
        )
    version = (int(found[1]), int(found[2]), int(found[3] or 0))
    if version < pins.oldest_go:
        too_old = f"{program} is Go {'.'.join(map(str, version))}; {needed} is the oldest that serves"
        if version < FIRST_WITH_TOOLCHAINS:
            raise WayClosed(too_old, remedy)
        if settings.get("GOTOOLCHAIN", "").partition("+")[0] == "local":
            raise WayClosed(
                f"{too_old}, and GOTOOLCHAIN=local keeps it from fetching that",
                f"{remedy}; or set GOTOOLCHAIN=auto",
            )
    return Go(Path(program), root, ours, settings)


def require_space(go: Go, bin_directory: Path) -> None:
    """Raise SetupError unless each file system that a build fills has the room for what it has to take."""
    places = {
        "GOMODCACHE": Path(go.settings["GOMODCACHE"]),
        "GOCACHE": Path(go.settings["GOCACHE"]),
        "engine": bin_directory,
    }
    wanted: dict[int, int] = {}
    free: dict[int, int] = {}
    names: dict[int, list[str]] = {}
    for name, path in places.items():
        device, free[device] = free_bytes(path)
        wanted[device] = wanted.get(device, 0) + NEEDED_BYTES[name]
        names.setdefault(device, []).append(str(path))
    for device, needed in wanted.items():
        if free[device] < needed:
            raise SetupError(
                f"the build needs {needed / 1e9:.1f} GB free for {', '.join(names[device])}; "
                f"{free[device] / 1e9:.1f} GB are",
                "free that much, or move a cache by GOMODCACHE, GOCACHE or XDG_CACHE_HOME, then `make setup`",
            )


class Progress:
    """Counts what a `go` command says, for the line that is shown meanwhile."""

    def __init__(self, step: Step, doing: str, whole: int = 0) -> None:
        self.packages = 0
        self._step = step
        self._doing = doing
        self._whole = whole
        self._modules = 0

    def line(self, line: str) -> None:
        """Take a line of output: a download, or the name of a package."""
        if line.startswith("go: downloading"):
            self._modules += 1
        elif re.fullmatch(r"[\w.~/@-]+", line):
            self.packages += 1

    def tick(self) -> None:
        """Show where it stands."""
        parts = [self._doing]
        if self._modules:
            parts.append(f"{self._modules} modules downloaded")
        if self._whole:
            parts.append(f"{self.packages:,} of at most {self._whole:,} packages")
        self._step.waits_for(": ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0])


def _compile(go: Go, part: Part, version: str, bin_directory: Path, step: Step) -> None:
    listing = Progress(step, f"fetches the source of {part.name} v{version}")
    _go(go, part.module, ["list", "-deps", *FLAGS, part.package], listing)
    compiling = Progress(step, f"compiles and links {part.name} v{version}", listing.packages)
    linker_flags = f"-s -w -X {VERSION_VARIABLE}=v{version}"
    arguments = [
        "build",
        "-v",
        *FLAGS,
        "-ldflags",
        linker_flags,
        "-o",
        f"{bin_directory}{os.sep}",
        part.package,
    ]
    _go(go, part.module, arguments, compiling)


def _go(go: Go, module: str, arguments: list[str], progress: Progress) -> Finished:
    finished = run(
        [go.program, *arguments],
        cwd=module_directory(go.root, module),
        environment=go.environment,
        on_line=progress.line,
        on_tick=progress.tick,
    )
    if finished.code != 0:
        raise explain(f"go {arguments[0]}", PROXY, finished.code, finished.output)
    return finished
