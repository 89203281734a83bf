"""Where the endpoint meets the stack: the guard, the settings, the document that boxes share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

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
