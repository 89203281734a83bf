"""What an account has once, by the real engine: it stands, is recorded, comes back from a refresh, and goes."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.drill]

ISSUER = "token.actions.githubusercontent.com"


def test_an_account_is_prepared_seen_and_given_up_again(standing: Any) -> None:
    standing.write(account={"repository": "acme/receipts", "costTags": True})
    standing.up()
    (trail,) = standing.client("cloudtrail").describe_trails()["trailList"]
    assert (trail["Name"], trail["S3KeyPrefix"]) == ("terrace-dev-trail", "trail")
    assert trail["S3BucketName"] == standing.outputs()["buckets"]["logs"]
    assert standing.client("cloudtrail").get_trail_status(Name=trail["TrailARN"])["IsLogging"]
    guard = standing.client("guardduty")
    (detector,) = guard.list_detectors()["DetectorIds"]
    assert guard.get_detector(DetectorId=detector)["Status"] == "ENABLED"
    assert standing.client("ec2").get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    (provider,) = standing.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert provider["Arn"].endswith(ISSUER)
    roles = standing.outputs()["workflow_roles"]
    assert roles["prod"] == "arn:aws:iam::123456789012:role/terrace-workflow-prod"
    assert roles["dev-pull-request"] == "arn:aws:iam::123456789012:role/terrace-workflow-dev-preview"
    assert roles["prod-drill"] == "arn:aws:iam::123456789012:role/terrace-workflow-prod-drill"
    standing.up("--expect-no-changes")

    standing.client("cloudtrail").stop_logging(Name=trail["TrailARN"])
    standing.client("ec2").disable_ebs_encryption_by_default()
    standing.up("--refresh")
    assert standing.client("cloudtrail").get_trail_status(Name=trail["TrailARN"])["IsLogging"]
    assert standing.client("ec2").get_ebs_encryption_by_default()["EbsEncryptionByDefault"]

    standing.write(account=None)
    standing.up()
    assert standing.client("cloudtrail").describe_trails()["trailList"] == []
    assert guard.list_detectors()["DetectorIds"] == []
    assert standing.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
