"""What plain `pulumi preview` and `pulumi up` refuse before anything happens."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.engine


def printed(done: Any) -> str:
    """What the engine said, on one line."""
    return " ".join((done.stdout + done.stderr).split())


ZONES_SWAPPED = ["ap-northeast-2c", "ap-northeast-2a"]


@pytest.mark.parametrize(
    ("verb", "changes", "said"),
    [
        ("preview", {"zones": ZONES_SWAPPED}, "this stack stands in 'ap-northeast-2a'"),
        ("up", {"zones": ZONES_SWAPPED}, "this stack stands in 'ap-northeast-2a'"),
        ("up", {"dataVolumeGib": 80}, "80 is smaller than the volume that stands (100)"),
        ("preview", {"network": {"cidr": "10.99.0.0/16"}}, "stands with '10.20.0.0/16'"),
        (
            "preview",
            {"aws:region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]},
            "is 'us-east-1' where this stack stands with 'ap-northeast-2'",
        ),
        ("preview", {"stage": "split"}, "jumps from single-8g (option A) to split (option B) in one step"),
        (
            "up",
            {"climb": {"to": "split", "phase": "moved"}},
            "begins at moved: the other side does not stand yet",
        ),
    ],
    ids=[
        "zone",
        "zone at once",
        "smaller volume at once",
        "address block",
        "region",
        "bare jump",
        "phase skipped at once",
    ],
)
def test_the_guard_refuses_what_would_lose_something(
    standing: Any, verb: str, changes: dict[str, Any], said: str
) -> None:
    requests = standing.cloud.api.requests.count
    standing.write(**changes)
    done = standing.up(check=False) if verb == "up" else standing.pulumi("preview", check=False)
    assert done.returncode != 0
    assert said in printed(done)
    assert "Traceback" not in printed(done)
    changing = [
        each.action
        for each in standing.cloud.api.requests.last(standing.cloud.api.requests.count - requests)
        if not each.action.startswith(("Get", "Describe", "List", "Head"))
    ]
    assert changing == []


def test_the_guard_refuses_another_project_name_over_the_same_state(standing: Any) -> None:
    standing.pulumi("stack", "rename", "organization/other/dev", "--stack", "dev")
    path = standing.directory / "Pulumi.yaml"
    path.write_text(path.read_text().replace("name: terrace\n", "name: other\n", 1))
    done = standing.pulumi("preview", "--stack", "dev", check=False)
    assert done.returncode != 0
    assert "is 'other' where this stack stands with 'terrace'" in printed(done)


def test_every_fault_of_the_settings_comes_at_once_and_before_any_resource(project: Any) -> None:
    project.write(
        stage="single-9g",
        zones=["ap-northeast-2a", "ap-northeast-1a"],
        ami="ami-x",
        network={"cidr": "10.0.0.0/24"},
        tags={"team": "engineering", "costCenter": "RnD"},
        typo=1,
    )
    done = project.up(check=False)
    assert done.returncode != 0
    text = printed(done)
    for said in (
        "terrace:stage 'single-9g' is no stage",
        "terrace:zones[1] 'ap-northeast-1a' lies outside region ap-northeast-2",
        "terrace:ami 'ami-x' has not the form of an AMI id",
        "terrace:network.cidr 10.0.0.0/24 is too small",
        "terrace:tags.owner is missing",
        "terrace:typo is no key of this project",
    ):
        assert said in text, text
    assert "Traceback" not in text
    assert [each for each in project.resources() if each.get("custom")] == []


@pytest.mark.parametrize("stage", ["elastic-10k", "elastic-1m"])
def test_a_stage_that_is_not_built_yet_is_refused_by_name(project: Any, stage: str) -> None:
    project.write(stage=stage)
    done = project.pulumi("preview", check=False)
    assert done.returncode != 0
    assert f"{stage!r} is on the ladder but not built yet" in printed(done)


def test_an_unknown_image_is_refused_as_ec2_refuses_it(project: Any) -> None:
    project.write(ami="ami-0123456789abcdef0")
    done = project.up(check=False)
    assert done.returncode != 0
    assert "InvalidAMIID.NotFound" in printed(done)
