"""The only place that checks inputs against pulumi_aws's annotations: names, types, presence, at every depth.

The annotations are read once for each version and set of kinds by a process of its own, and kept in the user's cache.
"""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.provider.wire import UNKNOWN

FORMAT = 1
"""Raised when embedded/provider/annotations.py prints something else than before."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One input that is wrong: its path on the wire (`rootBlockDevice.volumeSiz`) and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResourceSchema:
    """Inputs, required inputs and outputs of one resource, as pulumi_aws declares them."""

    token: str
    inputs: Mapping[str, Any]
    required: Sequence[str]
    outputs: Mapping[str, Any]

    def failures(self, values: Mapping[str, Any]) -> Iterator[Failure]:
        """Everything that is wrong with those inputs."""
        yield from _object_failures("", {"inputs": self.inputs, "required": self.required}, values)


@dataclass(frozen=True, slots=True)
class Schema:
    """What pulumi_aws knows: the resources that were asked for, and the names of all others."""

    tokens: Sequence[str]
    resources: Mapping[str, ResourceSchema]

    def nearest(self, token: str, among: Sequence[str] | None = None) -> str:
        """` (did you mean x?)`, or nothing."""
        return _did_you_mean(token, self.tokens if among is None else among)


def package_version() -> str:
    """The version of pulumi_aws that the program is written against."""
    return importlib.metadata.version("pulumi-aws")


def load(tokens: Sequence[str], cache: Path) -> Schema:
    """The schema of those tokens, from `cache` or, the first time, from pulumi_aws itself (some seconds).

    Raises:
        RuntimeError: pulumi_aws could not be read.
    """
    wanted = sorted(set(tokens))
    digest = hashlib.sha256("\n".join([str(FORMAT), *wanted]).encode()).hexdigest()[:12]
    path = cache / f"pulumi-aws-{package_version()}-{digest}.json"
    if not path.exists():
        _extract(wanted, path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Schema(
        raw["tokens"],
        {
            token: ResourceSchema(token, each["inputs"], each["required"], each["outputs"])
            for token, each in raw["resources"].items()
        },
    )


def _extract(tokens: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        done = subprocess.run(
            [sys.executable, "-m", "embedded.provider.annotations", *tokens],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pulumi_aws's annotations could not be read: {done.stderr.strip()[-500:]}")
        temporary = path.with_suffix(f".{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(done.stdout)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _object_failures(path: str, shape: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Failure]:
    known = shape["inputs"]
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        if name not in known:
            yield Failure(here, f"is no input of this resource{_did_you_mean(name, list(known))}")
        else:
            yield from _value_failures(here, known[name], value)
    for name in shape["required"]:
        if values.get(name) is None:
            yield Failure(f"{path}.{name}" if path else name, "is required and missing")


def _value_failures(path: str, shape: Mapping[str, Any], value: Any) -> Iterator[Failure]:
    if value is None or value == UNKNOWN:
        return
    kind = shape["type"]
    if kind == "any":
        return
    if kind == "any-of":
        tried = [list(_value_failures(path, member, value)) for member in shape["members"]]
        if all(tried):
            yield from tried[0]
    elif kind == "object":
        if isinstance(value, Mapping):
            yield from _object_failures(path, shape, value)
        else:
            yield _mistyped(path, "an object", value)
    elif kind == "array":
        if isinstance(value, list):
            for index, each in enumerate(value):
                yield from _value_failures(f"{path}[{index}]", shape["items"], each)
        else:
            yield _mistyped(path, "a list", value)
    elif kind == "map":
        if isinstance(value, Mapping):
            for name, each in value.items():
                yield from _value_failures(f"{path}.{name}", shape["items"], each)
        else:
            yield _mistyped(path, "a map", value)
    elif not _SCALAR_CHECKS[kind](value):
        yield _mistyped(path, f"a {kind}", value)


def _mistyped(path: str, wanted: str, value: Any) -> Failure:
    return Failure(path, f"should be {wanted}, is {type(value).__name__} {str(value)[:60]!r}")


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_SCALAR_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
}
