"""The only place for the rules of what holds data: databases, buckets, keys, logs, parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.core.cost.resource import Resource, dig
from infra.policy.compute import VOLUME
from infra.policy.judging import Facts, Rule, Severity, StackRule

DATABASE = "aws:rds/instance:Instance"
PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
BUCKET = "aws:s3/bucket:Bucket"
BUCKET_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
BUCKET_VERSIONS = "aws:s3/bucketVersioning:BucketVersioning"
BUCKET_ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
KEY = "aws:kms/key:Key"
EIP = "aws:ec2/eip:Eip"
VAULT = "aws:backup/vault:Vault"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
TOPIC = "aws:sns/topic:Topic"
PARAMETER = "aws:ssm/parameter:Parameter"

FEWEST_BACKUP_DAYS = 7
SCRATCH = "::terrace:drill:Drill$"
"""In the URNs of a restore drill, which holds nothing of its own."""
_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def _rds_private(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("publiclyAccessible", default=False):
        yield "the database has a public address"


def _rds_encrypted(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("storageEncrypted", default=False) is not True:
        yield "the database's storage is not encrypted"


def _rds_backups(resource: Resource, _facts: Facts) -> Iterator[str]:
    days = resource.value("backupRetentionPeriod", default=0)
    if days < FEWEST_BACKUP_DAYS:
        yield f"backups are kept {days:g} days, at least {FEWEST_BACKUP_DAYS}"


def _rds_protected(resource: Resource, facts: Facts) -> Iterator[str]:
    if resource.token in facts.released:
        return
    if resource.value("deletionProtection", default=False) is not True:
        yield "AWS would delete the database without asking"
    if resource.value("skipFinalSnapshot", default=False):
        yield "it would go without a last snapshot"


def _rds_password(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("manageMasterUserPassword", default=False) is not True:
        yield "the master password stands in the program and its state"


def _rds_tls(resource: Resource, _facts: Facts) -> Iterator[str]:
    forced = [
        each for each in resource.value("parameters", default=()) if dig(each, "name") == "rds.force_ssl"
    ]
    if not any(str(dig(each, "value")) == "1" for each in forced):
        yield "connections without TLS are taken"


def _protected(resource: Resource, facts: Facts) -> Iterator[str]:
    scratch = SCRATCH in resource.urn
    attached = resource.token == EIP and resource.name != "address"
    if not (resource.protect or scratch or attached or resource.token in facts.released):
        yield "holds data, and Pulumi would delete it without asking"


def _bucket_blocked(resources: Sequence[Resource], _facts: Facts) -> Iterator[tuple[str, str]]:
    blocked = {
        _place(each) for each in resources
        if each.token == BUCKET_BLOCK and all(dig(each.inputs, name) is True for name in _BLOCKS)
    }  # fmt: skip
    for each in resources:
        if each.token == BUCKET and _place(each) not in blocked:
            yield each.urn, f"not all of {', '.join(_BLOCKS)} are true"


def _bucket_beside(token: str, message: str) -> Any:
    def check(resources: Sequence[Resource], _facts: Facts) -> Iterator[tuple[str, str]]:
        beside = {_place(each) for each in resources if each.token == token}
        for each in resources:
            if each.token == BUCKET and _place(each) not in beside:
                yield each.urn, message

    return check


def _versioned(resource: Resource, _facts: Facts) -> Iterator[str]:
    if (status := resource.value("versioningConfiguration.status")) != "Enabled":
        yield f"versioning is {status!r}: what is overwritten is gone"


def _place(resource: Resource) -> tuple[str, str]:
    """The parents' types and the name: a bucket and its settings stand side by side under one component."""
    chain, _, name = resource.urn.rpartition("::")
    return chain.rpartition("$")[0], name


def _tls_only(resource: Resource, _facts: Facts) -> Iterator[str]:
    for statement in statements(resource.value("policy")):
        condition = dig(statement, "Condition.Bool") or {}
        if statement.get("Effect") == "Deny" and str(condition.get("aws:SecureTransport")).lower() == "false":
            return
    yield "no statement refuses requests without TLS"


def _no_public_statement(resource: Resource, _facts: Facts) -> Iterator[str]:
    for statement in statements(resource.value("policy")):
        if statement.get("Effect") == "Allow" and statement.get("Principal") in ("*", {"AWS": "*"}):
            yield f"statement {statement.get('Sid', '')!r} lets anybody in"


