"""A workflow may make a climb's step under that climb's plan alone: whole, approved, in time, made on what stands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.core.stages import find
from ops.adapters.carried import SiteOfWorkflow
from ops.adapters.git import Git
from ops.climb import shared
from ops.climb.approval import Approval
from ops.climb.carried import AGAIN, Carried
from ops.climb.journal import Event
from ops.climb.lock import LEASE_SECONDS, Holder
from ops.climb.plan import Bound, Plan
from ops.climb.rules import Gates, parse
from ops.climb.steps import Words, contraction
from ops.climb.store import BucketUnreachableError
from ops.climb.verdicts import Answer, Verdict

from .pretended import Bucket, Journal, plan

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
TEXT = "people: {alice@example.com: [tech]}\nstacks: {dev: {approvals: {min: 1, roles: [tech]}}, open: {}}\n"
RESIZE, ACROSS = plan("single-8g", "single-16g"), plan("single-8g", "split")
REST, BIGGER = Words("single-8g"), Words("single-16g")
EXPANDED, MOVED = (Words("single-8g", "split", phase) for phase in ("expanded", "moved"))


class Signer:
    """Whose signature says `good` signed."""

    def sign(self, message: bytes, key: Path) -> str:
        return "good"

    def verify(self, message: bytes, signature: str, name: str, signers: str) -> str:
        return "" if signature == "good" and name in signers else "is not signed by a key of that name"


@dataclass
class Sources:
    """A clone at the plan's commit with the words of one step, and the stack's bucket."""

    folder: Path
    stack: str = "dev"
    bucket: Bucket = field(default_factory=Bucket)
    now_bound: Bound = field(default_factory=lambda: RESIZE.bound)
    differs: list[str] | None = field(default_factory=lambda: ["Pulumi.dev.yaml"])
    then: dict[str, Any] = field(
        default_factory=lambda: {"config": {"terrace:stage": "single-8g", "terrace:team": "web"}}
    )
    more: dict[str, Any] = field(default_factory=dict)
    words: Words = BIGGER
    asks: bool = True

    def objects(self) -> Bucket:
        return self.bucket

    def journal(self, *, must: bool = False) -> Journal:
        made = Journal(self.folder / f"{self.stack}.jsonl", self.stack, self.bucket)
        made.open(must=must)
        return made

    def agreed(self) -> tuple[Gates, str, str]:
        return parse(TEXT, "dev" if self.asks else "open"), TEXT, "alice@example.com"

    def bound(self) -> Bound:
        return self.now_bound

    def differing(self, commit: str) -> list[str] | None:
        return self.differs

    def file_at(self, commit: str) -> dict[str, Any]:
        return self.then

    def file_here(self) -> dict[str, Any]:
        config = {**self.then["config"], **self.words.settings(), **self.more}
        return {"config": {key: value for key, value in config.items() if value is not None}}

    def file_name(self) -> str:
        return f"Pulumi.{self.stack}.yaml"


def approved(made: Plan, **changes: Any) -> Approval:
    end = (NOW + timedelta(hours=24)).isoformat()
    return replace(Approval(made.sha256, "alice@example.com", NOW.isoformat(), end, "good"), **changes)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Both plans lie in the bucket, approved."""
    made = Sources(tmp_path)
    for each in (RESIZE, ACROSS):
        shared.publish_plan(made.bucket, each)
        shared.publish_approval(made.bucket, "dev", approved(each))
    return made


def refused(sources: Sources, before: Words = REST, wanted: Words = BIGGER, *, carries: str = "",
            now: datetime = NOW) -> str:  # fmt: skip
    sources.words = wanted
    known = Carried(sources, Signer(), lambda: now)
    return "; ".join(map(str, known.refusals(carries or f"climb/{RESIZE.id}", before, wanted)))


def test_an_approved_plan_lets_its_own_step_pass_by_its_branch_and_by_its_id(sources: Sources) -> None:
    assert refused(sources) == ""
    assert refused(sources, carries=f" {RESIZE.id} ") == ""


@pytest.mark.parametrize(
    "carries", ["mend-the-page", "climb/", f"climb/{RESIZE.id[:9]}", f"{RESIZE.id}0", "single-16g"]
)
def test_what_is_no_climbs_name_lets_nothing_pass(sources: Sources, carries: str) -> None:
    assert "names no climb's plan" in refused(sources, carries=carries)


def test_a_plan_that_no_machine_can_find_lets_nothing_pass(sources: Sources) -> None:
    assert "is no plan in s3://pretended" in refused(sources, carries="climb/ffffffffff")
    sources.bucket.away = True
    assert "does not answer" in refused(sources)


def test_a_fresh_clone_that_cannot_read_the_journal_lets_nothing_pass(sources: Sources) -> None:
    wrote(Event.BEGAN, climb="another")(sources)
    sources.folder /= "a fresh clone"
    sources.bucket.away_under = "climbs/dev/journal/"
    assert refused(sources) == "s3://pretended: does not answer. Look at the network"


