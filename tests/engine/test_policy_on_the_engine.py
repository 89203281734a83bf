"""The policy pack as the real engine runs it: it advises in dev, blocks in prod, and blocks where it breaks."""

from __future__ import annotations

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
