"""Climbs of Option A by the real engine on the embedded cloud, as a person makes them."""

from __future__ import annotations

import json

import pytest

from tests.climb.conftest import Clone

pytestmark = pytest.mark.engine


def test_a_climb_is_planned_applied_recorded_and_taken_back(clone: Clone) -> None:
    before = clone.project.outputs()
    made = clone.plan("single-16g")
    assert clone.words() == "single-8g"
    assert clone.git("status", "--porcelain") == ""
    clone.scale("apply", made["id"], "--yes")
    assert (clone.words(), clone.box()["InstanceType"]) == ("single-16g", "t4g.xlarge")
    assert clone.box()["State"]["Name"] == "running"
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("branch", "--show-current") == f"climb/{made['id']}"
    after = clone.project.outputs()
    assert {key: after[key] for key in ("volume_id", "eip", "instance_id")} == {
        key: before[key] for key in ("volume_id", "eip", "instance_id")
    }
    row = json.loads(clone.scale("history", "--output", "json").stdout)[-1]
    assert (row["ended"], [each["step"] for each in row["steps"]]) == (
        "done",
        ["backup", "resize", "verify", "thresholds", "load-test"],
    )
    clone.project.up("--expect-no-changes")
    clone.scale("rollback", "--yes")
    assert (clone.words(), clone.box()["InstanceType"]) == ("single-8g", "t4g.large")