def test_a_workflows_own_site_opens_the_journal_from_the_bucket_or_not_at_all(tmp_path: Path) -> None:
    site = SiteOfWorkflow(tmp_path, tmp_path, "dev", {"PULUMI_BACKEND_URL": "s3://pretended"})
    setattr(site, "_objects", Bucket(away_under="climbs/dev/journal/"))  # noqa: B010 a bucket that fails in part
    assert site.journal().records == []
    with pytest.raises(BucketUnreachableError):
        site.journal(must=True)


def test_another_step_than_the_plans_and_one_of_its_own_backwards_are_refused(sources: Sources) -> None:
    assert "its own: single-8g to single-16g" in refused(sources, wanted=Words("single-16g-fixed"))
    assert "has no step from single-16g to single-8g" in refused(sources, BIGGER, REST)
    assert "has no step from single-8g to single-16g" in refused(sources, carries=ACROSS.id)


def changed_afterwards(sources: Sources) -> None:
    key = f"climbs/dev/plans/{RESIZE.id}.json"
    raw = json.loads(sources.bucket.held[key][0])
    raw["after"] = "single-16g-fixed"
    sources.bucket.held[key] = (json.dumps(raw).encode(), "1")


def under_anothers_name(sources: Sources) -> None:
    other = plan("single-8g", "single-16g-fixed")
    sources.bucket.held[f"climbs/dev/plans/{RESIZE.id}.json"] = (other.text().encode(), "1")


def of_another_stack(sources: Sources) -> None:
    sources.stack = "prod"
    sources.bucket.held[f"climbs/prod/plans/{RESIZE.id}.json"] = (RESIZE.text().encode(), "1")


def nobody_signed(sources: Sources) -> None:
    sources.bucket.held = {key: each for key, each in sources.bucket.held.items() if "approvals" not in key}


def signed_by_another(sources: Sources) -> None:
    shared.publish_approval(sources.bucket, "dev", approved(RESIZE, signature="forged"))


def signature_ended(sources: Sources) -> None:
    shared.publish_approval(sources.bucket, "dev", approved(RESIZE, expires_at="2026-11-21T08:59:59+00:00"))


def no_approval_at_all(sources: Sources) -> None:
    key = f"climbs/dev/approvals/{RESIZE.id}.alice@example.com.approval"
    sources.bucket.held[key] = (b"good", "1")


def wrote(*events: Event, climb: str = RESIZE.id) -> Callable[[Sources], None]:
    def write(sources: Sources) -> None:
        journal = sources.journal()
        for each in events:
            journal.append(climb, each)

    return write


def now_bound(**changes: str) -> Callable[[Sources], None]:
    def move(sources: Sources) -> None:
        sources.now_bound = replace(RESIZE.bound, **changes)

    return move


def another_program(sources: Sources) -> None:
    sources.differs = ["Pulumi.dev.yaml", "infra/components/edge.py"]


def a_shallow_clone(sources: Sources) -> None:
    sources.differs = None


def a_setting_that_rides_along(sources: Sources) -> None:
    sources.more = {"terrace:ingress": ["0.0.0.0/0"]}


def locked(**changes: Any) -> Callable[[Sources], None]:
    def hold(sources: Sources) -> None:
        held = Holder(
            "t", "alice@laptop", "laptop/boot", 7, "1", "2026-11-21T08:59:00+00:00", "apply", RESIZE.id
        )
        sources.bucket.create("climbs/dev/lock.json", json.dumps(asdict(replace(held, **changes))).encode())

    return hold


def test_a_lock_whose_holder_is_dead_by_the_locks_own_rules_stops_nobody(sources: Sources) -> None:
    locked()(sources)
    assert "is held by alice@laptop (process 7)" in refused(sources)
    sources.bucket.age_seconds = LEASE_SECONDS + 1
    assert refused(sources) == ""


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (locked(), "is held by alice@laptop"),
        (locked(climb=ACROSS.id, reason="rollback"), "rollback"),
        (changed_afterwards, "was changed after it was made"),
        (under_anothers_name, "holds plan"),
        (of_another_stack, "of dev"),
        (nobody_signed, "has 0 of 1 approvals"),
        (signed_by_another, "is not signed by a key of that name"),
        (signature_ended, "ended at 2026-11-21T08:59:59"),
        (no_approval_at_all, "is no approval"),
        (wrote(Event.BEGAN, Event.ENDED), "is done since"),
        (wrote(Event.BEGAN, Event.GOING_BACK), "is on its way back since"),
        (wrote(Event.BEGAN, Event.GOING_BACK, Event.ROLLED_BACK), "was taken back since"),
        (wrote(Event.BEGAN, climb="another"), "is in the middle of climb another"),
        (now_bound(state="moved"), "the stack's state"),
        (now_bound(prices="moved"), "the price book"),
        (now_bound(gates="moved"), "gates.yaml"),
        (now_bound(signers="moved"), "allowed_signers"),
        (another_program, "infra/components/edge.py"),
        (a_shallow_clone, "is not in this clone"),
        (a_setting_that_rides_along, "says more than the words of the step: terrace:ingress"),
    ],
)  # fmt: skip
def test_what_would_keep_the_climb_from_beginning_keeps_a_workflow_from_its_step(
    sources: Sources, happened: Callable[[Sources], None], said: str
) -> None:
    happened(sources)
    assert said in refused(sources)


