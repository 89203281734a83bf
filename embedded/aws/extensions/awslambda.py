"""Lambda: where a function logs to, which moto 5.2.5 takes and forgets."""

from __future__ import annotations

from typing import Any

from moto.awslambda.models import LambdaFunction

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(LambdaFunction)
def __init__(original: Any, function: Any, *arguments: Any, **more: Any) -> None:  # noqa: N807
    original(function, *arguments, **more)
    spec = more.get("spec") or next(each for each in arguments if isinstance(each, dict))
    function.logging_config = spec.get("LoggingConfig")


@patches.wrap(LambdaFunction)
def update_configuration(original: Any, function: Any, changes: dict[str, Any]) -> dict[str, Any]:
    if "LoggingConfig" in changes:
        function.logging_config = changes["LoggingConfig"]
    answer: dict[str, Any] = original(function, changes)
    return answer


@patches.wrap(LambdaFunction)
def get_configuration(original: Any, function: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = original(function, *arguments, **more)
    if function.logging_config:
        answer["LoggingConfig"] = function.logging_config
    return answer


def install() -> None:
    """Install into moto."""
    patches.apply()
