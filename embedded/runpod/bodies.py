"""The only place for what the double takes in a body: closed objects, and the words in which the platform refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from infra.core.gpu.platform import IDLE_TIMEOUT_SECONDS, POOLS, EndpointType, FlashBoot, Scaler

Json = dict[str, Any]
Check = Callable[[Any], str]


class Refused(Exception):  # noqa: N818 an answer of the API, not an error of the double
    """A refusal with its status; `errors` are lines as the platform's validator gives them, `allow` the methods."""

    def __init__(self, status: int, detail: str, *errors: str, allow: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.allow = status, detail, errors, allow


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be a string"


def _filled(value: Any) -> str:
    return "" if isinstance(value, str) and value else "must have length >= 1"


def _whole(least: int, most: float = float("inf")) -> Check:
    def check(value: Any) -> str:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if right else f"must be an integer >= {least}" + (f" and <= {most:g}" if most < 1e9 else "")

    return check


def _texts(value: Any) -> str:
    right = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "" if right else "must be an array of strings"


def _distinct(value: Any) -> str:
    return _texts(value) or ("" if len(set(value)) == len(value) else "must hold unique items")


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


def _map(value: Any) -> str:
    right = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    return "" if right else "must be an object of strings"


def _cuda(value: Any) -> str:
    right = isinstance(value, list) and all(re.fullmatch(r"\d+\.\d+", str(each)) for each in value)
    return "" if right else "must be an array of major.minor"


def _floor(value: Any) -> str:
    return "" if re.fullmatch(r"$|\d+\.\d+", str(value)) else "must be major.minor"


def _scaling(value: Any) -> str:
    if not isinstance(value, dict):
        return "must be an object"
    if value.get("type") == Scaler.QUEUE_DELAY:
        delay = value.get("queueDelay")
        right = set(value) == {"type", "queueDelay"} and isinstance(delay, (int, float)) and delay >= 0.5
        return "" if right else "must hold queueDelay >= 0.5"
    if value.get("type") == Scaler.REQUEST_COUNT:
        count = value.get("requestCount")
        right = set(value) == {"type", "requestCount"} and isinstance(count, int) and count >= 1
        return "" if right else "must hold requestCount >= 1"
    return "must have a type of QUEUE_DELAY, REQUEST_COUNT"


GPU: Mapping[str, Check] = {
    "pools": _texts, "excludedTypes": _distinct, "count": _whole(1), "allowedCudaVersions": _cuda,
    "minCudaVersion": _floor,
}  # fmt: skip
WORKERS: Mapping[str, Check] = {
    "min": _whole(0), "max": _whole(0), "idleTimeout": _whole(*IDLE_TIMEOUT_SECONDS),
}  # fmt: skip
ENDPOINT: Mapping[str, Check] = {
    "name": _filled, "type": _one_of(*EndpointType), "image": _text, "args": _text, "disk": _whole(1),
    "env": _map, "ports": _texts, "registry": lambda value: "" if value is None else _text(value),
    "scaling": _scaling, "flashboot": _one_of(*FlashBoot), "timeout": _whole(0), "dataCenterIds": _texts,
    "networkVolumes": _texts, "templateId": _filled,
}  # fmt: skip
REGISTRY: Mapping[str, Check] = {"name": _filled, "username": _filled, "password": _filled}


def closed(
    body: Any, fields: Mapping[str, Check], path: str = "$", *, open_to: tuple[str, ...] = ()
) -> list[str]:
    """What is wrong with an object that takes no other fields; `open_to` are checked elsewhere."""
    if not isinstance(body, dict):
        return [f"{path}: must be an object"]
    wrong = []
    for name, value in body.items():
        if name in open_to:
            continue
        if name not in fields:
            wrong.append(f"{path}: additional properties '{name}' not allowed")
        elif said := fields[name](value):
            wrong.append(f"{path}.{name}: {said}")
    return wrong


def check_endpoint(body: Any, *, create: bool) -> None:
    """A create or a change, as far as its own form goes.

    Raises:
        Refused: 422 for the form, 400 for fields that do not go together.
    """
    fields = ENDPOINT if create else {name: check for name, check in ENDPOINT.items() if name != "type"}
    wrong = closed(body, fields, open_to=("gpu", "cpu", "workers"))
    if isinstance(body, dict):
        if "gpu" in body:
            wrong += closed(body["gpu"], GPU, "$.gpu")
        if "workers" in body:
            wrong += closed(body["workers"], WORKERS, "$.workers")
        needed = ["name", "type", "scaling", *([] if "templateId" in body else ["image"])] if create else []
        if missing := [name for name in needed if name not in body]:
            # The platform then calls every other field "not allowed" as well.
            wrong = [f"$: missing property '{name}'" for name in missing] + [
                f"$: additional properties '{name}' not allowed" for name in body
            ]
    if wrong:
        raise Refused(422, "Request validation failed.", *wrong)
    if create and ("gpu" in body) == ("cpu" in body):
        raise Refused(400, "exactly one of gpu and cpu is required")
    _check_gpu(body.get("gpu"), create=create)


def check_together(body: Json) -> None:
    """A whole endpoint, where fields meet.

    Raises:
        Refused: 422 for an idle timeout beside REQUEST_COUNT on a queue, and for a scaler that the type has not.
    """
    counts = body["scaling"]["type"] == Scaler.REQUEST_COUNT
    if body["type"] == EndpointType.QUEUE and counts and "idleTimeout" in body["workers"]:
        raise Refused(
            422, "Request validation failed.", "$.workers.idleTimeout: not allowed with REQUEST_COUNT"
        )
    if body["type"] == EndpointType.LOAD_BALANCER and not counts:
        raise Refused(422, "Request validation failed.", "$.scaling: LOAD_BALANCER takes REQUEST_COUNT")
    gpu = body.get("gpu") or {}
    if gpu.get("allowedCudaVersions") and gpu.get("minCudaVersion"):
        raise Refused(400, "allowedCudaVersions and minCudaVersion are mutually exclusive")


def _check_gpu(gpu: Any, *, create: bool) -> None:
    if gpu is None:
        return
    if create and not gpu.get("pools"):
        raise Refused(422, "Request validation failed.", "$.gpu: missing property 'pools'")
    if "excludedTypes" in gpu and "pools" not in gpu:
        raise Refused(422, "Request validation failed.", "$.gpu: 'excludedTypes' requires 'pools'")
    pools = gpu.get("pools")
    if pools is None:
        return
    if unknown := [each for each in pools if each not in POOLS]:
        raise Refused(400, f"unknown pool {unknown[0]}; valid: {', '.join(POOLS)}")
    cards = [card for pool in pools for card in POOLS[pool]]
    excluded = gpu.get("excludedTypes", [])
    if foreign := [each for each in excluded if each not in cards]:
        raise Refused(400, f"excluded type {foreign[0]} is not in the selected pools")
    if cards and set(cards) <= set(excluded):
        raise Refused(400, "the exclusions leave no GPU type")
