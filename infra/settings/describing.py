"""The only place for what is said of keys and faults by the model's own descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from infra.core.errors import Fault, nearest
from infra.settings.model import Settings
from infra.settings.values import NAMESPACE


def fault(error: ErrorDetails) -> Fault:
    """What pydantic refused, with its dotted path, value and remedy."""
    path = _path(error["loc"])
    context = error.get("ctx", {})
    if error["type"] == "terrace":
        return Fault(path, context["what"], context["remedy"])
    field = _field(error["loc"])
    if error["type"] == "missing":
        example = field.examples[0] if field is not None and field.examples else None
        shown = f", such as {example}" if example else ""
        return Fault(path, "is missing", f"It is {field.description if field else 'required'}{shown}")
    if error["type"] == "extra_forbidden":
        known = _known_at(error["loc"])
        name = str(error["loc"][-1])
        return Fault(
            path, "is no key of this project", f"Keys here: {', '.join(known)}{nearest(name, known)}"
        )
    got = error.get("input")
    remedy = f"It is {field.description}" if field is not None and field.description else "See Pulumi.yaml"
    return Fault(path, f"{got!r}: {error['msg'][:1].lower()}{error['msg'][1:]}", remedy)


def described_keys() -> Iterator[tuple[str, str]]:
    """Every key of a stack file with its description, in the order of the model."""
    for name, info in Settings.model_fields.items():
        alias = info.alias or to_camel(name)
        yield (alias if ":" in alias else f"{NAMESPACE}:{alias}"), info.description or ""


def reference() -> str:
    """Every key with its description and default, as comment lines: what stands in Pulumi.yaml, held by a test."""
    return "\n".join(_reference_lines(Settings, ""))


def _path(location: tuple[int | str, ...]) -> str:
    first, *rest = location
    dotted = str(first) if ":" in str(first) else f"{NAMESPACE}:{first}"
    return dotted + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest if part != "[key]"
    )


def _models_on_the_way(location: tuple[int | str, ...]) -> Iterator[tuple[type[BaseModel], str]]:
    model: type[BaseModel] = Settings
    for part in location:
        yield model, str(part)
        for name, info in model.model_fields.items():
            if (info.alias or to_camel(name)) != part:
                continue
            nested = [info.annotation, *getattr(info.annotation, "__args__", ())]
            model = next(
                (each for each in nested if isinstance(each, type) and issubclass(each, BaseModel)), model
            )


def _field(location: tuple[int | str, ...]) -> Any:
    found = None
    for model, part in _models_on_the_way(location):
        for name, info in model.model_fields.items():
            if (info.alias or to_camel(name)) == part:
                found = info
    return found


def _known_at(location: tuple[int | str, ...]) -> list[str]:
    model = list(_models_on_the_way(location))[-1][0]
    return [info.alias or to_camel(name) for name, info in model.model_fields.items()]


def _reference_lines(model: type[BaseModel], indent: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        alias = info.alias or to_camel(name)
        key = alias if indent or ":" in alias else f"{NAMESPACE}:{alias}"
        nested = _nested_model(info.annotation)
        default = (
            ""
            if nested or info.is_required()
            else f" [{_plain_default(info.get_default(call_default_factory=True))}]"
        )
        yield f"#   {indent + key:<30} {info.description}{'' if not info.is_required() else ' (required)'}{default}"
        if nested is not None:
            yield from _reference_lines(nested, indent + "  ")


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    for each in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _plain_default(value: Any) -> str:
    return json.dumps(value, default=str) if value is not None else "none"
