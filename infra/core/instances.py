"""The only place for what an instance type is: processor, memory, architecture, CPU credits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from infra.core.errors import Fault, TerraceError, nearest

SECONDS_PER_CREDIT = 60
"""One CPU credit is one vCPU at 100 % for one minute (EC2 User Guide, "Key concepts for burstable performance")."""


class Architecture(StrEnum):
    ARM64 = "arm64"
    X86_64 = "x86_64"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type.

    `baseline_percent` is the share of one vCPU that a burstable type earns for ever (None: not burstable);
    figures of the EC2 User Guide, "CPU credits and baseline utilization for burstable instances".
    """

    name: str
    vcpus: int
    memory_gib: int
    baseline_percent: int | None = None
    architecture: Architecture = Architecture.ARM64

    @property
    def burstable(self) -> bool:
        return self.baseline_percent is not None

    @property
    def credits_per_hour(self) -> int:
        """Credits earned an hour; 0 for a type that has none."""
        return (self.baseline_percent or 0) * self.vcpus * 60 // 100

    @property
    def most_credits(self) -> int:
        """The balance at which earning stops: what 24 hours earn."""
        return self.credits_per_hour * 24


@dataclass(frozen=True, slots=True)
class DatabaseClass:
    """One RDS instance class."""

    name: str
    vcpus: int
    memory_gib: int

    @property
    def connections(self) -> int:
        """What its parameter group sets as max_connections, and alarms count from."""
        return self.memory_gib * CONNECTIONS_PER_GIB


CONNECTIONS_PER_GIB = 80
"""Below what RDS allows by its own formula (LEAST(DBInstanceClassMemory/9531392, 5000), at most 112 for a GiB):
explicit, so that it changes in one known step."""

INSTANCE_TYPES: dict[str, InstanceType] = {
    each.name: each
    for each in (
        InstanceType("t4g.micro", 2, 1, 10),
        InstanceType("t4g.small", 2, 2, 20),
        InstanceType("t4g.medium", 2, 4, 20),
        InstanceType("t4g.large", 2, 8, 30),
        InstanceType("t4g.xlarge", 4, 16, 40),
        InstanceType("m6g.large", 2, 8),
        InstanceType("m6g.xlarge", 4, 16),
        InstanceType("m7g.large", 2, 8),
    )
}

DATABASE_CLASSES: dict[str, DatabaseClass] = {
    each.name: each
    for each in (
        DatabaseClass("db.t4g.micro", 2, 1),
        DatabaseClass("db.t4g.small", 2, 2),
        DatabaseClass("db.t4g.medium", 2, 4),
        DatabaseClass("db.t4g.large", 2, 8),
    )
}


def instance_type(name: str, *, path: str = "instance type") -> InstanceType:
    """The type of that name.

    Raises:
        TerraceError: no type of that name is in the table; `path` says where the name stood.
    """
    if (found := INSTANCE_TYPES.get(name)) is None:
        raise TerraceError(
            Fault(
                path,
                f"{name!r} is no instance type of this project",
                f"Types: {', '.join(INSTANCE_TYPES)}{nearest(name, INSTANCE_TYPES)}",
            )
        )
    return found
