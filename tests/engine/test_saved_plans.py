"""A saved plan is applied exactly, to exactly the state that it was made of, by the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.naming import Naming
from infra.settings import from_file
from ops import ci
from ops.adapters.engine import Engine
from ops.policy import PACK

pytestmark = [pytest.mark.engine, pytest.mark.drill]

ROOT = Path(__file__).parents[2]


def parts(project: Any) -> tuple[Engine, dict[str, Any]]:
    keep = ("AWS_", "PULUMI_")
    mine = {name: value for name, value in project.environment.items() if name.startswith(keep)}
    engine = Engine(ROOT, project.stack, variables=mine, work_dir=project.directory)
    wanted = from_file(project.directory / "Pulumi.dev.yaml").standing(Naming("terrace", "dev"))
    return engine, {
        "stack": "dev", "revision": "abc", "wanted": wanted, "policy_pack": ROOT / PACK,
    }  # fmt: skip


def test_a_plan_is_applied_once_and_refused_on_a_state_that_moved(standing: Any, tmp_path: Path) -> None:
    standing.write(logRetentionDays=60)
    engine, known = parts(standing)
    start, counts = ci.save(engine, tmp_path / "plan", **known)
    assert (counts["update"], start.step) == (6, "")
    other: dict[str, Any] = {**known, "revision": "def"}
    with pytest.raises(TerraceError, match="the plan is for abc, this is def"):
        ci.apply(engine, tmp_path / "plan", **other)
    ci.apply(engine, tmp_path / "plan", **known)
    groups = standing.client("logs").describe_log_groups()["logGroups"]
    assert {each["retentionInDays"] for each in groups} == {60}
    with pytest.raises(TerraceError, match="somebody updated or refreshed it since"):
        ci.apply(engine, tmp_path / "plan", **known)


def test_drift_names_what_was_changed_by_hand_and_nothing_else(standing: Any) -> None:
    engine, _ = parts(standing)
    standing.client("logs").delete_retention_policy(logGroupName="/terrace/dev/logs/backend")
    (moved,) = engine.differences().items()
    assert moved[0].endswith("LogGroup::backend")
    assert moved[1] == "update"
