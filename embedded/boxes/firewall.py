"""The only place for the packet rules of a VPC: Elastic IPs and NAT as an Internet gateway does them, and security
groups. Pure: from plain values to one nftables script that replaces the table in a single transaction.

Where rules stand decides what they see. What a box sends is judged before destination NAT, what reaches a box
after source NAT; so a box that calls another one's Elastic IP comes with its own public address, and a rule that
names its group does not let it in, as on AWS (VPC user guide, "Security group rules": a group as source means
private addresses). Security groups do not filter the metadata service and the resolver (same source).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from embedded.boxes.addresses import ENDPOINT, LINK_LOCAL, SERVICES
from embedded.boxes.model import BoxSpec, Rule, SecurityGroup
from embedded.boxes.uplink import INSIDE

TABLE = "terrace"


@dataclass(frozen=True, slots=True)
class Member:
    """A box as the rules see it: its description and the VPC's end of its link."""

    spec: BoxSpec
    interface: str


def script(members: Iterable[Member], groups: Mapping[str, SecurityGroup], transit: IPv4Address) -> str:
    """The whole table of one VPC. `transit` is the VPC's address on the link to the cloud's own namespace."""
    boxes = sorted(members, key=lambda member: member.interface)
    public = {m.spec.public_ip: m.spec.private_ip for m in boxes if m.spec.public_ip is not None}
    outward = {m.spec.private_ip: m.spec.public_ip or m.spec.nat_ip for m in boxes}
    ways_out = {private: address for private, address in outward.items() if address is not None}
    by_group = {
        group: [m.spec.private_ip for m in boxes if group in (m.spec.security_groups or ())]
        for group in groups
    }
    filtered = [m for m in boxes if m.spec.security_groups is not None]
    used = sorted({group for m in filtered for group in m.spec.security_groups or ()})
    lines = [
        f"table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        *_map("private_of", public),
        *_map("public_of", ways_out),
        *_set("with_a_way_out", ways_out),
        *_chain("nat_in", "nat hook prerouting priority dstnat", ["dnat to ip daddr map @private_of"]),
        *_chain(
            "nat_out",
            "nat hook postrouting priority srcnat",
            [
                f'oifname "{INSIDE}" ip daddr {SERVICES} snat to {transit}',
                f'oifname "{INSIDE}" snat to ip saddr map @public_of',
                "ct status dnat snat to ip saddr map @public_of",
            ],
        ),
        *_chain(
            "gateway",
            "filter hook forward priority filter",
            [
                # AWS has endpoints within a VPC; what else stands at a service address is of the world.
                f"ip daddr {ENDPOINT} accept",
                f'oifname "{INSIDE}" ip saddr != @with_a_way_out drop',
                f'iifname != "{INSIDE}" ct status dnat ip saddr != @with_a_way_out drop',
            ],
        ),
        *(line for group in used for line in _group(groups[group], used.index(group), by_group)),
        *(line for m in filtered for line in _box(m, used)),
        *_chain(
            "leaving",
            "filter hook prerouting priority mangle",
            [
                "ct state established,related accept",
                f"ip daddr {LINK_LOCAL} accept",
                *_dispatch("iifname", "out", filtered),
            ],
        ),
        *_chain(
            "arriving",
            "filter hook postrouting priority srcnat + 50",
            ["ct state established,related accept", *_dispatch("oifname", "in", filtered)],
        ),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _group(group: SecurityGroup, number: int, members: Mapping[str, list[IPv4Address]]) -> list[str]:
    return [
        *_chain(
            f"group_{number}_in", "", [r for rule in group.ingress for r in _rule(rule, "saddr", members)]
        ),
        *_chain(
            f"group_{number}_out", "", [r for rule in group.egress for r in _rule(rule, "daddr", members)]
        ),
    ]


def _box(member: Member, used: list[str]) -> list[str]:
    numbers = [used.index(group) for group in member.spec.security_groups or ()]
    return [
        line
        for way in ("in", "out")
        for line in _chain(
            f"{member.interface}_{way}", "", [*(f"jump group_{number}_{way}" for number in numbers), "drop"]
        )
    ]


def _rule(rule: Rule, side: str, members: Mapping[str, list[IPv4Address]]) -> list[str]:
    if isinstance(rule.peer, IPv4Network):
        peer = f"ip {side} {rule.peer} "
    elif members.get(rule.peer):
        peer = f"ip {side} {{ {', '.join(str(address) for address in members[rule.peer])} }} "
    else:
        return []
    if rule.protocol in ("tcp", "udp"):
        first, last = rule.ports or (0, 65_535)
        # nft refuses a range of one.
        ports = f"{first}-{last}" if first != last else f"{first}"
        return [f"{peer}{rule.protocol} dport {ports} accept"]
    return [peer + ("" if rule.protocol == "-1" else f"ip protocol {rule.protocol} ") + "accept"]


def _dispatch(key: str, way: str, members: list[Member]) -> list[str]:
    if not members:
        return []
    targets = ", ".join(f'"{m.interface}" : goto {m.interface}_{way}' for m in members)
    return [f"{key} vmap {{ {targets} }}"]


def _chain(name: str, hook: str, rules: list[str]) -> list[str]:
    base = [f"    type {hook}; policy accept;"] if hook else []
    return [f"  chain {name} {{", *base, *(f"    {rule}" for rule in rules), "  }"]


def _map(name: str, pairs: Mapping[IPv4Address, IPv4Address]) -> list[str]:
    elements = ", ".join(f"{key} : {value}" for key, value in pairs.items())
    return [f"  map {name} {{", "    type ipv4_addr : ipv4_addr;", *_elements(elements), "  }"]


def _set(name: str, values: Iterable[IPv4Address]) -> list[str]:
    return [f"  set {name} {{", "    type ipv4_addr;", *_elements(", ".join(str(v) for v in values)), "  }"]


def _elements(text: str) -> list[str]:
    return [f"    elements = {{ {text} }};"] if text else []
