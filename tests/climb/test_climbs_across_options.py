"""Climbs between options by the real engine: planned, applied, killed, taken back, contracted; rows by rows.py.

`make drill` walks each way once and kills once on each; `make matrix` kills at every step of every way.
"""

from __future__ import annotations

import json

import pytest

from tests.climb.conftest import Clone, known_to_git
from tests.climb.rows import Rows
from tests.engine.conftest import Project, stand
from tests.engine.test_walks import holding, instances

pytestmark = [pytest.mark.engine, pytest.mark.drill]

BOXES = {
    "single-8g": {"app"},
    "split": {"frontend-public", "backend-public"},
    "private": {"frontend-private", "backend-private"},
}


def clone_at(project: Project, factory: pytest.TempPathFactory, stage: str) -> Clone:
    """A clone whose stack rests there, with rows where that stage has them."""
    clone = known_to_git(stand(project, factory, stage=stage))
    Rows.at("box" if stage.startswith("single") else "rds").save(clone.rows)
    return clone


def stored(clone: Clone) -> list[str]:
    """What the one database holds that takes writes."""
    rows = Rows.read(clone.rows)
    (writer,) = rows.writers()
    assert writer == rows.writer
    return rows.held[writer]


def test_from_one_box_to_two_with_the_rows_then_the_contract_by_a_plan_of_its_own(
    bare: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clone = clone_at(bare, tmp_path_factory, "single-8g")
    held = holding(clone.project)
    made = clone.plan("split")
    assert [each["name"] for each in made["steps"]] == [
        "backup", "expand", "verify", "rehearse", "copy", "switch", "shift", "thresholds", "load-test",
    ]  # fmt: skip
    clone.scale("apply", made["id"], "--yes")
    assert (Rows.read(clone.rows).writer, stored(clone)) == ("rds", ["first"])
    assert instances(clone.project) == BOXES["single-8g"] | BOXES["split"]
    assert held.items() <= holding(clone.project).items()
    clone.project.pulumi("refresh", "--yes", "--expect-no-changes")

    clone.git("switch", "-q", "main")
    clone.git("merge", "-q", f"climb/{made['id']}")
    contract = json.loads(clone.scale("plan", "--contract", "--output", "json", code=10).stdout)
    clone.scale("apply", contract["id"], "--yes")
    assert instances(clone.project) == BOXES["split"]
    assert held.items() <= holding(clone.project).items()
    said = clone.scale("rollback", "--yes", code=1).stderr
    assert "has passed its point of no return" in said
