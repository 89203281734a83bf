"""Exit codes of scripts/scale_up.py where no cloud is needed: prompts, the wrong account, shut gates, the budget."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from ops.climb import plan as plans
from ops.climb.plan import Plan
from ops.climb.verdicts import Answer, Verdict
from ops.talk import Exit

from .pretended import Bucket, Journal, at_rest_plan

ROOT = Path(__file__).parents[2]


class Site:
    """As much of a stack as commands ask before a climb begins."""

    stack = "dev"
    region = "ap-northeast-2"

    def __init__(self, folder: Path, *, state: str = "1") -> None:
        self.plans, self._state = folder / "plans", state
        self.written = Journal(folder / "dev.jsonl", "dev", Bucket())

    def account(self) -> str:
        return "1"

    def state_account(self) -> str:
        return self._state

    def journal(self) -> Journal:
        return self.written

    @property
    def git(self) -> Any:
        return self

    def email(self) -> str:
        return "me@example.com"


@pytest.fixture
def scale_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "scale_up", raising=False)
    return importlib.import_module("scale_up")


@pytest.fixture
def site(scale_up: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setattr(scale_up, "_site", lambda _: made)
    return made


def code(function: Any, *args: Any, **kwargs: Any) -> int:
    """The exit code of a command."""
    with pytest.raises(typer.Exit) as ended:
        function(*args, **kwargs)
    return int(ended.value.exit_code)


@pytest.mark.parametrize("verb", ["resume", "rollback"])
def test_ctrl_c_at_a_prompt_changes_nothing_and_ends_with_5(
    scale_up: Any, site: Site, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    made = at_rest_plan()
    site.written.append(made.id, scale_up.past.Event.BEGAN, plan=made.text())

    def interrupted(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", interrupted)
    assert code(getattr(scale_up, verb), stack="dev") == Exit.INTERRUPTED
    assert len(site.written.records) == 1


@pytest.mark.parametrize("verb", ["resume", "rollback"])
def test_a_climb_goes_on_in_no_other_account_than_the_states(scale_up: Any, site: Site, verb: str) -> None:
    site._state = "2"
    assert code(getattr(scale_up, verb), stack="dev", yes=True) == Exit.BLOCKED


@pytest.mark.parametrize(
    ("shut", "expected"),
    [
        ([], Exit.CHANGE),
        (["budget"], Exit.OVER_BUDGET),
        (["freeze"], Exit.BLOCKED),
        (["budget", "freeze"], Exit.BLOCKED),
    ],
)
def test_a_plan_ends_with_10_over_the_budget_with_3_and_blocked_with_4(
    scale_up: Any,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shut: list[str],
    expected: Exit,
) -> None:
    answers = tuple(Answer(gate, "asks", "saw", "source", Verdict.FAIL) for gate in shut)
    made: Plan = replace(at_rest_plan(), answers=answers)
    monkeypatch.setattr(scale_up, "_planned", lambda *_: made)
    monkeypatch.setattr(scale_up, "_next", lambda *_: None)
    assert code(scale_up.plan, stack="dev", output=scale_up.Output.JSON) == expected
    assert json.loads(capsys.readouterr().out)["id"] == made.id
    assert plans.load(site.plans, made.id) == made
