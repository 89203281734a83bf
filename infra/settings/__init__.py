"""The only place for a stack's settings: one frozen model, every key described, every fault at once.

`from_engine()` reads what the engine hands to the program, `from_file()` a stack file without the engine; both end
in `parse()`, so there is one rule behind two doors. Secrets never stand here: only the names of SSM parameters.

values      what one value may be
model       the keys
between     what two of them may be together
describing  how keys and faults are worded
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra.core.errors import Fault, TerraceError, nearest
from infra.settings.between import between_fields
from infra.settings.describing import described_keys, fault, reference
from infra.settings.model import Account, Budget, Drill, Settings
from infra.settings.values import LOG_RETENTION_DAYS, NAMESPACE

__all__ = [
    "LOG_RETENTION_DAYS",
    "Account",
    "Budget",
    "Drill",
    "Settings",
    "described_keys",
    "from_engine",
    "from_file",
    "parse",
    "project_name",
    "reference",
]


def parse(raw: Mapping[str, Any], *, where: str) -> Settings:
    """Settings from keys with their namespaces (`terrace:stage`, `aws:region`); `where` names their source.

    Raises:
        TerraceError: everything that is wrong, at once, each with its dotted path, value, bound and remedy.
    """
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in raw.items():
        namespace, _, name = key.rpartition(":")
        if namespace == NAMESPACE:
            values[name] = _decoded(value)
        elif key == "aws:region":
            values[key] = value
        elif namespace not in ("aws", "pulumi"):
            faults.append(
                Fault(
                    key,
                    f"{namespace or '(none)'!r} is no namespace of this project",
                    f"Use {NAMESPACE}:{name}{nearest(namespace, [NAMESPACE])}",
                )
            )
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults += [fault(each) for each in error.errors(include_url=False)]
    faults += between_fields(values, {each.path for each in faults})
    if faults or settings is None:
        count = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
        raise TerraceError(*faults, summary=f"{where} has {count}; nothing was changed.")
    return settings


def from_file(path: Path) -> Settings:
    """Settings of a stack file such as `Pulumi.dev.yaml`, without the engine.

    Raises:
        TerraceError: no such file, no YAML, or anything that `parse` refuses.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = content.get("config") or {}
        items = dict(config.items())
    except FileNotFoundError as error:
        raise TerraceError(Fault(str(path), "there is no such file", "Name a stack that has one")) from error
    except (yaml.YAMLError, AttributeError) as error:
        raise TerraceError(Fault(str(path), f"is no stack file: {error}", "See Pulumi.dev.yaml")) from error
    secret = {key for key, value in items.items() if isinstance(value, Mapping) and "secure" in value}
    _refuse_secrets(secret, path.name)
    return parse(items, where=path.name)


def from_engine(stack: str) -> Settings:
    """Settings that the engine handed to this program.

    Raises:
        TerraceError: anything that `parse` refuses, or a value that is a secret.
    """
    from pulumi.runtime import config  # not at import: `from_file` works without the SDK

    where = f"Pulumi.{stack}.yaml"
    items = {**config.get_config_env(), **config.CONFIG.get()}
    _refuse_secrets({key for key in items if config.is_config_secret(key)}, where)
    return parse(items, where=where)


def project_name(root: Path) -> str:
    """The project's name, from Pulumi.yaml."""
    return str(yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])


def _refuse_secrets(keys: set[str], where: str) -> None:
    ours = sorted(key for key in keys if key.startswith(f"{NAMESPACE}:"))
    if ours:
        raise TerraceError(
            *(
                Fault(
                    key,
                    "is a secret, and secrets do not stand in stack files",
                    "Name it in terrace:app.secrets and fill it with: scripts/account.py set NAME",
                )
                for key in ours
            ),
            summary=f"{where} holds secrets; nothing was changed.",
        )


def _decoded(value: object) -> object:
    """The engine hands lists and maps over as JSON text; a stack file holds them as they are."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
