"""The off-site copy: what the switch registers, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.core.errors import TerraceError

Run = Callable[..., Any]
AWAY = "ap-northeast-1"


def test_the_switch_adds_a_bucket_and_a_key_in_the_other_region_and_touches_nothing_else(
    program: Run,
) -> None:
    without = {each.urn: each.inputs for each in program().resources}
    found = {
        each.urn: each
        for each in program({"terrace:backup": {"offsiteRegion": AWAY}}).resources
        if each.custom
    }
    assert {urn for urn in without if urn in found and found[urn].inputs != without[urn]} == set()
    new = [each for urn, each in found.items() if urn not in without]
    away = {each.token.rpartition(":")[2] for each in new if each.inputs.get("region") == AWAY}
    assert away == {
        "Key", "Bucket", "BucketVersioning", "BucketOwnershipControls", "BucketPublicAccessBlock",
        "BucketServerSideEncryptionConfiguration", "BucketLifecycleConfiguration", "BucketPolicy",
    }  # fmt: skip
    here = {each.token.rpartition(":")[2] for each in new if each.inputs.get("region") != AWAY}
    assert here == {"Role", "RolePolicy", "BucketReplicationConfig"}
    held = [each for each in new if each.token in ("aws:kms/key:Key", "aws:s3/bucket:Bucket")]
    assert all(each.options["protect"] and each.options["hooks"] for each in held)


def test_everything_is_copied_under_the_other_regions_key_and_deletions_are_followed(program: Run) -> None:
    (found,) = [
        each
        for each in program({"terrace:backup": {"offsiteRegion": AWAY}}).resources
        if each.token == "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
    ]
    (rule,) = found.inputs["rules"]
    assert (rule["status"], rule["filter"], rule["deleteMarkerReplication"]) == (
        "Enabled", {"prefix": ""}, {"status": "Enabled"},
    )  # fmt: skip
    assert rule["sourceSelectionCriteria"] == {"sseKmsEncryptedObjects": {"status": "Enabled"}}
    assert rule["destination"]["encryptionConfiguration"]["replicaKmsKeyId"]


def test_the_role_reads_here_writes_there_and_uses_each_key_through_s3_of_its_region(program: Run) -> None:
    (found,) = [
        each
        for each in program({"terrace:backup": {"offsiteRegion": AWAY}}).resources
        if each.token == "aws:iam/rolePolicy:RolePolicy" and each.name == "offsite"
    ]
    statements = json.loads(found.inputs["policy"])["Statement"]
    actions = {
        action
        for each in statements
        for action in [each["Action"]]
        for action in (action if isinstance(action, list) else [action])
    }
    assert not {action for action in actions if "Delete" in action and action != "s3:ReplicateDelete"}
    through = {each["Action"]: each["Condition"]["StringEquals"]["kms:ViaService"] for each in statements[3:]}
    assert through == {
        "kms:Decrypt": "s3.ap-northeast-2.amazonaws.com", "kms:Encrypt": f"s3.{AWAY}.amazonaws.com",
    }  # fmt: skip


def test_a_copy_in_the_stacks_own_region_is_refused(program: Run) -> None:
    with pytest.raises(TerraceError, match="the stack's own region"):
        program({"terrace:backup": {"offsiteRegion": "ap-northeast-2"}})
