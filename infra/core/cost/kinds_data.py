"""What databases, buckets, keys and secrets are billed for, from the inputs of pulumi-aws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from infra.core.cost.component import Component, Priced, fixed, used
from infra.core.cost.kinds_compute import surplus_credits
from infra.core.cost.resource import Resource
from infra.core.cost.usage import Usage
from infra.core.instances import INSTANCE_TYPES


def _database(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Hours and GiB (both doubled over two zones), backups beyond its size, secret, address, CPU credits."""
    name = str(resource.value("instanceClass"))
    several = ".multi-az" if resource.value("multiAz", default=False) else ""
    storage = resource.value("storageType", "gp2")
    yield fixed(f"database {name}", f"rds.{name}{several}")
    yield fixed(f"storage {storage}", f"rds.{storage}{several}", resource.value("allocatedStorage"))
    if resource.value("publiclyAccessible", default=False):
        yield fixed("public IPv4 address", "ipv4")
    if resource.value("manageMasterUserPassword", default=False):
        # The secret is billed like any other (RDS User Guide, "Password management with AWS Secrets Manager").
        yield fixed("managed master secret", "secrets.secret")
    kind = INSTANCE_TYPES.get(name.removeprefix("db."))
    if kind is not None and kind.burstable:
        # T4g databases are always unlimited (RDS User Guide, "DB instance class types").
        yield surplus_credits(kind, usage[f"rds.cpu.percent@{resource.name}"], "rds.surplus-credit")
    yield used("backups beyond its size", "rds.backup", usage, f"rds.backup.gib@{resource.name}")


def _bucket(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("stored", "s3.standard", usage, f"s3.gib@{resource.name}")
    yield used("writes", "s3.put", usage, f"s3.put.thousand@{resource.name}")
    yield used("reads", "s3.get", usage, f"s3.get.ten-thousand@{resource.name}")


def _replication(resource: Resource, usage: Usage) -> Iterator[Component]:
    """What crosses to the other region; requests and storage there are the other bucket's own lines."""
    yield used("to the other region", "traffic.regions", usage, f"s3.replicated.gib@{resource.name}")


def _key(resource: Resource, usage: Usage) -> Iterator[Component]:
    """The key; each of its first two yearly rotations is billed from then on as one more (KMS pricing) (verify)."""
    yield fixed("encryption key", "kms.key")
    if resource.value("enableKeyRotation", default=False):
        yield used("rotations", "kms.key", usage, f"kms.rotations@{resource.name}")
    yield used("requests", "kms.requests", usage, f"kms.ten-thousand@{resource.name}")


def _secret(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield fixed("secret", "secrets.secret")
    yield used("reads", "secrets.requests", usage, f"secrets.ten-thousand@{resource.name}")


def _parameter(resource: Resource, _usage: Usage) -> Iterator[Component]:
    """Standard parameters are free, SecureStrings too."""
    if resource.value("tier", "Standard") == "Advanced":
        yield fixed("advanced parameter", "ssm.parameter.advanced", Decimal(1))


PRICED: Mapping[str, Priced] = {
    "aws:rds/instance:Instance": _database,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": _replication,
    "aws:kms/key:Key": _key,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:ssm/parameter:Parameter": _parameter,
}
