"""Climbs of Option A by the real engine on the embedded cloud, as a person makes them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.aws.faults import Fault, FaultKind
from ops import stackfile
from tests.climb.conftest import Clone
from tests.engine.conftest import ROOT

pytestmark = pytest.mark.engine


def test_a_climb_is_planned_and_applied_with_words_state_and_cloud_the_same(clone: Clone) -> None:
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
    assert [each["event"] for each in clone.journal()][-1] == "ended"


@pytest.mark.matrix
def test_a_climb_is_recorded_and_taken_back(clone: Clone) -> None:
    clone.climb("single-16g")
    row = json.loads(clone.scale("history", "--output", "json").stdout)[-1]
    assert (row["ended"], [each["step"] for each in row["steps"]]) == (
        "done",
        ["backup", "resize", "verify", "thresholds", "load-test"],
    )
    clone.project.up("--expect-no-changes")
    clone.scale("rollback", "--yes")
    assert (clone.words(), clone.box()["InstanceType"]) == ("single-8g", "t4g.large")


@pytest.mark.drill
def test_insufficient_capacity_on_start_puts_the_old_type_back_and_starts_it(clone: Clone) -> None:
    made = clone.plan("single-16g")
    clone.project.cloud.api.faults.add(
        Fault(
            FaultKind.API_FAILS,
            "ec2",
            "StartInstances",
            error_code="InsufficientInstanceCapacity",
            http_status=400,
        )
    )
    failed = clone.scale("apply", made["id"], "--yes", code=1)
    assert "InsufficientInstanceCapacity" in failed.stderr
    assert "scripts/scale_up.py resume -s dev, or scripts/scale_up.py rollback -s dev" in failed.stderr
    assert (clone.box()["InstanceType"], clone.box()["State"]["Name"]) == ("t4g.large", "running")
    assert (clone.words(), clone.git("status", "--porcelain")) == ("single-8g", "")
    clone.scale("resume", "--yes")
    assert clone.box()["InstanceType"] == "t4g.xlarge"


@pytest.mark.drill
def test_a_plan_that_is_older_than_what_it_rests_on_is_blocked_by_name_and_nothing_begins(
    clone: Clone,
) -> None:
    made = clone.plan("single-16g")
    ec2, volume = clone.project.client("ec2"), clone.project.outputs()["volume_id"]
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "Owner", "Value": "somebody@example.com"}])
    clone.project.pulumi("refresh", "--yes")
    assert "the stack's state" in clone.scale("apply", made["id"], "--yes", code=4).stderr
    (clone.directory / "notes").write_text("a person's own work", encoding="utf-8")
    assert "this clone" in clone.scale("apply", made["id"], "--yes", code=4).stderr
    (clone.directory / "notes").unlink()
    again = clone.plan("single-16g")
    clone.write("gates.yaml", "stacks: {dev: {freeze: ['mon 00:00 - sun 23:59']}}\n")
    said = clone.scale("apply", again["id"], "--yes", code=4).stderr
    assert "gates.yaml" in said
    assert "the program's commit" in said
    assert clone.journal() == []
    clone.plan("single-16g", code=4)
    clone.scale("apply", again["id"], code=4)


@pytest.mark.drill
def test_a_living_climb_of_another_clone_is_named_and_nothing_begins(clone: Clone) -> None:
    made = clone.plan("single-16g")
    bucket = clone.project.outputs()["buckets"]["backups"]
    stat = f"/proc/{os.getpid()}/stat"
    began = Path(stat).read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    held = {
        "token": "t", "who": "alice@laptop", "machine": f"{socket.gethostname()}/{boot}", "pid": os.getpid(),
        "process_began": began, "since": "2026-11-21T09:00:00+00:00", "reason": "another climb", "climb": "c",
    }  # fmt: skip
    s3 = clone.project.client("s3")
    s3.put_object(Bucket=bucket, Key="climbs/dev/lock.json", Body=json.dumps(held).encode())
    assert "is held by alice@laptop" in clone.scale("apply", made["id"], "--yes", code=4).stderr
    clone.more["PYTHONPROFILEIMPORTTIME"] = "1"
    looked = clone.scale("status", "--output", "json")
    found = json.loads(looked.stdout)
    # The engine's SDK would take longer than reading the state does; what only reads never imports it.
    imported = {line.rpartition("|")[2].strip() for line in looked.stderr.splitlines() if "|" in line}
    assert imported & {"boto3", "pulumi.automation", "httpx"} == {"boto3"}
    assert (found["lock"]["who"], found["stands"], found["under_way"]) == ("alice@laptop", "single-8g", None)


@pytest.mark.drill
def test_an_approval_by_ssh_key_opens_the_way_and_travels_by_the_bucket(clone: Clone) -> None:
    key = clone.directory.parent / "alice"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8")
    clone.write("allowed_signers", f'alice@example.com namespaces="terrace-climb" {public}')
    clone.write(
        "gates.yaml",
        "people: {alice@example.com: [tech]}\nstacks: {dev: {approvals: {min: 1, roles: [tech]}}}\n",
    )
    made = clone.plan("single-8g-fixed")
    assert "has 0 of 1 approvals" in clone.scale("apply", made["id"], "--yes", code=4).stderr
    refused = clone.scale(
        "approve", made["id"], "--as", "requester@example.com", "--key", str(key), "--yes", code=4
    )
    assert "is by the one who asked" in refused.stderr
    second = clone.another("second")
    branch = f"climb/{made['id']}"
    workflow = clone.another("workflow")
    workflow.git("switch", "-q", "-c", branch)
    stackfile.set_setting(workflow.directory / "Pulumi.dev.yaml", "terrace:stage", "single-8g-fixed")
    workflow.commit("the word")
    assert "has 0 of 1 approvals" in standing(workflow, branch, code=4)
    second.scale("approve", made["id"], "--as", "alice@example.com", "--key", str(key), "--yes")
    assert "single-8g -> single-8g-fixed" in standing(workflow, branch)
    assert "names no climb's plan" in standing(workflow, "another-branch", code=4)
    clone.scale("apply", made["id"], "--yes")
    assert clone.box()["InstanceType"] == "m6g.large"
    assert "stays where it stands" in standing(workflow, branch)


def standing(clone: Clone, carries: str, *, code: int = 0) -> str:
    """What a workflow's own step says in that clone, which has nothing but what git and the bucket hold."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "ci.py"), "standing", "--stack", "dev", "--carries", carries],
        cwd=clone.directory, env=clone.environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return " ".join(done.stderr.split())
