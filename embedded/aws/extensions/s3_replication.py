"""S3: what a bucket's replication copies. moto keeps the rules and copies nothing.

As the S3 User Guide has it ("What does Amazon S3 replicate?", "What isn't replicated?"): objects written after the
rule, under the destination's key, with their version ids and metadata; delete markers where the rule says so; neither
the deletion of a version nor what is a replica itself. Here a copy is there at once, where S3 takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.s3.models import FakeKey, S3Backend

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(S3Backend)
def put_object(original: Any, backend: Any, bucket_name: str, key_name: str, *args: Any, **more: Any) -> Any:
    """The object, and a copy of it for each rule that takes it."""
    key = original(backend, bucket_name, key_name, *args, **more)
    for target, key_id in _destinations(backend, bucket_name, key_name):
        if key.encryption == "aws:kms" and not key_id:
            continue  # without SourceSelectionCriteria and a key over there, encrypted objects are left out
        copy: Any = FakeKey(
            name=key_name,
            bucket_name=target.name,
            value=key.value,
            account_id=backend.account_id,
            region_name=target.region_name,
            storage=key.storage_class,
            etag=key.etag.strip('"'),
            is_versioned=True,
            version_id=key.version_id,
            encryption="aws:kms" if key_id else key.encryption,
            kms_key_id=key_id or None,
        )
        copy._metadata = key._metadata  # what the request says of the object comes after it
        target.keys.setlist(key_name, [*target.keys.getlist(key_name, []), copy])
    return key


@patches.wrap(S3Backend)
def _set_delete_marker(original: Any, backend: Any, bucket_name: str, key_name: str) -> Any:
    marker = original(backend, bucket_name, key_name)
    for target, _ in _destinations(backend, bucket_name, key_name, deletions=True):
        if key_name in target.keys:
            original(backend, target.name, key_name)
    return marker


def _destinations(
    backend: Any, bucket_name: str, key_name: str, *, deletions: bool = False
) -> Iterator[tuple[Any, str]]:
    """Each bucket that a rule in force copies the key into, and the key (ARN) that copies are encrypted under."""
    kept = backend.get_bucket_replication(bucket_name) or {"Rule": []}
    for rule in kept["Rule"]:
        prefix = (rule.get("Filter") or {}).get("Prefix") or ""
        followed = (rule.get("DeleteMarkerReplication") or {}).get("Status") == "Enabled"
        if rule["Status"] != "Enabled" or not key_name.startswith(prefix) or (deletions and not followed):
            continue
        destination = rule["Destination"]
        encrypted = (rule.get("SourceSelectionCriteria") or {}).get("SseKmsEncryptedObjects") or {}
        key_id = (destination.get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID", "")
        target = backend.get_bucket(destination["Bucket"].rpartition(":")[2])
        yield target, key_id if encrypted.get("Status") == "Enabled" else ""


def install() -> None:
    """Install into moto."""
    patches.apply()
