"""Previews of the real engine, reported: what they say is what an update does, and what it then costs."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from infra.core.cost import Resource, price_stack, stage_cost
from infra.core.errors import TerraceError
from infra.core.prices import load
from infra.core.stages import LADDER, listed
from ops.report import data, markdown, read_preview, read_state, report
from tests.engine.walk import listed as listed_cost
from tests.engine.walk import walk

pytestmark = pytest.mark.engine

BOOK = load()
TODAY = date(2026, 11, 21)
TWO_BOXES = [each for each in LADDER if each.built and each.database_class]
SHOWN = ("--show-sames", "--show-replacement-steps")
INSTANCE = "aws:ec2/instance:Instance"


def previewed(project: Any, *, check: bool = True) -> Any:
    text = project.pulumi("preview", "--json", *SHOWN, check=check).stdout
    return report(read_preview(text, where="preview"), today=TODAY)


def exported(project: Any) -> list[Resource]:
    return read_state(project.pulumi("stack", "export").stdout, where="export")


@pytest.mark.drill
@pytest.mark.parametrize("stage", TWO_BOXES, ids=lambda stage: stage.name)
def test_every_option_costs_the_same_by_plan_state_stage_and_lists(bare: Any, stage: Any) -> None:
    zone = bare.client("route53").create_hosted_zone(Name="example.com", CallerReference="report")
    named = {"domain": "app.example.com", "dns": {"zoneId": zone["HostedZone"]["Id"].rpartition("/")[2]}}
    bare.write(stage=stage.name, **named)
    bare.pulumi("stack", "init", bare.stack)
    planned = previewed(bare).cost.after
    bare.up()
    lists, state = listed_cost(bare), price_stack(exported(bare), BOOK)
    assert planned.fixed == lists.fixed == state.fixed == stage_cost(stage, BOOK).fixed
    assert planned.total == lists.total == state.total


def test_plan_state_stage_and_the_clouds_own_lists_cost_the_same_to_the_cent(standing: Any) -> None:
    found = previewed(standing)
    assert found.silent
    assert markdown(found) == ""
    plan = found.cost.after
    state, lists = (price_stack(each, BOOK) for each in (exported(standing), walk(standing)))
    assert plan.fixed == state.fixed == lists.fixed == stage_cost(listed("single-8g"), BOOK).fixed
    assert plan.total == state.total == lists.total


def test_a_resize_with_a_new_image_names_what_forces_replacements_and_what_goes_over_budget(
    standing: Any,
) -> None:
    standing.write(stage="single-16g", ami="ami-0123456789abcdef0", budget={"monthly": "140"})
    found = previewed(standing)
    said = data(found)
    replaced = {each["urn"].rpartition("$")[2]: each for each in said["changes"] if each["op"] == "replace"}
    assert set(replaced) == {
        "aws:ec2/instance:Instance::app",
        "aws:ec2/eipAssociation:EipAssociation::address",
        "aws:ec2/volumeAttachment:VolumeAttachment::app-data",
    }
    assert replaced["aws:ec2/instance:Instance::app"]["forced_by"] == ["ami"]
    assert replaced["aws:ec2/volumeAttachment:VolumeAttachment::app-data"]["forced_by"] == ["instanceId"]
    assert found.over_budget
    assert "OVER BUDGET" in markdown(found)
    assert {"name": "app-credits-warn", "what": "threshold", "before": "259.2", "after": "691.2"} in said[
        "thresholds"
    ]


@pytest.mark.drill
def test_an_update_does_what_was_reported_and_then_costs_it(standing: Any) -> None:
    (before,) = standing.urns(INSTANCE).values()
    image = standing.client("ssm").get_parameter(Name="/aws/service/debian/release/13/latest/arm64")
    standing.write(stage="single-16g", ami=image["Parameter"]["Value"])
    found = previewed(standing)
    standing.up()
    (after,) = standing.urns(INSTANCE).values()
    assert after != before
    assert price_stack(walk(standing), BOOK).total == found.cost.after.total
    assert previewed(standing).silent


@pytest.mark.drill
def test_what_the_guard_refuses_is_reported_as_blocked_with_its_remedy(standing: Any) -> None:
    standing.write(dataVolumeGib=50)
    found = previewed(standing, check=False)
    assert found.blocked
    assert "a gp3 volume never shrinks" in markdown(found)
    assert "Keep 100" in markdown(found)


@pytest.mark.drill
def test_a_preview_without_its_unchanged_resources_is_priced_with_the_state_alone(standing: Any) -> None:
    standing.write(stage="single-16g")
    short = standing.pulumi("preview", "--json").stdout
    alone = report(read_preview(short, where="short"), today=TODAY)
    assert "--show-sames" in str(alone.faults[0])
    both = report(read_preview(short, where="short", state=exported(standing)), today=TODAY)
    whole = previewed(standing)
    assert both.cost is not None
    assert both.cost.delta == whole.cost.delta
    half = json.dumps(json.loads(short))[:-200]
    with pytest.raises(TerraceError, match="is cut off"):
        read_preview(half, where="half")
