"""The only place for what may befall the double by name, from outside: `scripts/local.py fault`.

{"kind": "runpod-crash-loop"}                                  also dead-engine, bad-image, no-stock
{"kind": "runpod-429", "times": 3, "retry_after_seconds": 60}  also 401, 403, 500, slow, lost-reply, ...
{"kind": "runpod-well"}                                        all of it is over
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from embedded.aws.errors import FaultError
from embedded.runpod.double import Double
from embedded.runpod.faults import FaultName
from embedded.runpod.model import Habits

PREFIX = "runpod-"
MOST_TIMES, MOST_SECONDS = 1000, 86400


def _dead_engine(double: Double) -> None:
    for endpoint in double.endpoints:
        for worker in endpoint.workers.values():
            worker.dead_engine = True


def _crash_loop(double: Double) -> None:
    for endpoint in double.endpoints:
        endpoint.crashing = True


def _bad_image(double: Double) -> None:
    double.habits.bad_images |= {str(each.body["image"]) for each in double.endpoints}


def _no_stock(double: Double) -> None:
    double.habits.stock = dict.fromkeys(double.habits.stock, "NONE")


def _well(double: Double) -> None:
    double.faults.planned.clear()
    double.habits.bad_images.clear()
    double.habits.stock = Habits().stock
    for endpoint in double.endpoints:
        endpoint.crashing = endpoint.dead_engines = False
        for worker in endpoint.workers.values():
            worker.dead_engine = False


BEFALLS: Mapping[str, tuple[Callable[[Double], None], str]] = {
    "dead-engine": (_dead_engine, "the engines of all living workers are dead; their jobs fail at once"),
    "crash-loop": (_crash_loop, "workers crash at their start, until the image or environment is changed"),
    "bad-image": (_bad_image, "the endpoints' images cannot be pulled"),
    "no-stock": (_no_stock, "no card is to be had"),
    "well": (_well, "nothing befalls the RunPod double any more"),
}
KINDS = tuple(PREFIX + each for each in (*BEFALLS, *FaultName))


def strike(values: Mapping[str, Any], double: Double) -> str | None:
    """Lets it befall the double; what was done, or None where the kind is none of the double's.

    Raises:
        FaultError: a part of it is unknown or out of its bounds.
    """
    kind = str(values.get("kind"))
    if not kind.startswith(PREFIX):
        return None
    if kind not in KINDS:
        raise FaultError(f"kind is {kind!r}; of RunPod's there are {', '.join(KINDS)}")
    name = kind.removeprefix(PREFIX)
    if name in BEFALLS:
        act, said = BEFALLS[name]
        act(double)
        return said
    times = _number(values, "times", 1, MOST_TIMES)
    retry = _number(values, "retry_after_seconds", 1, MOST_SECONDS)
    seconds = _number(values, "seconds", 45, MOST_SECONDS)
    method, path = (str(values.get(each, "")) for each in ("method", "path"))
    double.faults.plan(
        FaultName(name), method=method, path=path, times=times, retry_after_seconds=retry, seconds=seconds
    )
    where = f" of {method or 'any method'} {path or 'anywhere'}" if method or path else ""
    return f"the next {times} calls{where} meet {name}"


def _number(values: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = values.get(name, default)
    if type(value) is not int or not 1 <= value <= most:
        raise FaultError(f"{name} is {value!r}, must be a whole number from 1 to {most}")
    return value
