"""S3: what a new bucket has on AWS without asking, lifecycle rules that keep every part, flow logs into a prefix."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.flow_logs import FlowLogsBackend
from moto.s3.exceptions import (
    NoSuchLifecycleConfiguration,
    ReplicationConfigurationNotFoundError,
    S3ClientError,
)
from moto.s3.models import FakeBucket, FakeKey, PublicAccessBlock, S3Backend
from moto.s3.responses import S3Response

from embedded.aws.extensions.patching import Patches

patches = Patches()

# Every new bucket since April 2023 (S3 user guide, "Default settings for new S3 buckets").
DEFAULT_ENCRYPTION = {
    "Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}
}
LEAST_DAYS_TO_IA = 30
_SIZE_HEADER = "x-amz-transition-default-minimum-object-size"
_SIZE_DEFAULT = "all_storage_classes_128K"


class _InvalidArgumentError(S3ClientError):
    def __init__(self, message: str) -> None:
        super().__init__("InvalidArgument", message)


@patches.wrap(S3Backend)
def create_bucket(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
    bucket = original(backend, *args, **kwargs)
    bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")
    bucket.encryption = DEFAULT_ENCRYPTION
    return bucket


@patches.wrap(S3Backend)
def get_bucket_ownership_controls(original: Any, backend: Any, bucket_name: str) -> Any:
    found = original(backend, bucket_name)
    bucket = backend.get_bucket(bucket_name)
    return found or (None if getattr(bucket, "ownership_deleted", False) else "BucketOwnerEnforced")


@patches.wrap(S3Backend)
def delete_bucket_ownership_controls(original: Any, backend: Any, bucket_name: str) -> None:
    original(backend, bucket_name)
    backend.get_bucket(bucket_name).ownership_deleted = True


@patches.wrap(S3Backend)
def put_bucket_ownership_controls(original: Any, backend: Any, bucket_name: str, ownership: Any) -> None:
    original(backend, bucket_name, ownership)
    backend.get_bucket(bucket_name).ownership_deleted = False


@patches.wrap(S3Backend)
def delete_bucket_encryption(original: Any, backend: Any, bucket_name: str) -> None:
    """What is left is not nothing but S3's own encryption."""
    original(backend, bucket_name)
    backend.get_bucket(bucket_name).encryption = DEFAULT_ENCRYPTION


