"""Exit codes of scripts/scale_up.py where no cloud is needed: prompts, the wrong account, shut gates, the budget."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from infra.core.errors import TerraceError
from ops.climb import plan as plans
from ops.climb import shared
from ops.climb.journal import Event
from ops.climb.lock import Lock
from ops.climb.plan import Bound, Plan
from ops.climb.rules import Gates, parse
from ops.climb.run import Climb
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
        self.bucket = Bucket()
        self.written = Journal(folder / "dev.jsonl", "dev", self.bucket)
        self.now_bound, self.dirty = at_rest_plan().bound, list[str]()
        self.answers_before = False

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

    def changed(self) -> list[str]:
        return self.dirty

    def bound(self) -> Bound:
        return self.now_bound

    def agreed(self) -> tuple[Gates, str, str]:
        text = "people: {alice@example.com: [tech]}\nstacks: {dev: {approvals: {min: 1, roles: [tech]}}, open: {}}\n"
        return parse(text, "dev" if self.asks_for_approval else "open"), text, ""

    asks_for_approval = False

    def objects(self) -> Bucket:
        return self.bucket

    def lock(self) -> Lock:
        return Lock(self.bucket, "dev")


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


SLOW_TO_IMPORT = ("httpx", "pulumi", "boto3", "grpc")


def test_nothing_that_is_slow_to_import_is_read_before_a_command_asks_for_it() -> None:
    program = (
        "import sys; sys.path[:0] = ['scripts']; import scale_up\n"
        f"print([each for each in {SLOW_TO_IMPORT!r} if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def code(function: Any, *args: Any, **kwargs: Any) -> int:
    """The exit code of a command."""
    with pytest.raises(typer.Exit) as ended:
        function(*args, **kwargs)
    return int(ended.value.exit_code)


@pytest.mark.parametrize("verb", ["approve", "apply", "resume", "rollback"])
def test_ctrl_c_at_a_prompt_changes_nothing_and_ends_with_5(
    scale_up: Any, site: Site, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    made = at_rest_plan()
    plans.save(made, site.plans)
    begun = verb in ("resume", "rollback")
    if begun:
        site.written.append(made.id, Event.BEGAN, plan=made.text())
    before = dict(site.bucket.held)

    def interrupted(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", interrupted)
    named = () if begun else (made.id,)
    assert code(getattr(scale_up, verb), *named, stack="dev") == Exit.INTERRUPTED
    assert site.bucket.held == before
    assert [each.name for each in site.plans.iterdir()] == [f"{made.id}.json"]


@pytest.mark.parametrize(("verb", "way"), [("apply", "go_on"), ("resume", "go_on"), ("rollback", "go_back")])
def test_ctrl_c_in_a_step_ends_with_5_and_gives_the_lock_back(
    scale_up: Any, site: Site, monkeypatch: pytest.MonkeyPatch, verb: str, way: str
) -> None:
    made = at_rest_plan()
    plans.save(made, site.plans)
    if verb != "apply":
        site.written.append(made.id, Event.BEGAN, plan=made.text())

    def interrupted(climb: Climb) -> None:
        assert climb.lock.holder() is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(Climb, way, interrupted)
    named = (made.id,) if verb == "apply" else ()
    assert code(getattr(scale_up, verb), *named, stack="dev", yes=True) == Exit.INTERRUPTED
    assert site.lock().holder() is None


def older_state(site: Site, made: Plan) -> Plan:
    site.now_bound = replace(made.bound, state="moved")
    return made


def other_gates(site: Site, made: Plan) -> Plan:
    site.now_bound = replace(made.bound, gates="moved")
    return made


def other_signers(site: Site, made: Plan) -> Plan:
    site.now_bound = replace(made.bound, signers="moved")
    return made


def a_file_changed(site: Site, made: Plan) -> Plan:
    site.dirty = ["infra/settings.py"]
    return made


def another_account(site: Site, made: Plan) -> Plan:
    site._state = "2"
    return made


def no_approval(site: Site, made: Plan) -> Plan:
    site.asks_for_approval = True
    return made


def too_old(_: Site, made: Plan) -> Plan:
    return replace(made, expires_at="2026-01-01T00:00:00+00:00")


def shut(*gates: str) -> Any:
    answers = tuple(Answer(gate, "asks", "saw", "source", Verdict.FAIL) for gate in gates)
    return lambda _, made: replace(made, answers=answers)


@pytest.mark.parametrize(
    ("happened", "expected", "said"),
    [
        (older_state, Exit.BLOCKED, "the stack's state"),
        (other_gates, Exit.BLOCKED, "gates.yaml"),
        (other_signers, Exit.BLOCKED, "allowed_signers"),
        (a_file_changed, Exit.BLOCKED, "has changes: infra/settings.py"),
        (another_account, Exit.BLOCKED, "are of account 1, and the stack stands in 2"),
        (no_approval, Exit.BLOCKED, "has 0 of 1 approvals"),
        (too_old, Exit.BLOCKED, "ended at 2026-01-01"),
        (shut("freeze"), Exit.BLOCKED, "gate freeze"),
        (shut("budget", "freeze"), Exit.BLOCKED, "gate freeze"),
        (shut("budget"), Exit.OVER_BUDGET, "gate budget"),
    ],
)
def test_what_moved_or_is_shut_after_the_plan_stops_apply_by_name_before_anything_begins(
    scale_up: Any,
    site: Site,
    capsys: pytest.CaptureFixture[str],
    happened: Callable[[Site, Plan], Plan],
    expected: Exit,
    said: str,
) -> None:
    made = happened(site, at_rest_plan())
    plans.save(made, site.plans)
    assert code(scale_up.apply, made.id, stack="dev", yes=True) == expected
    assert said in " ".join(capsys.readouterr().err.split())
    assert (site.written.records, site.bucket.held) == ([], {})


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
    # Where every gate is open, other clones find it; a bucket that does not answer is said, and no failure.
    assert (f"climbs/dev/plans/{made.id}.json" in site.bucket.held) is (not shut)
    site.bucket.away = True
    assert code(scale_up.plan, stack="dev", output=scale_up.Output.JSON) == expected
    assert ("it stands in this clone alone" in capsys.readouterr().err) is (not shut)


def test_a_plan_that_another_clone_made_is_taken_from_the_bucket_and_one_of_nobodys_is_not(
    scale_up: Any, site: Site
) -> None:
    made = at_rest_plan()
    shared.publish_plan(site.bucket, made)
    assert scale_up._plan(site, made.id[:6]) == made
    site.bucket.away = True
    assert scale_up._plan(site, made.id) == made
    site.bucket.away = False
    with pytest.raises(TerraceError, match="is no plan in s3://pretended"):
        scale_up._plan(site, "ffffffffff")
