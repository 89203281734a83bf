"""The only place for what a resource is to those who judge it without a cloud: its URN, kind, inputs and outputs.

Costs, policy rules and previews see the same thing, whether it comes from a recorded program, a preview or a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for a value that only an update will tell (pulumi SDK, runtime/rpc.py)."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 a marker of the engine's, no secret
SECRET_TEXT = "[secret]"  # noqa: S105


class NotKnownError(Exception):
    """A value that only an update will tell."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource; `inputs` and `outputs` in Pulumi's names, `options` those of its options that rules ask about."""

    urn: str
    token: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = True
    protect: bool = False
    retain: bool = False

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """`ec2.Instance`, for people; of a dynamic provider `gpu.Endpoint`."""
        package, _, rest = self.token.partition(":")
        module, _, short = rest.partition(":")
        if package == "pulumi-python":
            return f"{module.rpartition('/')[2]}.{short}"
        return f"{module.partition('/')[0]}.{short}" if package == "aws" else self.token

    def value(self, path: str, default: Any = None) -> Any:
        """The input at that dotted path, else what was last read of it, else `default`.

        Raises:
            NotKnownError: it depends on something that only an update will tell.
        """
        wanted = dig(self.inputs, path)
        if wanted == UNKNOWN or wanted is None:
            seen = dig(self.outputs, path)
            if seen is not None and seen != UNKNOWN:
                return seen
            if wanted == UNKNOWN:
                raise NotKnownError(path)
        return default if wanted is None else wanted


def dig(values: Any, path: str) -> Any:
    """What stands at a dotted path in maps, or None."""
    for part in path.split("."):
        if not isinstance(values, Mapping):
            return UNKNOWN if values == UNKNOWN else None
        values = values.get(part)
    return values


def masked(value: Any) -> Any:
    """The value with every secret replaced by a word; the engine marks them by a signature or hides them itself."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return SECRET_TEXT
        return {key: masked(each) for key, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value
