"""The controller as the program that a box's timer starts: whole, against AWS and RunPod doubles."""

from __future__ import annotations

import configparser
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from embedded.runpod.server import RunPodServer
from infra.clients.runpod_key import KEY_PARAMETER
from infra.core.gpu.bodies import cards
from infra.core.gpu.definition import load_policy
from infra.core.gpu.modes import Wanted
from infra.core.metrics import GPU_METRICS
from infra.core.naming import Naming
from infra.host.box.gpu import __main__ as program

from .support import KEY, definition, envelope
from .test_resource import made

REGION = "ap-northeast-2"
NAMING = Naming("terrace", "dev")


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A box that knows whose it is; the arguments of its program."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(program, "JOURNAL", tmp_path / "journal.jsonl")
    facts = tmp_path / "box.json"
    facts.write_text(json.dumps({"project": "terrace", "stack": "dev", "region": REGION}))
    with mock_aws():
        yield ["--facts", str(facts), "--json"]


def stand(served: RunPodServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint, and the parameters that Pulumi puts beside it; the key in its parameter alone."""
    endpoint, outputs = made()
    monkeypatch.delenv("RUNPOD_API_KEY")
    bucket: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    boto3.client("s3", region_name=REGION).create_bucket(Bucket="ours", **bucket)
    plan = {
        "envelope": envelope(Wanted.AUTO).as_data(),
        "cards": cards(definition()).as_data(),
        "budgetUsd": "50",
        "activeUntil": "",
        "jobTimeoutSeconds": 300,
        "policy": load_policy().as_data(),
        "bucket": "ours",
    }
    ssm = boto3.client("ssm", region_name=REGION)
    for path, value in (
        (("gpu", "endpoint"), endpoint),
        (("gpu", "jobs-url"), outputs["jobs_url"]),
        (("gpu", "plan"), json.dumps(plan)),
        (KEY_PARAMETER, KEY),
    ):
        ssm.put_parameter(Name=NAMING.parameter(*path), Value=value, Type="String")


def test_a_round_of_the_box_leads_and_tells_figures_with_the_stack_as_only_dimension(
    served: RunPodServer, box: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand(served, monkeypatch)
    assert program.main(box) == 0
    assert json.loads(capsys.readouterr().out)["role"] == "leader"
    told = boto3.client("cloudwatch", region_name=REGION).list_metrics(Namespace="terrace")["Metrics"]
    assert {each["MetricName"] for each in told} <= {each.name for each in GPU_METRICS}
    assert "gpu_spend_percent" in {each["MetricName"] for each in told}
    assert {tuple(d.items()) for each in told for d in each["Dimensions"]} == {
        (("Name", "Stack"), ("Value", "dev"))
    }


def test_of_two_boxes_one_leads(
    served: RunPodServer, box: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand(served, monkeypatch)
    roles = []
    for name in ("box-1", "box-2", "box-1"):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        assert program.main(box) == 0
        roles.append(json.loads(capsys.readouterr().out)["role"])
    assert roles == ["leader", "follower", "leader"]


def test_a_box_born_before_its_endpoint_waits_without_failing(
    box: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(box) == 0
    assert "holds no endpoint" in capsys.readouterr().out


def test_a_key_that_was_never_set_fails_with_the_remedy(
    served: RunPodServer, box: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand(served, monkeypatch)
    boto3.client("ssm", region_name=REGION).put_parameter(
        Name=NAMING.parameter(*KEY_PARAMETER), Value="unset", Type="String", Overwrite=True
    )
    assert program.main(box) == 1
    assert "key set" in capsys.readouterr().err


def test_a_machine_that_is_no_box_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--facts", str(tmp_path / "none.json")]) == 1
    assert "whose box" in capsys.readouterr().err


def test_a_round_ends_before_the_next_begins_and_the_unit_runs_what_the_bundle_installs() -> None:
    room = Path(program.__file__).parent
    unit, timer = configparser.ConfigParser(strict=False), configparser.ConfigParser()
    unit.read(room / "terrace-gpu.service")
    timer.read(room / "terrace-gpu.timer")
    assert unit["Service"]["ExecStart"] == "/usr/local/sbin/terrace-gpu"
    assert float(unit["Service"]["TimeoutStartSec"]) < float(timer["Timer"]["OnUnitActiveSec"])
    assert float(timer["Timer"]["OnUnitActiveSec"]) == load_policy().poll_seconds
