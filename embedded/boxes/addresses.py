"""The only place for addresses that are the same in every embedded cloud.

Link-local addresses of EC2 services: instance metadata 169.254.169.254 and the resolver 169.254.169.253 are
Amazon's own (EC2 user guide, "Instance metadata" and "DNS attributes for your VPC"). The others are ours, out
of ranges that AWS leaves unused towards instances.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

LINK_LOCAL = IPv4Network("169.254.0.0/16")

SERVICES = IPv4Network("169.254.169.0/24")
METADATA = IPv4Address("169.254.169.254")
RESOLVER = IPv4Address("169.254.169.253")
ENDPOINT = IPv4Address("169.254.169.250")
"""Where the supervisor answers for AWS; any other address of `SERVICES` serves as well."""

GATEWAY = IPv4Address("169.254.0.1")
"""What every box has as its on-link default gateway."""

TRANSIT = IPv4Network("169.254.64.0/18")
"""Links between the cloud's own namespace and its VPCs, a /31 each."""

PUBLIC_POOL = IPv4Network("198.18.0.0/15")
"""Reserved for benchmarks between own machines (RFC 2544, RFC 6890), so that hardly anybody routes it."""

PUBLIC_PREFIX = 24
RESERVED_PUBLIC = 4
"""In each cloud's block: network, host's end, cloud's end, one spare."""


def host_end(block: IPv4Network) -> IPv4Address:
    """The address of the machine itself on the link to the cloud that owns `block`."""
    return block[1]


def cloud_end(block: IPv4Network) -> IPv4Address:
    """The address of the cloud on that link."""
    return block[2]


def assignable(block: IPv4Network) -> list[IPv4Address]:
    """The addresses of `block` that may be given out as Elastic IPs, lowest first."""
    return [block[i] for i in range(RESERVED_PUBLIC, block.num_addresses - 1)]


def transit(index: int) -> tuple[IPv4Address, IPv4Address]:
    """The two ends (cloud's, VPC's) of the `index`-th VPC's link, 0 ≤ index < 8192."""
    return TRANSIT[2 * index], TRANSIT[2 * index + 1]