@patches.wrap(FakeBucket)
def set_lifecycle(original: Any, bucket: Any, rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        _check_rule(rule)
    original(bucket, rules)
    bucket.lifecycle_asked = rules


def _check_rule(rule: dict[str, Any]) -> None:
    transitions = _listed(rule.get("Transition"))
    for transition in transitions:
        days, storage_class = transition.get("Days"), transition.get("StorageClass")
        if (
            days is not None
            and storage_class in ("STANDARD_IA", "ONEZONE_IA")
            and int(days) < LEAST_DAYS_TO_IA
        ):
            raise _InvalidArgumentError(
                f"'Days' in Transition action must be greater than or equal to {LEAST_DAYS_TO_IA} for storageClass "
                f"'{storage_class}'"
            )
    expires = (rule.get("Expiration") or {}).get("Days")
    latest = max((int(transition["Days"]) for transition in transitions if "Days" in transition), default=0)
    if expires is not None and int(expires) <= latest:
        raise _InvalidArgumentError(
            "'Days' in the Expiration action for filter must be greater than 'Days' in the Transition action"
        )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@patches.add(S3Response)
def get_bucket_lifecycle(response: Any) -> Any:
    """moto keeps neither object sizes nor newer versions, so that the rules would differ for ever."""
    response.data["Action"] = "GetBucketLifecycleConfiguration"
    bucket = response.backend.get_bucket(response.bucket_name)
    if not bucket.rules:
        raise NoSuchLifecycleConfiguration(bucket_name=response.bucket_name)
    shown = {
        "Rules": [_shown(rule) for rule in bucket.lifecycle_asked],
        "TransitionDefaultMinimumObjectSize": getattr(bucket, "transition_minimum", _SIZE_DEFAULT),
    }
    return response.serialized(ActionResult(shown))


def _shown(asked: dict[str, Any]) -> dict[str, Any]:
    """A rule of the request's XML as the API names its parts."""
    rule = {
        key: value
        for key, value in asked.items()
        if key not in ("Transition", "NoncurrentVersionTransition", "Filter")
    }
    for one, many in (
        ("Transition", "Transitions"),
        ("NoncurrentVersionTransition", "NoncurrentVersionTransitions"),
    ):
        if one in asked:
            rule[many] = _listed(asked[one])
    if "Prefix" in rule:
        rule["Prefix"] = rule["Prefix"] or ""
    if "Filter" in asked:
        filters = dict(asked["Filter"] or {})
        if "And" in filters:
            both = dict(filters["And"])
            if "Tag" in both:
                both["Tags"] = _listed(both.pop("Tag"))
            filters["And"] = both
        if "Prefix" in filters:
            filters["Prefix"] = filters["Prefix"] or ""
        rule["Filter"] = filters
    elif "Prefix" not in rule:
        rule["Filter"] = {}
    return rule


@patches.wrap(S3Backend)
def put_bucket_lifecycle(original: Any, backend: Any, bucket_name: str, rules: Any) -> None:
    original(backend, bucket_name, rules)
    backend.get_bucket(bucket_name).transition_minimum = _SIZE_DEFAULT


@patches.wrap(S3Response)
def _bucket_response_put(
    original: Any, response: Any, request: Any, bucket_name: str, querystring: Any
) -> Any:
    answer = original(response, request, bucket_name, querystring)
    if "lifecycle" in querystring and (said := response.headers.get(_SIZE_HEADER)):
        response.backend.get_bucket(bucket_name).transition_minimum = said
    return answer


@patches.add(S3Response)
def get_bucket_replication(response: Any) -> Any:
    """moto keeps the rules whole and shows half of them: deletions and encrypted objects read as not copied."""
    response.data["Action"] = "GetBucketReplication"
    kept = response.backend.get_bucket_replication(response.bucket_name)
    if not kept:
        raise ReplicationConfigurationNotFoundError(bucket_name=response.bucket_name)
    rules = [
        {
            **rule,
            "Filter": {name: text or "" for name, text in (rule.get("Filter") or {"Prefix": ""}).items()},
        }
        for rule in kept["Rule"]
    ]
    return response.serialized(
        ActionResult({"ReplicationConfiguration": {"Role": kept["Role"], "Rules": rules}})
    )


@patches.wrap(FlowLogsBackend)
def create_flow_logs(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
    """A destination may be a prefix in a bucket; moto takes the whole for a bucket's name."""
    named = list(args)
    kind = kwargs.get("log_destination_type") or (named[3] if len(named) > 3 else None)
    destination = kwargs.get("log_destination") or (named[4] if len(named) > 4 else None)
    if kind != "s3" or not destination or "/" not in destination:
        return original(backend, *args, **kwargs)
    bucket = destination.split("/", 1)[0]
    if "log_destination" in kwargs:
        kwargs["log_destination"] = bucket
    else:
        named[4] = bucket
    flow_logs, failed = original(backend, *named, **kwargs)
    for flow_log in flow_logs:
        flow_log.log_destination = destination
    return flow_logs, failed


@patches.wrap(FakeBucket)
def get_permission(original: Any, bucket: Any, action: str, resource: str) -> Any:
    """A statement about transport concerns nobody here: the loopback link stands for TLS.

    moto takes every statement whose condition is not met for a refusal; on AWS such a statement does not apply
    (IAM User Guide, "Policy evaluation logic").
    """
    if bucket.policy is None:
        return original(bucket, action, resource)
    policy = json.loads(bucket.policy)
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    told = bucket.policy
    kept = [each for each in statements if not _asks_for_tls(each)]
    try:
        bucket.policy = json.dumps({**policy, "Statement": kept}).encode() if kept else None
        return original(bucket, action, resource)
    finally:
        bucket.policy = told


def _asks_for_tls(statement: Any) -> bool:
    secure = (statement.get("Condition") or {}).get("Bool", {}).get("aws:SecureTransport")
    return statement["Effect"] == "Deny" and str(secure).lower() == "false"


@patches.add(FakeKey)
def __del__(key: Any) -> None:  # noqa: N807
    """moto warns of every body that it forgets to close (deleted versions among them); close it."""
    buffer = vars(key).get("_value_buffer")
    if buffer is not None:
        buffer.close()


def install() -> None:
    """Install into moto."""
    patches.apply()
