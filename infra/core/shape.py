"""The only place for what stands: a function of stage, climb, what is kept, and the stack's own sizes.

A climb across options walks through valid shapes (docs/adr/0045): *expanded*, where the new side stands beside the
old one that serves; *moved*, where the new side serves; then the new stage alone, with what holds data of the old
one kept until it is given up by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from infra.core.instances import DATABASE_CLASSES, DatabaseClass, InstanceType, instance_type
from infra.core.stages import Option, Role, Stage

ROOT_VOLUME_GIB = 20
BALANCER_ZONES = 2
"""A load balancer has an address in each of its zones, and wants two (ELB User Guide)."""


class Placement(StrEnum):
    """Where a box stands: with an address of its own, or behind the load balancer."""

    PUBLIC = "public"
    PRIVATE = "private"


class Part(StrEnum):
    """What holds something that cannot be made again, and so may be kept beyond the option that made it."""

    BOX_DATA = "box-data"
    DATABASE = "database"
    EIP = "eip"


class Phase(StrEnum):
    """Where a climb across options stands; before and after it, a stack has none."""

    EXPANDED = "expanded"
    MOVED = "moved"


class Nat(StrEnum):
    """How private boxes reach the world."""

    ONE = "one"
    PER_ZONE = "per-zone"
    NONE = "none"


ENDPOINTS = ("ssm", "ssmmessages", "logs", "monitoring", "kms", "secretsmanager", "sts")
"""What boxes ask of AWS besides buckets, which a gateway endpoint without a price reaches."""


class Firewall(StrEnum):
    """What the web ACL before the load balancer does with requests that a rule matches."""

    OFF = "off"
    COUNT = "count"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Climb:
    """A climb under way: to which stage, and how far."""

    to: Stage
    phase: Phase


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a stack sets for itself; None leaves the stage's own. `zones` counts availability zones."""

    data_volume_gib: int | None = None
    boxes: Mapping[Role, str] = field(default_factory=dict)
    database_class: str | None = None
    database_gib: int | None = None
    nat: Nat = Nat.ONE
    zones: int = 2


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
    """What stands at a stage; sizes in GiB, 0 or None for a part that it does not have.

    `serving` is the option that the world's requests go to, `eip` whether the stack holds an address of its own.
    """

    stage: Stage
    boxes: tuple[Box, ...]
    data_volume_gib: int = 0
    database: DatabaseClass | None = None
    database_gib: int = 0
    load_balancer_zones: int = 0
    nat_gateways: int = 0
    endpoint_zones: int = 0
    serving: Option = Option.SINGLE
    eip: bool = False

    @property
    def parts(self) -> frozenset[Part]:
        """What of it holds something that cannot be made again."""
        standing = {
            Part.BOX_DATA: bool(self.data_volume_gib),
            Part.DATABASE: self.database is not None,
            Part.EIP: self.eip,
        }
        return frozenset(part for part, stands in standing.items() if stands)

    @property
    def public_addresses(self) -> int:
        """Public IPv4 addresses that are billed: boxes' own (one of them the EIP), NAT gateways', the balancer's."""
        public = sum(1 for box in self.boxes if box.placement is Placement.PUBLIC)
        return max(public, int(self.eip)) + self.nat_gateways + self.load_balancer_zones

    def on(self, placement: Placement) -> tuple[Box, ...]:
        """The boxes of that placement."""
        return tuple(box for box in self.boxes if box.placement is placement)


def shape(
    stage: Stage,
    *,
    data_volume_gib: int | None = None,
    climb: Climb | None = None,
    kept: Collection[Part] = (),
    sizes: Sizes | None = None,
) -> Shape:
    """What stands at `stage`, during `climb`, with what is `kept`; `data_volume_gib` goes before that of `sizes`."""
    sizes = sizes or Sizes()
    volume_gib = sizes.data_volume_gib if data_volume_gib is None else data_volume_gib
    sides = (stage, climb.to) if climb is not None else (stage,)
    serving = climb.to if climb is not None and climb.phase is Phase.MOVED else stage
    single = next((side for side in sides if side.option is Option.SINGLE), None)
    private = any(side.option is Option.PRIVATE for side in sides)
    with_database = next((side for side in sides if side.database_class), None)
    database_class, database_gib = _database(with_database, sizes, keeps=Part.DATABASE in kept)
    return Shape(
        stage,
        tuple(box for side in sides for box in _boxes(side, sizes)),
        data_volume_gib=_volume(single, volume_gib, keeps=Part.BOX_DATA in kept),
        database=DATABASE_CLASSES[database_class] if database_class else None,
        database_gib=database_gib,
        load_balancer_zones=BALANCER_ZONES if private else 0,
        nat_gateways={Nat.ONE: 1, Nat.PER_ZONE: sizes.zones, Nat.NONE: 0}[sizes.nat] if private else 0,
        # All boxes stand in the first zone, and an interface endpoint is paid for in each that it has a foot in.
        endpoint_zones=1 if private and sizes.nat is Nat.NONE else 0,
        serving=serving.option,
        eip=Part.EIP in kept or any(side.option in _WITH_ADDRESS for side in sides),
    )


_WITH_ADDRESS = (Option.SINGLE, Option.SPLIT)

KEPT_VOLUME_GIB = 100
KEPT_DATABASE = ("db.t4g.micro", 20)
"""What is kept has the size that the stack sets, and where it sets none, the ladder's."""


def _boxes(stage: Stage, sizes: Sizes) -> tuple[Box, ...]:
    placement = Placement.PRIVATE if stage.option is Option.PRIVATE else Placement.PUBLIC
    return tuple(
        Box(role, placement, instance_type(sizes.boxes.get(role, name))) for role, name in stage.boxes.items()
    )


def _volume(single: Stage | None, asked_gib: int | None, *, keeps: bool) -> int:
    if single is None and not keeps:
        return 0
    return asked_gib or (single.data_volume_gib if single else KEPT_VOLUME_GIB)


def _database(stage: Stage | None, sizes: Sizes, *, keeps: bool) -> tuple[str | None, int]:
    if stage is None and not keeps:
        return None, 0
    of_stage = (stage.database_class, stage.database_gib) if stage else KEPT_DATABASE
    return sizes.database_class or of_stage[0], sizes.database_gib or of_stage[1]
