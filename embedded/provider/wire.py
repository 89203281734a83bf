"""The only place for values on Pulumi's wire: structs to plain Python and back, unknown values, comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that a preview cannot know (pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go)."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 the signature of secrets, none itself


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A struct as Python values: whole numbers as int, secrets as what they hold."""
    found: dict[str, Any] = _plain(json_format.MessageToDict(struct))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return _plain(value["value"])
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Python values as a struct; dates become ISO 8601 text, None disappears."""
    message = struct_pb2.Struct()
    json_format.ParseDict(_sendable(values), message)
    return message


def _sendable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sendable(each) for key, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_sendable(each) for each in value]
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def has_unknown(value: Any) -> bool:
    """Whether something in it is not known yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(has_unknown(each) for each in value)
    return bool(value == UNKNOWN)


ACTIONS = frozenset({"allow", "block", "captcha", "challenge", "count", "none"})
"""Members whose empty object says something: AWS WAF names actions so (API reference, RuleAction, OverrideAction)."""


def actions(value: Mapping[str, Any]) -> set[str]:
    """The actions that an object names by an empty object."""
    return {name for name in ACTIONS & value.keys() if value[name] == {}}


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same to AWS: absent and empty alike but for actions, JSON text by its content."""
    if _empty(one) and _empty(other):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return one == other or _same_json(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        alike = all(same(one.get(key), other.get(key)) for key in {*one, *other})
        return alike and actions(one) == actions(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def seen_in(old: Any, live: Any, shape: Mapping[str, Any]) -> Any:
    """What a refresh records of `live` for an input that was `old` and has that shape in the schema.

    Of an object only what the input spoke of is compared: defaults that AWS adds are no drift. Lists that differ in
    their order alone are taken as sets, and what means the same stays as it was written.
    """
    if same(old, live):
        return old
    kind = shape.get("type")
    if kind == "object" and isinstance(old, Mapping) and isinstance(live, Mapping):
        members = shape["inputs"]
        return {
            key: value if live.get(key) is None else seen_in(value, live[key], members.get(key, {}))
            for key, value in old.items()
        }
    if kind == "array" and isinstance(old, list) and isinstance(live, list):
        if _canonical(old) == _canonical(live):
            return old
        if len(old) == len(live):
            return [seen_in(*pair, shape["items"]) for pair in zip(old, live, strict=True)]
    return live


def _canonical(values: list[Any]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True, default=str) for each in values)


def _empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, list, dict)) and not value)


def _same_json(one: str, other: str) -> bool:
    if one[:1] not in ("{", "[") or other[:1] not in ("{", "["):
        return False
    try:
        return bool(json.loads(one) == json.loads(other))
    except json.JSONDecodeError:
        return False
