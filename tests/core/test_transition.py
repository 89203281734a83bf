"""Which change of a standing stack's settings is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.stages import LADDER, Stage
from infra.core.transition import Standing, refusals

STANDING = Standing(
    project="terrace",
    stack="dev",
    region="ap-northeast-2",
    zones=("ap-northeast-2a", "ap-northeast-2c"),
    vpc_cidr="10.20.0.0/16",
    stage="single-8g",
    data_volume_gib=100,
)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"project": "other"}, "name in Pulumi.yaml"),
        ({"stack": "other"}, "stack name"),
        ({"region": "us-east-1"}, "aws:region"),
        ({"vpc_cidr": "10.21.0.0/16"}, "terrace:network.cidr"),
        ({"zones": ("ap-northeast-2c", "ap-northeast-2a")}, "terrace:zones[0]"),
        ({"zones": ("ap-northeast-2a", "ap-northeast-2b")}, "terrace:zones"),
        ({"zones": ()}, "terrace:zones[0]"),
        ({"data_volume_gib": 99}, "terrace:dataVolumeGib"),
        ({"stage": "split"}, "terrace:stage"),
        ({"stage": "private"}, "terrace:stage"),
    ],
)
def test_a_change_that_loses_something_is_refused_at_its_setting(change: Any, path: str) -> None:
    faults = refusals(STANDING, replace(STANDING, **change))
    assert path in [fault.path for fault in faults]
    assert all(fault.remedy for fault in faults)


def test_a_refusal_names_what_stands_what_was_asked_and_the_way_out() -> None:
    (fault,) = refusals(STANDING, replace(STANDING, data_volume_gib=80))
    assert "80 is smaller than the volume that stands (100)" in fault.what
    assert "Keep 100" in fault.remedy


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stage": "single-16g"},
        {"stage": "single-16g-fixed"},
        {"data_volume_gib": 200},
        {"zones": ("ap-northeast-2a", "ap-northeast-2c", "ap-northeast-2d")},
    ],
)
def test_a_change_that_loses_nothing_goes_on(change: Any) -> None:
    assert refusals(STANDING, replace(STANDING, **change)) == []


def test_a_new_stack_may_begin_anywhere() -> None:
    assert refusals(None, replace(STANDING, stage="private")) == []


@given(st.sampled_from(LADDER), st.sampled_from(LADDER))
def test_a_bare_jump_is_refused_exactly_where_the_option_changes(one: Stage, other: Stage) -> None:
    before, after = replace(STANDING, stage=one.name), replace(STANDING, stage=other.name)
    jumps = one.option is not other.option
    assert bool(refusals(before, after)) == jumps


def test_what_the_guard_remembers_survives_the_engines_floats() -> None:
    through_the_engine = {
        key: float(value) if isinstance(value, int) else value for key, value in STANDING.as_inputs().items()
    }
    assert Standing.from_inputs(through_the_engine) == STANDING
