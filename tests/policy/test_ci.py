"""Workflows refuse a climb that nobody announced, a plan of another commit, and a state that moved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra.core.cost import Resource
from infra.core.errors import Fault, TerraceError
from infra.core.transition import Standing
from ops import ci
from ops.climb.steps import Words
from ops.report import report
from ops.report.plan import Change, Op, Plan

A = Standing("terrace", "prod", "ap-northeast-2", ("ap-northeast-2a",), "10.20.0.0/16", "single-8g", 100)
EXPANDED = replace(A, climb_to="split", climb_phase="expanded")
STEP = "single-8g -> single-8g to split (expanded)"
EXPAND = ("single-8g", "single-8g → split, expanded")
CLIMB = "climb/0123456789"


def state(standing: Standing, *, serial: int = 1) -> dict[str, Any]:
    guard = {"type": ci.GUARD, "urn": "guard", "outputs": standing.as_inputs()}
    return {"manifest": {"time": str(serial)}, "resources": [guard, {"urn": "other", "serial": serial}]}


@dataclass
class Pretended:
    """An engine whose state may move while it previews."""

    now: dict[str, Any]
    moves_to: dict[str, Any] | None = None
    applied: list[Path] = field(default_factory=list)

    def deployment(self) -> dict[str, Any]:
        return self.now

    def save_plan(self, path: Path, *, policy_pack: Path) -> dict[str, int]:
        path.write_text("{}", encoding="utf-8")
        self.now = self.moves_to or self.now
        return {"update": 1}

    def apply_plan(self, path: Path, *, policy_pack: Path) -> None:
        self.applied.append(path)


@dataclass
class Climbs:
    """Plans by name, with the one step that each lets pass; `ended` ones let none."""

    steps: dict[str, tuple[str, str]] = field(default_factory=lambda: {"climb/0123456789": EXPAND})
    ended: bool = False

    def refusals(self, carries: str, before: Words, wanted: Words) -> list[Fault]:
        if not self.ended and self.steps.get(carries) == (before.said(), wanted.said()):
            return []
        return [Fault(f"plan {carries}", "lets nothing pass", "Plan again")]


def known(wanted: Standing = A, **changes: Any) -> dict[str, Any]:
    return {"stack": "prod", "revision": "abc", "wanted": wanted, "policy_pack": Path("pack"), **changes}


def test_a_file_that_moves_the_stack_on_the_ladder_is_refused_without_its_plan(tmp_path: Path) -> None:
    engine = Pretended(state(A))
    with pytest.raises(TerraceError, match="stands at single-8g, its file says single-8g to split"):
        ci.save(engine, tmp_path, **known(EXPANDED))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TerraceError, match="carry the climb's plan"):
        ci.save(engine, tmp_path, **known(EXPANDED, climbs=Climbs()))
    start, _ = ci.save(engine, tmp_path, **known(EXPANDED, climbs=Climbs(), carries=CLIMB))
    assert (start.step, start.carries) == (STEP, CLIMB)
    ci.apply(engine, tmp_path, **known(EXPANDED, climbs=Climbs()))
    assert engine.applied == [tmp_path / ci.PLAN]


def test_a_climb_that_ended_between_preview_and_approval_lets_nothing_be_applied(tmp_path: Path) -> None:
    engine, climbs = Pretended(state(A)), Climbs()
    ci.save(engine, tmp_path, **known(EXPANDED, climbs=climbs, carries=CLIMB))
    climbs.ended = True
    with pytest.raises(TerraceError, match="lets nothing pass"):
        ci.apply(engine, tmp_path, **known(EXPANDED, climbs=climbs))
    assert engine.applied == []


def test_a_pull_request_merged_in_the_middle_of_a_climb_is_refused(tmp_path: Path) -> None:
    """Its file is from before the climb: it would take the new side away."""
    with pytest.raises(
        TerraceError, match=r"stands at single-8g to split \(expanded\), its file says single-8g"
    ):
        ci.save(Pretended(state(EXPANDED)), tmp_path, **known(A))


def test_a_file_with_another_step_than_the_plans_is_refused_with_the_plans_reasons() -> None:
    with pytest.raises(TerraceError, match="and climb/0123456789 does not let it") as refused:
        ci.refuse_step(state(A), replace(A, stage="single-16g"), climbs=Climbs(), carries=CLIMB)
    assert [each.what for each in refused.value.faults][1:] == ["lets nothing pass"]


def test_what_a_branch_is_called_is_not_looked_at_where_nothing_moves_on_the_ladder(tmp_path: Path) -> None:
    """Every branch names itself to the workflows, those of climbs that are done too."""
    for carries in (CLIMB, "mend-the-page", "climb/of the stairs"):
        assert ci.refuse_step(state(A), A, climbs=Climbs(ended=True), carries=carries) == ""
    start, _ = ci.save(Pretended(state(A)), tmp_path, **known(climbs=Climbs(), carries="mend-the-page"))
    assert (start.step, start.carries) == ("", "")


def test_a_branch_that_is_no_climbs_lets_no_step_pass() -> None:
    with pytest.raises(TerraceError, match="mend-the-page does not let it"):
        ci.refuse_step(state(A), EXPANDED, climbs=Climbs(), carries="mend-the-page")


def test_of_two_approved_plans_the_second_is_refused(tmp_path: Path) -> None:
    engine = Pretended(state(A))
    for name in ("one", "two"):
        ci.save(engine, tmp_path / name, **known())
    ci.apply(engine, tmp_path / "one", **known())
    engine.now = state(A, serial=2)
    with pytest.raises(TerraceError, match="somebody updated or refreshed it since"):
        ci.apply(engine, tmp_path / "two", **known())
    assert len(engine.applied) == 1


def test_a_state_that_moves_while_it_is_previewed_leaves_no_plan_that_could_be_applied(
    tmp_path: Path,
) -> None:
    engine = Pretended(state(A), moves_to=state(A, serial=2))
    with pytest.raises(TerraceError, match="somebody updated"):
        ci.save(engine, tmp_path, **known())
    with pytest.raises(TerraceError, match="holds no whole saved plan"):
        ci.apply(engine, tmp_path, **known())
    assert engine.applied == []


@pytest.mark.parametrize("changes", [{"stack": "dev"}, {"revision": "def"}])
def test_a_plan_of_another_stack_or_commit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    engine = Pretended(state(A))
    ci.save(engine, tmp_path, **known())
    with pytest.raises(TerraceError, match="the plan is for"):
        ci.apply(engine, tmp_path, **known(**changes))
    assert engine.applied == []


def test_the_hash_is_of_what_stands_and_not_of_when_it_was_written() -> None:
    later = {**state(A), "manifest": {"time": "later"}}
    assert ci.digest(state(A)) == ci.digest(later) != ci.digest(state(A, serial=2))


def test_a_stack_that_never_stood_is_no_step() -> None:
    assert ci.refuse_step({"resources": []}, A) == ""


def test_drift_is_told_with_what_an_up_would_do() -> None:
    page = ci.drift_page("prod", {"urn:pulumi:prod::terrace::aws:ebs/volume:Volume::data": "update"})
    assert "| update | `terrace::aws:ebs/volume:Volume::data` |" in page
    assert "as it was asked for" in ci.drift_page("prod", {})


def test_a_preview_of_a_step_says_it_as_a_finding_that_blocks_and_hides_nothing_else() -> None:
    bigger = replace(A, stage="single-16g")
    for before, after, carries, found in (
        (A, EXPANDED, "", 1), (EXPANDED, A, "", 1), (A, EXPANDED, CLIMB, 0), (A, bigger, CLIMB, 2),
        (A, A, CLIMB, 0), (A, A, "", 0),
    ):  # fmt: skip
        one, other = (Resource("guard", ci.GUARD, each.as_inputs()) for each in (before, after))
        volume = Resource("volume", "aws:ebs/volume:Volume", {"type": "gp3", "size": 100})
        changes = Change(Op.SAME, volume, volume), Change(Op.UPDATE, one, other)
        findings = ci.step_findings(Plan("preview", changes, {}), climbs=Climbs(), carries=carries)
        assert len(findings) == found
        said = report(Plan("preview", changes, {}), today=date(2026, 11, 21), findings=findings)
        assert said.blocked is bool(found)
        assert said.cost is not None
    one, other = (Resource("guard", ci.GUARD, each.as_inputs()) for each in (A, EXPANDED))
    (finding,) = ci.step_findings(Plan("preview", (Change(Op.UPDATE, one, other),), {}))
    assert "stands at single-8g, its file says single-8g to split (expanded)" in finding.message


def test_a_new_stack_makes_no_step() -> None:
    made = Change(Op.CREATE, None, Resource("guard", ci.GUARD, A.as_inputs()))
    assert ci.step_findings(Plan("preview", (made,), {})) == []


def test_drift_in_the_middle_of_a_climb_tells_nobody_to_take_it_back() -> None:
    with pytest.raises(ci.RefusedError) as refused:
        ci.refuse_step(state(EXPANDED), A)
    page = ci.step_page("prod", refused.value)
    assert "Do not run `pulumi up -s prod`" in page
    assert "stands at single-8g to split (expanded), its file says single-8g" in page
