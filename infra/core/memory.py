"""The only place for who may have how much of a box's memory, by the box's role and RAM; everything in MiB.

At 8 GB it is the project document's table (5.35 GB used): PostgreSQL 2, Spring Boot 1.5, Next.js 0.7, Nginx 0.15, the
system 1. Standard library and infra.core.errors alone: the host bundle carries this file to the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from infra.core.errors import Fault, TerraceError

BoxRole = Literal["single", "frontend", "backend"]
Part = Literal["backend", "frontend"]

RESERVE_SHARE = 16
"""A sixteenth of the memory stays for the page cache."""
NGINX_MIB, FRONTEND_MIB, WORKER_MIB = 154, 717, 768
FRONTEND_LIMIT_MIB, FRONTEND_OLD_SPACE_MIB = 1024, 640
MOST_SYSTEM_MIB = 1024
MIGRATION_MIB = 384
"""What migrations may take beside everything that runs."""
LEAST_PAIR_MIB, LEAST_JAVA_MIB = 1024, 512
"""A backend's own box gives its JVM so much before it keeps room for a second one: two fit from 3 GB on."""
MIB_A_CONNECTION = 34
"""PostgreSQL's share divided by this is its connections: 60 at 2 GB, sorts and hashes of two nodes each included."""
MOST_CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Database:
    """PostgreSQL's memory parameters, in MiB, and its connections."""

    expected_mib: int

    @property
    def shared_buffers_mib(self) -> int:
        return self.expected_mib // 4

    @property
    def maintenance_work_mem_mib(self) -> int:
        return self.expected_mib // 8

    @property
    def max_connections(self) -> int:
        return min(MOST_CONNECTIONS, self.expected_mib // MIB_A_CONNECTION)

    @property
    def work_mem_mib(self) -> int:
        left = self.expected_mib - self.shared_buffers_mib - self.maintenance_work_mem_mib
        return max(4, left // (self.max_connections * 2))


@dataclass(frozen=True, slots=True)
class Java:
    """A JVM: what it is expected to take, its heap (-Xmx), and the limit of its unit (MemoryMax)."""

    expected_mib: int

    @property
    def heap_mib(self) -> int:
        return self.expected_mib * 2 // 3

    @property
    def limit_mib(self) -> int:
        return self.expected_mib * 9 // 8


@dataclass(frozen=True, slots=True)
class Node:
    """The frontend: what it is expected to take, V8's old space, the limit of its unit."""

    expected_mib: int = FRONTEND_MIB
    old_space_mib: int = FRONTEND_OLD_SPACE_MIB
    limit_mib: int = FRONTEND_LIMIT_MIB


@dataclass(frozen=True, slots=True)
class Budget:
    """The shares of one box; None for what its role does not run."""

    role: BoxRole
    ram_mib: int
    system_mib: int
    nginx_mib: int
    database: Database | None
    backend: Java | None
    frontend: Node | None
    worker: Java | None

    @property
    def reserve_mib(self) -> int:
        return self.ram_mib // RESERVE_SHARE

    @property
    def used_mib(self) -> int:
        return sum(mib for _, mib in self.rows())

    @property
    def free_mib(self) -> int:
        """What is left beside all shares and the reserve; never negative in a budget that was granted."""
        return self.ram_mib - self.reserve_mib - self.used_mib

    @property
    def effective_cache_mib(self) -> int:
        """What PostgreSQL may expect of the system's page cache and its own buffers."""
        return self.ram_mib * 3 // 8

    def fits(self, extra_mib: int) -> bool:
        """Whether that much more fits beside everything."""
        return extra_mib <= self.free_mib

    def side_by_side(self, part: Part) -> int:
        """How many services of that part fit at once; 0 where the role does not run it."""
        service = self.backend if part == "backend" else self.frontend
        return 0 if service is None else 1 + self.free_mib // service.expected_mib

    @property
    def both_colours(self) -> bool:
        """Whether every service fits a second time at once (blue-green)."""
        services = (self.backend, self.frontend)
        return self.fits(sum(each.expected_mib for each in services if each is not None))

    def rows(self) -> list[tuple[str, int]]:
        """Who has how much, the largest thing that can be lost first."""
        parts = (
            ("PostgreSQL", self.database), ("backend", self.backend), ("frontend", self.frontend),
            ("worker", self.worker),
        )  # fmt: skip
        listed = [(name, part.expected_mib) for name, part in parts if part is not None]
        return [*listed, ("Nginx", self.nginx_mib), ("system", self.system_mib)]


def budget(role: BoxRole, ram_mib: int, *, worker: bool = False) -> Budget:
    """The shares of a box of that role with `ram_mib` of memory.

    Raises:
        TerraceError: the role does not exist, or its shares and the reserve are more than the memory.
    """
    if role not in get_args(BoxRole):
        known = ", ".join(get_args(BoxRole))
        raise TerraceError(Fault("role", f"{role!r} is no role of a box", f"Use one of {known}"))
    alone = role == "single"
    system = MOST_SYSTEM_MIB if alone else min(MOST_SYSTEM_MIB, max(512, ram_mib // 8))
    left = ram_mib - ram_mib // RESERVE_SHARE - NGINX_MIB - system
    java = max(1536, ram_mib * 3 // 16) if alone else _java_of_its_own(left)
    made = Budget(
        role,
        ram_mib,
        system_mib=system,
        nginx_mib=NGINX_MIB,
        database=Database(max(2048, ram_mib // 4)) if alone else None,
        backend=Java(java) if role != "frontend" else None,
        frontend=Node() if role != "backend" else None,
        worker=Java(WORKER_MIB) if worker and role != "frontend" else None,
    )
    if made.free_mib < 0:
        shares = " + ".join(f"{name} {mib}" for name, mib in made.rows())
        raise TerraceError(
            Fault(
                f"memory of a {role} box",
                f"{shares} + reserve {made.reserve_mib} = {made.used_mib + made.reserve_mib} MiB,"
                f" and it has {ram_mib} MiB: {-made.free_mib} MiB short",
                "Take a larger instance type" + (", or no worker" if worker else ""),
            )
        )
    return made


def _java_of_its_own(left_mib: int) -> int:
    """A backend's share where nothing else is on its box: half, that two may stand; else room for migrations."""
    return max(LEAST_JAVA_MIB, min(left_mib - MIGRATION_MIB, max(LEAST_PAIR_MIB, left_mib // 2)))


def table(made: Budget) -> str:
    """The shares as lines of text, in MiB and GiB."""
    lines = [*made.rows(), ("used", made.used_mib), ("reserve", made.reserve_mib), ("free", made.free_mib)]
    return "\n".join(f"{name:<11}{mib:>7} MiB {mib / 1024:>6.2f} GiB" for name, mib in lines)
