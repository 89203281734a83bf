"""Climbs between options by the real engine: planned, applied, killed, taken back, contracted; rows are pretended.

`make drill` goes from two boxes to private ones, is killed behind the shift, and goes back; from one box to two it
goes on machines (test_rows_on_boxes.py). `make matrix` kills at every moment of every step of every way.
"""

from __future__ import annotations

import itertools
import json

import pytest

from infra.core.stages import Option, find
from ops import stackfile
from ops.climb import steps
from ops.climb.journal import Record, chain_faults
from ops.climb.moving import end_of
from tests.climb.conftest import Clone, planned
from tests.climb.rows import Rows
from tests.climb.test_kills_on_the_engine import text_of
from tests.engine.conftest import Project
from tests.engine.test_walks import holding, instances

pytestmark = pytest.mark.engine

BOXES = {
    Option.SINGLE: {"app"},
    Option.SPLIT: {"frontend-public", "backend-public"},
    Option.PRIVATE: {"frontend-private", "backend-private"},
}
WAYS = (("single-8g", "split"), ("split", "private"), ("private", "split"), ("split", "single-8g"))


def points(before: str, after: str) -> list[str]:
    """Where a climb can die: each moment of each step, behind each effect, within an `up`."""
    walk = steps.walk(find(before), find(after))
    return [
        # What a step recorded is there before the next one begins: nothing lies between both.
        *(f"{moment}:{step.name}" for step in walk for moment in ("before", "doing", "done")),
        f"recorded:{walk[-1].name}",
        "snapshot-made", "word-written", "word-committed", "engine:0", "engine:8",
    ]  # fmt: skip


DRILLED = [("done:shift", "split", "private", "rollback")]
MATRIX = [
    (point, before, after, then)
    for before, after in WAYS
    for point, then in itertools.product(points(before, after), ("resume", "rollback"))
    if (point, before, after, then) not in DRILLED
]
CONTRACTED = (
    "before:contract",
    "doing:contract",
    "engine:0",
    "engine:4",
    "done:contract",
    "recorded:contract",
)


def stored(clone: Clone) -> list[str]:
    """What the one database holds that takes writes, and the record names."""
    rows = Rows.read(clone.rows)
    (writer,) = rows.writers()
    assert writer == rows.writer
    return rows.held[writer]


def insert(clone: Clone, row: str) -> list[str]:
    """The rows that were acknowledged: the first, and this one if a database took it."""
    rows = Rows.read(clone.rows)
    taken = rows.insert(row)
    rows.save(clone.rows)
    return ["first", row] if taken else ["first"]


def assert_at_rest(clone: Clone, held: dict[str, str], acknowledged: list[str]) -> None:
    """Nothing is lost, and words, cloud, state and journal are of one mind."""
    assert held.items() <= holding(clone.project).items()
    assert set(acknowledged) <= set(stored(clone))
    assert clone.git("status", "--porcelain") == ""
    records = [Record.parse(line) for line in text_of(clone).splitlines(keepends=True)]
    assert list(chain_faults(records)) == []
    clone.project.up("--refresh", "--expect-no-changes")


@pytest.mark.parametrize(
    ("point", "before", "after", "then"),
    [
        *(pytest.param(*each, marks=pytest.mark.drill, id="-".join(each)) for each in DRILLED),
        *(pytest.param(*each, marks=pytest.mark.matrix, id="matrix-" + "-".join(each)) for each in MATRIX),
    ],
)
def test_a_killed_climb_between_options_ends_as_an_undisturbed_one(
    bare: Project, tmp_path_factory: pytest.TempPathFactory, point: str, before: str, after: str, then: str
) -> None:
    clone, made = planned(bare, tmp_path_factory, before, after, named=True)
    held = holding(clone.project)
    clone.killed(point, "apply", made["id"], "--yes")
    acknowledged = insert(clone, "second")
    clone.scale(then, "--yes")
    config = stackfile.config(clone.directory / "Pulumi.dev.yaml")
    options = {find(before).option, *([find(after).option] if then == "resume" else [])}
    assert instances(clone.project) == set().union(*(BOXES[option] for option in options))
    assert config["terrace:stage"] == before
    assert config.get("terrace:climb") == ({"to": after, "phase": "moved"} if then == "resume" else None)
    assert Rows.read(clone.rows).writer == end_of(find(after if then == "resume" else before))
    assert_at_rest(clone, held, acknowledged)


@pytest.mark.matrix
@pytest.mark.parametrize("point", CONTRACTED)
def test_a_contract_is_a_plan_of_its_own_that_goes_on_after_a_kill_and_never_back(
    bare: Project, tmp_path_factory: pytest.TempPathFactory, point: str
) -> None:
    clone, made = planned(bare, tmp_path_factory, "single-8g", "split", named=True)
    held = holding(clone.project)
    clone.scale("apply", made["id"], "--yes")
    clone.git("switch", "-q", "main")
    clone.git("merge", "-q", f"climb/{made['id']}")
    contract = json.loads(clone.scale("plan", "--contract", "--output", "json", code=10).stdout)
    clone.killed(point, "apply", contract["id"], "--yes")
    if not point.startswith("before"):
        said = clone.scale("rollback", "--yes", code=1).stderr
        assert "has passed its point of no return" in said
    clone.scale("resume", "--yes")
    assert instances(clone.project) == BOXES[Option.SPLIT]
    assert_at_rest(clone, held, ["first"])
