"""The only place for the address plan: which subnet of the VPC a zone gets, by the zone's own letter.

A VPC is cut into sixteen equal slots. A subnet's slot follows from its tier and its zone's letter alone, so
adding or removing a zone never moves another subnet (a moved CIDR replaces a subnet and all that lives in it).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, ip_network

from infra.core.errors import Fault, TerraceError

SLOT_BITS = 4
LARGEST_VPC_PREFIX = 16
SMALLEST_VPC_PREFIX = 20
"""A /20 leaves /24 slots: 251 usable addresses each, as AWS keeps five of every subnet (VPC User Guide)."""

PRIVATE_RANGES = tuple(ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
ZONE_LETTERS = "abcd"


class Tier(Enum):
    """What a subnet is for; the value is the tier's first slot."""

    PUBLIC = 0
    PRIVATE = 4
    DATABASE = 8


@dataclass(frozen=True, slots=True)
class Subnet:
    tier: Tier
    zone: str
    cidr: str

    @property
    def name(self) -> str:
        """The logical name: tier and zone, never a number."""
        return f"{self.tier.name.lower()}-{self.zone}"


def vpc_faults(cidr: str, path: str = "terrace:network.cidr") -> list[Fault]:
    """What is wrong with a VPC's CIDR: form, size (/16 to /20), range (RFC 1918)."""
    try:
        network = ip_network(cidr)
    except ValueError as error:
        return [Fault(path, f"{cidr!r} is no CIDR block ({error})", "Write it as 10.20.0.0/16")]
    if not isinstance(network, IPv4Network):
        return [Fault(path, f"{cidr!r} is IPv6", "Give an IPv4 block such as 10.20.0.0/16")]
    faults = []
    if not LARGEST_VPC_PREFIX <= network.prefixlen <= SMALLEST_VPC_PREFIX:
        size = "small" if network.prefixlen > SMALLEST_VPC_PREFIX else "large"
        faults.append(
            Fault(
                path,
                f"{cidr} is too {size}: /{network.prefixlen} where /{LARGEST_VPC_PREFIX} to "
                f"/{SMALLEST_VPC_PREFIX} is needed for sixteen subnets",
                f"Give a /{LARGEST_VPC_PREFIX}, such as 10.20.0.0/{LARGEST_VPC_PREFIX}",
            )
        )
    if not any(isinstance(each, IPv4Network) and network.subnet_of(each) for each in PRIVATE_RANGES):
        faults.append(
            Fault(path, f"{cidr} is no private range", f"Use one of {', '.join(map(str, PRIVATE_RANGES))}")
        )
    return faults


def zone_faults(region: str, zones: Sequence[str], path: str = "terrace:zones") -> list[Fault]:
    """What is wrong with the zones: outside the region, twice, fewer than two."""
    faults = []
    choices = f"Use {region}{ZONE_LETTERS[0]} … {region}{ZONE_LETTERS[-1]}"
    for index, zone in enumerate(zones):
        if not re.fullmatch(re.escape(region) + f"[{ZONE_LETTERS}]", zone):
            faults.append(Fault(f"{path}[{index}]", f"{zone!r} lies outside region {region}", choices))
        elif zone in zones[:index]:
            faults.append(Fault(f"{path}[{index}]", f"{zone!r} stands twice", "Name each zone once"))
    if len(zones) < 2:
        faults.append(
            Fault(
                path,
                f"{len(zones)} zone(s) where at least 2 are needed",
                f"{choices}: the database of later stages wants subnets in two zones from the start",
            )
        )
    return faults


def plan(vpc_cidr: str, zones: Sequence[str], tier: Tier) -> tuple[Subnet, ...]:
    """One subnet of that tier for each zone, in the order of `zones`.

    Raises:
        TerraceError: the CIDR cannot hold the plan.
    """
    if faults := vpc_faults(vpc_cidr):
        raise TerraceError(*faults)
    slots = list(IPv4Network(vpc_cidr).subnets(prefixlen_diff=SLOT_BITS))
    return tuple(Subnet(tier, zone, str(slots[tier.value + ZONE_LETTERS.index(zone[-1])])) for zone in zones)