def _rotates(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("enableKeyRotation", default=False) is not True:
        yield "the key never rotates"


def _retention(resource: Resource, _facts: Facts) -> Iterator[str]:
    if not resource.value("retentionInDays", default=0):
        yield "logs are kept, and billed, for ever"


def _log_key(resource: Resource, _facts: Facts) -> Iterator[str]:
    if not resource.value("kmsKeyId"):
        yield "logs are not encrypted with the stack's key"


def _topic_key(resource: Resource, _facts: Facts) -> Iterator[str]:
    if not resource.value("kmsMasterKeyId"):
        yield "messages are not encrypted with the stack's key"


def _secret_parameter(resource: Resource, _facts: Facts) -> Iterator[str]:
    words = ("password", "secret", "token", "passphrase", "private-key", "api-key", "api_key")
    name = str(resource.value("name", default=resource.name)).lower()
    if resource.value("type") == "SecureString":
        if resource.value("value") is not None:
            yield "the secret's value stands in the program and its state"
    elif any(word in name.rpartition("/")[2] for word in words):
        yield f"{name} is called a secret and is a {resource.value('type')}"


def statements(document: Any) -> list[Mapping[str, Any]]:
    """The statements of a policy document, as text or parsed."""
    parsed = json.loads(document) if isinstance(document, str) else document or {}
    listed = dig(parsed, "Statement") or []
    return [listed] if isinstance(listed, Mapping) else list(listed)


RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        "rds-private", "RDS.2", Severity.CRITICAL, "No database has a public address",
        "Set publicly_accessible=False", (DATABASE,), _rds_private,
    ),
    Rule(
        "rds-encrypted", "RDS.3", Severity.HIGH, "Databases are encrypted",
        "Set storage_encrypted=True before there are data: changing it replaces the database", (DATABASE,),
        _rds_encrypted,
    ),
    Rule(
        "rds-backups", "RDS.11", Severity.HIGH, f"Databases are backed up for {FEWEST_BACKUP_DAYS} days or more",
        f"Set backup_retention_period={FEWEST_BACKUP_DAYS}", (DATABASE,), _rds_backups,
    ),
    Rule(
        "rds-protected", "RDS.8", Severity.HIGH, "Databases are protected from deletion, and leave a last snapshot",
        "Set terrace:deletionProtection: true, or give the database up by name: terrace:released", (DATABASE,),
        _rds_protected,
    ),
    Rule(
        "rds-managed-password", "terrace", Severity.HIGH, "RDS makes and keeps the master password",
        "Set manage_master_user_password=True and no password", (DATABASE,), _rds_password,
    ),
    Rule(
        "rds-tls", "RDS.38", Severity.MEDIUM, "Databases take TLS connections only",
        "Set the parameter rds.force_ssl to 1", (PARAMETERS,), _rds_tls,
    ),
    Rule(
        "data-protected", "terrace", Severity.HIGH, "What holds data is protected by Pulumi from its first day",
        "Set terrace:deletionProtection: true, or give it up by name: terrace:released",
        (VOLUME, DATABASE, BUCKET, KEY, EIP, VAULT), _protected,
    ),
    StackRule(
        "s3-public-block", "S3.8", Severity.HIGH, "Every bucket refuses public access",
        "Make a BucketPublicAccessBlock beside it with all four true", _bucket_blocked,
    ),
    StackRule(
        "s3-encrypted", "S3.17", Severity.MEDIUM, "Every bucket says how it encrypts",
        "Make a BucketServerSideEncryptionConfiguration beside it",
        _bucket_beside(BUCKET_ENCRYPTION, "nothing says how its objects are encrypted"),
    ),
    StackRule(
        "s3-has-policy", "S3.5", Severity.MEDIUM, "Every bucket has a policy, so that it can refuse plain HTTP",
        "Make a BucketPolicy beside it (components/storage.py)",
        _bucket_beside(BUCKET_POLICY, "no policy refuses requests without TLS"),
    ),
    Rule(
        "s3-tls-only", "S3.5", Severity.MEDIUM, "Bucket policies refuse requests without TLS",
        "Deny s3:* where aws:SecureTransport is false", (BUCKET_POLICY,), _tls_only,
    ),
    Rule(
        "s3-no-public-policy", "S3.2", Severity.CRITICAL, "No bucket policy lets anybody in",
        "Name the account, role or service that may", (BUCKET_POLICY,), _no_public_statement,
    ),
    Rule(
        "s3-versioned", "S3.14", Severity.MEDIUM, "Buckets keep versions",
        "Set the versioning status to Enabled", (BUCKET_VERSIONS,), _versioned,
    ),
    Rule(
        "kms-rotates", "KMS.4", Severity.MEDIUM, "Keys rotate every year",
        "Set enable_key_rotation=True", (KEY,), _rotates,
    ),
    Rule(
        "logs-end", "CloudWatch.16", Severity.LOW, "Logs are kept for a time, not for ever",
        "Set retention_in_days (terrace:logRetentionDays)", (LOG_GROUP,), _retention,
    ),
    Rule(
        "logs-encrypted", "terrace", Severity.LOW, "Logs are encrypted with the stack's key",
        "Set kms_key_id", (LOG_GROUP,), _log_key,
    ),
    Rule(
        "sns-encrypted", "SNS.1", Severity.MEDIUM, "Topics are encrypted with the stack's key",
        "Set kms_master_key_id", (TOPIC,), _topic_key,
    ),
    Rule(
        "ssm-secrets", "terrace", Severity.CRITICAL, "Secrets are SecureStrings that the program never sees",
        "Use value_wo with a stand-in, and fill it with scripts/account.py set NAME", (PARAMETER,), _secret_parameter,
    ),
)  # fmt: skip
