"""Bad days of a climb by plain `pulumi up`: a hand in the state, an engine killed in each phase of A to B."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engine.test_engine_killed import killed_up, recover
from tests.engine.test_walks import DATABASE, VOLUME, assert_marked, holding, instances, mark, printed

__all__ = ["recover"]

pytestmark = [pytest.mark.engine, pytest.mark.drill, pytest.mark.matrix]


def test_with_protect_taken_off_in_the_state_hooks_and_aws_still_hold_the_data(standing: Any) -> None:
    standing.write(climb={"to": "split", "phase": "expanded"})
    standing.up()
    before = holding(standing)
    standing.pulumi("state", "unprotect", "--all", "--yes")
    assert not any(each.get("protect") for each in standing.resources())

    refused = standing.pulumi("destroy", "--yes", "--run-program", check=False)
    assert refused.returncode != 0
    assert "hook" in printed(refused)
    assert holding(standing) == before

    # Without the program no hook runs, and AWS is asked: it refuses what its own protection holds.
    for urn in (DATABASE, VOLUME):
        standing.pulumi("destroy", "--yes", "--target", urn, "--target-dependents", check=False)
    rds, ec2 = standing.client("rds"), standing.client("ec2")
    (database,) = rds.describe_db_instances()["DBInstances"]
    assert database["DeletionProtection"]
    with pytest.raises(ClientError, match="deletion protection"):
        rds.delete_db_instance(DBInstanceIdentifier=database["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    assert before[VOLUME] in {each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]}


CLIMB = (
    ({"climb": {"to": "split", "phase": "expanded"}}, 12),
    ({"climb": {"to": "split", "phase": "moved"}}, 1),
    ({"stage": "split", "climb": None, "kept": ["box-data"]}, 4),
)
"""What is written for each phase of A to B, and after how many changes the engine dies in it."""


@pytest.mark.parametrize("when_done", [False, True], ids=["before its call", "before it heard of it"])
def test_an_engine_killed_in_each_phase_of_a_to_b_is_resumed_by_recovery_and_up(
    standing: Any, recover: Any, when_done: bool
) -> None:
    mark(standing)
    before = holding(standing)
    for changes, after in CLIMB:
        standing.write(**changes)
        killed_up(standing, after=after, when_done=when_done)
        recover(standing)
        assert before.items() <= holding(standing).items()
        standing.up()
        standing.up("--refresh", "--expect-no-changes")
        assert before.items() <= holding(standing).items()
        assert_marked(standing)
    assert set(holding(standing)) - set(before) == {DATABASE}
    assert instances(standing) == {"frontend-public", "backend-public"}
