"""Buckets and everything that hangs on one."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from embedded.provider.table import (
    ID,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Scope,
    Update,
    found,
    from_inputs,
    given,
    known,
    respelled,
    text,
)

BUCKET = {"Bucket": given("bucket")}


def _setting(token: str, create: Call, read: Read, delete: Call | None = None, **outputs: Expression) -> Kind:
    """One of a bucket's settings: put, put again for a change, and known by the bucket's name."""
    return Kind(
        token,
        create=create,
        id=Expression(lambda scope: scope.inputs["bucket"]),
        read=(read,),
        upsert=True,
        outputs={"bucket": Expression(lambda scope: scope.id or scope.inputs.get("bucket")), **outputs},
        delete=(delete,) if delete else (),
    )


def _rules(scope: Scope) -> list[dict[str, Any]]:
    """Lifecycle rules in S3's spelling; S3 wants `Filter` where pulumi-aws leaves an empty one out."""
    return [_rule(rule) for rule in scope.inputs["rules"]]


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {
        "ID": rule["id"],
        "Status": rule["status"],
        "Filter": _filter(rule.get("filter") or {}),
    }
    for name, member in (
        ("expiration", "Expiration"),
        ("noncurrentVersionExpiration", "NoncurrentVersionExpiration"),
        ("abortIncompleteMultipartUpload", "AbortIncompleteMultipartUpload"),
        ("transitions", "Transitions"),
        ("noncurrentVersionTransitions", "NoncurrentVersionTransitions"),
    ):
        if rule.get(name):
            sent[member] = rule[name]
    return sent


def _filter(given_filter: dict[str, Any]) -> dict[str, Any]:
    if both := given_filter.get("and"):
        tags = [{"Key": key, "Value": value} for key, value in (both.get("tags") or {}).items()]
        return {
            "And": {
                **({"Prefix": both["prefix"]} if both.get("prefix") is not None else {}),
                **({"Tags": tags} if tags else {}),
                **{
                    name[0].upper() + name[1:]: both[name]
                    for name in ("objectSizeGreaterThan", "objectSizeLessThan")
                    if both.get(name) is not None
                },
            }
        }
    if not {key for key, value in given_filter.items() if value is not None}:
        return {"Prefix": ""}
    return given_filter


def _rules_seen(scope: Scope) -> list[dict[str, Any]]:
    """Rules in Pulumi's spelling, in the order of the inputs."""
    seen = {rule["ID"]: respelled(rule, {"ID": "id"}) for rule in scope.answer.get("Rules") or []}
    order = [rule["id"] for rule in scope.inputs.get("rules") or []]
    ordered = [seen.pop(name) for name in order if name in seen]
    return ordered + list(seen.values())


def _replication(scope: Scope) -> list[dict[str, Any]]:
    """Replication rules in S3's spelling, which differs by more than its capitals in two names."""
    return [
        respelled(rule, {"id": "ID", "replicaKmsKeyId": "ReplicaKmsKeyID"}) for rule in scope.inputs["rules"]
    ]


def _replication_seen(scope: Scope) -> list[dict[str, Any]]:
    back = {"ID": "id", "ReplicaKmsKeyID": "replicaKmsKeyId"}
    return [respelled(rule, back) for rule in scope.answer.get("Rules") or []]


def known_or_given(name: str) -> Expression:
    """The input, or what was read last where there is none (a refresh, a deletion)."""
    return Expression(lambda scope: scope.inputs.get(name) or scope.outputs.get(name), (name,))


def _body(scope: Scope) -> bytes:
    encoded = scope.inputs.get("contentBase64")
    return b64decode(encoded) if encoded else str(scope.inputs.get("content") or "").encode()


def _put_object() -> Call:
    return Call(
        "s3.put_object",
        {
            "Bucket": given("bucket"),
            "Key": given("key"),
            "Body": Expression(_body, ("contentBase64", "content")),
            "ContentType": given("contentType"),
        },
    )


