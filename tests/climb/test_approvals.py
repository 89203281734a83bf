"""Approvals are signatures by people's own SSH keys over a plan's hash; what moved, was changed or ended voids it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.core.errors import TerraceError
from ops.adapters.sshsig import SshSigner
from ops.climb import approval
from ops.climb.approval import Approval
from ops.climb.plan import Plan
from ops.climb.rules import Gates, parse
from ops.climb.verdicts import Answer, Verdict

from .pretended import plan

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
PEOPLE = "people: {alice@example.com: [tech], bob@example.com: [finance], requester@example.com: [tech]}\n"
ONE = parse(PEOPLE + "stacks: {dev: {approvals: {min: 1, roles: [tech]}}}", "dev")
BOTH = parse(PEOPLE + "stacks: {dev: {approvals: {min: 1, roles: [tech, finance]}}}", "dev")
SIGNER = SshSigner()


@dataclass(frozen=True)
class Keys:
    """Keys by name, and the file that says whose they are."""

    paths: Mapping[str, Path]
    signers: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    paths, lines = {}, []
    for name in ("alice@example.com", "bob@example.com", "requester@example.com"):
        paths[name] = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", paths[name]], check=True)
        public = paths[name].with_name(f"{name}.pub").read_text()
        lines.append(f'{name} namespaces="terrace-climb" {public}')
    return Keys(paths, "".join(lines))


MADE = plan("single-8g", "single-16g")


def signed(
    keys: Keys, by: str, *, made: Plan = MADE, gates: Gates = ONE, key: str = "", now: datetime = NOW
) -> Approval:
    return approval.sign(made, gates, keys.signers, SIGNER, by=by, key=keys.paths[key or by], now=now)


def lacking(keys: Keys, *given: Approval, made: Plan = MADE, gates: Gates = ONE, now: datetime = NOW,
            signers: str | None = None) -> str:  # fmt: skip
    faults = approval.lacking(made, gates, given, keys.signers if signers is None else signers, SIGNER, now)
    return "; ".join(map(str, faults))


def test_one_good_approval_is_enough_and_none_is_not(keys: Keys, tmp_path: Path) -> None:
    given = signed(keys, "alice@example.com")
    approval.save(given, tmp_path)
    assert approval.load(tmp_path, MADE) == [given]
    assert lacking(keys, given) == ""
    assert "has 0 of 1 approvals; none for tech" in lacking(keys)


def test_each_role_has_to_be_there(keys: Keys) -> None:
    tech = signed(keys, "alice@example.com", gates=BOTH)
    assert "none for finance" in lacking(keys, tech, gates=BOTH)
    assert lacking(keys, tech, signed(keys, "bob@example.com", gates=BOTH), gates=BOTH) == ""


def test_the_one_who_asked_cannot_approve(keys: Keys) -> None:
    with pytest.raises(TerraceError, match="is by the one who asked for the climb"):
        signed(keys, "requester@example.com")
    other = replace(MADE, requested_by="somebody@example.com")
    forged = replace(signed(keys, "requester@example.com", made=other), plan=MADE.sha256)
    assert "is by the one who asked for the climb" in lacking(keys, forged)


def test_a_key_that_is_not_that_names_is_refused(keys: Keys) -> None:
    with pytest.raises(TerraceError, match=r"is not alice@example\.com's"):
        signed(keys, "alice@example.com", key="bob@example.com")


def test_an_approval_ends(keys: Keys) -> None:
    given = signed(keys, "alice@example.com")
    assert lacking(keys, given, now=NOW + timedelta(hours=23)) == ""
    assert "ended at 2026-11-22T09:00:00+00:00" in lacking(keys, given, now=NOW + timedelta(hours=25))


def test_an_end_that_was_moved_by_hand_voids_the_signature(keys: Keys) -> None:
    longer = replace(signed(keys, "alice@example.com"), expires_at="2030-01-01T00:00:00+00:00")
    assert "approval by alice@example.com" in lacking(keys, longer)


def test_an_approval_of_another_plan_does_not_count(keys: Keys) -> None:
    other = signed(keys, "alice@example.com", made=replace(MADE, after="single-8g-fixed"))
    assert "is of another plan" in lacking(keys, other)


def test_a_signer_who_was_taken_out_after_approval_counts_no_more(keys: Keys) -> None:
    given = signed(keys, "alice@example.com")
    without = "".join(line for line in keys.signers.splitlines(keepends=True) if "alice" not in line)
    assert "has 0 of 1 approvals" in lacking(keys, given, signers=without)


def test_a_key_for_another_purpose_does_not_approve(keys: Keys) -> None:
    given = signed(keys, "alice@example.com")
    assert "has 0 of 1" in lacking(keys, given, signers=keys.signers.replace("terrace-climb", "git"))


def test_nobody_without_a_role_of_the_stack_approves(keys: Keys) -> None:
    with pytest.raises(TerraceError, match="nobody with a role of this stack"):
        signed(keys, "bob@example.com")


SHUT = replace(MADE, answers=(Answer("need", "advise names it", "stay", "CloudWatch", Verdict.FAIL),))
OVERRIDDEN = replace(SHUT, answers=(replace(SHUT.answers[0], overridden="a launch on Monday"),))


def test_an_approval_opens_no_gate(keys: Keys) -> None:
    with pytest.raises(TerraceError, match="has shut gates: need"):
        signed(keys, "alice@example.com", made=SHUT)


def test_an_override_needs_as_many_approvers_as_the_stack_has_roles(keys: Keys) -> None:
    assert approval.needed(OVERRIDDEN, BOTH) == 2
    alice = signed(keys, "alice@example.com", made=OVERRIDDEN, gates=BOTH)
    assert "has 1 of 2 approvals" in lacking(keys, alice, made=OVERRIDDEN, gates=BOTH)
    bob = signed(keys, "bob@example.com", made=OVERRIDDEN, gates=BOTH)
    assert lacking(keys, alice, bob, made=OVERRIDDEN, gates=BOTH) == ""


def test_an_override_is_approved_by_somebody_even_where_no_approval_is_asked_for() -> None:
    assert approval.needed(OVERRIDDEN, parse("stacks: {dev: {}}", "dev")) == 1
    assert approval.needed(MADE, parse("stacks: {dev: {}}", "dev")) == 0
