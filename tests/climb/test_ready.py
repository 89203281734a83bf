"""Nobody is sent to a side that does not serve yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.core.errors import Fault, TerraceError
from ops.adapters import climb_ready

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
