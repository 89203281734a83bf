"""What a GPU endpoint on RunPod is billed for, from the inputs of our dynamic resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.core.cost.component import Component, Priced, fixed, used
from infra.core.cost.resource import Resource, dig
from infra.core.cost.usage import Usage
from infra.core.prices import HOURS_PER_MONTH, SECONDS_PER_HOUR

SECONDS_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR


def endpoint(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Workers that always run, by the month; the seconds of the others by use."""
    always = next(
        (
            found
            for path in ("workers.min", "workersMin", "bodies.endpoint.workers.min")
            if (found := dig(resource.inputs, path)) is not None
        ),
        0,
    )
    if always:
        yield fixed("workers that always run", "gpu.l4.active", int(always) * SECONDS_PER_MONTH)
    else:
        yield used("seconds of workers", "gpu.l4.flex", usage, f"gpu.seconds@{resource.name}")


PRICED: Mapping[str, Priced] = {
    "pulumi-python:dynamic/gpu:Endpoint": endpoint,
    "pulumi-python:dynamic/runpod:Endpoint": endpoint,
}