def test_a_plan_whose_time_is_over_or_whose_gate_is_shut_lets_nothing_pass(sources: Sources) -> None:
    sources.asks = False
    for made, said in (
        (replace(RESIZE, expires_at="2026-11-21T08:00:00+00:00"), "ended at 2026-11-21T08:00:00"),
        (
            replace(RESIZE, answers=(Answer("budget", "within 100", "140", "book", Verdict.FAIL),)),
            "gate budget",
        ),
    ):
        shared.publish_plan(sources.bucket, made)
        assert said in refused(sources, carries=made.id)


def test_a_stack_that_asks_for_no_approval_needs_none_here_either(sources: Sources) -> None:
    nobody_signed(sources)
    sources.asks = False
    assert refused(sources) == ""


def test_a_climb_under_way_may_have_moved_state_and_prices_and_no_gate(sources: Sources) -> None:
    wrote(Event.BEGAN, climb=ACROSS.id)(sources)
    now_bound(state="moved", prices="moved")(sources)
    assert refused(sources, wanted=EXPANDED, carries=ACROSS.id) == ""
    now_bound(gates="moved")(sources)
    assert "gates.yaml" in refused(sources, wanted=EXPANDED, carries=ACROSS.id)


def test_nobody_shifts_requests_to_a_database_whose_rows_have_not_moved(sources: Sources) -> None:
    def said() -> str:
        return refused(sources, EXPANDED, MOVED, carries=ACROSS.id)

    assert "has not done copy" in said()
    wrote(Event.BEGAN, climb=ACROSS.id)(sources)
    journal = sources.journal()
    journal.append(ACROSS.id, Event.AFTER, "copy")
    assert "has not done copy" not in said()
    assert "has not done switch" in said()
    journal.append(ACROSS.id, Event.AFTER, "switch")
    assert said() == ""
    journal.append(ACROSS.id, Event.BEFORE_UNDO, "switch")
    assert "has not done switch" in said()


def test_behind_a_step_that_a_workflow_made_a_new_plan_leads_on_and_the_old_one_says_so(
    sources: Sources,
) -> None:
    assert refused(sources, REST, EXPANDED, carries=ACROSS.id) == ""
    now_bound(state="moved by that step")(sources)
    said = refused(sources, EXPANDED, MOVED, carries=ACROSS.id)
    assert "has not done copy" in said
    assert "the stack's state" in said
    assert "apply" not in said
    assert said.count(AGAIN) == 3
    again = replace(ACROSS, bound=sources.now_bound)
    shared.publish_plan(sources.bucket, again)
    shared.publish_approval(sources.bucket, "dev", approved(again))
    said = refused(sources, EXPANDED, MOVED, carries=again.id)
    assert f"apply {again.id} -s dev" in said
    assert AGAIN not in said
    journal = sources.journal()
    for step in ("copy", "switch"):
        journal.append(again.id, Event.AFTER, step)
    assert refused(sources, EXPANDED, MOVED, carries=again.id) == ""


def test_a_contraction_passes_only_with_what_its_plan_keeps(sources: Sources) -> None:
    walk = contraction(find("single-8g"), find("split"), ())
    made = plan("single-8g", "split", walk=walk)
    shared.publish_plan(sources.bucket, made)
    sources.asks = False
    sources.then["config"] |= MOVED.settings()
    wanted = walk[0].words
    assert wanted is not None
    assert refused(sources, MOVED, wanted, carries=made.id) == ""
    assert "says more than the words of the step: terrace:kept" in refused(
        sources, MOVED, replace(wanted, kept=()), carries=made.id
    )


def test_git_tells_what_differs_from_a_plans_commit_and_that_it_does_not_know_one(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        given = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            *arguments,
        ]
        return subprocess.run(given, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    for name in ("Pulumi.dev.yaml", "with space"):
        (tmp_path / name).write_text("one", encoding="utf-8")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    clone, commit = Git(tmp_path), git("rev-parse", "HEAD")
    assert clone.differing(commit) == []
    (tmp_path / "with space").write_text("other", encoding="utf-8")
    git("commit", "-q", "-a", "-m", "other")
    (tmp_path / "Pulumi.dev.yaml").write_text("other", encoding="utf-8")
    assert clone.differing(commit) == ["Pulumi.dev.yaml", "with space"]
    assert clone.differing("f" * 40) is None
