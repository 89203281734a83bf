"""The real engine walks between options: every rest point converges, and nothing that holds data is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest

from embedded.aws.faults import Fault, FaultKind
from infra.core.shape import ENDPOINTS
from infra.core.stages import LADDER, Option, Role, find
from tests.engine.test_refusals_on_the_engine import printed
from tests.engine.walk import listed, planned

pytestmark = [pytest.mark.engine, pytest.mark.drill]

STAGES = [stage.name for stage in LADDER if stage.built]
RUNGS = [stage.name for stage in LADDER if stage.option is Option.SINGLE]
STATEFUL = (
    "aws:ebs/volume:Volume", "aws:kms/key:Key", "aws:s3/bucket:Bucket", "aws:rds/instance:Instance",
)  # fmt: skip
LAYOUT = "urn:pulumi:dev::terrace::terrace:layout:Layout$terrace:"
VOLUME = f"{LAYOUT}data:DataVolume$aws:ebs/volume:Volume::data"
ADDRESS = f"{LAYOUT}edge:Address$aws:ec2/eip:Eip::address"
DATABASE = f"{LAYOUT}database:Database$aws:rds/instance:Instance::database"
ALWAYS = {
    f"{LAYOUT}secrets:Secrets$aws:kms/key:Key::key",
    *(
        f"{LAYOUT}storage:Buckets$terrace:storage:Bucket$aws:s3/bucket:Bucket::{role}"
        for role in ("uploads", "backups", "artifacts", "logs")
    ),
}
REPLACEABLE = {"aws:ec2:EipAssociation::address"}
"""What a walk may replace: the one association, which takes the address from box to box."""

REPLACED = re.compile(r"^ *(?:\+-|\+\+|--) +(\S+) (\S+) ", re.MULTILINE)
"""A line of the engine about a replacement, with the resource's type and name."""


def holding(project: Any) -> dict[str, str]:
    """The id of everything that cannot be made again, by URN."""
    found = project.urns(*STATEFUL)
    addresses = project.urns("aws:ec2/eip:Eip")
    return found | {urn: id_ for urn, id_ in addresses.items() if urn == ADDRESS}


def step(project: Any, **changes: Any) -> None:
    """One step of a walk, made and at rest: a refresh sees nothing, and a second `up` does nothing."""
    before = holding(project)
    project.write(**changes)
    done = project.up()
    replaced = {"::".join(match) for match in REPLACED.findall(done.stdout)}
    assert replaced <= REPLACEABLE, replaced
    after = holding(project)
    assert {urn: after.get(urn) for urn in before} == before
    assert_marked(project)
    project.up("--refresh", "--expect-no-changes")


def refuse_bare_jumps(project: Any, stage: str) -> None:
    """The word alone leads to no other option, and the preview says so."""
    firsts = {find(name).option: name for name in reversed(STAGES)}
    for option, there in firsts.items():
        if option is not find(stage).option:
            refused = refusal(project, stage=there)
            assert f"jumps from {stage}" in refused, refused
    project.write(stage=stage)


def mark(project: Any) -> None:
    """An upload that has to be read wherever the stack rests."""
    bucket = project.outputs()["buckets"]["uploads"]
    project.client("s3").put_object(Bucket=bucket, Key="receipts/marker", Body=b"marked")


def assert_marked(project: Any) -> None:
    bucket = project.outputs()["buckets"]["uploads"]
    found = project.client("s3").get_object(Bucket=bucket, Key="receipts/marker")
    assert found["Body"].read() == b"marked"


def walk(project: Any, before: str, to: str, kept: list[str]) -> None:
    """A whole climb; `kept` is what has to be named at its end, and is refused where it is not."""
    climb = {"to": to, "phase": "moved"}
    step(project, climb={"to": to, "phase": "expanded"})
    step(project, climb=climb)
    if kept:
        refused = refusal(project, stage=to, climb=None, kept=[])
        assert f"lacks {kept[-1]}, which stands and would be deleted" in refused
        project.write(climb=climb, stage=before)
    step(project, stage=to, climb=None, kept=kept)


def refusal(project: Any, **changes: Any) -> str:
    """What the guard says to a change; the stack file is left as the change wrote it."""
    project.write(**changes)
    return printed(project.pulumi("preview", check=False))


def instances(project: Any) -> set[str]:
    """The logical names of the boxes that stand."""
    return {urn.split("::")[-1] for urn in project.urns("aws:ec2/instance:Instance")}


def record(project: Any) -> dict[str, Any]:
    """The service's own record."""
    route53, zone = project.client("route53"), project.settings["terrace:dns"]["zoneId"]
    for found in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        if found["Name"] == "app.example.com." and found["Type"] == "A":
            return dict(found)
    return {}


@pytest.mark.parametrize("stage", ["split", "private"])
def test_a_fresh_stack_may_begin_at_any_stage_and_is_at_rest_there(named: Any, stage: str) -> None:
    named.write(stage=stage)
    named.up()
    named.up("--refresh", "--expect-no-changes")


def test_from_one_box_to_two_and_back(named: Any) -> None:
    named.write(stage="single-8g")
    named.up()
    address = named.outputs()["eip"]
    mark(named)
    refuse_bare_jumps(named, "single-8g")

    walk(named, "single-8g", "split", kept=["box-data"])
    refuse_bare_jumps(named, "split")
    assert set(holding(named)) == ALWAYS | {VOLUME, ADDRESS, DATABASE}
    assert instances(named) == {"frontend-public", "backend-public"}
    assert record(named)["ResourceRecords"] == [{"Value": address}]

    walk(named, "split", "single-8g", kept=["database"])
    assert set(holding(named)) == ALWAYS | {VOLUME, ADDRESS, DATABASE}
    assert instances(named) == {"app"}
    assert named.outputs()["eip"] == address


