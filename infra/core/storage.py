"""The only place for what the buckets keep: their prefixes, tiers, expiry, and what must stay readable at once.

Glacier Flexible and Deep Archive objects need a restore of hours before they can be read (S3 User Guide,
"Archival storage classes"), so no transition may cover a prefix that a boot or a restore reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SMALLEST_TIERED_BYTES = 128 * 1024
"""Standard-IA and Glacier IR bill an object below 128 KB as 128 KB (S3 pricing): smaller ones stay in Standard."""


class BucketRole(StrEnum):
    UPLOADS = "uploads"
    BACKUPS = "backups"
    ARTIFACTS = "artifacts"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Tier:
    """After that many days, an object moves to that storage class."""

    days: int
    storage_class: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One lifecycle rule; `prefix` "" is the whole bucket, days of 0 mean never."""

    name: str
    prefix: str = ""
    tiers: tuple[Tier, ...] = ()
    expire_days: int = 0
    noncurrent_expire_days: int = 0
    larger_than_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """One bucket: its rules, and the prefixes that a boot or a restore reads without waiting."""

    role: BucketRole
    purpose: str
    rules: tuple[Rule, ...]
    read_at_once: tuple[str, ...] = ()
    sse_kms: bool = True


RECEIPT_TIERS = (Tier(30, "STANDARD_IA"), Tier(90, "GLACIER_IR"), Tier(365, "DEEP_ARCHIVE"))
SEVEN_YEARS_DAYS = 2555

ARCHIVE_PREFIX = "archive/"
TOLD_PREFIX = "told/"
"""In the bucket of logs: what the chat was told of, by alarm and change, so that nobody is told twice."""

BUCKETS: dict[BucketRole, BucketPlan] = {
    each.role: each
    for each in (
        BucketPlan(
            BucketRole.UPLOADS,
            "receipts as users sent them",
            (
                Rule(
                    "receipts-age",
                    tiers=RECEIPT_TIERS,
                    expire_days=SEVEN_YEARS_DAYS,
                    noncurrent_expire_days=90,
                    larger_than_bytes=SMALLEST_TIERED_BYTES,
                ),
                Rule("small-receipts-expire", expire_days=SEVEN_YEARS_DAYS, noncurrent_expire_days=90),
            ),
        ),
        BucketPlan(
            BucketRole.BACKUPS,
            "database backups, certificates, logical dumps",
            (
                Rule(
                    "archive-ages",
                    prefix=ARCHIVE_PREFIX,
                    tiers=(Tier(30, "STANDARD_IA"), Tier(90, "GLACIER_IR"), Tier(365, "DEEP_ARCHIVE")),
                    expire_days=SEVEN_YEARS_DAYS,
                    larger_than_bytes=SMALLEST_TIERED_BYTES,
                ),
                Rule("old-versions-go", noncurrent_expire_days=30),
            ),
            read_at_once=("database/", "certificates/"),
        ),
        BucketPlan(
            BucketRole.ARTIFACTS,
            "host bundles, packages and releases",
            (Rule("old-versions-go", noncurrent_expire_days=90),),
            read_at_once=("host/", "packages/", "releases/"),
        ),
        BucketPlan(
            BucketRole.LOGS,
            "flow logs, access logs, what the chat was told of",
            (
                Rule("logs-expire", expire_days=365, noncurrent_expire_days=7),
                # The earlier of two expiries counts (S3 User Guide, "Lifecycle configuration conflicts").
                Rule("told-expires", prefix=TOLD_PREFIX, expire_days=1, noncurrent_expire_days=1),
            ),
            # Log delivery services write only to buckets without a customer key of ours in their way.
            sse_kms=False,
        ),
    )
}


def blocked_reads(plan: BucketPlan) -> list[str]:
    """Which rule would move what a boot or a restore reads; empty for a sound plan."""
    return [
        f"{plan.role}: rule {rule.name} moves {rule.prefix or '(everything)'}, which covers {prefix}"
        for rule in plan.rules
        if rule.tiers
        for prefix in plan.read_at_once
        if prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)
    ]
