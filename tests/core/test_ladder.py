"""The ladder, the shapes it stands for, and the credits of its machines."""

from __future__ import annotations

import pytest

from infra.core.errors import TerraceError
from infra.core.instances import INSTANCE_TYPES, Architecture
from infra.core.shape import Placement, shape
from infra.core.stages import LADDER, Option, built_stages, find


def test_the_ladder_is_in_the_order_of_the_documents_path() -> None:
    assert [stage.name for stage in LADDER] == [
        "single-8g", "single-8g-fixed", "single-16g", "single-16g-fixed", "split", "private",
        "elastic-10k", "elastic-100k", "elastic-500k", "elastic-1m",
    ]  # fmt: skip


def test_an_unknown_stage_is_refused_with_the_stages_and_the_nearest_one() -> None:
    with pytest.raises(TerraceError) as refused:
        find("single-9g")
    (fault,) = refused.value.faults
    assert fault.path == "terrace:stage"
    assert "'single-9g' is no stage" in fault.what
    assert "single-8g, single-8g-fixed" in fault.remedy
    assert "did you mean 'single-8g'?" in fault.remedy


@pytest.mark.parametrize("name", [stage.name for stage in LADDER if not stage.built])
def test_a_stage_that_is_not_built_yet_is_refused_by_name(name: str) -> None:
    with pytest.raises(TerraceError, match="not built yet"):
        find(name)


def test_every_built_stage_has_boxes_of_known_arm64_types() -> None:
    for stage in built_stages():
        assert stage.boxes
        for name in stage.boxes.values():
            assert INSTANCE_TYPES[name].architecture is Architecture.ARM64


@pytest.mark.parametrize(
    ("name", "earned", "most"),
    [
        # EC2 User Guide, "CPU credits and baseline utilization for burstable instances".
        ("t4g.micro", 12, 288),
        ("t4g.small", 24, 576),
        ("t4g.medium", 24, 576),
        ("t4g.large", 36, 864),
        ("t4g.xlarge", 96, 2304),
        ("m6g.large", 0, 0),
    ],
)
def test_credits_are_those_of_the_user_guide(name: str, earned: int, most: int) -> None:
    assert (INSTANCE_TYPES[name].credits_per_hour, INSTANCE_TYPES[name].most_credits) == (earned, most)


def test_a_single_stage_is_one_public_box_with_a_data_volume() -> None:
    standing = shape(find("single-8g"))
    assert [(box.name, box.instance.name, box.placement) for box in standing.boxes] == [
        ("app", "t4g.large", Placement.PUBLIC)
    ]
    assert (standing.data_volume_gib, standing.public_addresses, standing.database) == (100, 1, None)


def test_a_private_stage_pays_for_the_addresses_of_nat_and_balancer_but_not_of_boxes() -> None:
    private = next(stage for stage in LADDER if stage.option is Option.PRIVATE)
    standing = shape(private)
    assert {box.placement for box in standing.boxes} == {Placement.PRIVATE}
    assert standing.public_addresses == 3


def test_availability_grows_with_the_users_as_the_design_says() -> None:
    by_name = {stage.name: str(stage.objectives.availability_percent) for stage in LADDER}
    assert {by_name[stage.name] for stage in LADDER[:7]} == {"99.0"}
    assert (by_name["elastic-100k"], by_name["elastic-500k"], by_name["elastic-1m"]) == (
        "99.5",
        "99.5",
        "99.9",
    )
