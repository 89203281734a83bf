"""What a GPU endpoint on RunPod is billed for, from the inputs of our dynamic resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.core.cost.component import Component, Priced, fixed, used
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage
from infra.core.gpu.modes import Envelope, Wanted
from infra.core.prices import SECONDS_PER_MONTH


def endpoint(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Workers that always run, by the month; the seconds of the others by use. The envelope's mode decides which.

    Raises:
        ValueError: the envelope is missing or holds no mode; that is never 0.
    """
    envelope = resource.value("envelope")
    if not isinstance(envelope, Mapping) or envelope.get("mode") not in set(Wanted):
        raise ValueError(f"its envelope has no mode: {envelope!r}")
    allowed = Envelope.from_data(envelope)
    if allowed.wanted is Wanted.OFF:
        return
    if always := allowed.first().least:
        yield fixed("workers that always run", "gpu.l4.active", always * SECONDS_PER_MONTH)
    else:
        yield used("seconds of workers", "gpu.l4.flex", usage, f"gpu.seconds@{resource.name}")


PRICED: Mapping[str, Priced] = {"pulumi-python:dynamic/gpu:Endpoint": endpoint}