KINDS = (
    Kind(
        "aws:s3/bucket:Bucket",
        autoname="bucket",
        create=Call(
            "s3.create_bucket",
            {
                "Bucket": given("bucket"),
                # us-east-1 is the one region that must not be named here (S3 API reference, CreateBucket).
                "CreateBucketConfiguration": Expression(
                    lambda s: {"LocationConstraint": s.region} if s.region != "us-east-1" else None
                ),
                "ObjectLockEnabledForBucket": given("objectLockEnabled"),
            },
        ),
        id=Expression(lambda scope: scope.inputs["bucket"]),
        then=(Call("s3.put_bucket_tagging", {"Bucket": ID, "Tagging": {"TagSet": TAGS}}, when=TAGS),),
        read=(
            Read("s3.head_bucket", {"Bucket": ID}, at="{BucketRegion: BucketRegion}"),
            Read("s3.get_bucket_tagging", {"Bucket": ID}, optional=True),
        ),
        updates=(
            Update(
                ("tags",),
                (
                    Call("s3.delete_bucket_tagging", {"Bucket": ID}),
                    Call("s3.put_bucket_tagging", {"Bucket": ID, "Tagging": {"TagSet": TAGS}}, when=TAGS),
                ),
            ),
            Update(("forceDestroy",), ()),
        ),
        outputs={
            "bucket": ID,
            "arn": text("arn:aws:s3:::{id}"),
            "bucketDomainName": text("{id}.s3.amazonaws.com"),
            "bucketRegionalDomainName": text("{id}.s3.{region}.amazonaws.com"),
        },
        write_only=("forceDestroy",),
        not_carried={"forceDestroy": "read at deletion"},
        delete=(Call("s3.delete_bucket", {"Bucket": ID}),),
    ),
    Kind(
        "aws:s3/bucketObjectv2:BucketObjectv2",
        autoname="key",
        create=_put_object(),
        id=Expression(lambda scope: f"{scope.inputs['bucket']}/{scope.inputs['key']}"),
        read=(
            Read(
                "s3.head_object",
                {"Bucket": known_or_given("bucket"), "Key": known_or_given("key")},
                at="{VersionId: VersionId, ContentLength: ContentLength}",
            ),
        ),
        not_carried={"tags": "no object of ours bears tags"},
        updates=(Update(("contentBase64", "content", "contentType"), (_put_object(),)),),
        outputs={
            "bucket": known_or_given("bucket"),
            "key": known_or_given("key"),
            "versionId": found("VersionId"),
            "arn": Expression(
                lambda s: f"arn:aws:s3:::{known_or_given('bucket')(s)}/{known_or_given('key')(s)}"
            ),
        },
        # As pulumi-aws: deleting an object of a versioned bucket deletes its versions, not only their top.
        delete=(
            Call(
                "s3.delete_object",
                {"Bucket": known("bucket"), "Key": known("key"), "VersionId": known("versionId")},
                missing_is_fine=True,
            ),
        ),
    ),
    _setting(
        "aws:s3/bucketVersioning:BucketVersioning",
        Call(
            "s3.put_bucket_versioning",
            {**BUCKET, "VersioningConfiguration": given("versioningConfiguration"), "MFA": given("mfa")},
        ),
        Read("s3.get_bucket_versioning", {"Bucket": ID}),
        # There is no deleting it: once on, versioning can only be suspended (S3 User Guide).
        Call(
            "s3.put_bucket_versioning",
            {"Bucket": ID, "VersioningConfiguration": {"Status": "Suspended"}},
            missing_is_fine=True,
        ),
        versioningConfiguration=Expression(
            lambda s: {"status": s.answer["Status"]} if s.answer.get("Status") else None
        ),
    ),
    _setting(
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig",
        Call(
            "s3.put_bucket_replication",
            {
                **BUCKET,
                "ReplicationConfiguration": {
                    "Role": given("role"),
                    "Rules": Expression(_replication, ("rules",)),
                },
                "Token": given("token"),
            },
        ),
        Read("s3.get_bucket_replication", {"Bucket": ID}, at="ReplicationConfiguration"),
        Call("s3.delete_bucket_replication", {"Bucket": ID}, missing_is_fine=True),
        rules=Expression(_replication_seen),
    ),
    _setting(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        Call(
            "s3.put_bucket_ownership_controls",
            {**BUCKET, "OwnershipControls": {"Rules": [given("rule")]}},
        ),
        Read("s3.get_bucket_ownership_controls", {"Bucket": ID}),
        Call("s3.delete_bucket_ownership_controls", {"Bucket": ID}, missing_is_fine=True),
        rule=found("OwnershipControls.Rules[0].{objectOwnership: ObjectOwnership}"),
    ),
    _setting(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        Call(
            "s3.put_bucket_encryption",
            {
                **BUCKET,
                "ServerSideEncryptionConfiguration": {
                    "Rules": from_inputs("rules")(
                        lambda i: [
                            {
                                "ApplyServerSideEncryptionByDefault": {
                                    name: value
                                    for name, value in (
                                        ("SSEAlgorithm", default.get("sseAlgorithm")),
                                        ("KMSMasterKeyID", default.get("kmsMasterKeyId")),
                                    )
                                    if value
                                },
                                **({"BucketKeyEnabled": True} if rule.get("bucketKeyEnabled") else {}),
                            }
                            for rule in i["rules"]
                            for default in [rule.get("applyServerSideEncryptionByDefault") or {}]
                        ]
                    )
                },
            },
        ),
        Read("s3.get_bucket_encryption", {"Bucket": ID}),
        Call("s3.delete_bucket_encryption", {"Bucket": ID}, missing_is_fine=True),
        rules=found(
            "ServerSideEncryptionConfiguration.Rules[].{bucketKeyEnabled: BucketKeyEnabled,"
            " applyServerSideEncryptionByDefault: ApplyServerSideEncryptionByDefault."
            "{sseAlgorithm: SSEAlgorithm, kmsMasterKeyId: KMSMasterKeyID}}"
        ),
    ),
    _setting(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        Call(
            "s3.put_public_access_block",
            {
                **BUCKET,
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": given("blockPublicAcls"),
                    "BlockPublicPolicy": given("blockPublicPolicy"),
                    "IgnorePublicAcls": given("ignorePublicAcls"),
                    "RestrictPublicBuckets": given("restrictPublicBuckets"),
                },
            },
        ),
        Read("s3.get_public_access_block", {"Bucket": ID}, at="PublicAccessBlockConfiguration"),
        Call("s3.delete_public_access_block", {"Bucket": ID}, missing_is_fine=True),
    ),
    _setting(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        Call(
            "s3.put_bucket_lifecycle_configuration",
            {
                **BUCKET,
                "LifecycleConfiguration": {"Rules": Expression(_rules, ("rules",))},
                "TransitionDefaultMinimumObjectSize": given("transitionDefaultMinimumObjectSize"),
            },
        ),
        Read("s3.get_bucket_lifecycle_configuration", {"Bucket": ID}),
        Call("s3.delete_bucket_lifecycle", {"Bucket": ID}, missing_is_fine=True),
        rules=Expression(_rules_seen),
    ),
    _setting(
        "aws:s3/bucketPolicy:BucketPolicy",
        Call("s3.put_bucket_policy", {**BUCKET, "Policy": given("policy")}),
        Read("s3.get_bucket_policy", {"Bucket": ID}),
        Call("s3.delete_bucket_policy", {"Bucket": ID}, missing_is_fine=True),
    ),
)
