"""The one place that says which Pulumi engine this clone uses, and makes the environment that it runs in.

Set-up writes `.local/engine.json`; everything else reads it here:

    from tools.setup.engine import engine_environment, read_engine
    subprocess.run(["pulumi", "preview"], env=engine_environment(root) | {"PULUMI_BACKEND_URL": …}, check=True)
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tools.setup.errors import SetupError
from tools.setup.files import write_whole

FORMAT = 1
PROGRAM = "pulumi"
LANGUAGE_HOST = "pulumi-language-python"
EXECUTOR = "pulumi-language-python-exec"
DYNAMIC_PROVIDER = "pulumi-resource-pulumi-python"
POLICY_ANALYZER = "pulumi-analyzer-policy-python"


class Way(StrEnum):
    """How the engine was come by, in the order in which the ways are tried."""

    PATH = "path"
    RELEASE = "release"
    BUILD = "build"


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine of this clone.

    `bin` is a directory called `bin` that holds `pulumi`, the Python language host and what belongs to it, and
    nothing else: its parent is what `pulumi.automation.PulumiCommand(root=...)` asks for. `language_host_version`
    is None where the host came from PATH, since it has no way to say it. `key` changes when set-up must choose again.
    """

    way: Way
    version: str
    bin: Path
    language_host_version: str | None
    key: str

    @property
    def program(self) -> Path:
        """The `pulumi` program."""
        return self.bin / PROGRAM

    def stands(self) -> bool:
        """Whether its programs are (still) there."""
        return all(os.access(self.bin / name, os.X_OK) for name in (PROGRAM, LANGUAGE_HOST))


def record_path(root: Path) -> Path:
    """Where the choice is kept."""
    return root / ".local" / "engine.json"


def pulumi_home(root: Path) -> Path:
    """The project's own PULUMI_HOME (plugins, credentials, logs): the user's `~/.pulumi` is not touched."""
    return root / ".local" / "pulumi-home"


def write_engine(root: Path, engine: Engine) -> None:
    """Keep the choice. Raises OSError."""
    write_whole(
        record_path(root), json.dumps({"format": FORMAT, **asdict(engine)}, default=str, indent=2) + "\n"
    )


def read_engine(root: Path) -> Engine:
    """Return the engine that set-up chose. Raises SetupError when there is none, or it has gone since."""
    path = record_path(root)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError(f"format is not {FORMAT}")
        engine = Engine(**values | {"way": Way(values["way"]), "bin": Path(values["bin"])})
    except FileNotFoundError:
        raise SetupError(
            f"{path} is missing: no Pulumi engine has been set up here", "run `make setup`"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(
            f"{path} cannot be used: {error}", "run `make setup`, which writes it again"
        ) from None
    if not engine.stands():
        raise SetupError(
            f"the Pulumi engine is no longer in {engine.bin}", "run `make setup`, which finds it again"
        )
    return engine


SLOWING = ("PYTHONDONTWRITEBYTECODE",)
"""Without its bytecode every preview compiles pulumi_aws anew: a quarter of its time."""


def engine_environment(
    root: Path, ambient: Mapping[str, str] | None = None, *, keep_pulumi: bool = False
) -> dict[str, str]:
    """Return the whole environment for a program that runs `pulumi`, or is run by it.

    `ambient` is what to start from (os.environ). Its own `PULUMI_*` variables are left out, so that a user who is
    logged in elsewhere does not reach in, unless `keep_pulumi`; what is set here wins either way. The backend's
    address, the passphrase and AWS credentials are the caller's. Variables that slow Python down are left out too
    (SLOWING). Raises SetupError as `read_engine` does.
    """
    engine = read_engine(root)
    base = {
        name: value
        for name, value in (os.environ if ambient is None else ambient).items()
        if name not in ("PYTHONHOME", *SLOWING) and (keep_pulumi or not name.startswith("PULUMI_"))
    }
    # `.venv/bin` comes first because the language host that is built (sdk v3.78) ignores the `virtualenv` option.
    first = [str(root / ".venv" / "bin"), str(engine.bin)]
    rest = [entry for entry in base.get("PATH", os.defpath).split(os.pathsep) if entry not in first]
    return base | {
        "PATH": os.pathsep.join(first + rest),
        "VIRTUAL_ENV": str(root / ".venv"),
        **engine_variables(root),
    }


def engine_variables(root: Path) -> dict[str, str]:
    """The variables by which every `pulumi` of this project runs, set-up's own included."""
    return {
        "PULUMI_HOME": str(pulumi_home(root)),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ERROR_OUTPUT_STRING": "true",
    }
