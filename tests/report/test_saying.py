"""The report: what stands on top, money to the cent, the budget, the comment's form, and what programs get."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from infra.core.errors import TerraceError
from ops.report import data, markdown, read_findings, read_preview, report
from tests.report.support import (
    ALARM,
    BOX,
    GUARD,
    INSTANCE,
    VOLUME,
    preview,
    replacement,
    same,
    state,
    step,
    update,
)

TODAY = date(2026, 11, 21)
XLARGE = {**BOX, "instanceType": "t4g.xlarge"}
DISK = {"type": "gp3", "size": 100}
CLIMB = preview(update(INSTANCE, "app", BOX, XLARGE), same(VOLUME, "data", DISK))
FINDING = {
    "rule": "open-port", "control": "EC2.19", "severity": "high", "urn": "urn:pulumi:dev::terrace::a::web",
    "message": "port 22 is open", "remedy": "Close it", "enforcement": "mandatory",
}  # fmt: skip


def made(text: str, **more: Any) -> Any:
    return report(read_preview(text, where="preview.json"), today=TODAY, **more)


def test_a_resize_names_its_line_its_difference_and_its_interruption() -> None:
    found = data(made(CLIMB))
    (line,) = [each for each in found["cost"]["lines"] if each["delta"]]
    assert (line["sign"], line["before"], line["after"]) == ("~", Decimal("60.74"), Decimal("121.47"))
    assert found["cost"]["delta"] == Decimal("60.74")
    assert [each["what"] for each in found["interruptions"]] == [
        "the box stops and starts: nothing on it answers meanwhile"
    ]


def test_what_holds_data_stands_above_everything_else() -> None:
    text = preview(
        *replacement(INSTANCE, "app", BOX, {**BOX, "ami": "ami-2"}, by="ami"),
        *replacement(VOLUME, "data", DISK, {**DISK, "size": 50}, by="size", old_first=False),
        step("delete", state("aws:s3/bucket:Bucket", "receipts"), None),
        step("same", state("aws:kms/key:Key", "key", protect=True), state("aws:kms/key:Key", "key")),
    )
    said = markdown(made(text))
    sections = [line for line in said.splitlines() if line.startswith("### ")]
    assert sections[:2] == ["### Data and identities", "### Replaced"]
    assert "| **replaced** | `data` (ebs.Volume) | everything on it that no snapshot holds |" in said
    assert "| **deleted** | `receipts` (s3.Bucket) | every object in it |" in said
    assert "| **unprotected** | `key` (kms.Key) |" in said
    assert said.index("`data` (ebs.Volume)") < said.index("`app` (ec2.Instance)")
    assert "ami ami-1 → ami-2" in said


def test_a_deletion_that_the_cloud_does_not_see_loses_nothing() -> None:
    found = made(preview(step("delete", state(VOLUME, "data", DISK, retainOnDelete=True), None)))
    assert "retained in the cloud, and billed on" in markdown(found)
    assert [each["lost"] for each in data(found)["changes"]] == [""]


def test_both_of_a_replaced_machine_are_counted_once_only_where_the_new_one_comes_first() -> None:
    for old_first, once in ((True, []), (False, [Decimal("0.08")])):
        steps = replacement(INSTANCE, "app", BOX, {**BOX, "ami": "a"}, by="ami", old_first=old_first)
        found = made(preview(*steps))
        assert [each.usd for each in found.one_off] == once  # 0.0832 for an hour of t4g.large
        assert found.cost.delta == 0


@pytest.mark.parametrize(
    ("budget", "over", "said"),
    [
        ({"monthly": "150"}, False, "USD left"),
        ({"monthly": "100"}, True, "OVER BUDGET"),
        (
            {"monthly": "180000", "currency": "KRW", "krwPerUsd": "1500", "rateOf": "2026-10-09"},
            True,
            "at 1500 KRW",
        ),
    ],
)
def test_the_month_is_held_against_the_budget_in_its_own_currency(
    budget: dict[str, str], over: bool, said: str
) -> None:
    # 121.472 for the machine, 1.824 for its root, 9.12 for the volume, and what use decides
    text = preview(
        update(INSTANCE, "app", BOX, XLARGE), same(VOLUME, "data", DISK),
        config={"terrace:budget": json.dumps(budget)},
    )  # fmt: skip
    found = made(text)
    assert found.over_budget is over
    assert said in markdown(found)


def test_an_unpriced_kind_blocks_with_its_urn_and_is_never_nothing() -> None:
    found = made(preview(step("create", None, state("aws:sagemaker/model:Model", "m"))))
    assert found.blocked
    assert found.cost is None
    assert (
        "aws:sagemaker/model:Model::m: aws:sagemaker/model:Model is neither priced"
        in data(found)["not_priced"][0]
    )
    assert "### Not priced" in markdown(found)


def test_a_kind_without_a_price_may_go_and_the_price_before_says_that_it_is_not_in_it() -> None:
    found = made(preview(step("delete", state("aws:sagemaker/model:Model", "m"), None)))
    assert not found.blocked
    assert "not in the price before: " in markdown(found)


def test_an_old_book_and_a_book_of_elsewhere_price_no_stack() -> None:
    plan = read_preview(CLIMB, where="p")
    assert report(plan, today=date(2027, 3, 30)).cost is not None
    aged = report(plan, today=date(2027, 3, 31))
    assert aged.blocked
    assert "181 days old where 180 are the most" in str(aged.faults[0])
    seoul = {"aws:region": "eu-west-1", "terrace:zones": '["eu-west-1a","eu-west-1b"]'}
    elsewhere = made(preview(update(INSTANCE, "app", BOX, XLARGE), config=seoul))
    assert any("ap-northeast-2 where the stack stands in eu-west-1" in str(each) for each in elsewhere.faults)


def test_a_preview_without_what_stays_the_same_has_no_price() -> None:
    raw = json.loads(CLIMB)
    raw["changeSummary"]["same"] = 7
    found = made(json.dumps(raw))
    assert found.blocked
    assert "--show-sames" in str(found.faults[0])


def test_thresholds_and_objectives_that_change_are_named_with_both_values() -> None:
    text = preview(
        update(GUARD, "guard", {"stage": "elastic-10k"}, {"stage": "elastic-100k"}),
        update(ALARM, "app-cpu", {"threshold": 70.0, "period": 300.0}, {"threshold": 80.0, "period": 300.0}),
        step("create", None, state(ALARM, "app-new", {"threshold": 1, "period": 60})),
        update(
            "aws:cloudwatch/compositeAlarm:CompositeAlarm", "down",
            {"alarmRule": 'ALARM("a") OR ALARM("b")'}, {"alarmRule": 'ALARM("b") OR ALARM("c")'},
        ),
    )  # fmt: skip
    found = data(made(text))
    assert found["thresholds"] == [
        {"name": "app-cpu", "what": "threshold", "before": "70", "after": "80"},
        {"name": "app-new", "what": "alarm", "before": "", "after": "new"},
        {"name": "down", "what": "listens to", "before": "a", "after": ""},
        {"name": "down", "what": "listens to", "before": "", "after": "c"},
    ]
    assert [(each["what"], each["before"], each["after"]) for each in found["objectives"]] == [
        ("stage", "elastic-10k", "elastic-100k"), ("availability percent", "99.0", "99.5"),
    ]  # fmt: skip


def test_without_a_change_there_is_nothing_to_say_unless_something_blocks() -> None:
    text = preview(same(VOLUME, "data", DISK))
    assert markdown(made(text)) == ""
    assert "port 22 is open" in markdown(made(text, findings=read_findings(json.dumps([FINDING]), where="f")))


@pytest.mark.parametrize(
    ("message", "blocked"),
    [
        (
            'error: unable to replace resource "u"\nas it is currently marked for protection. To unprotect',
            True,
        ),
        (
            'error: Preview failed: resource "u" cannot be deleted\nbecause it is protected. To unprotect',
            True,
        ),
        ("error: Program failed with an unhandled exception", False),
    ],
)
def test_a_protected_resource_blocks_and_a_failing_program_only_fails(message: str, blocked: bool) -> None:
    found = made(preview(diagnostics=[{"message": message, "severity": "error"}]))
    assert (found.failed, found.blocked) == (True, blocked)


def test_a_mandatory_finding_blocks_and_advice_does_not() -> None:
    for enforcement, blocked in (("mandatory", True), ("advisory", False)):
        findings = read_findings(json.dumps([{**FINDING, "enforcement": enforcement}]), where="findings.json")
        assert made(CLIMB, findings=findings).blocked is blocked


@pytest.mark.parametrize("text", ["", "{}", "null", '[{"rule": "x"}]', "Traceback (most recent call last):"])
def test_a_pack_that_crashed_is_no_clean_bill(text: str) -> None:
    with pytest.raises(TerraceError, match="Did it crash"):
        read_findings(text, where="findings.json")


def test_no_name_of_a_branch_nobody_reviewed_makes_markup() -> None:
    nasty = "x`|<img src=http://evil.example>\n## @everyone [a](http://evil.example)"
    old, new = {**BOX, "ami": "a"}, {**BOX, "ami": "@all <b>|x"}
    said = markdown(made(preview(
        *replacement(INSTANCE, nasty, old, new, by="ami"),
        diagnostics=[{"message": f"warning: {nasty}", "severity": "warning"}],
    )))  # fmt: skip
    outside = "".join(part for index, part in enumerate(said.replace("\\`", "").split("`")) if index % 2 == 0)
    assert "<img" not in outside
    assert "@everyone" not in outside
    assert "@all" not in outside
    assert "](http" not in outside.replace("\\]", "")
    assert not any(line.startswith("## @") for line in said.splitlines())
    assert all(line.replace("\\`", "").count("`") % 2 == 0 for line in said.splitlines())
