"""A stack's settings: one model behind two doors, and every fault at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.core.errors import TerraceError
from infra.core.naming import FAKE_AMI, Naming
from infra.settings import LOG_RETENTION_DAYS, Settings, from_engine, from_file, parse, reference

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "aws:region": "ap-northeast-2",
    "terrace:stage": "single-8g",
    "terrace:environment": "dev",
    "terrace:zones": ["ap-northeast-2a", "ap-northeast-2c"],
    "terrace:ami": FAKE_AMI,
    "terrace:alarmEmail": "ops@example.com",
    "terrace:tags": {"team": "engineering", "costCenter": "RnD", "owner": "ops@example.com"},
}


EXTERNAL = {
    "url": "https://api.example.com/v1",
    "model": "a-model",
    "reason": "endpoint away until 2027-01-31, agreed with the customer",
}


def faults_of(**changes: Any) -> dict[str, str]:
    """The faults of good settings with those changes, by path; None takes a key away."""
    values = {**GOOD, **{key.replace("__", ":"): value for key, value in changes.items()}}
    with pytest.raises(TerraceError) as refused:
        parse({key: value for key, value in values.items() if value is not None}, where="Pulumi.test.yaml")
    return {fault.path: f"{fault.what}. {fault.remedy}" for fault in refused.value.faults}


def test_the_least_that_is_needed_is_enough() -> None:
    settings = parse(GOOD, where="Pulumi.test.yaml")
    assert settings.rung.name == "single-8g"
    assert (settings.data_volume_gib, settings.cpu_credits, settings.deletion_protection) == (
        100,
        "unlimited",
        True,
    )


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_two_stack_files_hold_nothing_that_is_unknown(name: str) -> None:
    """prod lacks what nobody can know beforehand, and says so with the command that fills it."""
    path = ROOT / f"Pulumi.{name}.yaml"
    if name == "dev":
        assert from_file(path).environment == "dev"
        return
    with pytest.raises(TerraceError) as refused:
        from_file(path)
    assert {fault.path for fault in refused.value.faults} == {
        "terrace:ami", "terrace:alarmEmail", "terrace:tags.owner", "terrace:budget.monthly",
    }  # fmt: skip
    assert "scripts/account.py ami" in str(refused.value)


@pytest.mark.parametrize(
    ("account", "path", "said"),
    [
        ({"repository": "no-slash"}, "repository", "OWNER/NAME"),
        ({"stacks": []}, "stacks", "no stack would get a role"),
        ({"stacks": ["prod", "Prod!"]}, "stacks", "no name of a stack"),
        ({"stacks": ["workflow-a"]}, "stacks", "beginning neither with workflow"),
        ({"stacks": ["dev", "dev-2"]}, "stacks", "the role of dev would reach both"),
        ({"trails": True}, "trails", "did you mean 'trail'"),
    ],
)
def test_a_wrong_setting_of_an_account_is_refused_with_its_bound(
    account: dict[str, Any], path: str, said: str
) -> None:
    assert said in faults_of(terrace__account=account)[f"terrace:account.{path}"]


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"terrace__stage": "single-9g"}, "terrace:stage", "'single-9g' is no stage"),
        ({"terrace__stage": "elastic-1m"}, "terrace:stage", "not built yet"),
        ({"terrace__stagee": "x"}, "terrace:stagee", "did you mean 'stage'"),
        ({"terace__stage": "x"}, "terace:stage", "is no namespace of this project. Use terrace:stage"),
        ({"terrace__stage": None}, "terrace:stage", "is missing. It is where on the ladder"),
        ({"aws__region": None}, "aws:region", "is missing"),
        ({"aws__region": "seoul"}, "aws:region", "'seoul'"),
        (
            {"terrace__zones": ["ap-northeast-2a", "ap-northeast-1a"]},
            "terrace:zones[1]",
            "lies outside region",
        ),
        ({"terrace__zones": ["ap-northeast-2a"]}, "terrace:zones", "1 zone(s) where at least 2"),
        ({"terrace__ami": "ami-xyz"}, "terrace:ami", "has not the form of an AMI id"),
        ({"terrace__ami": ""}, "terrace:ami", "scripts/account.py ami"),
        ({"terrace__environment": "prod"}, "terrace:ami", "which no prod stack takes"),
        ({"terrace__alarmEmail": "ops"}, "terrace:alarmEmail", "'ops' is no e-mail address"),
        ({"terrace__tags": {"team": "engineering", "costCenter": "RnD"}}, "terrace:tags.owner", "is missing"),
        (
            {"terrace__tags": {**GOOD["terrace:tags"], "team": "sales"}},
            "terrace:tags.team",
            "'engineering', 'product'",
        ),
        ({"terrace__network": {"cidr": "10.0.0.0/24"}}, "terrace:network.cidr", "too small"),
        (
            {"terrace__network": {"ingressSources": ["x"]}},
            "terrace:network.ingressSources[0]",
            "is no CIDR block",
        ),
        (
            {"terrace__network": {"ingresSources": []}},
            "terrace:network.ingresSources",
            "did you mean 'ingressSources'",
        ),
        ({"terrace__network": {"ingressSources": []}}, "terrace:network.ingressSources", "is empty"),
        ({"terrace__dataVolumeGib": 19}, "terrace:dataVolumeGib", "greater than or equal to 20"),
        ({"terrace__dataVolumeGib": 16385}, "terrace:dataVolumeGib", "less than or equal to 16384"),
        ({"terrace__domain": "https://x"}, "terrace:domain", "is no domain name"),
        (
            {"terrace__dns": {"zoneId": "Z0123456789ABC"}},
            "terrace:domain",
            "is missing where terrace:dns is set",
        ),
        (
            {"terrace__dns": {"zoneId": "z"}, "terrace__domain": "a.example.com"},
            "terrace:dns.zoneId",
            "pattern",
        ),
        ({"terrace__logRetentionDays": 31}, "terrace:logRetentionDays", "31 is no retention"),
        ({"terrace__priceBook": "seoul"}, "terrace:priceBook", "'seoul' is no price book"),
        (
            {"terrace__app": {"secrets": ["jwt"]}},
            "terrace:app.secrets[0]",
            "is no name of an environment variable",
        ),
        (
            {"terrace__app": {"settings": {"a b": "c"}}},
            "terrace:app.settings.a b",
            "is no name of an environment",
        ),
        (
            {"terrace__externalAi": {**EXTERNAL, "url": "http://api.example.com"}},
            "terrace:externalAi.url",
            "pattern",
        ),
        (
            {"terrace__externalAi": {**EXTERNAL, "reason": "because"}},
            "terrace:externalAi.reason",
            "at least 20 characters",
        ),
        (
            {"terrace__externalAi": EXTERNAL, "terrace__app": {"secrets": ["EXTERNAL_AI_KEY"]}},
            "terrace:app.secrets",
            "which terrace:externalAi brings",
        ),
        ({"terrace__cpuCredits": "lots"}, "terrace:cpuCredits", "'unlimited' or 'standard'"),
        (
            {"terrace__backup": {"dailySnapshots": 0}},
            "terrace:backup.dailySnapshots",
            "greater than or equal to 1",
        ),
    ],
)
def test_each_fault_says_where_what_and_the_remedy(changes: dict[str, Any], path: str, said: str) -> None:
    faults = faults_of(**changes)
    assert list(faults) == [path]
    assert said in faults[path]


def test_all_faults_come_in_one_message() -> None:
    faults = faults_of(
        terrace__stage="nowhere",
        terrace__zones=["ap-northeast-2a", "eu-west-1a"],
        terrace__ami="ami-1",
        terrace__network={"cidr": "10.0.0.0/28"},
        terrace__tags={"team": "engineering", "costCenter": "RnD"},
        terrace__typo=1,
    )
    assert set(faults) == {
        "terrace:stage", "terrace:zones[1]", "terrace:ami", "terrace:network.cidr", "terrace:tags.owner",
        "terrace:typo",
    }  # fmt: skip


def test_what_the_engine_hands_over_means_the_same_as_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = {
        **GOOD,
        "terrace:dataVolumeGib": 200,
        "terrace:deletionProtection": False,
        "terrace:app": {"settings": {"A": "[not json"}, "secrets": ["B"]},
    }
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(yaml.safe_dump({"config": values}), encoding="utf-8")
    handed_over = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(handed_over))
    assert from_engine("test") == from_file(path)


def test_a_secret_in_a_stack_file_is_refused_by_both_doors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(
        yaml.safe_dump({"config": {**GOOD, "terrace:domain": {"secure": "v1:x"}}}), encoding="utf-8"
    )
    with pytest.raises(TerraceError, match="secrets do not stand in stack files"):
        from_file(path)
    from pulumi.runtime import config

    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"terrace:domain": "sentinel-value"}))
    monkeypatch.setattr(config, "is_config_secret", lambda key: key == "terrace:domain")
    with pytest.raises(TerraceError) as refused:
        from_engine("test")
    assert "sentinel-value" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "config:", "[]", "config: [1]", "a: b: c"])
def test_a_file_that_is_no_stack_file_is_refused_without_a_traceback(tmp_path: Path, content: str) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TerraceError):
        from_file(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TerraceError, match="there is no such file"):
        from_file(tmp_path / "Pulumi.nowhere.yaml")


def test_pulumi_yaml_describes_every_key_as_the_model_does() -> None:
    assert reference() in (ROOT / "Pulumi.yaml").read_text(encoding="utf-8")


CERTIFICATE = "arn:aws:acm:ap-northeast-2:123456789012:certificate/00000000-0000-0000-0000-000000000000"
PRIVATE = {"terrace:stage": "private", "terrace:domain": "app.example.com"}
ARCHIVED = {"packages": "0" * 64}
IN_ROUTE_53 = {"terrace:dns": {"zoneId": "Z0123456789ABC"}}


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"terrace:stage": "private"}, "terrace:domain", "is missing: the load balancer of this stage"),
        (PRIVATE, "terrace:edge.certificateArn", "DNS is not in Route 53"),
        ({**PRIVATE, "terrace:domain": "example.com"}, "terrace:domain", "is the apex of a zone"),
        (
            {**PRIVATE, **IN_ROUTE_53, "terrace:edge": {"nat": "none"}},
            "terrace:edge.nat",
            "could not reach the mirrors of the distribution",
        ),
        (
            {**PRIVATE, **IN_ROUTE_53, "terrace:edge": {"nat": "one", "packages": "v1"}},
            "terrace:edge.packages",
            "'v1'",
        ),
        (
            {
                **PRIVATE,
                **IN_ROUTE_53,
                "terrace:edge": {"nat": "none", "packages": "0" * 64},
                "terrace:externalAi": {
                    "url": "https://api.example.com/v1",
                    "model": "a-model",
                    "reason": "the endpoint is away until January",
                },
            },
            "terrace:edge.nat",
            "could not reach https://api.example.com/v1, which externalAi names",
        ),
        (
            {**PRIVATE, **IN_ROUTE_53, "terrace:edge": {"nat": "none"}, "terrace:gpu": {"mode": "flex"}},
            "terrace:edge.nat",
            "; RunPod's API, which gpu.mode flex asks",
        ),
        ({"terrace:edge": ARCHIVED}, "terrace:edge.packages", "a new single box, as single-8g has"),
        (
            {
                "terrace:stage": "split",
                "terrace:climb": {"to": "single-8g", "phase": "expanded"},
                "terrace:edge": ARCHIVED,
            },
            "terrace:edge.packages",
            "a new single box, as single-8g has, would never install",
        ),
        ({"terrace:climb": {"to": "split", "phase": "done"}}, "terrace:climb.phase", "'expanded' or 'moved'"),
        ({"terrace:climb": {"to": "elastic-1m", "phase": "moved"}}, "terrace:climb.to", "not built yet"),
        ({"terrace:climb": {"to": "private", "phase": "expanded"}}, "terrace:climb.to", "in one walk"),
        ({"terrace:climb": {"to": "single-16g", "phase": "expanded"}}, "terrace:climb.to", "option A"),
        ({"terrace:kept": ["boxdata"]}, "terrace:kept[0]", "'boxdata'"),
        ({"terrace:released": ["eip"]}, "terrace:released", "is not in terrace:kept"),
        ({"terrace:machines": {"backend": "t4g.smal"}}, "terrace:machines.backend", "'t4g.smal'"),
        ({"terrace:machines": {"databaseGib": 10}}, "terrace:machines.databaseGib", "10"),
    ],
)
def test_what_a_stage_cannot_stand_with_is_refused_with_the_way_out(
    changes: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(TerraceError) as refused:
        parse({**GOOD, **changes}, where="x")
    found = {fault.path: fault for fault in refused.value.faults}
    assert said in found[path].what
    assert found[path].remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"terrace:stage": "split"},
        {"terrace:stage": "split", "terrace:edge": ARCHIVED},
        {**PRIVATE, **IN_ROUTE_53},
        {**PRIVATE, "terrace:edge": {"certificateArn": CERTIFICATE, "nat": "per-zone"}},
        {**PRIVATE, **IN_ROUTE_53, "terrace:edge": {"nat": "none", "packages": "0" * 64}},
        {"terrace:stage": "split", "terrace:kept": ["box-data"], "terrace:released": ["box-data"]},
    ],
)
def test_a_stack_may_stand_at_every_stage_that_is_built(changes: dict[str, Any]) -> None:
    assert parse({**GOOD, **changes}, where="x").rung.name == changes["terrace:stage"]


def test_settings_cannot_be_changed_once_read() -> None:
    settings: Any = parse(GOOD, where="x")
    with pytest.raises(ValueError, match="frozen"):
        settings.stage = "split"


def test_the_five_mandatory_tags_come_from_the_settings() -> None:
    assert parse(GOOD, where="x").tag_values("terrace") == {
        "Environment": "dev", "Team": "engineering", "Project": "terrace", "CostCenter": "RnD",
        "Owner": "ops@example.com",
    }  # fmt: skip


def test_what_the_guard_remembers_is_what_must_not_change_freely() -> None:
    standing = parse(GOOD, where="x").standing(Naming("terrace", "dev"))
    assert (standing.stage, standing.data_volume_gib, standing.zones[0]) == (
        "single-8g",
        100,
        "ap-northeast-2a",
    )


def test_retentions_are_those_that_cloudwatch_takes() -> None:
    """Against the list in botocore's own model of PutRetentionPolicy's documentation."""
    import re

    import botocore.session

    model = botocore.session.get_session().get_service_model("logs")
    request: Any = model.shape_for("PutRetentionPolicyRequest")
    text = request.members["retentionInDays"].documentation
    assert set(LOG_RETENTION_DAYS) <= {int(each) for each in re.findall(r"\d+", text)}


def test_every_field_of_the_model_is_described() -> None:
    def walk(model: Any) -> None:
        for name, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{name}"

    walk(Settings)
