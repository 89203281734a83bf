"""The only place for what a stage consists of once a stack's own sizes are applied."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from infra.core.instances import DATABASE_CLASSES, DatabaseClass, InstanceType, instance_type
from infra.core.stages import Option, Role, Stage

ROOT_VOLUME_GIB = 20


class Placement(StrEnum):
    """Where a box stands: with an address of its own, or behind the load balancer."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Box:
    """One machine of a shape."""

    role: Role
    placement: Placement
    instance: InstanceType
    root_gib: int = ROOT_VOLUME_GIB

    @property
    def name(self) -> str:
        """The logical name: role and placement (the single box is `app`, it has one place only)."""
        return self.role.value if self.role is Role.APP else f"{self.role.value}-{self.placement.value}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands at a stage; sizes in GiB, 0 or None for a part that it does not have."""

    stage: Stage
    boxes: tuple[Box, ...]
    data_volume_gib: int = 0
    database: DatabaseClass | None = None
    database_gib: int = 0
    load_balancer_zones: int = 0
    nat_gateways: int = 0

    @property
    def public_addresses(self) -> int:
        """Public IPv4 addresses that are billed: a box's, a NAT gateway's, one for each zone of the balancer."""
        own = sum(1 for box in self.boxes if box.placement is Placement.PUBLIC)
        return own + self.nat_gateways + self.load_balancer_zones


def shape(stage: Stage, *, data_volume_gib: int | None = None) -> Shape:
    """The shape of a stage; `data_volume_gib` is the stack's own size of the data volume where it has one."""
    private = stage.option is Option.PRIVATE
    placement = Placement.PRIVATE if private else Placement.PUBLIC
    return Shape(
        stage,
        tuple(Box(role, placement, instance_type(name)) for role, name in stage.boxes.items()),
        data_volume_gib=stage.data_volume_gib if data_volume_gib is None else data_volume_gib,
        database=DATABASE_CLASSES[stage.database_class] if stage.database_class else None,
        database_gib=stage.database_gib,
        load_balancer_zones=2 if private else 0,
        nat_gateways=1 if private else 0,
    )
