"""The only place for what a stage consists of as far as money goes: its resources, made up without an engine.

A test holds them against the program: each price's fixed quantity is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.core.alarms import alarm_set
from infra.core.cost.resource import Resource
from infra.core.cost.watching import watching_resources
from infra.core.shape import Box, Placement, Shape, shape
from infra.core.stages import Stage
from infra.core.storage import BucketRole
from infra.core.thresholds import Facts

LOG_GROUPS = ("nginx-access", "nginx-error", "backend", "frontend", "database", "system")


def stage_resources(stage: Stage, *, data_volume_gib: int | None = None) -> list[Resource]:
    """What a stage is billed for, with inputs as pulumi-aws names them."""
    return list(_resources(shape(stage, data_volume_gib=data_volume_gib)))


def _resources(standing: Shape) -> Iterator[Resource]:
    yield _resource("aws:kms/key:Key", "key", enableKeyRotation=True)
    for role in BucketRole:
        yield _resource("aws:s3/bucket:Bucket", role.value)
    for group in LOG_GROUPS:
        yield _resource("aws:cloudwatch/logGroup:LogGroup", group)
    yield _resource("aws:sns/topic:Topic", "alarms")
    yield _resource("aws:ec2/flowLog:FlowLog", "flows")
    yield from watching_resources(alarm_set(Facts(standing)))
    if standing.eip:
        yield _resource("aws:ec2/eip:Eip", "address")
    elsewhere = standing.on(Placement.PUBLIC)[int(standing.eip) :]  # the first public box has the address
    for box in standing.boxes:
        yield _box(box, with_address=box in elsewhere)
    if standing.data_volume_gib:
        yield _resource("aws:ebs/volume:Volume", "data", size=standing.data_volume_gib, type="gp3")
        yield _resource("aws:dlm/lifecyclePolicy:LifecyclePolicy", "snapshots")
    if standing.database:
        yield _resource(
            "aws:rds/instance:Instance",
            "database",
            instanceClass=standing.database.name,
            storageType="gp3",
            allocatedStorage=standing.database_gib,
            manageMasterUserPassword=True,
        )
    for _ in range(standing.nat_gateways):
        yield _resource("aws:ec2/eip:Eip", "nat")
        yield _resource("aws:ec2/natGateway:NatGateway", "nat")
    if standing.load_balancer_zones:
        zones = [f"zone-{index}" for index in range(standing.load_balancer_zones)]
        yield _resource("aws:lb/loadBalancer:LoadBalancer", "balancer", subnets=zones)


def _box(box: Box, *, with_address: bool) -> Resource:
    return _resource(
        "aws:ec2/instance:Instance",
        box.name,
        instanceType=box.instance.name,
        rootBlockDevice={"volumeType": "gp3", "volumeSize": box.root_gib},
        associatePublicIpAddress=with_address,
    )


def _resource(token: str, name: str, **inputs: Any) -> Resource:
    return Resource(f"stage::{token}::{name}", token, inputs)
