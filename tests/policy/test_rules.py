"""Every rule fires where it should and is silent where it should; every stage keeps them all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.core.cost.resource import UNKNOWN, Resource
from infra.core.errors import TerraceError
from infra.core.naming import FAKE_AMI, Environment
from infra.core.stages import LADDER
from infra.policy import exceptions
from infra.policy.exceptions import Exemption
from infra.policy.judging import Enforcement, Facts, Rule, Severity, judge
from infra.policy.table import RULES
from infra.settings import parse
from ops.adapters.recorded import run
from ops.policy import findings

TODAY = date(2026, 11, 21)
PROD = Facts(Environment.PROD, TODAY, budget_usd=Decimal(50))
FIXTURES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "fixtures.yaml").read_text(encoding="utf-8")
)
BY_ID = {rule.id: rule for rule in RULES}


def made(token: str, inputs: dict[str, Any], options: dict[str, Any] | None = None) -> Resource:
    options = options or {}
    under = options.get("under", "terrace:layout:Layout")
    urn = f"urn:pulumi:prod::terrace::{under}${token}::{options.get('name', 'it')}"
    return Resource(urn, token, inputs, protect=options.get("protect", False))


def test_every_rule_has_a_fixture_that_fails_and_one_that_passes() -> None:
    assert len(BY_ID) == len(RULES)
    assert set(FIXTURES) == set(BY_ID)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_rule_finds_what_breaks_it_and_nothing_else(name: str) -> None:
    rule = BY_ID[name]
    broken = judge([made(*each) for each in FIXTURES[name]["fails"]], PROD, [rule], ())
    assert {each.rule for each in broken} == {name}
    assert all(each.blocks and each.remedy and each.control for each in broken)
    assert "failed" not in " ".join(each.message for each in broken)
    assert judge([made(*each) for each in FIXTURES[name]["passes"]], PROD, [rule], ()) == []


SETTINGS: dict[str, Any] = {
    "aws:region": "ap-northeast-2",
    "terrace:stage": "single-8g",
    "terrace:environment": "prod",
    "terrace:zones": ["ap-northeast-2a", "ap-northeast-2c"],
    "terrace:ami": "ami-0123456789abcdef0",
    "terrace:alarmEmail": "ops@example.com",
    "terrace:tags": {"team": "engineering", "costCenter": "RnD", "owner": "ops@example.com"},
    "terrace:app": {"settings": {"LOG_LEVEL": "info"}, "secrets": ["JWT_SECRET"]},
    "terrace:backup": {"awsBackup": True, "offsiteRegion": "ap-northeast-1"},
    "terrace:budget": {"monthly": "300"},
    "terrace:domain": "app.example.com",
    "terrace:dns": {"zoneId": "Z0123456789ABC"},
}
CLIMB = "terrace:climb"
STANDING: list[dict[str, Any]] = [
    *({"terrace:stage": stage.name} for stage in LADDER if stage.built),
    {CLIMB: {"to": "split", "phase": "expanded"}},
    {CLIMB: {"to": "split", "phase": "moved"}},
    {"terrace:stage": "split", "terrace:kept": ["box-data"]},
    {"terrace:stage": "split", "terrace:kept": ["box-data"], "terrace:released": ["box-data"]},
    {"terrace:stage": "split", CLIMB: {"to": "private", "phase": "expanded"}},
    {"terrace:stage": "split", CLIMB: {"to": "private", "phase": "moved"}},
    {"terrace:gpu": {"mode": "auto"}},
    {
        "terrace:account": {"repository": "example/terrace", "costTags": True},
        "terrace:notify": {"webhook": "slack", "quietHours": "22:00-08:00+09:00"},
    },
    {"terrace:stage": "private", "terrace:edge": {"firewall": "block"}},
    {"terrace:stage": "private", "terrace:edge": {"nat": "none", "packages": "ab" * 32, "firewall": "count"}},
]


@pytest.mark.parametrize("changes", STANDING, ids=lambda each: "-".join(map(str, each.values())))
def test_every_stage_and_every_phase_of_a_climb_keeps_every_rule_in_prod(changes: dict[str, Any]) -> None:
    settings = parse({**SETTINGS, **changes}, where="test")
    assert findings(run(settings, stack="prod").judged(), settings, TODAY) == []


def test_the_monthly_cost_is_held_against_the_budget() -> None:
    settings = parse({**SETTINGS, "terrace:budget": {"monthly": "60"}}, where="test")
    (found,) = findings(run(settings, stack="prod").judged(), settings, TODAY)
    assert (found.rule, found.urn, found.blocks) == ("cost-within-budget", "", True)
    assert "budget 60" in found.message


def test_dev_is_told_and_prod_is_stopped() -> None:
    broken = [made(*each) for each in FIXTURES["ebs-encrypted"]["fails"]]
    for environment, enforcement in (
        (Environment.DEV, Enforcement.ADVISORY),
        (Environment.STAGING, Enforcement.MANDATORY),
        (Environment.PROD, Enforcement.MANDATORY),
    ):
        (found,) = judge(broken, replace(PROD, environment=environment), [BY_ID["ebs-encrypted"]], ())
        assert found.enforcement is enforcement


def test_a_stand_in_image_is_fine_in_dev_alone() -> None:
    box = [made("aws:ec2/instance:Instance", {"ami": FAKE_AMI})]
    rule = [BY_ID["ec2-image-pinned"]]
    assert judge(box, replace(PROD, environment=Environment.DEV), rule, ()) == []
    assert judge(box, PROD, rule, ()) != []


def test_what_only_an_update_will_tell_is_left_to_the_update() -> None:
    rule = BY_ID["s3-tls-only"]
    assert judge([made("aws:s3/bucketPolicy:BucketPolicy", {"policy": UNKNOWN})], PROD, [rule], ()) == []


def test_a_finding_of_user_data_never_quotes_the_secret() -> None:
    broken = [made(*each) for each in FIXTURES["ec2-user-data-no-secret"]["fails"]]
    (found,) = judge(broken, PROD, [BY_ID["ec2-user-data-no-secret"]], ())
    assert "line 2" in found.message
    assert "correcthorse" not in str(found)


def crashing(_resource: Resource, _facts: Facts) -> list[str]:
    raise ZeroDivisionError("correcthorse")


def test_a_rule_that_crashes_blocks_in_prod_says_so_and_quotes_no_input() -> None:
    rule = Rule("odd", "terrace", Severity.LOW, "says", "remedy", ("aws:ec2/vpc:Vpc",), crashing)
    (found,) = judge([made("aws:ec2/vpc:Vpc", {})], PROD, [rule], ())
    assert (found.severity, found.blocks) == (Severity.CRITICAL, True)
    assert "the rule itself failed (ZeroDivisionError)" in found.message
    assert "correcthorse" not in str(found)
    (told,) = judge([made("aws:ec2/vpc:Vpc", {})], replace(PROD, environment=Environment.DEV), [rule], ())
    assert not told.blocks


def exemption(**changes: Any) -> Exemption:
    return replace(
        Exemption("ebs-encrypted", "*:Volume::it", "moved in December, see the runbook", TODAY), **changes
    )


def test_an_exception_covers_its_rule_and_resource_until_its_day_and_says_why() -> None:
    broken = [made(*each) for each in FIXTURES["ebs-encrypted"]["fails"]]
    rule = [BY_ID["ebs-encrypted"]]
    (found,) = judge(broken, PROD, rule, [exemption()])
    assert not found.blocks
    assert "moved in December" in found.excepted
    for other in (exemption(rule="kms-rotates"), exemption(resource="*:Volume::other")):
        (found,) = judge(broken, PROD, rule, [other])
        assert found.blocks


def test_an_exception_that_is_over_excepts_nothing_and_is_an_error_itself() -> None:
    broken = [made(*each) for each in FIXTURES["ebs-encrypted"]["fails"]]
    over = exemption(expires=date(2026, 11, 20))
    found = judge(broken, PROD, [BY_ID["ebs-encrypted"]], [over])
    assert {each.rule: each.blocks for each in found} == {"ebs-encrypted": True, "exception-expired": True}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("- {rule: a, resource: b, reason: too short, expires: 2027-01-01}", "fewer than 20 characters"),
        ("- {rule: a, resource: b, reason: a reason of enough words, expires: soon}", "'soon' is no day"),
        ("- {rule: a, resource: b, reason: a reason of enough words}", "has not exactly the keys"),
    ],
)
def test_an_exception_without_reason_or_day_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    path = tmp_path / "exceptions.yaml"
    path.write_text(entry, encoding="utf-8")
    with pytest.raises(TerraceError, match=said):
        exceptions.read(path)


def test_the_exceptions_of_the_project_name_rules_that_there_are() -> None:
    assert {each.rule for each in exceptions.read()} <= set(BY_ID)
