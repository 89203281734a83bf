"""What an account has once: trails that CloudTrail would take, one detector to a region with tags.

moto's own trails need no bucket policy and cannot be deleted by ARN; its GuardDuty knows no tags after creation.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from moto.cloudtrail.models import CloudTrailBackend
from moto.core.exceptions import JsonRESTError
from moto.guardduty import urls
from moto.guardduty.models import GuardDutyBackend
from moto.guardduty.responses import GuardDutyResponse
from moto.s3.models import s3_backends

from embedded.aws.extensions.patching import Patches

patches = Patches()

SERVICE = "cloudtrail.amazonaws.com"


def _writes_allowed(backend: CloudTrailBackend, bucket_name: str) -> bool:
    bucket = s3_backends[backend.account_id]["aws"].buckets.get(bucket_name)
    document = json.loads(bucket.policy) if bucket is not None and bucket.policy else {"Statement": []}
    allowed = {
        action
        for statement in document["Statement"]
        if statement.get("Effect") == "Allow" and statement.get("Principal", {}) == {"Service": SERVICE}
        for action in _listed(statement.get("Action"))
    }
    return {"s3:GetBucketAcl", "s3:PutObject"} <= allowed


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@patches.wrap(CloudTrailBackend)
def create_trail(original: Any, backend: CloudTrailBackend, name: str, bucket_name: str, *more: Any) -> Any:
    """AWS looks whether it may write before it makes a trail (CloudTrail API reference, CreateTrail)."""
    trail = original(backend, name, bucket_name, *more)
    if not _writes_allowed(backend, bucket_name):
        del backend.trails[name]
        raise JsonRESTError(
            "InsufficientS3BucketPolicyException",
            f"Incorrect S3 bucket policy is detected for bucket: {bucket_name}",
        )
    return trail


@patches.wrap(CloudTrailBackend)
def delete_trail(original: Any, backend: CloudTrailBackend, name: str) -> None:
    """By name or ARN (CloudTrail API reference, DeleteTrail)."""
    original(backend, backend.get_trail(name).trail_name)


@patches.wrap(GuardDutyBackend)
def create_detector(original: Any, backend: GuardDutyBackend, *arguments: Any) -> Any:
    """One for each account and region (GuardDuty API reference, CreateDetector)."""
    if backend.detectors:
        raise JsonRESTError(
            "BadRequestException",
            "The request is rejected because a detector already exists for the current account.",
        )
    return original(backend, *arguments)


def _tags(response: Any) -> dict[str, str]:
    detector = response.guardduty_backend.get_detector(unquote(response.path).rpartition("/")[2])
    detector.tags = dict(detector.tags or {})
    found: dict[str, str] = detector.tags
    return found


@patches.add(GuardDutyResponse)
def tag_resource(response: Any) -> str:
    _tags(response).update(response._get_param("tags"))
    return "{}"


@patches.add(GuardDutyResponse)
def untag_resource(response: Any) -> str:
    for key in response.querystring.get("tagKeys") or []:
        _tags(response).pop(key, None)
    return "{}"


def install() -> None:
    """Install into moto."""
    patches.apply()
    urls.url_paths["{0}/tags/(?P<arn>.+)$"] = GuardDutyResponse.dispatch
