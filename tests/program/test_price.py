"""What the program registers has a price: every kind, at every stage, the same as the ladder says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.core.cost import Resource, price_stack, stage_cost
from infra.core.cost.kinds import FREE, PRICED, is_free
from infra.core.prices import load
from infra.core.stages import LADDER, Option, find

Run = Callable[..., Any]
BOOK = load()
BUILT = [stage for stage in LADDER if stage.built]
NAMED: dict[str, Any] = {
    "terrace:domain": "app.example.com",
    "terrace:dns": {"zoneId": "Z0123456789ABCDEFGHIJ"},
}
"""A balancer speaks HTTPS, so it wants a name; records and certificates are free."""

EVERYTHING: dict[str, Any] = {
    "terrace:gpu": {"mode": "auto"},
    "terrace:backup": {"awsBackup": True, "offsiteRegion": "ap-northeast-1"},
    "terrace:budget": {"monthly": "150"},
    "terrace:account": {"repository": "example/terrace", "costTags": True},
    "terrace:notify": {"webhook": "slack", "quietHours": "22:00-08:00+09:00"},
    **NAMED,
}
FIREWALL: dict[str, Any] = {"terrace:edge": {"firewall": "block"}}
CLOSED: dict[str, Any] = {
    "terrace:edge": {"nat": "none", "packages": "ab" * 32, "firewall": "count"}, "terrace:gpu": {"mode": "off"},
}  # fmt: skip
"""Of the stages with a load balancer; the second with nothing that asks the internet."""
SWITCHED = [
    (stage, more) for stage in BUILT for more in ([FIREWALL] if stage.option is Option.PRIVATE else [{}])
] + [(find("private"), CLOSED)]


def resources(found: Any) -> list[Resource]:
    return [Resource(each.urn, each.token, each.inputs, custom=each.custom) for each in found.resources]


@pytest.mark.parametrize("stage", BUILT, ids=lambda stage: stage.name)
def test_a_stage_costs_what_the_ladder_says_whether_asked_by_name_or_by_the_program(
    program: Run, stage: Any
) -> None:
    planned = price_stack(resources(program({**NAMED, "terrace:stage": stage.name})), BOOK)
    assert planned.fixed == stage_cost(stage, BOOK).fixed


@pytest.mark.parametrize(
    ("stage", "more"),
    SWITCHED,
    ids=[f"{stage.name}{'-closed' * (more is CLOSED)}" for stage, more in SWITCHED],
)
def test_every_kind_that_a_stage_creates_with_everything_switched_on_is_priced_or_free(
    program: Run, stage: Any, more: dict[str, Any]
) -> None:
    found = program({**EVERYTHING, **more, "terrace:stage": stage.name})
    kinds = {each.token for each in found.resources if each.custom}
    assert {kind for kind in kinds if kind not in PRICED and not is_free(kind)} == set()
    if more is not CLOSED:  # no NAT gateways: cheaper than the ladder's
        assert price_stack(resources(found), BOOK).fixed > stage_cost(stage, BOOK).fixed - 1


def test_no_kind_is_both_priced_and_free() -> None:
    assert not {*PRICED} & {*FREE}


def test_both_sides_of_a_climb_are_priced_while_they_stand_and_what_is_kept_afterwards(program: Run) -> None:
    def quantities(settings: dict[str, Any]) -> dict[str, Any]:
        return price_stack(resources(program(settings)), BOOK).quantities()

    climbing = quantities({"terrace:climb": {"to": "split", "phase": "expanded"}})
    machines = {key: count for key, count in climbing.items() if key.startswith(("ec2.t", "rds.db"))}
    assert machines == {"ec2.t4g.large": 1, "ec2.t4g.small": 2, "rds.db.t4g.micro": 1}
    alone, keeping = (
        quantities({"terrace:stage": "split", "terrace:kept": kept}) for kept in ([], ["box-data"])
    )
    assert keeping["ebs.gp3"] - alone["ebs.gp3"] == 100  # GiB of the volume that is kept
