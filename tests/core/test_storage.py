"""What the buckets keep, and that nothing which a boot or a restore reads is put on ice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.core.storage import (
    ARCHIVE_PREFIX,
    BUCKETS,
    SMALLEST_TIERED_BYTES,
    BucketPlan,
    BucketRole,
    Rule,
    Tier,
    blocked_reads,
)

COLD = (Tier(90, "GLACIER_IR"),)


@pytest.mark.parametrize("plan", BUCKETS.values(), ids=lambda plan: plan.role.value)
def test_no_transition_covers_a_prefix_that_boot_or_restore_reads(plan: BucketPlan) -> None:
    assert blocked_reads(plan) == []


@pytest.mark.parametrize("prefix", ["", "database/", "database/wal/", "data", "certificates/"])
def test_a_transition_over_what_restore_reads_would_be_found(prefix: str) -> None:
    broken = replace(BUCKETS[BucketRole.BACKUPS], rules=(Rule("cold", prefix=prefix, tiers=COLD),))
    assert blocked_reads(broken)


def test_receipts_age_through_the_tiers_and_leave_after_seven_years() -> None:
    rule = BUCKETS[BucketRole.UPLOADS].rules[0]
    assert [(tier.days, tier.storage_class) for tier in rule.tiers] == [
        (30, "STANDARD_IA"), (90, "GLACIER_IR"), (365, "DEEP_ARCHIVE"),
    ]  # fmt: skip
    assert rule.expire_days == 2555
    assert rule.larger_than_bytes == SMALLEST_TIERED_BYTES == 131_072


def test_small_receipts_stay_in_standard_and_leave_as_well() -> None:
    untiered = [rule for rule in BUCKETS[BucketRole.UPLOADS].rules if not rule.tiers]
    assert [rule.expire_days for rule in untiered] == [2555]


def test_backups_age_only_in_the_archive() -> None:
    assert {rule.prefix for rule in BUCKETS[BucketRole.BACKUPS].rules if rule.tiers} == {ARCHIVE_PREFIX}


def test_artifacts_lose_only_old_versions() -> None:
    for rule in BUCKETS[BucketRole.ARTIFACTS].rules:
        assert (rule.tiers, rule.expire_days) == ((), 0)
        assert rule.noncurrent_expire_days