def test_a_climb_that_is_abandoned_leaves_what_stood_and_the_database_that_it_names_at_the_price_of_its_plan(
    named: Any,
) -> None:
    named.write(stage="single-8g")
    named.up()
    mark(named)
    alone = listed(named).fixed
    named.write(climb={"to": "split", "phase": "expanded"})
    plan = planned(named)
    step(named, climb={"to": "split", "phase": "expanded"})
    assert (plan.fixed, plan.total) == ((both := listed(named)).fixed, both.total)
    assert "lacks database" in refusal(named, climb=None)
    named.write(climb=None, kept=["database"])
    plan = planned(named)
    step(named, climb=None, kept=["database"])
    assert (plan.fixed, plan.total) == ((kept := listed(named)).fixed, kept.total)
    assert alone < kept.fixed < both.fixed
    assert instances(named) == {"app"}

    step(named, kept=["database"], released=["database"])
    before = holding(named)
    named.write(kept=[], released=[])
    named.up()
    assert set(before) - set(holding(named)) == {DATABASE}


def test_an_address_that_somebody_deleted_is_seen_by_refresh_and_made_again(standing: Any) -> None:
    ec2 = standing.client("ec2")
    (address,) = ec2.describe_addresses()["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])
    standing.pulumi("refresh", "--yes")
    assert standing.urns("aws:ec2/eip:Eip") == {}
    standing.up()
    assert set(standing.urns("aws:ec2/eip:Eip")) == {ADDRESS}
    (box,) = ec2.describe_instances(InstanceIds=[standing.outputs()["instance_id"]])["Reservations"][0][
        "Instances"
    ]
    assert box["PublicIpAddress"] == standing.outputs()["eip"]


def test_a_database_whose_creation_fails_half_way_through_a_climb_is_made_by_the_next_up(
    standing: Any,
) -> None:
    before = holding(standing)
    standing.cloud.api.faults.add(
        Fault(
            FaultKind.API_FAILS,
            service="rds",
            action="CreateDBInstance",
            times=None,
            error_code="InternalFailure",
        )
    )
    standing.write(climb={"to": "split", "phase": "expanded"})
    failed = standing.up(check=False)
    assert failed.returncode != 0
    assert before.items() <= holding(standing).items()
    standing.cloud.api.faults.clear()
    standing.up()
    assert set(holding(standing)) - set(before) == {DATABASE}
    assert before.items() <= holding(standing).items()


def test_every_rung_leads_to_every_other_by_the_word_alone_and_nothing_is_replaced(standing: Any) -> None:
    before, box = holding(standing), standing.urns("aws:ec2/instance:Instance")
    mark(standing)
    for rung in _every_pair(RUNGS):
        step(standing, stage=rung)
        assert (holding(standing), standing.urns("aws:ec2/instance:Instance")) == (before, box), rung
        (found,) = standing.client("ec2").describe_instances(InstanceIds=list(box.values()))["Reservations"]
        assert found["Instances"][0]["InstanceType"] == find(rung).boxes[Role.APP]


def _every_pair(names: list[str]) -> list[str]:
    """A walk from the first name that goes each way between two of them once, and ends where it began."""
    ways = {name: [each for each in names if each != name] for name in names}
    stack, walked = [names[0]], []
    while stack:
        if ways[stack[-1]]:
            stack.append(ways[stack[-1]].pop())
        else:
            walked.append(stack.pop())
    return walked[::-1][1:]


def test_private_boxes_lose_their_nat_gateway_for_endpoints_and_get_it_back(named: Any) -> None:
    """Boxes are neither replaced nor stopped by it: what they are told at birth is the same."""
    ec2 = named.client("ec2")
    closed = {"nat": "none", "packages": "ab" * 32}

    def ways() -> tuple[int, set[str]]:
        gateways = [each for each in ec2.describe_nat_gateways()["NatGateways"] if each["State"] != "deleted"]
        kinds = [each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"] if each["State"] != "deleted"]
        return len(gateways), {
            each["ServiceName"].rpartition(".")[2] for each in kinds if each["VpcEndpointType"] == "Interface"
        }

    named.write(stage="private", edge=closed)
    named.up()
    assert ways() == (0, set(ENDPOINTS))
    boxes = named.urns("aws:ec2/instance:Instance")
    mark(named)
    step(named, edge={"nat": "one"})
    assert ways() == (1, set())
    step(named, edge=closed)
    assert ways() == (0, set(ENDPOINTS))
    assert named.urns("aws:ec2/instance:Instance") == boxes


def test_from_public_boxes_to_private_ones_and_back(named: Any) -> None:
    named.write(stage="split")
    named.up()
    address = named.outputs()["eip"]
    mark(named)

    walk(named, "split", "private", kept=["eip"])
    refuse_bare_jumps(named, "private")
    assert set(holding(named)) == ALWAYS | {ADDRESS, DATABASE}
    assert instances(named) == {"frontend-private", "backend-private"}
    assert record(named)["AliasTarget"]["DNSName"].rstrip(".") == named.outputs()["balancer"]

    walk(named, "private", "split", kept=[])
    assert set(holding(named)) == ALWAYS | {ADDRESS, DATABASE}
    assert record(named)["ResourceRecords"] == [{"Value": address}]
