"""The policy pack as the real engine runs it: it advises in dev, blocks in prod, and blocks where it breaks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops.policy import PACK

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
WITH_PACK = ("--policy-pack", str(ROOT / PACK))
CRASHING = """#!/bin/sh
exec "{python}" -u -c '
from infra.policy.judging import Rule, Severity
from infra.policy.serving import serve
def odd(resource, facts):
    raise ZeroDivisionError("correcthorse")
serve([Rule("odd", "terrace", Severity.LOW, "says", "remedy", ("aws:ec2/vpc:Vpc",), odd)])
'
"""


def executable(path: Path, text: str) -> tuple[str, str]:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return ("--policy-pack", str(path))


def test_prod_is_stopped_in_the_preview_with_rule_reason_and_remedy(project: Any) -> None:
    project.write(environment="prod", ami="ami-0123456789abcdef0", deletionProtection=False)
    done = project.pulumi("preview", *WITH_PACK, check=False)
    assert done.returncode != 0
    for said in ("[mandatory]", "data-protected", "budget-present", "Set terrace:deletionProtection: true"):
        assert said in done.stdout


@pytest.mark.drill
def test_dev_is_told_and_goes_on_and_an_update_is_judged_too(standing: Any) -> None:
    standing.write(logRetentionDays=60)
    done = standing.up(*WITH_PACK)
    assert "[advisory]" in done.stdout
    assert "budget-present" in done.stdout
    assert "[mandatory]" not in done.stdout
    groups = standing.client("logs").describe_log_groups()["logGroups"]
    assert {each["retentionInDays"] for each in groups} == {60}


@pytest.mark.drill
def test_an_update_of_prod_makes_nothing_that_breaks_a_rule(project: Any) -> None:
    project.write(
        environment="prod", ami="ami-0123456789abcdef0", deletionProtection=False, budget={"monthly": "300"}
    )
    assert project.up(*WITH_PACK, check=False).returncode != 0
    assert not [each for each in project.resources() if each["type"] == "aws:s3/bucket:Bucket"]


@pytest.mark.drill
def test_a_rule_that_crashes_blocks_prod_and_says_so(project: Any, tmp_path: Path) -> None:
    python = ROOT / ".venv" / "bin" / "python"
    pack = executable(tmp_path / "pack", CRASHING.format(python=python))
    project.write(environment="prod", ami="ami-0123456789abcdef0")
    done = project.pulumi("preview", *pack, check=False)
    assert done.returncode != 0
    assert "the rule itself failed (ZeroDivisionError)" in done.stdout
    assert "correcthorse" not in done.stdout + done.stderr


@pytest.mark.drill
def test_a_pack_that_does_not_start_or_dies_blocks(project: Any, tmp_path: Path) -> None:
    done = project.pulumi("preview", *executable(tmp_path / "pack", "#!/bin/sh\nexit 3\n"), check=False)
    assert done.returncode != 0
    assert "pack" in done.stdout + done.stderr


OF_ANOTHER = """#!/bin/sh
exec "{python}" -u -c '
from infra.policy import serving
from infra.policy.judging import Rule, Severity
from pulumi.runtime.proto import analyzer_pb2 as proto
def odd(resource, facts):
    yield "is odd"
serving.NAME = "another"
serving.Pack.ConfigureStack = lambda *_: proto.AnalyzerStackConfigureResponse()  # it takes every stack for prod
{more}
serving.serve([Rule("odd-network", "terrace", Severity.LOW, "says", "remedy", ("aws:ec2/vpc:Vpc",), odd)])
'
"""
RAISES = """
def broken(*_):
    raise ZeroDivisionError("correcthorse")
serving.Pack.AnalyzeStack = broken
serving.Pack.Analyze = lambda self, *_: self._answer([])
"""


@pytest.mark.drill
@pytest.mark.parametrize(
    ("more", "said"),
    [("", "another/odd-network"), (RAISES, "a policy pack blocked or failed")],
    ids=["blocks", "crashes"],
)
def test_a_report_ends_with_4_for_a_further_pack_that_blocks_or_crashes_and_still_says_all_else(
    project: Any, tmp_path: Path, more: str, said: str
) -> None:
    python = ROOT / ".venv" / "bin" / "python"
    _, pack = executable(tmp_path / "pack", OF_ANOTHER.format(python=python, more=more))
    done = subprocess.run(
        [python, "scripts/preview.py", "run", "--stack", "dev", "--policy-pack", pack, "--output", "json"],
        cwd=ROOT, env=project.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)
    assert any(said in each["rule"] + each["message"] for each in told["findings"] if each["blocks"])
    assert told["cost"]
    assert len(told["changes"]) > 50
    assert "correcthorse" not in done.stdout + done.stderr
