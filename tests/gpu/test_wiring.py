"""Where the endpoint meets the stack: the guard, the settings, the document that boxes share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.components.gpu import budget_falls_short
from infra.core.alarms import alarm_set
from infra.core.errors import TerraceError
from infra.core.naming import FAKE_AMI, Naming
from infra.core.transition import refusals
from infra.host.box.gpu.aws import S3Store
from infra.host.box.gpu.record import ConflictError, Document, Lease
from infra.settings import parse

GOOD: dict[str, Any] = {
    "aws:region": "ap-northeast-2",
    "terrace:stage": "single-8g",
    "terrace:environment": "dev",
    "terrace:zones": ["ap-northeast-2a", "ap-northeast-2c"],
    "terrace:ami": FAKE_AMI,
    "terrace:alarmEmail": "ops@example.com",
    "terrace:tags": {"team": "engineering", "costCenter": "RnD", "owner": "ops@example.com"},
}


def standing(**gpu: Any) -> Any:
    return parse({**GOOD, "terrace:gpu": gpu}, where="x").standing(Naming("terrace", "dev"))


def test_off_where_an_endpoint_stands_is_refused_until_it_is_named() -> None:
    (fault,) = refusals(standing(mode="auto"), standing(mode="off"))
    assert "terrace:gpu.remove: terrace-dev-receipts" in fault.remedy
    assert refusals(standing(mode="auto"), standing(mode="off", remove="terrace-dev-other"))
    assert refusals(standing(mode="auto"), standing(mode="off", remove="terrace-dev-receipts")) == []
    assert refusals(standing(mode="off"), standing(mode="flex")) == []


def test_active_needs_its_last_day() -> None:
    with pytest.raises(TerraceError, match="activeUntil"):
        parse({**GOOD, "terrace:gpu": {"mode": "active"}}, where="x")
    assert parse(
        {**GOOD, "terrace:gpu": {"mode": "active", "activeUntil": "2027-01-31"}}, where="x"
    ).gpu.active_until


def test_a_budget_that_does_not_carry_active_until_its_last_day_is_said_before_it_is_deployed() -> None:
    def said(budget_usd: int) -> str:
        gpu = {"mode": "active", "activeUntil": "2027-02-07", "budgetUsd": budget_usd}
        settings = parse({**GOOD, "terrace:gpu": gpu}, where="x").gpu
        return budget_falls_short(settings, datetime(2027, 1, 30, tzinfo=UTC))

    assert said(120) == ""
    assert "takes 114.91 USD of one month" in said(100)


def test_most_workers_are_the_stages_and_never_more_than_defined() -> None:
    made = parse({**GOOD, "terrace:gpu": {"mode": "flex"}}, where="x")
    assert made.gpu_most_workers(5) == 1
    assert (
        parse({**GOOD, "terrace:gpu": {"mode": "flex", "mostWorkers": 9}}, where="x").gpu_most_workers(5) == 5
    )


@mock_aws
def test_the_document_in_s3_is_written_only_over_the_version_that_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="ours")
    store = S3Store("ours", "us-east-1")
    document, version = store.load()
    assert version == ""
    newer = store.save(replace(document, lease=Lease("box-1", 1.0)), version)
    for stale in ("", '"0123"'):
        with pytest.raises(ConflictError):
            store.save(document, stale)
    assert store.load() == (replace(Document(), lease=Lease("box-1", 1.0)), newer)


@pytest.mark.parametrize("budget", [{}, {"terrace:budget": {"monthly": "100", "currency": "USD"}}])
def test_a_stack_with_an_endpoint_has_alarms_at_75_90_and_100_percent_of_its_gpu_budget(
    budget: dict[str, Any],
) -> None:
    settings = parse({**GOOD, **budget, "terrace:gpu": {"mode": "auto"}}, where="x")
    alarms = alarm_set(settings.facts).alarms
    assert sorted(each.value for each in alarms if "gpu-spend" in each.name) == [75, 90, 100]
    assert len({each.name for each in alarms}) == len(alarms)
    without = alarm_set(parse({**GOOD, **budget}, where="x").facts).alarms
    assert not [each.name for each in without if "gpu" in each.name or "llm" in each.name]


def test_a_share_of_receipts_beyond_all_of_them_is_refused() -> None:
    assert parse({**GOOD, "terrace:gpu": {"sampleShare": "0.1"}}, where="x").gpu.sample_share == Decimal(
        "0.1"
    )
    with pytest.raises(TerraceError, match="sampleShare"):
        parse({**GOOD, "terrace:gpu": {"sampleShare": "10"}}, where="x")


@pytest.mark.parametrize("app", [{"secrets": ["RUNPOD_API_KEY"]}, {"settings": {"GPU_ENDPOINT_ID": "mine"}}])
def test_a_setting_of_the_application_that_the_endpoint_brings_is_refused(app: dict[str, Any]) -> None:
    with pytest.raises(TerraceError, match="terrace:gpu"):
        parse({**GOOD, "terrace:app": app, "terrace:gpu": {"mode": "flex"}}, where="x")
    assert parse({**GOOD, "terrace:app": app}, where="x").gpu.mode == "off"
