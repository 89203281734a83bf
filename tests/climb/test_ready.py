"""Nobody is sent to a side that does not serve yet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.core.errors import Fault, TerraceError
from infra.core.shape import Sizes, shape
from infra.core.stages import find
from ops.adapters import climb_ready
from ops.adapters.climb_site import Site
from ops.climb.steps import Words

GROUP = "arn:aws:elasticloadbalancing:ap-northeast-2:1:targetgroup/terrace-dev-backend/0a"
RESOURCES = [
    {"type": "aws:lb/targetGroup:TargetGroup", "id": GROUP},
    {"type": "aws:lb/loadBalancer:LoadBalancer", "id": "arn:other"},
]


def shows(*states: str) -> Any:
    """A client of ELB in whose groups the targets are so."""
    shown = [{"TargetHealth": {"State": state}} for state in states]
    return lambda *_, **__: SimpleNamespace(
        describe_target_health=lambda TargetGroupArn: {"TargetHealthDescriptions": shown}  # noqa: N803 ELB's
    )


def test_a_group_without_a_healthy_target_is_named_with_what_its_targets_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(climb_ready, "TARGET_SECONDS", 0.0)
    for states, said in ((("initial", "unhealthy"), "initial, unhealthy"), ((), "none")):
        monkeypatch.setattr(climb_ready.boto3, "client", shows(*states))
        assert climb_ready.targets(RESOURCES, "ap-northeast-2") == [
            f"target group terrace-dev-backend has no healthy target: {said}"
        ]
    monkeypatch.setattr(climb_ready.boto3, "client", shows("unhealthy", "healthy"))
    assert climb_ready.targets(RESOURCES, "ap-northeast-2") == []


def test_every_box_that_does_not_serve_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        def __init__(self, region: str) -> None:
            pass

        def wait_until(self, instance: str, script: str, *, seconds: float) -> None:
            assert "terrace-deploy status" in script
            if instance != "i-well":
                raise TerraceError(Fault(instance, "was not ready within 1 s", "Look"))

    monkeypatch.setattr(climb_ready, "SsmShell", Shell)
    faults = climb_ready.boxes(["i-one", "i-well", "i-two"], "ap-northeast-2")
    assert [each.split()[0] for each in faults] == ["i-one", "i-two"]


@pytest.mark.parametrize(("kept", "wanted"), [(None, False), (b"{}", True)])
def test_a_release_serves_once_the_bucket_says_which(
    monkeypatch: pytest.MonkeyPatch, kept: bytes | None, *, wanted: bool
) -> None:
    monkeypatch.setattr(climb_ready, "S3Artifacts", lambda *_: SimpleNamespace(read=lambda _: kept))
    assert climb_ready.deployed({"buckets": {"artifacts": "a"}}, "ap-northeast-2") == wanted
    assert not climb_ready.deployed({}, "ap-northeast-2")


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [("split", "private", True), ("private", "split", True), ("single-8g", "split", False),
     ("single-8g", "single-16g", False)],
)  # fmt: skip
def test_a_climb_waits_for_the_other_side_where_no_row_has_to_move_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, after: str, *, waits: bool
) -> None:
    boxes = [box.name for box in shape(find(after)).boxes]
    resources = [
        {"urn": f"urn::{name}", "type": "aws:ec2/instance:Instance", "id": f"i-{name}"} for name in boxes
    ]
    stack = SimpleNamespace(resources=lambda **_: resources, outputs=lambda **_: {})
    for name, found in (
        ("pulumi", property(lambda _: stack)),
        ("cloud", property(lambda _: SimpleNamespace(machine_faults=lambda *_: []))),
        ("region", property(lambda _: "ap-northeast-2")),
        ("settings", lambda _: SimpleNamespace(sizes=Sizes())),
        ("words", lambda _: Words(before, after if waits else "", "expanded")),
    ):
        monkeypatch.setattr(Site, name, found)
    monkeypatch.setattr(climb_ready, "deployed", lambda *_: True)
    monkeypatch.setattr(climb_ready, "targets", lambda *_: [])
    asked: list[str] = []
    monkeypatch.setattr(climb_ready, "boxes", lambda instances, _: asked.extend(instances) or ["not yet"])
    site = Site(tmp_path, tmp_path, "dev", {})
    every = ([f"i-{name}" for name in boxes], ["not yet"])
    faults = site.serving(after)
    assert (asked, faults) == (every if waits else ([], []))
    asked.clear()
    faults = site.unready(after)
    assert (asked, faults) == every, "once the rows are there, each box is waited for"
    monkeypatch.setattr(climb_ready, "deployed", lambda *_: False)
    assert site.unready(after) == []
