"""The engine killed in the middle of an update: found, explained, and recovered with nothing twice."""

from __future__ import annotations

import os
from typing import Any, cast

import pytest

from infra.core.errors import TerraceError
from ops import recovery
from ops.adapters.orphans import ROWS, Orphans
from ops.adapters.state import EngineState
from ops.recovery import STATEFUL, Lock

from .census import census

pytestmark = pytest.mark.engine


@pytest.fixture
def recover(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `scripts/recover.py` does, on a test's project."""

    def run(project: Any) -> recovery.Recovery:
        for name, value in project.environment.items():
            monkeypatch.setenv(name, value)
        state = EngineState(project.directory, "terrace", project.stack, project.environment)
        orphans = Orphans("ap-northeast-2")
        planned = recovery.plan(state, orphans)
        recovery.carry_out(planned, state, orphans)
        return planned

    return run


def killed_up(project: Any, **fault: Any) -> str:
    """An up that its fault kills; what it printed."""
    project.cloud.engine_faults.kill_engine(**fault)
    done = project.up(check=False)
    assert done.returncode < 0, "the engine was not killed"
    return str(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("after", "when_done"),
    [
        (23, True),
        *(
            pytest.param(*each, marks=pytest.mark.drill)
            for each in [(0, True), (9, True), (41, False), (58, True)]
        ),
    ],
)
def test_a_killed_engine_leaves_a_lock_and_recovery_leaves_nothing_twice(
    project: Any, recover: Any, tmp_path_factory: pytest.TempPathFactory, after: int, when_done: bool
) -> None:
    killed_up(project, after=after, when_done=when_done)
    refused = project.up(check=False)
    assert "locked by 1 lock" in refused.stderr or "failed to load checkpoint" in refused.stderr
    found = recover(project)
    assert [lock.alive for lock in found.locks] == [False]
    assert found.pending
    project.up()
    project.up("--expect-no-changes")
    project.pulumi("refresh", "--yes", "--expect-no-changes")
    assert census(project) == WHOLE


WHOLE = {
    "vpcs": 1, "volumes": 2, "addresses": 1, "gateways": 1, "route tables": 1, "endpoints": 1, "flow logs": 1,
    "subnets": 2, "groups": 1, "rules": 3, "instances": 1, "keys": 1, "buckets": 4, "roles": 2, "profiles": 1,
    "log groups": 6, "parameters": 6, "topics": 1, "subscriptions": 1, "policies": 1,
}  # fmt: skip
"""What `single-8g` consists of, counted by hand from infra/options/single.py."""


def test_the_census_is_of_a_whole_stage(standing: Any) -> None:
    assert census(standing) == WHOLE


def test_a_state_that_the_kill_cut_off_is_put_back_from_the_engines_copy(standing: Any, recover: Any) -> None:
    path = standing.state / ".pulumi" / "stacks" / "terrace" / "dev.json"
    whole = path.read_text()
    path.with_name("dev.json.bak").write_text(whole)
    path.write_text(whole[: len(whole) // 2])
    assert "failed to load checkpoint" in standing.up(check=False).stderr
    found = recover(standing)
    assert found.sentences() == [
        "state dev.json was cut off while it was written: the last whole state is put back"
    ]
    standing.up("--expect-no-changes")


def test_a_state_without_a_whole_copy_is_left_alone_and_said(standing: Any, recover: Any) -> None:
    path = standing.state / ".pulumi" / "stacks" / "terrace" / "dev.json"
    for each in (path, path.with_name("dev.json.bak")):
        each.write_text("{")
    with pytest.raises(TerraceError, match="cannot be read, nor can its copy"):
        recover(standing)
    assert path.read_text() == "{"


def test_a_living_engine_is_never_robbed_of_its_lock(standing: Any, recover: Any) -> None:
    folder = standing.state / ".pulumi" / "locks" / "organization" / "terrace" / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.json").write_text(
        f'{{"pid": {os.getpid()}, "username": "root", "hostname": "{os.uname().nodename}", "timestamp": "now"}}'
    )
    with pytest.raises(TerraceError, match=f"process {os.getpid()} has been at work"):
        recover(standing)
    assert (folder / "a.json").exists()


def test_a_stack_without_a_kill_needs_nothing(standing: Any, recover: Any) -> None:
    assert not recover(standing).needed


class Late:
    """A cloud in which the thing of a dead engine appears only at the third look, and a state that awaits it."""

    def __init__(self) -> None:
        self.looks = 0

    def damage(self) -> str:
        return ""

    def locks(self) -> list[Lock]:
        return []

    def pending(self) -> list[recovery.Pending]:
        return [recovery.Pending("urn::x::app", "aws:ec2/eip:Eip", "creating")]

    def known_ids(self) -> frozenset[tuple[str, str]]:
        return frozenset()

    def seeks(self, pending: recovery.Pending) -> bool:
        return True

    def find(self, pending: recovery.Pending, known: object) -> str | None:
        self.looks += 1
        return "eipalloc-1" if self.looks == 3 else None


def test_a_thing_that_a_dead_engines_call_makes_seconds_later_is_found() -> None:
    late: Any = Late()
    assert recovery.plan(late, late, pause=lambda _: None).adopted == {"urn::x::app": "eipalloc-1"}
    hasty: Any = Late()
    assert recovery.plan(hasty, hasty, patience_seconds=1, pause=lambda _: None).adopted == {}


def not_found_again(project: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What is looked for after a kill and is not found by what the state says of it, without its id."""
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    orphans = Orphans("ap-northeast-2")
    lost = {}
    for each in project.resources():
        pending = recovery.Pending(each["urn"], each["type"], "creating", each.get("inputs") or {})
        if orphans.seeks(pending) and (found := orphans.find(pending, frozenset())) != each["id"]:
            lost[pending.name] = found
    return lost


def test_everything_that_a_stage_consists_of_is_found_again_without_its_id(
    standing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = not_found_again(standing, monkeypatch)
    # A link has no id of its own at AWS: what finds it is what undoes it.
    assert set(lost) <= {"Route public-internet", "VolumeAttachment app-data"}
    assert None not in lost.values()


@pytest.mark.drill
def test_database_balancer_and_gateway_are_found_again_without_their_ids(
    named: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    named.write(stage="private")
    named.up()
    lost = not_found_again(named, monkeypatch)
    assert all(name.startswith(("Route ", "VolumeAttachment ")) for name in lost), lost
    assert None not in lost.values()
    kinds = {each["type"] for each in named.resources()}
    assert {
        "aws:rds/instance:Instance",
        "aws:lb/listenerRule:ListenerRule",
        "aws:ec2/natGateway:NatGateway",
    } <= kinds


def test_recovery_says_each_thing_in_one_sentence() -> None:
    volume = recovery.Pending("urn::x::data", "aws:ebs/volume:Volume", "creating")
    subnet = recovery.Pending("urn::x::public", "aws:ec2/subnet:Subnet", "creating")
    role = recovery.Pending("urn::x::app", "aws:iam/role:Role", "deleting")
    planned = recovery.Recovery(
        (Lock("me@here", 7, "noon", alive=False),),
        (volume, subnet, role),
        {volume.urn: "vol-1"},
        {subnet.urn: "subnet-1"},
    )
    assert planned.sentences() == [
        "lock of me@here (pid 7, noon): taken away",
        "Volume data exists as vol-1: taken into the state",
        "Subnet public exists as subnet-1: removed, `up` makes it again",
        "Role app was deleting: nothing is left of it that matters",
    ]


class Held:
    """A stack whose holder is seen to live for so many looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def locks(self) -> list[recovery.Lock]:
        self.left -= 1
        return [recovery.Lock("me@here", 7, "noon", alive=self.left >= 0)]

    def damage(self) -> str:
        return ""

    def pending(self) -> list[recovery.Pending]:
        return []

    def known_ids(self) -> frozenset[tuple[str, str]]:
        return frozenset()


def test_a_holder_that_is_dying_is_waited_for_and_one_that_lives_on_is_not_disturbed() -> None:
    pauses: list[float] = []
    found = recovery.plan(cast("Any", Held(3)), cast("Any", None), pause=pauses.append)
    assert ([lock.alive for lock in found.locks], len(pauses)) == ([False], 3)
    with pytest.raises(TerraceError, match="process 7 has been at work since noon and lives"):
        recovery.plan(cast("Any", Held(1_000)), cast("Any", None), patience_seconds=2, pause=pauses.append)
    assert len(pauses) == 5


def test_every_kind_that_is_adopted_can_be_found_and_is_never_removed() -> None:
    assert {token for token, row in ROWS.items() if row.undo is None} <= STATEFUL
    for token in STATEFUL & set(ROWS):
        assert ROWS[token].undo is None
