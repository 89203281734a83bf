"""The networks of a cloud with real packets, but without machines: a box is a namespace here."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from embedded.boxes import ENDPOINT, METADATA, HostError, Rule, SecurityGroup, SpecError, World
from embedded.boxes import uplink as uplinks
from embedded.boxes.addresses import host_end
from embedded.boxes.journal import SHARED
from embedded.boxes.process import command, within
from tests.boxes.wire import CIDR, Wire

pytestmark = pytest.mark.box

ANY = IPv4Network("0.0.0.0/0")
HOST = Path("/proc/self/ns/net")
NOT_AWS = IPv4Address("169.254.169.249")


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_boxes_of_a_vpc_reach_each_other_by_private_address(wire: Wire) -> None:
    one, two = wire.spec(), wire.spec()
    wire.apply(one, two)
    wire.serve(two, 80)
    assert wire.call(one, two.private_ip, 80) == str(one.private_ip)


def test_this_machine_reaches_a_box_by_its_elastic_ip_and_not_by_its_private_address(wire: Wire) -> None:
    box = wire.spec(public_ip=wire.public(0))
    wire.apply(box)
    wire.serve(box, 80)
    assert wire.call(HOST, wire.public(0), 80) == str(host_end(wire.block))
    assert wire.call(HOST, box.private_ip, 80) is None


def test_an_elastic_ip_that_moves_answers_from_the_other_box(wire: Wire) -> None:
    one, two = wire.spec(public_ip=wire.public(0)), wire.spec()
    wire.apply(one, two)
    wire.serve(one, 81)
    wire.serve(two, 82)
    assert wire.call(HOST, wire.public(0), 81)
    wire.apply(replace(one, public_ip=None), replace(two, public_ip=wire.public(0)))
    assert wire.call(HOST, wire.public(0), 81) is None
    assert wire.call(HOST, wire.public(0), 82)
    wire.apply(replace(one, public_ip=None), two)
    assert wire.call(HOST, wire.public(0), 82) is None


def test_a_box_calls_an_elastic_ip_with_its_own_public_address_even_its_own(wire: Wire) -> None:
    one, two = wire.spec(public_ip=wire.public(0)), wire.spec(public_ip=wire.public(1))
    wire.apply(one, two)
    wire.serve(one, 80)
    wire.serve(two, 80)
    assert wire.call(one, wire.public(1), 80) == str(wire.public(0))
    assert wire.call(one, wire.public(0), 80) == str(wire.public(0))


def test_a_box_without_a_public_address_has_no_way_out_but_through_a_nat_gateway(wire: Wire) -> None:
    shut, behind, open_ = wire.spec(), wire.spec(nat_ip=wire.public(0)), wire.spec(public_ip=wire.public(1))
    wire.apply(shut, behind, open_)
    wire.serve(HOST, 8099, str(host_end(wire.block)))
    wire.serve(open_, 80)
    outside = host_end(wire.block)
    assert wire.call(open_, outside, 8099) == str(wire.public(1))
    assert wire.call(behind, outside, 8099) == str(wire.public(0))
    assert wire.call(behind, wire.public(1), 80) == str(wire.public(0))
    assert wire.call(shut, outside, 8099) is None
    assert wire.datagram(open_, HOST, outside) == str(wire.public(1))
    assert wire.datagram(shut, HOST, outside) is None
    assert wire.call(shut, wire.public(1), 80) is None
    # A NAT gateway lets nobody in.
    wire.serve(behind, 80)
    assert wire.call(HOST, wire.public(0), 80) is None


def test_two_vpcs_with_the_same_addresses_do_not_see_each_other(wire: Wire) -> None:
    here = wire.spec(public_ip=wire.public(0))
    there = replace(wire.spec(public_ip=wire.public(1)), vpc_id="vpc-2", private_ip=here.private_ip)
    neighbour = replace(wire.spec(), vpc_id="vpc-2")
    wire.apply(here, there, neighbour)
    wire.serve(here, 81)
    wire.serve(there, 82)
    assert wire.call(neighbour, here.private_ip, 82) == str(neighbour.private_ip)
    assert wire.call(neighbour, here.private_ip, 81) is None
    assert wire.call(HOST, wire.public(0), 81)
    assert wire.call(HOST, wire.public(1), 82)
    assert wire.call(here, wire.public(1), 82) == str(wire.public(0))


def test_a_box_cannot_speak_with_the_address_of_another(wire: Wire) -> None:
    one, two, three = wire.spec(), wire.spec(), wire.spec()
    wire.apply(one, two, three)
    namespace = wire.places[one.instance_id]
    command(["nsenter", f"--net={namespace}", "ip", "addr", "add", f"{two.private_ip}/32", "dev", "ens5"])
    assert wire.datagram(one, three, three.private_ip, source=str(one.private_ip)) == str(one.private_ip)
    assert wire.datagram(one, three, three.private_ip, source=str(two.private_ip)) is None
    with within(namespace, lambda: socket.create_connection((str(METADATA), 80), 2)) as made:
        made.sendall(b"GET /latest/meta-data/ HTTP/1.0\r\n\r\n")
        assert made.recv(100).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("ingress", "reached"),
    [
        ((), False),
        ((Rule(protocol="tcp", ports=(80, 80), peer=ANY),), True),
        ((Rule(protocol="tcp", ports=(70, 90), peer=ANY),), True),
        ((Rule(protocol="tcp", ports=(81, 90), peer=ANY),), False),
        ((Rule(protocol="udp", ports=(80, 80), peer=ANY),), False),
        ((Rule(protocol="-1", peer=ANY),), True),
        ((Rule(protocol="6", peer=ANY),), True),
        ((Rule(protocol="17", peer=ANY),), False),
        ((Rule(protocol="tcp", peer=IPv4Network("10.20.0.5/32")),), True),
        ((Rule(protocol="tcp", peer=IPv4Network("10.21.0.0/16")),), False),
        ((Rule(protocol="tcp", ports=(80, 80), peer="sg-front"),), True),
        ((Rule(protocol="tcp", ports=(80, 80), peer="sg-back"),), False),
        ((Rule(protocol="tcp", ports=(80, 80), peer="pl-unknown"),), False),
    ],
)
def test_a_group_lets_in_what_a_rule_allows_and_nothing_else(
    wire: Wire, ingress: tuple[Rule, ...], reached: bool
) -> None:
    everything = (Rule(protocol="-1", peer=ANY),)
    front = wire.spec(security_groups=("sg-front",))
    back = wire.spec(security_groups=("sg-back",))
    wire.apply(
        front,
        back,
        groups=(
            SecurityGroup(group_id="sg-front", egress=everything),
            SecurityGroup(group_id="sg-back", ingress=ingress),
        ),
    )
    wire.serve(back, 80)
    assert (wire.call(front, back.private_ip, 80) == str(front.private_ip)) is reached


@pytest.mark.parametrize(
    ("egress", "reached"),
    [
        ((), False),
        ((Rule(protocol="tcp", ports=(80, 80), peer="sg-back"),), True),
        ((Rule(protocol="tcp", ports=(443, 443), peer=ANY),), False),
        ((Rule(protocol="-1", peer=IPv4Network("10.20.0.0/16")),), True),
    ],
)
def test_a_group_lets_out_what_a_rule_allows_and_always_to_metadata_and_resolver(
    wire: Wire, egress: tuple[Rule, ...], reached: bool
) -> None:
    front = wire.spec(security_groups=("sg-front",))
    back = wire.spec(security_groups=("sg-back",))
    wire.apply(
        front,
        back,
        groups=(
            SecurityGroup(group_id="sg-front", egress=egress),
            SecurityGroup(group_id="sg-back", ingress=(Rule(protocol="-1", peer=ANY),)),
        ),
    )
    wire.serve(back, 80)
    assert (wire.call(front, back.private_ip, 80) is not None) is reached
    within(wire.places[front.instance_id], lambda: socket.create_connection((str(METADATA), 80), 2)).close()


def test_any_of_several_groups_of_a_box_may_let_in_and_a_removed_rule_shuts_again(wire: Wire) -> None:
    caller, box = wire.spec(), wire.spec(security_groups=("sg-a", "sg-b"))
    web = SecurityGroup(group_id="sg-b", ingress=(Rule(protocol="tcp", ports=(80, 80), peer=ANY),))
    wire.apply(caller, box, groups=(SecurityGroup(group_id="sg-a"), web))
    wire.serve(box, 80)
    assert wire.call(caller, box.private_ip, 80)
    wire.apply(caller, box, groups=(SecurityGroup(group_id="sg-a"), replace(web, ingress=())))
    assert wire.call(caller, box.private_ip, 80) is None


def test_a_rule_that_names_a_group_does_not_hold_for_calls_through_the_elastic_ip(wire: Wire) -> None:
    everything = (Rule(protocol="-1", peer=ANY),)
    front = wire.spec(public_ip=wire.public(0), security_groups=("sg-front",))
    back = wire.spec(public_ip=wire.public(1), security_groups=("sg-back",))
    by_group = Rule(protocol="tcp", peer="sg-front")
    by_address = Rule(protocol="tcp", peer=IPv4Network(f"{wire.public(0)}/32"))
    open_ = SecurityGroup(group_id="sg-front", egress=everything)
    wire.apply(front, back, groups=(open_, SecurityGroup(group_id="sg-back", ingress=(by_group,))))
    wire.serve(back, 80)
    assert wire.call(front, back.private_ip, 80)
    assert wire.call(front, wire.public(1), 80) is None
    wire.apply(front, back, groups=(open_, SecurityGroup(group_id="sg-back", ingress=(by_address,))))
    assert wire.call(front, wire.public(1), 80) == str(wire.public(0))


def test_a_rule_outward_counts_for_the_address_that_was_called_not_for_the_one_behind_it(wire: Wire) -> None:
    front = wire.spec(public_ip=wire.public(0), security_groups=("sg-front",))
    back = wire.spec(public_ip=wire.public(1))
    for peer, reached in (
        (IPv4Network(f"{wire.public(1)}/32"), True),
        (IPv4Network(f"{back.private_ip}/32"), False),
    ):
        wire.apply(
            front,
            back,
            groups=(SecurityGroup(group_id="sg-front", egress=(Rule(protocol="-1", peer=peer),)),),
        )
        if reached:
            wire.serve(back, 80)
        assert (wire.call(front, wire.public(1), 80) is not None) is reached


def test_an_elastic_ip_of_nobody_is_silent_and_its_packets_do_not_go_in_circles(wire: Wire) -> None:
    counter = Path("/sys/class/net", uplinks.link_name(wire.token), "statistics/tx_packets")
    before = int(counter.read_text())
    assert wire.call(HOST, wire.public(7), 80) is None
    assert 0 < int(counter.read_text()) - before < 10


def test_every_vpc_reaches_what_the_supervisor_listens_on(wire: Wire) -> None:
    one, two = wire.spec(security_groups=("sg-none",)), replace(wire.spec(), vpc_id="vpc-2")
    wire.apply(one, two, groups=(SecurityGroup(group_id="sg-none"),))
    with wire.fabric.listen(ENDPOINT, 80) as listening:
        for box in (one, two):
            reached = within(
                wire.places[box.instance_id], lambda: socket.create_connection((str(ENDPOINT), 80), 2)
            )
            with reached, listening.accept()[0] as accepted:
                accepted.sendall(b"aws")
                assert reached.recv(3) == b"aws"
        with pytest.raises(HostError, match=f"{ENDPOINT}:80 cannot be listened on"):
            wire.fabric.listen(ENDPOINT, 80)


def test_what_is_not_aws_is_reached_only_by_a_box_with_a_way_out(wire: Wire) -> None:
    out, inside = wire.spec(public_ip=wire.public(0)), wire.spec()
    wire.apply(out, inside)
    with wire.fabric.listen(NOT_AWS, 80):
        for box, reached in ((out, True), (inside, False)):
            with nullcontext() if reached else pytest.raises(TimeoutError):
                within(
                    wire.places[box.instance_id],
                    lambda: socket.create_connection((str(NOT_AWS), 80), 2).close(),
                )


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.169.253", "10.0.0.1"])
def test_the_clouds_own_and_foreign_addresses_cannot_be_listened_on(wire: Wire, address: str) -> None:
    with pytest.raises(SpecError, match=address):
        wire.fabric.listen(IPv4Address(address), 80)


def test_a_vpc_without_boxes_goes_and_comes_back(wire: Wire) -> None:
    box = wire.spec()
    wire.apply(box)
    wire.fabric.unplug(box)
    wire.places.clear()
    wire.apply()
    wire.fabric.forget(lambda: ())
    other = wire.spec()
    wire.apply(box, other)
    wire.serve(box, 80)
    assert wire.call(other, box.private_ip, 80) == str(other.private_ip)


def test_clouds_side_by_side_have_blocks_of_their_own_and_the_same_addresses_inside(
    wire: Wire, tmp_path: Path
) -> None:
    other = Wire(tmp_path / "other")
    try:
        assert not other.block.overlaps(wire.block)
        for cloud, port in ((wire, 81), (other, 82)):
            box = replace(cloud.spec(public_ip=cloud.public(0)), instance_id="i-1", private_ip=CIDR[9])
            cloud.apply(box)
            cloud.serve(box, port)
        assert wire.call(HOST, wire.public(0), 81)
        assert other.call(HOST, other.public(0), 82)
        assert other.call(HOST, other.public(0), 81) is None
    finally:
        other.close()


def test_a_public_address_of_another_cloud_is_refused_before_anything_changes(wire: Wire) -> None:
    foreign = IPv4Address("203.0.113.5")
    with pytest.raises(SpecError, match=r"203\.0\.113\.5, outside of this cloud's"):
        wire.fabric.check(World((wire.spec(public_ip=foreign),)))


def test_forwarding_and_packet_rules_of_this_machine_are_as_before_when_the_last_cloud_is_gone(
    tmp_path: Path,
) -> None:
    interfaces = {
        row["dev"] for row in json.loads(command(["ip", "-4", "-json", "route", "show", "default"]))
    }
    if not interfaces:
        pytest.skip("this machine has no default route, so nothing is forwarded")
    switches = [Path("/proc/sys/net/ipv4/conf", interface, "forwarding") for interface in interfaces]

    def forwarding() -> list[str]:
        return [switch.read_text().strip() for switch in switches]

    def made(wire: Wire) -> tuple[bool, bool]:
        table = uplinks.table_name(wire.token) in command(["nft", "list", "tables"]).split()
        return table, Path("/sys/class/net", uplinks.link_name(wire.token)).exists()

    def others() -> list[str]:
        state = SHARED / "forwarding.json"
        return json.loads(state.read_text())["users"] if state.exists() else []

    before, others_before = forwarding(), others()
    first, second = Wire(tmp_path / "1"), Wire(tmp_path / "2")
    assert (made(first), made(second)) == ((True, True), (True, True))
    assert set(forwarding()) == {"1"}
    first.close()
    assert (made(first), made(second)) == ((False, False), (True, True))
    assert set(forwarding()) == {"1"}
    second.close()
    assert made(second) == (False, False)
    if not others_before and not others():  # no other test has a cloud at this time
        assert forwarding() == before
