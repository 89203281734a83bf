"""SIGKILL of the whole process group at every point of a climb by the real engine, then resume or rollback.

`make drill` kills once, within an `up`; `make matrix` kills everywhere in every pair, test_walks.py does in memory.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ops.climb.journal import Record, chain_faults
from tests.climb.conftest import Clone, planned
from tests.engine.conftest import Project
from tests.engine.test_single_on_the_engine import INSTANCE, STATEFUL

pytestmark = pytest.mark.engine

RUNGS = {
    "single-8g": "t4g.large",
    "single-8g-fixed": "m6g.large",
    "single-16g": "t4g.xlarge",
    "single-16g-fixed": "m6g.xlarge",
}
STEPS = ("backup", "resize", "verify", "thresholds", "load-test")
POINTS = (
    # What a step recorded is there before the next one begins: nothing lies between both.
    *(f"{moment}:{step}" for step in STEPS for moment in ("before", "doing", "done")), f"recorded:{STEPS[-1]}",
    "snapshot-made", "word-written", "word-committed", "engine:0", "engine:2",
)  # fmt: skip
DRILLED = [
    # point, from, to, then, whether another clone goes on
    ("engine:1", "single-8g", "single-16g", "resume", True),
]
MATRIX = [
    (point, before, after, then, other)
    for (before, after), point, then in itertools.product(
        itertools.permutations(RUNGS, 2), POINTS, ("resume", "rollback")
    )
    for other in (then == "resume" and point.startswith(("engine", "word")),)
]


def holding(project: Any) -> dict[str, str]:
    return dict(project.urns(*STATEFUL, INSTANCE))


@pytest.mark.parametrize(
    ("point", "before", "after", "then", "other"),
    [
        *(pytest.param(*each, marks=pytest.mark.drill, id="-".join(map(str, each))) for each in DRILLED),
        *(
            pytest.param(*each, marks=pytest.mark.matrix, id="matrix-" + "-".join(map(str, each)))
            for each in MATRIX
        ),
    ],
)
def test_a_killed_climb_ends_as_an_undisturbed_one(
    bare: Project,
    tmp_path_factory: pytest.TempPathFactory,
    point: str,
    before: str,
    after: str,
    then: str,
    other: bool,
) -> None:
    clone, made = planned(bare, tmp_path_factory, before, after)
    project, held = clone.project, holding(clone.project)
    clone.killed(point, "apply", made["id"], "--yes")
    goes_on = clone.another("second") if other else clone
    if other and "climb/" in goes_on.git("branch", "--show-current"):
        # git clones the branch that is checked out; another machine has the default branch alone.
        goes_on.git("switch", "-q", "--detach", made_on(clone))
    goes_on.scale(then, "--yes")
    ends_at = after if then == "resume" else before
    assert goes_on.words() == ends_at
    assert goes_on.git("status", "--porcelain") == ""
    assert (clone.box()["InstanceType"], clone.box()["State"]["Name"]) == (RUNGS[ends_at], "running")
    assert holding(project) == held
    records = [Record.parse(line) for line in text_of(goes_on).splitlines(keepends=True)]
    assert list(chain_faults(records)) == []
    assert records[-1].event == ("ended" if then == "resume" else "rolled-back")
    assert len(snapshots(project, made["id"])) <= 1
    project.write(stage=ends_at)
    project.up("--refresh", "--expect-no-changes")


def made_on(clone: Clone) -> str:
    """The commit that the climb's plan was made on."""
    return clone.git("rev-parse", "main")


def text_of(clone: Clone) -> str:
    return (clone.directory / ".local" / "climbs" / "dev.jsonl").read_text(encoding="utf-8")


def snapshots(project: Any, climb: str) -> list[str]:
    """The restore points of a climb."""
    found = project.client("ec2").describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:terrace:climb", "Values": [climb]}]
    )
    return [each["SnapshotId"] for each in found["Snapshots"]]
