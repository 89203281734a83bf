"""The address plan."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.errors import TerraceError
from infra.core.network import Tier, plan, vpc_faults, zone_faults

ZONES = [f"ap-northeast-2{letter}" for letter in "abcd"]


def test_a_subnet_is_named_and_placed_by_its_zone_and_not_by_its_position() -> None:
    alone = plan("10.20.0.0/16", ["ap-northeast-2c"], Tier.PUBLIC)
    among = plan("10.20.0.0/16", ["ap-northeast-2a", "ap-northeast-2c"], Tier.PUBLIC)
    assert alone[0] == among[1]
    assert (alone[0].name, alone[0].cidr) == ("public-ap-northeast-2c", "10.20.32.0/20")


@given(st.integers(16, 20), st.permutations(ZONES), st.integers(1, 4))
def test_subnets_never_overlap_and_lie_in_the_vpc(prefix: int, zones: list[str], count: int) -> None:
    cidr = f"10.32.0.0/{prefix}"
    cut = [ip_network(each.cidr) for tier in Tier for each in plan(cidr, zones[:count], tier)]
    assert all(isinstance(each, IPv4Network) and each.subnet_of(IPv4Network(cidr)) for each in cut)
    assert not any(one.overlaps(other) for index, one in enumerate(cut) for other in cut[index + 1 :])


@pytest.mark.parametrize(
    ("cidr", "complaint"),
    [
        ("10.20.0.0/24", "too small: /24 where /16 to /20 is needed"),
        ("10.0.0.0/8", "too large: /8"),
        ("8.8.0.0/16", "no private range"),
        ("10.20.0.1/16", "has host bits set"),
        ("fd00::/16", "is IPv6"),
        ("nonsense", "is no CIDR block"),
    ],
)
def test_a_block_that_cannot_hold_the_plan_is_refused_with_the_bound(cidr: str, complaint: str) -> None:
    assert complaint in vpc_faults(cidr)[0].what
    with pytest.raises(TerraceError):
        plan(cidr, ZONES, Tier.PUBLIC)


def test_zones_outside_the_region_twice_or_too_few_are_each_refused() -> None:
    faults = zone_faults("ap-northeast-2", ["ap-northeast-1a"])
    assert [fault.path for fault in faults] == ["terrace:zones[0]", "terrace:zones"]
    (twice,) = zone_faults("ap-northeast-2", ["ap-northeast-2a", "ap-northeast-2a"])
    assert "stands twice" in twice.what
    assert zone_faults("ap-northeast-2", ZONES) == []
