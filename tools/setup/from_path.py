"""The one place for the first way to the engine: a `pulumi` that is on PATH, with its Python language host."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.setup.engine import (
    DYNAMIC_PROVIDER,
    EXECUTOR,
    LANGUAGE_HOST,
    POLICY_ANALYZER,
    PROGRAM,
    Engine,
    Way,
    engine_variables,
)
from tools.setup.errors import WayClosed
from tools.setup.files import discard
from tools.setup.process import run
from tools.setup.talk import Step

OLDEST = (3, 200, 0)
PROBE_SECONDS = 30.0
INSTALL = (
    "install Pulumi 3.200.0 or newer (pulumi.com/docs/install), or leave TERRACE_ENGINE unset for another way"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What PATH holds: the program and, where there is one, the language host beside it or on PATH."""

    program: Path
    language_host: Path | None

    @property
    def key(self) -> str:
        """Changes when one of the two is another file."""
        return "path:" + ";".join(_identity(path) for path in (self.program, self.language_host) if path)


def find(search_path: str, *, not_below: Sequence[Path]) -> Candidate | None:
    """Look for `pulumi` in the absolute folders of PATH, but for what set-up itself has put there (`not_below`)."""
    folders = [
        folder
        for folder in search_path.split(os.pathsep)
        if Path(folder).is_absolute() and not any(Path(folder).is_relative_to(own) for own in not_below)
    ]
    program = shutil.which(PROGRAM, path=os.pathsep.join(folders)) if folders else None
    if program is None:
        return None
    places = [str(Path(program).parent), str(Path(program).resolve().parent), *folders]
    host = shutil.which(LANGUAGE_HOST, path=os.pathsep.join(places))
    return Candidate(Path(program), Path(host) if host else None)


def use(candidate: Candidate | None, root: Path, environment: Mapping[str, str], step: Step) -> Engine:
    """Check the candidate and link it into `.local/engine/bin`. Raises WayClosed when it does not serve."""
    if candidate is None:
        raise WayClosed("no `pulumi` on PATH", INSTALL)
    if candidate.language_host is None:
        raise WayClosed(
            f"{candidate.program} has no {LANGUAGE_HOST} beside it or on PATH, so it cannot run Python programs",
            INSTALL,
        )
    version = version_of(candidate.program, root, environment, step)
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        raise WayClosed(
            f"{candidate.program} is v{version}, older than v{'.'.join(map(str, OLDEST))}", INSTALL
        )
    bin_directory = root / ".local" / "engine" / "bin"
    discard(bin_directory.parent, into=root / ".local")
    bin_directory.mkdir(parents=True)
    # Links, not the folder itself: /usr/bin or a shims folder early on PATH would change every other program, too.
    for name, path in _belongings(candidate.program, candidate.language_host).items():
        (bin_directory / name).symlink_to(path)
    return Engine(Way.PATH, version, bin_directory, None, candidate.key)


def version_of(program: Path, root: Path, environment: Mapping[str, str], step: Step) -> str:
    """Ask a `pulumi` for its version (`3.259.0`), under the project's own PULUMI_HOME. Raises WayClosed."""
    advice = (
        f"run `{program} version` to see what it says, or take another way: TERRACE_ENGINE=release or build"
    )
    try:
        finished = run(
            [program, "version"],
            cwd=root,
            environment={**environment, **engine_variables(root)},
            on_tick=lambda: step.waits_for(f"asks {program} for its version"),
            timeout_seconds=PROBE_SECONDS,
        )
    except OSError as error:
        raise WayClosed(f"{program} cannot be started: {error.strerror or error}", advice) from error
    found = re.search(r"^v?(\d+\.\d+\.\d+)", finished.output, re.MULTILINE)
    if finished.code != 0 or found is None:
        last = (finished.output.strip().splitlines() or ["nothing"])[-1][:200]
        raise WayClosed(f"`{program} version` ended with {finished.code} and said: {last}", advice)
    return found[1]


def _belongings(program: Path, language_host: Path) -> dict[str, Path]:
    places = [language_host.parent, language_host.resolve().parent, program.parent, program.resolve().parent]
    found = {PROGRAM: program, LANGUAGE_HOST: language_host}
    for name in (EXECUTOR, DYNAMIC_PROVIDER, POLICY_ANALYZER):
        if path := next((place / name for place in places if os.access(place / name, os.X_OK)), None):
            found[name] = path
    return found


def _identity(path: Path) -> str:
    stat = path.stat()
    return f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
