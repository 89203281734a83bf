"""Previews, states and recordings: what is read out of them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.core.cost import UNKNOWN
from infra.core.errors import TerraceError
from ops.policy import of_packs
from ops.report import Op, compared, read_preview, read_recorded, read_state, written
from tests.report import support
from tests.report.support import BOX, INSTANCE, VOLUME, preview, replacement, same, state, step, update

NEW = step("create", None, state(VOLUME, "v"))


def read(text: str, **more: Any) -> Any:
    return read_preview(text, where="preview.json", **more)


def test_a_replacement_in_three_steps_is_one_change_with_what_forces_it_and_its_order() -> None:
    for old_first in (True, False):
        steps = replacement(INSTANCE, "app", BOX, {**BOX, "ami": "ami-2"}, by="ami", old_first=old_first)
        (change,) = read(preview(*steps)).changes
        assert (change.op, change.forced_by, change.old_first) == (Op.REPLACE, ("ami",), old_first)
        assert change.before.inputs["ami"] == "ami-1"
        assert change.after.inputs["ami"] == "ami-2"


def test_a_replacement_that_an_earlier_update_left_half_done_is_still_one() -> None:
    left = step("remove-pending-replace", state(INSTANCE, "app", BOX), None)
    steps = replacement(INSTANCE, "app", BOX, {**BOX, "ami": "ami-2"}, by="ami")
    (change,) = read(preview(left, *steps, changeSummary={"replace": 1})).changes
    assert (change.op, change.forced_by) == (Op.REPLACE, ("ami",))


def test_a_replacement_in_one_step_is_the_same_change_without_an_order() -> None:
    steps = replacement(INSTANCE, "app", BOX, {**BOX, "ami": "ami-2"}, by="ami")
    (change,) = read(preview(*[each for each in steps if each["op"] == "replace"])).changes
    assert (change.op, change.forced_by, change.old_first) == (Op.REPLACE, ("ami",), None)


def test_secrets_are_masked_whichever_way_the_engine_marks_them() -> None:
    signed = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
    plan = read(
        preview(
            step(
                "create", None, state("aws:ssm/parameter:Parameter", "p", {"value": signed, "list": [signed]})
            )
        )
    )
    (change,) = plan.changes
    assert change.after.inputs == {"value": "[secret]", "list": ["[secret]"]}


def test_what_only_an_update_tells_stays_marked_unless_an_unchanged_resource_was_read() -> None:
    known = state(VOLUME, "data", {"size": UNKNOWN}, outputs={"size": 100})
    plain = state(VOLUME, "data", {"size": UNKNOWN})
    (stays,) = read(preview(step("same", known, plain))).changes
    assert stays.after.value("size") == 100
    (moves,) = read(preview(step("update", known, plain, diffReasons=["size"]))).changes
    with pytest.raises(Exception, match="size"):
        moves.after.value("size")


def test_a_preview_that_leaves_out_what_stays_is_whole_with_the_state_and_only_then() -> None:
    raw = json.loads(preview(update(INSTANCE, "app", BOX, {**BOX, "instanceType": "t4g.xlarge"})))
    raw["changeSummary"]["same"] = 1
    alone = read(json.dumps(raw))
    assert not alone.whole
    exported = {
        "version": 4,
        "deployment": {"resources": [state(VOLUME, "data", {"type": "gp3", "size": 100})]},
    }
    standing = read_state(json.dumps(exported), where="state.json")
    both = read(json.dumps(raw), state=standing)
    assert both.whole
    assert {each.name for each in both.after} == {"app", "data"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty. Make it again: pulumi preview --json"),
        (preview(same(VOLUME, "data"))[:-40], "is cut off after"),
        ("Previewing update (dev):\n", "is no JSON"),
        ("[]", "holds a list where an object was expected"),
        ('{"sequence": 1}\n{"sequence": 2}\n', "a stream of events"),
        ('{"steps": [], "config": {}}', "'changeSummary' is missing"),
        (preview(step("teleport", None, state(VOLUME, "v"))), "step 'teleport' of .* is not known"),
        (preview(NEW, changeSummary={"create": 2}), "holds 1 of 2 resources to create"),
        (preview(NEW, changeSummary={"create": 1, "adopt": 1}), "counts 'adopt'"),
        (preview(step("update", None, state(VOLUME, "v"))), "a step 'update' has no old state"),
        (preview(step("update", state(VOLUME, "v"), None)), "a step 'update' has no new state"),
        (preview({"op": "same", "urn": f"{support.PREFIX}x::y"}), "neither old nor new state"),
        ('{"steps": [{"op": "same"}], "changeSummary": {}}', "'urn' is missing"),
        ('{"steps": {"a": 1}, "changeSummary": {}}', "has not the form of engine"),
    ],
)  # fmt: skip
def test_a_preview_of_another_form_is_refused_and_never_read_as_no_change(text: str, said: str) -> None:
    with pytest.raises(TerraceError, match=said):
        read(text)


def test_what_a_newer_engine_adds_beside_is_let_pass() -> None:
    text = preview(same(VOLUME, "data", {"size": 1}, aNewField=[1]), aNewSection={"a": 1})
    assert [each.op for each in read(text).changes] == [Op.SAME]


def test_a_refused_preview_says_who_refused_and_has_no_count_to_be_held_against() -> None:
    guard = f"urn:pulumi:dev::terrace::{support.GUARD}::guard"
    said = [
        {"urn": guard, "message": "error: a volume never shrinks\n", "severity": "error"},
        {"message": "warning: mind the gap\n", "severity": "warning"},
    ]
    plan = read(preview(diagnostics=said, changeSummary={"same": 1}))
    assert [(each.message, each.by_guard) for each in plan.refusals] == [("a volume never shrinks", True)]
    assert plan.warnings == ("mind the gap",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ('{"version": 4, "deployment": {"resources": [', "is cut off"),
        ('{"version": 9, "deployment": {}}', "no export of version 3 or 4 .version 9."),
        ('{"version": 4, "deployment": {"resources": [{"urn": "u"}]}}', "a resource of another form"),
    ],
)
def test_a_state_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(TerraceError, match=said):
        read_state(text, where="state.json")


def test_a_state_leaves_out_what_is_only_read_and_what_waits_for_its_deletion() -> None:
    listed = [state(VOLUME, "a"), state(VOLUME, "b", delete=True), state(VOLUME, "c", external=True)]
    found = read_state(json.dumps({"version": 3, "deployment": {"resources": listed}}), where="s")
    assert [(each.name, each.custom) for each in found] == [("a", True), ("c", False)]


def test_a_recording_comes_back_as_it_was_written_and_two_of_them_make_a_plan_without_replacements() -> None:
    one = read_state(
        json.dumps({"version": 4, "deployment": {"resources": [state(INSTANCE, "app", BOX)]}}), where="s"
    )
    text = written("dev", support.CONFIG, one)
    stack, config, again = read_recorded(text, where="base.json")
    assert (stack, config, again) == ("dev", support.CONFIG, one)
    plan = compared(one, [], stack, config)
    assert [each.op for each in plan.changes] == [Op.DELETE]
    assert not plan.engine
    for broken, said in (("", "is empty"), (text[:-30], "is cut off"), ("{}", "no recording of format 1")):
        with pytest.raises(TerraceError, match=said):
            read_recorded(broken, where="base.json")


def test_an_error_of_no_resource_beside_whole_steps_is_a_policy_packs_where_there_is_one() -> None:
    ended = [{"message": "error: preview failed\n", "severity": "error"}]
    plan = read(preview(NEW, diagnostics=ended), packs=True)
    assert (plan.stopped, plan.refusals, plan.whole) == (("preview failed",), (), True)
    assert read(preview(NEW, diagnostics=ended)).refusals
    assert read(preview(diagnostics=ended), packs=True).refusals
    named = [*ended, {"message": "error: no\n", "severity": "error", "urn": f"{support.PREFIX}x::y"}]
    assert len(read(preview(NEW, diagnostics=named), packs=True).refusals) == 2
    with pytest.raises(TerraceError, match="it holds 1 of 2"):
        read(preview(NEW, diagnostics=ended, changeSummary={"create": 2}), packs=True)


def test_a_preview_that_ended_badly_blocks_even_where_no_pack_said_why() -> None:
    plan = read(preview(NEW))
    event = {
        "policyPackName": "a",
        "policyName": "b",
        "message": "<{%fg 1%}>no<{%reset%}>\n",
        "resourceUrn": "u",
    }
    advice, blocking = ({**event, "enforcementLevel": each} for each in ("advisory", "mandatory"))
    own = {**blocking, "policyPackName": "terrace"}
    assert of_packs(plan, [own], [], ok=True) == []
    (one,) = of_packs(plan, [advice], [], ok=True)
    assert (one.rule, one.message, one.blocks) == ("a/b", "no", False)
    assert [each.rule for each in of_packs(plan, [advice], [], ok=False)] == ["a/b", "policy-pack"]
    assert [each.rule for each in of_packs(plan, [blocking], [], ok=False)] == ["a/b"]
    (crashed,) = of_packs(replace(plan, stopped=("Exception calling application: s3cret",)), [], [], ok=False)
    assert crashed.blocks
    assert "s3cret" not in crashed.message
