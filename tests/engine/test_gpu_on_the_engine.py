"""The endpoint on the real engine, and the command line over it: made, used, watched, refused, deleted by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.runpod import pictures
from embedded.runpod.server import RunPodServer

from .conftest import ROOT, Project
from .walk import endpoints, listed, planned

pytestmark = [pytest.mark.engine, pytest.mark.drill]
NAME, KEY = "terrace-dev-receipts", "double-key"


@pytest.fixture
def runpod(bare: Project) -> Iterator[RunPodServer]:
    """The cloud's own double, with workers that are there in a second."""
    server = bare.cloud.runpod.server
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(server.double.habits, "cold_seconds", 1.0)
        quick.setattr(server.double.habits, "execution_seconds", 0.5)
        yield server


def script(project: Project, *arguments: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "gpu.py"), *arguments],
        env={**os.environ, **project.environment},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_life_of_an_endpoint(bare: Project, runpod: RunPodServer, tmp_path: Path) -> None:
    project = bare
    project.write(gpu={"mode": "auto"})
    project.pulumi("stack", "init", project.stack)

    # Without a key a preview works and says what it has not verified; `up` fails at the endpoint with the remedy.
    preview = project.pulumi("preview")
    assert "not verified" in preview.stdout + preview.stderr
    failed = project.up(check=False)
    assert failed.returncode != 0
    assert "scripts/gpu.py key set" in failed.stdout + failed.stderr
    assert 'File "' not in failed.stdout + failed.stderr
    code, out, said = script(project, "key", "set", given=KEY + "\n")
    assert code == 0, said
    assert KEY not in out + said

    project.up()
    (endpoint,) = runpod.double.endpoints
    assert project.outputs()["gpu_endpoint"] == endpoint.id
    assert KEY not in project.pulumi("stack", "export").stdout
    found = project.preview("--show-sames")
    assert {step["op"] for step in found["steps"]} <= {"same", "read"}

    # The platform's own list and the cloud's cost what the plan does; how long `auto` may wait is in no list.
    plan, lists = planned(project, json.dumps(found)), listed(project, *endpoints(project, KEY))
    assert plan.fixed == lists.fixed
    assert (plan.total.low, plan.total.likely) == (lists.total.low, lists.total.likely)
    assert lists.total.likely > listed(project).total.likely

    # The controller's own work is no drift; an edit of the definition is.
    endpoint.body["workers"] = {"min": 1, "max": 1, "idleTimeout": 900}
    project.pulumi("refresh", "--yes")
    assert project.steps() == {}
    endpoint.body["timeout"] = 1000
    project.pulumi("refresh", "--yes")
    assert project.steps()["pulumi-python:dynamic/gpu:Endpoint::endpoint"] == "update"
    project.up()
    assert endpoint.body["timeout"] == 300_000

    # The controller leads, a person overrides, a receipt is read.
    code, out, said = script(project, "run", "--rounds", "1")
    assert code == 0, said
    assert "leader" in said
    code, out, said = script(project, "mode", "active", "--reason", "demo", "--yes")
    assert code == 0, said
    code, out, said = script(project, "run", "--rounds", "1")
    assert endpoint.body["workers"]["min"] == 1, said
    pictures.draw("cafe", tmp_path / "receipt.png")
    code, out, said = script(project, "invoke", str(tmp_path / "receipt.png"), "--wait", "--output", "json")
    assert code == 0, said
    assert json.loads(out)["total"] == "15500"
    assert "the double's" in said
    code, out, said = script(project, "status", "--output", "json")
    assert json.loads(out)["override"] == "active: demo"
    assert script(project, "bill")[0] == 0

    # A wait that is too short sends nothing twice: the same job is looked at again.
    runpod.double.habits.execution_seconds = 250.0
    code, out, said = script(project, "invoke", str(tmp_path / "receipt.png"), "--within", "1")
    assert code == 5, said
    sent = [path for _, path, _ in runpod.double.requests if path.endswith("/run")]
    job = said.split("gpu.py job ")[1].split()[0]
    code, out, said = script(project, "job", job, "--output", "json")
    assert json.loads(out) == {"job": job, "status": "being analysed"}, said
    assert [path for _, path, _ in runpod.double.requests if path.endswith("/run")] == sent

    # Off is asked for by name, and then it is gone.
    project.write(gpu={"mode": "off"})
    refused = project.up(check=False)
    assert refused.returncode != 0
    assert f"terrace:gpu.remove: {NAME}" in refused.stdout + refused.stderr
    assert runpod.double.endpoints
    project.write(gpu={"mode": "off", "remove": NAME})
    project.up()
    assert runpod.double.endpoints == []
