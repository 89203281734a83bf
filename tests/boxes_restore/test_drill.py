"""Restore drills in scratch stacks by the real engine, on real machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from embedded.cloud import Cloud
from infra.core.errors import TerraceError
from ops import restore
from ops.adapters.drills import S3Kits, ScratchStacks, SsmShell, StackMetrics
from tests.boxes_restore.support import Machine, say, until
from tests.engine.conftest import CACHE, ROOT, Project, lay_out

pytestmark = [pytest.mark.box, pytest.mark.drill]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Option A standing with boxes, its box's database made and backed up."""
    directory = tmp_path_factory.mktemp("drill")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        assert cloud.machines is not None, cloud.without_boxes
        made = Project(directory / "project", cloud)
        lay_out(made.directory)
        made.write(dataVolumeGib=20)
        made.pulumi("stack", "init", made.stack)
        made.up()
        box = machine(made)
        box.take_over()
        yield made


def machine(project: Project) -> Machine:
    """The stack's own box."""
    assert project.cloud.machines is not None
    outputs = project.outputs()
    buckets = outputs["buckets"]
    host = project.cloud.machines.host
    return Machine(host, project.client, outputs["instance_id"], buckets["backups"], buckets["uploads"])


@pytest.fixture
def drills(project: Project, monkeypatch: pytest.MonkeyPatch) -> restore.Drills:
    for name, value in project.cloud.variables().items():
        monkeypatch.setenv(name, value)
    region = project.settings["aws:region"]
    return restore.Drills(
        stacks_of(project), SsmShell(region), S3Kits(region), StackMetrics(region, "terrace")
    )


def stacks_of(project: Project, kind: type[ScratchStacks] = ScratchStacks) -> ScratchStacks:
    ours = ("PULUMI", "AWS")
    return kind(
        ROOT,
        project.directory / "Pulumi.dev.yaml",
        project="terrace",
        variables={key: value for key, value in project.environment.items() if key.startswith(ours)},
        work_dir=project.directory / "drills",
    )


def source(project: Project) -> restore.Source:
    return restore.source_of("dev", project.outputs(), project.settings["terrace:zones"][0])


def machines(project: Project) -> list[str]:
    """The instances that stand."""
    found = project.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    )
    return [each["InstanceId"] for group in found["Reservations"] for each in group["Instances"]]


def test_a_drill_proves_the_newest_backup_in_a_stack_of_its_own_and_leaves_nothing(
    project: Project, drills: restore.Drills, capsys: pytest.CaptureFixture[str]
) -> None:
    before = machines(project)
    report = drills.drill(source(project), now=datetime.now(UTC))
    assert report.faults == ()
    assert report.proof["tables"]["public.receipts"][0] == 200
    assert report.proof["uploads"] == 20
    assert machines(project) == before
    assert drills.stacks.names() == []
    assert list((project.directory / "drills").glob("Pulumi.*.yaml")) == []
    assert project.pulumi("stack", "--show-name").stdout.strip() == "dev"
    found = project.client("cloudwatch").list_metrics(Namespace="terrace")["Metrics"]
    dimensions = {
        each["MetricName"]: each["Dimensions"] for each in found if each["MetricName"].startswith("restore")
    }
    told = {"restore_drill_failed", "restore_seconds", "restored_row_age_seconds"}
    assert set(dimensions) - {"restore_drill_age_seconds"} == told, "the age is the box's own to tell"
    assert dimensions["restore_seconds"] == [{"Name": "Stack", "Value": "dev"}]
    say(
        capsys,
        f"drill: proved in {report.recovery_seconds:.1f} s (stack {report.stack_seconds:.1f}, boot "
        f"{report.boot_seconds:.1f}, restore and proof {report.restore_seconds:.1f}); "
        f"newest row {report.newest_row_age_seconds} s old",
    )


def test_a_drill_that_is_killed_half_way_is_swept_when_its_time_is_over(
    project: Project, drills: restore.Drills
) -> None:
    before, now = machines(project), datetime.now(UTC) - timedelta(hours=1)
    name = restore.name_of(now)
    project.cloud.engine_faults.kill_engine(after=4, operation="create", when_done=True)
    made = source(project)

    class Killed(ScratchStacks):
        """Its process dies with the engine: nothing is destroyed."""

        def destroy(self, name: str) -> None:
            raise KeyboardInterrupt

    dying = replace(drills, stacks=stacks_of(project, Killed))
    with pytest.raises(TerraceError, match="sweep --all"):
        dying.drill(made, now=now)
    assert drills.stacks.names() == [name]
    assert drills.sweep(now=datetime.now(UTC)) == []
    assert drills.sweep(now=now + timedelta(hours=restore.LIFETIME_HOURS, minutes=2)) == [name]
    assert drills.stacks.names() == []
    assert machines(project) == before


def script(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`scripts/restore.py` as a person runs it."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "restore.py"), *arguments, "--stack", "dev"],
        env=project.environment,
        cwd=project.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_command_line_tells_asks_and_goes_back_to_a_minute(project: Project) -> None:
    box = machine(project)
    told = script(project, "status")
    assert told.returncode == 0, told.stderr
    assert "newest backup" in told.stdout
    listed = json.loads(script(project, "list", "--output", "json").stdout)
    kinds = [each["kind"] for each in listed["backups"]]
    assert set(kinds) == {"full"}, "the box's own first, and the one asked for"
    wanted, moment = box.counts(), box.now()
    time.sleep(1.2)
    box.add_receipts(5)
    unasked = script(project, "to", moment)
    assert unasked.returncode == 1
    assert "Nothing was changed" in unasked.stderr
    assert box.counts() != wanted
    late = script(project, "to", "2199-01-01T00:00Z", "--yes")
    assert late.returncode == 1
    assert "still to come" in late.stderr
    assert box.sh("systemctl is-active postgresql@17-main") == "active"
    done = script(project, "to", moment, "--yes")
    assert done.returncode == 0, done.stderr
    assert box.counts() == wanted
    newest = max(each["stopped_at"] for each in listed["backups"])
    until(lambda: max(each["stopped_at"] for each in box.status()["backups"]) > newest, seconds=90)
    assert script(project, "sweep").returncode == 1
    assert "Nothing to destroy" in script(project, "sweep", "--yes").stderr
