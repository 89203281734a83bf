"""What checkov says is judged whole: nothing unseen, nothing excused without a reason, no excuse that is idle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.core.cost.resource import Resource
from infra.core.errors import TerraceError
from ops import audit
from ops.adapters import checkov
from ops.audit import Exemption, Failed

ROOT = Path(__file__).parents[2]
LOGS = Failed("CKV_AWS_18", "aws_s3_bucket.logs", "access logging")


def report(*plans: str, errors: int = 0, **failed: str) -> str:
    """What checkov prints for those plans."""
    passed = [
        {"file_path": plan, "check_id": "CKV_1", "resource": "a.b", "check_name": "n"} for plan in plans
    ]
    wrong = [
        {"file_path": plans[0], "check_id": check, "resource": where, "check_name": "says"}
        for check, where in failed.items()
    ]
    summary = {"passed": len(passed), "failed": len(wrong), "parsing_errors": errors}
    return json.dumps({"summary": summary, "results": {"passed_checks": passed, "failed_checks": wrong}})


def test_a_kind_that_has_no_name_is_refused_and_not_left_out() -> None:
    odd = Resource("urn:pulumi:dev::terrace::aws:sqs/queue:Queue::jobs", "aws:sqs/queue:Queue", {})
    with pytest.raises(TerraceError, match="aws:sqs/queue:Queue  has no name here"):
        audit.plan([odd])


def test_an_exception_covers_its_check_and_pattern_and_nothing_else() -> None:
    broad = Exemption("CKV_AWS_18", "aws_s3_bucket.*", "a reason")
    other = Exemption("CKV_AWS_19", "aws_s3_bucket.*", "a reason")
    assert audit.unexcused([LOGS], [broad]) == ([], [])
    assert audit.unexcused([LOGS], [other]) == ([LOGS], [other])
    assert "excepts nothing any more" in str(audit.table_of([LOGS], [other]).rows)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{check: CKV_AWS_18, resource: '*'}", "has not exactly the keys"),
        ("{check: CKV_AWS_18, resource: '*', reason: because}", "fewer than 20 characters"),
    ],
)
def test_an_exception_without_a_reason_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    path = tmp_path / "checkov.yaml"
    path.write_text(f"- {entry}\n", encoding="utf-8")
    with pytest.raises(TerraceError, match=said):
        audit.exemptions(path)


def test_every_exception_of_this_project_has_its_reason() -> None:
    assert audit.exemptions(ROOT / audit.FILE)


def test_a_report_is_read_once_for_each_check_and_resource() -> None:
    looked = checkov.read(report("/a.json", "/b.json", CKV_AWS_18="aws_s3_bucket.logs"), 2)
    assert (looked.passed, looked.failed) == (2, (Failed("CKV_AWS_18", "aws_s3_bucket.logs", "says"),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (report("/a.json"), "saw 1 of 2 plans"),
        (report("/a.json", "/b.json", errors=1), "saw 2 of 2 plans"),
        (report("/a.json", "/b.json")[:-9], "gave no report"),
        ("", "gave no report"),
    ],
)
def test_a_report_that_is_not_of_every_plan_is_never_taken_for_a_good_one(text: Any, said: str) -> None:
    with pytest.raises(TerraceError, match=said):
        checkov.read(text, 2)
