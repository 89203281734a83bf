"""The only place that turns an SSM document and its parameters into the scripts to run, step by step."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

SHELL = "aws:runShellScript"
DEFAULT_TIMEOUT_SECONDS = 3600
"""How long a script may take when nobody says (executionTimeout of AWS-RunShellScript)."""

RUN_SHELL_SCRIPT = "AWS-RunShellScript"

# The document that AWS publishes under that name, as far as it concerns a Linux instance.
PUBLISHED: dict[str, dict[str, Any]] = {
    RUN_SHELL_SCRIPT: {
        "schemaVersion": "2.2",
        "description": "Run a shell script or specify the commands to run.",
        "parameters": {
            "commands": {"type": "StringList"},
            "workingDirectory": {"type": "String", "default": ""},
            "executionTimeout": {"type": "String", "default": str(DEFAULT_TIMEOUT_SECONDS)},
        },
        "mainSteps": [
            {
                "action": SHELL,
                "name": SHELL,
                "inputs": {
                    "runCommand": "{{ commands }}",
                    "workingDirectory": "{{ workingDirectory }}",
                    "timeoutSeconds": "{{ executionTimeout }}",
                },
            }
        ],
    }
}

_WHOLE = re.compile(r"^\{\{\s*([\w:.-]+)\s*\}\}$")
_INSIDE = re.compile(r"\{\{\s*([\w:.-]+)\s*\}\}")


class DocumentError(ValueError):
    """The document, or what it was given, cannot be run; the message says what AWS would."""


@dataclass(frozen=True, slots=True)
class Script:
    """One step: its plugin name, the script for ``/bin/sh``, where to run it, how long at most."""

    plugin: str
    text: str
    working_directory: str | None
    timeout_seconds: int


def scripts(content: str | Mapping[str, Any], given: Mapping[str, Sequence[str]]) -> tuple[Script, ...]:
    """The scripts of a Command document. Raises ``DocumentError`` for a missing or unknown parameter or step."""
    document: Mapping[str, Any] = yaml.safe_load(content) if isinstance(content, str) else content
    values = _parameters(document.get("parameters") or {}, given)
    steps = document.get("mainSteps")
    if not steps:
        raise DocumentError(
            "the document has no mainSteps (schema 2.2), the embedded cloud runs no older ones"
        )
    return tuple(_script(step, values) for step in steps)


def _parameters(declared: Mapping[str, Any], given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    if unknown := sorted(given.keys() - declared.keys()):
        raise DocumentError(
            f"unknown parameters: {', '.join(unknown)}. The document has: {', '.join(declared)}"
        )
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value: Any = list(given[name]) if name in given else declaration.get("default")
        if value is None:
            raise DocumentError(f"the parameter {name} is required")
        if declaration.get("type") != "StringList":
            value = value[0] if isinstance(value, list) else value
        allowed = declaration.get("allowedValues")
        if allowed and value not in allowed:
            raise DocumentError(f"{name} is {value!r}, must be one of {', '.join(map(str, allowed))}")
        pattern = declaration.get("allowedPattern")
        if pattern and not re.search(pattern, str(value)):
            raise DocumentError(f"{name} is {value!r}, must match {pattern}")
        values[name] = value
    return values


def _script(step: Mapping[str, Any], values: Mapping[str, Any]) -> Script:
    action, name = step.get("action"), str(step.get("name") or step.get("action"))
    if action != SHELL:
        raise DocumentError(f"step {name} is {action}, the embedded cloud runs {SHELL} only")
    inputs = {key: _filled(value, values) for key, value in (step.get("inputs") or {}).items()}
    lines = inputs.get("runCommand") or []
    try:
        timeout_seconds = int(inputs.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS)
    except ValueError:
        raise DocumentError(
            f"timeoutSeconds of step {name} is {inputs['timeoutSeconds']!r}, must be a number"
        ) from None
    text = "\n".join(lines if isinstance(lines, list) else [str(lines)])
    return Script(name, text, inputs.get("workingDirectory") or None, timeout_seconds)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        filled: list[Any] = []
        for item in value:
            one = _filled(item, values)
            filled += one if isinstance(one, list) else [one]
        return filled
    if not isinstance(value, str):
        return value
    if whole := _WHOLE.match(value):
        return values.get(whole[1], value)

    def inside(found: re.Match[str]) -> str:
        one = values.get(found[1], found[0])
        return json.dumps(one) if isinstance(one, list) else str(one)

    return _INSIDE.sub(inside, value)
