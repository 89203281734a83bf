"""The real engine walks between options: every rest point converges, and nothing that holds data is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.engine.test_refusals_on_the_engine import printed

pytestmark = [pytest.mark.engine, pytest.mark.drill]

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
    project.up("--refresh", "--expect-no-changes")


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


@pytest.fixture
def named(bare: Any) -> Any:
    """A project with a name in Route 53, whose stack is not made yet."""
    zone = bare.client("route53").create_hosted_zone(Name="example.com", CallerReference="walk")
    zone_id = zone["HostedZone"]["Id"].rpartition("/")[2]
    bare.write(domain="app.example.com", dns={"zoneId": zone_id})
    bare.pulumi("stack", "init", bare.stack)
    return bare


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

    walk(named, "single-8g", "split", kept=["box-data"])
    assert set(holding(named)) == ALWAYS | {VOLUME, ADDRESS, DATABASE}
    assert instances(named) == {"frontend-public", "backend-public"}
    assert record(named)["ResourceRecords"] == [{"Value": address}]

    walk(named, "split", "single-8g", kept=["database"])
    assert set(holding(named)) == ALWAYS | {VOLUME, ADDRESS, DATABASE}
    assert instances(named) == {"app"}
    assert named.outputs()["eip"] == address


def test_from_public_boxes_to_private_ones_and_back(named: Any) -> None:
    named.write(stage="split")
    named.up()
    address = named.outputs()["eip"]

    walk(named, "split", "private", kept=["eip"])
    assert set(holding(named)) == ALWAYS | {ADDRESS, DATABASE}
    assert instances(named) == {"frontend-private", "backend-private"}
    assert record(named)["AliasTarget"]["DNSName"].rstrip(".") == named.outputs()["balancer"]

    walk(named, "private", "split", kept=[])
    assert set(holding(named)) == ALWAYS | {ADDRESS, DATABASE}
    assert record(named)["ResourceRecords"] == [{"Value": address}]
