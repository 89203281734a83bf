"""Which change of a standing stack's settings is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.shape import Part, Phase
from infra.core.stages import LADDER, Stage, find
from infra.core.transition import Standing, climb_faults, refusals

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


CLIMBING = replace(STANDING, climb_to="split", climb_phase="expanded")
MOVED = replace(CLIMBING, climb_phase="moved")
SPLIT = replace(STANDING, stage="split", kept=("box-data",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (STANDING, CLIMBING),
        (CLIMBING, MOVED),
        (MOVED, CLIMBING),
        (MOVED, SPLIT),
        (CLIMBING, replace(STANDING, kept=("database",))),
        (SPLIT, replace(SPLIT, climb_to="single-8g", climb_phase="expanded")),
        (SPLIT, replace(SPLIT, climb_to="private", climb_phase="expanded")),
        (SPLIT, replace(SPLIT, released=("box-data",))),
        (replace(SPLIT, released=("box-data",)), replace(SPLIT, kept=())),
    ],
    ids=[
        "expand",
        "move",
        "move back",
        "contract",
        "abandon",
        "climb back",
        "climb on",
        "release",
        "give up",
    ],
)
def test_a_climb_walks_step_by_step_in_both_directions(before: Standing, after: Standing) -> None:
    assert refusals(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (STANDING, MOVED, "begins at moved"),
        (CLIMBING, SPLIT, "a step of the walk is left out"),
        (MOVED, STANDING, "a step of the walk is left out"),
        (CLIMBING, replace(CLIMBING, climb_to="private"), "a step of the walk is left out"),
        (CLIMBING, replace(CLIMBING, stage="single-16g"), "a step of the walk is left out"),
        (MOVED, replace(SPLIT, kept=()), "lacks box-data, which stands and would be deleted"),
        (CLIMBING, STANDING, "lacks database, which stands and would be deleted"),
        (SPLIT, replace(SPLIT, kept=()), "lacks box-data"),
    ],
)
def test_a_step_that_is_left_out_or_that_loses_data_is_refused(
    before: Standing, after: Standing, said: str
) -> None:
    (fault,) = refusals(before, after)
    assert said in fault.what
    assert fault.remedy


def test_a_stack_is_not_born_in_a_climb() -> None:
    assert [fault.path for fault in refusals(None, CLIMBING)] == ["terrace:climb"]


@pytest.mark.parametrize(
    ("stage", "to", "said"),
    [("single-8g", "single-16g", "belongs to option A"), ("single-8g", "private", "in one walk")],
)
def test_a_climb_goes_to_a_neighbouring_option_alone(stage: str, to: str, said: str) -> None:
    (fault,) = climb_faults(find(stage), find(to))
    assert said in fault.what


def test_the_storage_of_a_database_never_shrinks() -> None:
    before = replace(SPLIT, database_gib=40)
    assert [each.path for each in refusals(before, replace(before, database_gib=20))] == [
        "terrace:machines.databaseGib"
    ]


@given(
    st.sampled_from([each for each in LADDER if each.built]),
    st.sampled_from([each for each in LADDER if each.built]),
    st.sampled_from(list(Phase)),
    st.sets(st.sampled_from(list(Part))),
)
def test_no_step_that_is_let_through_loses_what_cannot_be_made_again(
    stage: Stage, to: Stage, phase: Phase, kept: set[Part]
) -> None:
    climbing = replace(
        STANDING, stage=stage.name, climb_to=to.name, climb_phase=phase.value, kept=tuple(kept)
    )
    for after in (
        replace(climbing, climb_to="", climb_phase="", stage=to.name),
        replace(climbing, climb_to="", climb_phase=""),
        replace(climbing, climb_phase="moved"),
        replace(climbing, climb_phase="expanded", kept=()),
    ):
        if not refusals(climbing, after):
            assert climbing.parts <= after.parts


@given(st.sampled_from(LADDER), st.sampled_from(LADDER))
def test_a_bare_jump_is_refused_exactly_where_the_option_changes(one: Stage, other: Stage) -> None:
    before, after = replace(STANDING, stage=one.name), replace(STANDING, stage=other.name)
    jumps = one.option is not other.option
    assert ("jumps from" in " ".join(fault.what for fault in refusals(before, after))) == jumps


def test_what_the_guard_remembers_survives_the_engines_floats() -> None:
    through_the_engine = {
        key: float(value) if isinstance(value, int) else value for key, value in STANDING.as_inputs().items()
    }
    assert Standing.from_inputs(through_the_engine) == STANDING
