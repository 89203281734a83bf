"""The only place for the state file: everything that moto and the extensions hold, saved and loaded as a whole.

A file is one line of JSON (the header) and a pickle. It is a file of this computer's own making: loading one runs
code, as every pickle does, so never load one that came from elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from embedded.aws.errors import StateFileError
from embedded.aws.pickling import dump, load_payload
from embedded.aws.world import WORLD

FORMAT = 1

# Every service's dictionary of backends that has been asked for anything.
_SERVICES: list[Any] = vars(BackendDict)["_instances"]
_MOST_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class StateHeader:
    """What a state file says of itself. ``digest`` is the SHA-256 of the payload, ``size_bytes`` its length."""

    format: int
    moto: str
    python: str
    saved_at: str
    digest: str
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self)


def save(path: Path) -> StateHeader:
    """Write the state to ``path``: to a temporary file beside it, synced, then renamed over it.

    Raises ``StateFileError`` when it cannot be written; what was at ``path`` is then still there.
    """
    with WORLD:
        payload = dump(_collect())
    header = StateHeader(
        format=FORMAT,
        moto=importlib.metadata.version("moto"),
        python=_python(),
        saved_at=datetime.now(UTC).isoformat(),
        digest=hashlib.sha256(payload).hexdigest(),
        size_bytes=len(payload),
    )
    line = json.dumps(header.as_json()).encode() + b"\n"
    try:
        _write(path, line, payload)
    except OSError as error:
        raise StateFileError(
            f"the state cannot be saved to {path}: {error.strerror} ({len(payload)} bytes). "
            "The last file there is untouched; make room or choose another place"
        ) from error
    return header


def load(path: Path) -> StateHeader:
    """Replace everything in this process by what the file holds.

    Raises ``StateFileError``, with nothing changed, for a file that is missing, cut off, damaged, or made by
    another format, moto or Python.
    """
    header, payload = _read(path)
    try:
        collected: dict[tuple[str, str], _Held] = load_payload(payload)
    except Exception as error:
        raise StateFileError(
            f"the state in {path} cannot be understood: {type(error).__name__}: {error}. "
            "Delete it and start with an empty cloud"
        ) from error
    with WORLD:
        reset()
        for (module, attribute), held in collected.items():
            backends = getattr(importlib.import_module(module), attribute)
            vars(backends).update(held.beside)
            for account, regions in held.accounts.items():
                for region, backend in regions.items():
                    dict.__setitem__(backends[account], region, backend)
    return header


def reset() -> None:
    """Empty every service of every account and region. Extensions stay installed."""
    with WORLD:
        for backends in list(_SERVICES):
            for regions in backends.values():
                for backend in regions.values():
                    # The others' resets would build what is thrown away right after.
                    if type(backend).reset is not BaseBackend.reset:
                        backend.reset()
            dict.clear(backends)
        _SERVICES.clear()


@dataclass(frozen=True, slots=True)
class _Held:
    """What one service's dictionary of backends holds: backends by account and region, and what it keeps beside."""

    accounts: dict[str, dict[str, Any]]
    beside: dict[str, Any]


_PLAIN = frozenset({"backend", "service_name", "_use_boto3_regions", "_additional_regions", "_id"})


def _collect() -> dict[tuple[str, str], _Held]:
    """Every backend by where its service's dictionary is found."""
    return {
        _place_of(backends): _Held(
            {account: dict(regions.items()) for account, regions in backends.items()},
            {name: value for name, value in vars(backends).items() if name not in _PLAIN},
        )
        for backends in _SERVICES
        if any(backends.values())
    }


def _place_of(backends: Any) -> tuple[str, str]:
    module = sys.modules[backends.backend.__module__]
    for name, value in vars(module).items():
        if value is backends:
            return module.__name__, name
    raise StateFileError(
        f"the backends of {backends.service_name} have no name in {module.__name__}: "
        "an extension must keep its BackendDict in the module of its backend class"
    )


def _write(path: Path, line: bytes, payload: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line)
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_header(path: Path) -> StateHeader:
    """What a state file says of itself, without its payload. Raises ``StateFileError``."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(_MOST_HEADER_BYTES)
    except OSError as error:
        raise StateFileError(f"there is no state to load at {path}: {error.strerror}") from error
    try:
        return StateHeader(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise StateFileError(f"{path} is no state file of the embedded cloud (header: {error})") from error


def _read(path: Path) -> tuple[StateHeader, bytes]:
    header = read_header(path)
    mine = (FORMAT, importlib.metadata.version("moto"), _python())
    if (header.format, header.moto, header.python) != mine:
        raise StateFileError(
            f"{path} was made by format {header.format}, moto {header.moto}, Python {header.python}; "
            f"this is format {mine[0]}, moto {mine[1]}, Python {mine[2]}. Delete it and start with an empty cloud"
        )
    with path.open("rb") as stream:
        stream.readline(_MOST_HEADER_BYTES)
        payload = stream.read()
    if len(payload) != header.size_bytes or hashlib.sha256(payload).hexdigest() != header.digest:
        raise StateFileError(
            f"{path} is damaged: {len(payload)} bytes of {header.size_bytes}, or another digest than "
            f"{header.digest[:12]}…. Delete it and start with an empty cloud"
        )
    return header, payload


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
