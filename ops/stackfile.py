"""The only place that changes a stack file: one line of it, with everything else left as it was written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from infra.core.errors import Fault, TerraceError


def path_of(root: Path, stack: str) -> Path:
    """The stack's file.

    Raises:
        TerraceError: there is none; the fault names those there are.
    """
    path = root / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.name.split(".")[1] for each in root.glob("Pulumi.*.yaml")))
        raise TerraceError(
            Fault("--stack", f"{stack!r} has no file {path.name}", f"Stacks here: {known or 'none'}")
        )
    return path


def read(path: Path) -> dict[str, Any]:
    """The file's content.

    Raises:
        TerraceError: it is no YAML map.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise TerraceError(Fault(path.name, f"is no YAML: {error}", "See Pulumi.dev.yaml")) from error
    if not isinstance(content, dict):
        raise TerraceError(Fault(path.name, f"is a {type(content).__name__}, no map", "See Pulumi.dev.yaml"))
    return content


def config(path: Path) -> dict[str, Any]:
    """The stack's settings as they are written."""
    found: dict[str, Any] = read(path).get("config") or {}
    return found


def set_value(path: Path, key: str, value: str, *, comment: str = "", top_level: bool = False) -> bool:
    """Writes a plain value into one line, with a comment behind it; whether anything changed.

    `key` stands under `config:`, or with `top_level` beside it. The file is replaced whole or not at all.

    Raises:
        TerraceError: the key holds a list or a map, or the file would no longer mean the same otherwise.
    """
    before = read(path)
    holder = before if top_level else before.get("config") or {}
    if isinstance(holder.get(key), (list, dict)):
        raise TerraceError(Fault(f"{path.name}: {key}", "holds more than one line", "Change it by hand"))
    if holder.get(key) == value:
        return False
    indent = "" if top_level else "  "
    line = f"{indent}{key}: {_scalar(value)}" + (f" # {comment}" if comment else "")
    text = _with_line(path.read_text(encoding="utf-8"), f"{indent}{key}:", line, top_level=top_level)
    after = yaml.safe_load(text)
    expected = {**before, key: value} if top_level else {**before, "config": {**holder, key: value}}
    if after != expected:
        raise TerraceError(
            Fault(
                f"{path.name}: {key}",
                "could not be changed without changing something else",
                "Change it by hand",
            )
        )
    write(path, text)
    return True


def set_setting(path: Path, key: str, value: Any) -> bool:
    """Writes a setting of any plain value into one line under `config:`, or takes it away (None); whether it changed.

    Raises:
        TerraceError: the key's value stands in more than one line.
    """
    before = read(path)
    holder = before.get("config") or {}
    if (value is None and key not in holder) or (value is not None and holder.get(key) == value):
        return False
    line = f"  {key}: {_flow(value)}"
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next((index for index, each in enumerate(lines) if each.startswith(f"  {key}:")), None)
    kept = [each for index, each in enumerate(lines) if index != at]
    if value is not None:
        beside = next(
            (index for index, each in enumerate(lines) if each.startswith("  terrace:stage:")), None
        )
        begins = beside if beside is not None else lines.index("config:")
        place = at if at is not None else begins + 1
        kept.insert(place, line)
    text = "\n".join(kept) + "\n"
    wanted = {name: each for name, each in holder.items() if name != key}
    if value is not None:
        wanted[key] = value
    if yaml.safe_load(text) != {**before, "config": wanted}:
        raise TerraceError(
            Fault(
                f"{path.name}: {key}",
                "could not be changed without changing something else",
                "Change it by hand",
            )
        )
    write(path, text)
    return True


def write(path: Path, text: str) -> None:
    """Replaces a file whole: what is there after a power cut is the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _with_line(text: str, start: str, line: str, *, top_level: bool) -> str:
    lines = text.splitlines()
    for index, each in enumerate(lines):
        if each.startswith(start):
            lines[index] = line
            return "\n".join(lines) + "\n"
    if top_level:
        return "\n".join([*lines, line]) + "\n"
    at = next((index for index, each in enumerate(lines) if each.rstrip() == "config:"), None)
    if at is None:
        return "\n".join([*lines, "config:", line]) + "\n"
    return "\n".join([*lines[: at + 1], line, *lines[at + 1 :]]) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return _scalar(value)
    return str(yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)).strip()


def _scalar(value: str) -> str:
    """Plain where YAML reads it back as the same text."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./:?=&@-]*", value)
    return value if plain and yaml.safe_load(value) == value else f'"{value}"'
