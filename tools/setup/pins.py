"""The one place that reads what the Go modules under `tools/engine/` pin: versions, the oldest Go, a digest."""

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from tools.setup.errors import SetupError, WayClosed

REMEDY = "`git status tools/engine` shows what is amiss, `git restore tools/engine` brings it back"
CLI = "cli"
LANGUAGE = "language"
_MODULES = {CLI: "github.com/pulumi/pulumi/pkg/v3", LANGUAGE: "github.com/pulumi/pulumi/sdk/v3"}
_ARCHITECTURES = {  # uname -m: (as the release names it, as Go names it)
    "x86_64": ("x64", "amd64"),
    "aarch64": ("arm64", "arm64"),
}


@dataclass(frozen=True, slots=True)
class Pins:
    """What is pinned; versions without `v`. `digest` covers every go.mod and go.sum."""

    engine: str
    language_host: str
    oldest_go: tuple[int, int, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Platform:
    """This machine, as the release archive and as Go name it."""

    archive: str
    go_architecture: str


def module_directory(root: Path, module: str) -> Path:
    """The folder of one of the two modules."""
    return root / "tools" / "engine" / module


def read_pins(root: Path) -> Pins:
    """Read the pins. Raises SetupError where a file is missing or does not say what it must."""
    try:
        texts = {
            (module, name): (module_directory(root, module) / name).read_text(encoding="utf-8")
            for module in _MODULES
            for name in ("go.mod", "go.sum")
        }
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"the pinned modules of the engine cannot be read: {error}", REMEDY) from error
    versions = {
        module: _only(rf"^(?:require|\s+) ?{re.escape(path)} v(\d+\.\d+\.\d+)$", texts[module, "go.mod"])
        for module, path in _MODULES.items()
    }
    oldest_go = max(
        tuple(int(part) for part in _only(r"^go (\d+\.\d+\.\d+)$", texts[module, "go.mod"]).split("."))
        for module in _MODULES
    )
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    major, minor, patch = oldest_go
    return Pins(versions[CLI], versions[LANGUAGE], (major, minor, patch), digest)


def this_platform() -> Platform:
    """Name this machine. Raises WayClosed where there is neither an archive nor a build that was tried."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _ARCHITECTURES:
        raise WayClosed(
            f"this is {platform.system()} on {machine}; only Linux on {' or '.join(_ARCHITECTURES)} is provided for",
            "install Pulumi by its own instructions so that `pulumi` is on PATH, then run `make setup` again",
        )
    archive, go_architecture = _ARCHITECTURES[machine]
    return Platform(f"linux-{archive}", go_architecture)


def _only(pattern: str, text: str) -> str:
    found: list[str] = re.findall(pattern, text, re.MULTILINE)
    if len(found) != 1:
        raise SetupError(
            f"a go.mod under tools/engine has {len(found)} lines of the form {pattern}, not one", REMEDY
        )
    return found[0]
