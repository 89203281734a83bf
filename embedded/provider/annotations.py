"""The only place that reads pulumi_aws's own type annotations; run as a program, it prints them as JSON.

pulumi_aws is large (some 80 MB for EC2 alone), so the embedded cloud never imports it: this runs once for each
version, in a process of its own, and embedded/provider/schema.py keeps what it printed.

    python -m embedded.provider.annotations aws:ec2/instance:Instance …
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi._types as pulumi_types
import pulumi_aws

SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}


def known_classes() -> dict[str, tuple[str, str]]:
    """Module and class name by resource token, for every resource of the package."""
    source = inspect.getsource(pulumi_aws)
    listed = json.loads(source.split('resource_modules="""')[1].split('"""')[0])
    return {token: (module["fqn"], name) for module in listed for token, name in module["classes"].items()}


def describe(token: str, classes: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Inputs, required inputs and outputs of one resource, by their names on the wire."""
    module_name, class_name = classes[token]
    resource = getattr(importlib.import_module(module_name), class_name)
    module = sys.modules[resource.__module__]
    arguments = getattr(module, f"{class_name}InitArgs", None) or getattr(module, f"{class_name}Args")
    return {
        **_properties(arguments, vars(module)),
        "outputs": {
            name: _shape(hint) for name, hint in sorted(pulumi_types.resource_types(resource).items())
        },
    }


def _properties(
    arguments: type, names_in_scope: Mapping[str, Any], within: tuple[type, ...] = ()
) -> dict[str, Any]:
    scope = {**names_in_scope, "Output": pulumi.Output, "T": typing.Any}
    constructor: Any = vars(arguments)["__init__"]
    hints = typing.get_type_hints(constructor, scope)
    wire = pulumi_types.input_type_py_to_pulumi_names(arguments)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(constructor).parameters.items()
        if name in wire
    }
    return {
        "inputs": {wire[name]: _shape(hints[name], within) for name in sorted(parameters)},
        "required": sorted(
            wire[name] for name, parameter in parameters.items() if parameter.default is parameter.empty
        ),
    }


def _shape(hint: Any, within: tuple[type, ...] = ()) -> dict[str, Any]:
    """A type as {"type": …}; of a union, what remains without None, awaitables, outputs and enumerations.

    A type `within` which this one stands (a statement of a web ACL holds statements) is not described a second time.
    """
    members = _members(hint)
    if not members:
        return {"type": "any"}
    if len(members) > 1:
        return {"type": "any-of", "members": [_shape(each, within) for each in members]}
    (member,) = members
    origin, arguments = typing.get_origin(member), typing.get_args(member)
    if member in SCALARS:
        return {"type": SCALARS[member]}
    if origin in (list, collections.abc.Sequence):
        return {"type": "array", "items": _shape(arguments[0], within)}
    if origin in (dict, collections.abc.Mapping):
        return {"type": "map", "items": _shape(arguments[1], within)}
    if member in within:
        return {"type": "any"}
    if isinstance(member, type) and pulumi_types.is_input_type(member):
        names = vars(sys.modules[member.__module__])
        return {"type": "object", **_properties(member, names, (*within, member))}
    if isinstance(member, type) and pulumi_types.is_output_type(member):
        return {
            "type": "object",
            "outputs": {
                name: _shape(hint, (*within, member))
                for name, hint in sorted(pulumi_types.output_type_types(member).items())
            },
        }
    return {"type": "any"}


def _members(hint: Any) -> list[Any]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return [] if hint in (None, type(None), Any) else [hint]
    found: list[Any] = []
    for each in typing.get_args(hint):
        origin = typing.get_origin(each)
        if each is type(None) or origin is collections.abc.Awaitable or origin is pulumi.Output:
            continue
        if isinstance(each, type) and issubclass(each, pulumi_enums()):
            continue
        if isinstance(each, type) and each.__name__.endswith("ArgsDict"):
            continue
        found += [member for member in _members(each) if member not in found]
    return found


def pulumi_enums() -> type:
    """The base of pulumi_aws's enumerations: advisory, any string is accepted beside them."""
    import enum

    return enum.Enum


def main() -> None:
    classes = known_classes()
    tokens = [token for token in sys.argv[1:] if token in classes]
    json.dump(
        {"tokens": sorted(classes), "resources": {token: describe(token, classes) for token in tokens}},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
