"""What machines and their disks are billed for, from the inputs of pulumi-aws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from infra.core.cost.component import Component, Priced, fixed, used
from infra.core.cost.money import Span
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage, Use
from infra.core.instances import INSTANCE_TYPES, InstanceType
from infra.core.prices import HOURS_PER_MONTH

INCLUDED_IOPS = 3000
INCLUDED_MIBPS = 125
"""What a gp3 volume has without paying more (EBS User Guide, "General Purpose SSD volumes")."""

DETAILED_METRICS = 7
"""Custom metrics that detailed monitoring of an instance is billed as (CloudWatch pricing, example for EC2)."""

DEFAULT_ROOT_GIB = 8
"""The root volume of Debian's images where the program gives no size (Debian wiki, Cloud/AmazonEC2Image) (verify)."""


def instance(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Hours, root volume, an address of its own where it takes one, surplus credits, detailed monitoring."""
    name = str(resource.value("instanceType"))
    yield fixed(f"machine {name}", f"ec2.{name}")
    root: Mapping[str, Any] = resource.value("rootBlockDevice", {}) or {}
    size = root.get("volumeSize", DEFAULT_ROOT_GIB)
    yield from disk(
        "root volume", root.get("volumeType", "gp3"), size, root.get("iops"), root.get("throughput")
    )
    if resource.inputs.get("associatePublicIpAddress"):
        yield fixed("public IPv4 address", "ipv4")
    if resource.value("monitoring", default=False):
        yield fixed("detailed monitoring", "cw.metric", DETAILED_METRICS)
    kind = INSTANCE_TYPES.get(name)
    # Unlimited is what T4g, T3 and T3a are without a word (EC2 User Guide, "Unlimited mode").
    mode = resource.value("creditSpecification.cpuCredits", "unlimited")
    if kind is not None and kind.burstable and mode == "unlimited":
        yield surplus_credits(kind, usage["cpu.percent"], "ec2.surplus-credit")


def surplus_credits(kind: InstanceType, use: Use, key: str) -> Component:
    """vCPU-hours above the baseline, from the mean CPU: what `unlimited` costs where credits do not last."""
    baseline = Decimal(kind.baseline_percent or 0)

    def hours(percent: Decimal) -> Decimal:
        return max(Decimal(0), percent - baseline) / 100 * kind.vcpus * HOURS_PER_MONTH

    amount = Span(hours(use.amount.low), hours(use.amount.likely), hours(use.amount.high))
    why = f"mean CPU above {baseline} %: {use.why}"
    return Component("surplus CPU credits", key, amount, use.basis, why)


def disk(
    name: str, type_: str, size_gib: float, iops: float | None, throughput_mibps: float | None
) -> Iterator[Component]:
    """A volume's GiB, and what a gp3 volume has beyond what is included."""
    yield fixed(f"{name} {type_}", f"ebs.{type_}", size_gib)
    if type_ != "gp3":
        return
    if iops and iops > INCLUDED_IOPS:
        yield fixed(f"{name} IOPS beyond {INCLUDED_IOPS}", "ebs.gp3.iops", iops - INCLUDED_IOPS)
    if throughput_mibps and throughput_mibps > INCLUDED_MIBPS:
        extra = throughput_mibps - INCLUDED_MIBPS
        yield fixed(f"{name} MiB/s beyond {INCLUDED_MIBPS}", "ebs.gp3.throughput", extra)


def volume(resource: Resource, _usage: Usage) -> Iterator[Component]:
    """A data volume. pulumi-aws makes gp2 where no type is given (facts of EBS's API)."""
    yield from disk(
        "volume",
        resource.value("type", "gp2"),
        resource.value("size"),
        resource.value("iops"),
        resource.value("throughput"),
    )


def _snapshots(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("snapshots", "ebs.snapshot", usage, f"snapshots.gib@{resource.name}")


def _vault(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("recovery points", "backup.ebs", usage, f"backup.gib@{resource.name}")


def _function(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("calls", "lambda.requests", usage, f"lambda.million@{resource.name}")


PRICED: Mapping[str, Priced] = {
    "aws:ec2/instance:Instance": instance,
    "aws:ebs/volume:Volume": volume,
    "aws:ebs/snapshot:Snapshot": _snapshots,
    "aws:dlm/lifecyclePolicy:LifecyclePolicy": _snapshots,
    "aws:backup/vault:Vault": _vault,
    "aws:lambda/function:Function": _function,
}
