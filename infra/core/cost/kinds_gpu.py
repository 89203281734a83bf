"""What a GPU endpoint on RunPod is billed for, from the inputs of our dynamic resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from infra.core.cost.component import Component, Priced, fixed
from infra.core.cost.gpu import Assumptions, serverless_seconds
from infra.core.cost.money import Basis, Span
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage, Use
from infra.core.gpu.modes import Envelope, Wanted
from infra.core.prices import SECONDS_PER_MONTH

RECEIPTS_A_DAY = (60, 600, 2000)
"""Few, as many as the founding document's 60 daily users bring, many."""


def endpoint(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Workers that always run, by the month; the seconds of the others by use; the disk of either. The mode decides.

    Raises:
        ValueError: the envelope holds no mode, or the spec no disk; that is never 0.
    """
    envelope = resource.value("envelope")
    if not isinstance(envelope, Mapping) or envelope.get("mode") not in set(Wanted):
        raise ValueError(f"its envelope has no mode: {envelope!r}")
    allowed = Envelope.from_data(envelope)
    if allowed.wanted is Wanted.OFF:
        return
    disk_gib = Decimal(str(resource.value("spec.disk", default=0)))
    if disk_gib <= 0:
        raise ValueError("its spec names no disk")
    if always := allowed.first().least:
        yield fixed("workers that always run", "gpu.l4.active", always * SECONDS_PER_MONTH)
        yield fixed("their disks", "gpu.disk", always * disk_gib)
        return
    use = _seconds(allowed, usage[f"gpu.seconds@{resource.name}"])
    yield Component("seconds of workers", "gpu.l4.flex", use.amount, use.basis, use.why)
    months = use.amount.times(disk_gib / SECONDS_PER_MONTH)
    yield Component("their disks while they run", "gpu.disk", months, use.basis, use.why)


def _seconds(allowed: Envelope, use: Use) -> Use:
    """Billed seconds a month. An idle worker is billed until it goes, so what is assumed of `soft` holds its waiting.

    `auto` may come to either: likely what flex takes, at most what soft does.
    """
    if use.basis is Basis.OBSERVED or allowed.wanted is Wanted.FLEX or allowed.idle_timeouts is None:
        return use
    idle = Decimal(allowed.idle_timeouts.soft)
    low, likely, high = (serverless_seconds(Assumptions(), idle, Decimal(each)) for each in RECEIPTS_A_DAY)
    few, _, many = RECEIPTS_A_DAY
    said = f"{few} to {many} receipts a day, each keeping its worker {idle} s longer"
    if allowed.wanted is Wanted.AUTO:
        return Use(
            Span(use.amount.low, use.amount.likely, max(high, use.amount.likely)),
            use.basis,
            f"{use.why}; {said}",
        )
    return Use(Span(low, likely, high), use.basis, said)


PRICED: Mapping[str, Priced] = {"pulumi-python:dynamic/gpu:Endpoint": endpoint}
