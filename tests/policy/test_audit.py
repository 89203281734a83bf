"""What checkov says is judged whole: nothing unseen, nothing excused without a reason, no excuse that is idle."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from infra.core.cost.resource import Resource
from infra.core.errors import TerraceError
from infra.core.shape import Nat
from infra.settings import parse
from ops import audit, stackfile
from ops.adapters import checkov
from ops.adapters.recorded import run
from ops.audit import Exemption, Failed

ROOT = Path(__file__).parents[2]
BASE = stackfile.config(stackfile.path_of(ROOT, "dev"))
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


def kinds_of_the_program() -> set[str]:
    """Every class of pulumi_aws' modules that a component names, as the middle of its token; no branch is run."""
    found = set()
    for path in sorted((ROOT / "infra" / "components").glob("*.py")):
        tree = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        imported = [each for each in tree if isinstance(each, ast.ImportFrom)]
        assert not [each for each in imported if str(each.module).startswith("pulumi_aws.")], path
        modules = {
            name.name
            for each in imported
            if each.module == "pulumi_aws"
            for name in each.names
            if not name.asname
        }
        for each in tree:
            match each:
                case ast.Attribute(value=ast.Name(id=module), attr=kind) if module in modules:
                    if kind[0].isupper() and not kind.endswith("Args"):
                        found.add(f"{module.rstrip('_')}/{kind[0].lower()}{kind[1:]}")
    return found


def test_every_kind_that_a_component_can_make_has_a_name_and_stands_behind_a_switch_that_is_shown() -> None:
    kinds = kinds_of_the_program()
    assert kinds <= set(audit.NAMES)
    shown = set()
    for name, changes in audit.configurations():
        if name in ("single-8g-everything", "private-everything"):
            made = run(parse({**BASE, **changes}, where=name), stack="prod").judged()
            assert audit.plan(made)
            shown |= {each.token.split(":")[1] for each in made if each.custom}
    assert kinds <= shown


def test_the_configuration_without_a_nat_is_shown_too_and_is_one_that_the_program_takes() -> None:
    (closed,) = [{**BASE, **changes} for name, changes in audit.configurations() if name.endswith("closed")]
    assert parse(closed, where="closed").edge.nat is Nat.NONE


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
