"""EBS: what a volume is given when nothing is said, and what AWS refuses.

Rules: the EC2 API reference (botocore 1.44.5).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from embedded.aws.extensions.patching import Patches

patches = Patches()

DEFAULT_TYPE = "gp2"
"""The type of a volume that does not say (CreateVolume, VolumeType)."""

GP3_IOPS = (3_000, 80_000)
GP3_THROUGHPUT_MIBPS = (125, 2_000)
SIZE_GIB = {"gp2": (1, 16_384), "gp3": (1, 65_536)}

MODIFICATIONS_PER_DAY = 4
"""A volume can be modified this often within a rolling 24 hours (ModifyVolume; older descriptions: once in six)."""

limit_modifications = True
"""Whether the limit holds. A drill that resizes a volume over and over may switch it off here."""


def check_performance(ebs: dict[str, Any]) -> None:
    """Refuse size, IOPS and throughput outside what the type can have."""
    volume_type = ebs.get("VolumeType") or DEFAULT_TYPE
    bounds = [("size", "VolumeSize", SIZE_GIB.get(volume_type))]
    if volume_type == "gp3":
        bounds += [("iops", "Iops", GP3_IOPS), ("throughput", "Throughput", GP3_THROUGHPUT_MIBPS)]
    elif ebs.get("Throughput"):
        raise EC2ClientError(
            "InvalidParameterDependency", "The parameter Throughput is valid only for gp3 volumes."
        )
    for name, key, bound in bounds:
        value = ebs.get(key)
        if value is not None and bound is not None and not bound[0] <= int(value) <= bound[1]:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Volume {name} of {value} is not within {bound[0]} to {bound[1]} for volume type {volume_type}",
            )


def set_performance(volume: Any, ebs: dict[str, Any]) -> None:
    """Give a volume the IOPS and throughput that were asked for, or what its type has without asking."""
    if volume.volume_type == "gp3":
        volume.iops = ebs.get("Iops") or volume.iops or GP3_IOPS[0]
        volume.throughput = ebs.get("Throughput") or volume.throughput or GP3_THROUGHPUT_MIBPS[0]
    elif volume.volume_type == "gp2":
        # gp2's own baseline: 3 IOPS a GiB, 100 to 16 000 (EBS user guide, General Purpose SSD).
        volume.iops = min(16_000, max(100, 3 * volume.size))


@patches.wrap(EBSBackend)
def create_volume(original: Any, backend: Any, size: Any, zone_name: Any, *args: Any, **kwargs: Any) -> Any:
    given = dict(zip(("snapshot_id", "encrypted", "kms_key_id", "volume_type"), args, strict=False)) | kwargs
    ebs = {
        "VolumeSize": size,
        "VolumeType": given.get("volume_type"),
        "Iops": given.get("iops"),
        "Throughput": given.get("throughput"),
    }
    check_performance(ebs)
    if snapshot_id := given.get("snapshot_id"):
        snapshot = backend.get_snapshot(snapshot_id)
        if size is not None and int(size) < snapshot.volume_size:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', "
                f"expect size >= {snapshot.volume_size}GB",
            )
        size = size or snapshot.volume_size
        if snapshot.encrypted:
            given |= {"encrypted": True, "kms_key_id": given.get("kms_key_id") or snapshot.kms_key_id}
    if getattr(backend, "ebs_encryption_by_default", False):
        given["encrypted"] = True
    if given.get("kms_key_id"):
        given["kms_key_id"] = _key_arn(backend, given["kms_key_id"])
    volume = original(backend, size, zone_name, **given)
    set_performance(volume, ebs)
    return volume


def _key_arn(backend: Any, key_id: str) -> str:
    """DescribeVolumes shows a key's ARN, however the key was named; a key that there is not stays as it was named."""
    from moto.kms.models import kms_backends

    kms = kms_backends[backend.account_id][backend.region_name]
    try:
        return str(kms.describe_key(key_id).arn)
    except Exception:  # noqa: BLE001 moto raises KeyError, NotFound or ValueError, by the form of the name
        return key_id


@patches.wrap(EBSBackend)
def modify_volume(
    original: Any,
    backend: Any,
    volume_id: str,
    target_size: int | None = None,
    target_volume_type: str | None = None,
    target_iops: int | None = None,
    target_throughput: int | None = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    volume = backend.get_volume(volume_id)
    if target_size is not None and int(target_size) < volume.size:
        raise EC2ClientError("InvalidParameterValue", "New size cannot be smaller than existing size")
    check_performance(
        {
            "VolumeSize": target_size,
            "VolumeType": target_volume_type or volume.volume_type,
            "Iops": target_iops,
            "Throughput": target_throughput,
        }
    )
    day_ago = utcnow() - timedelta(days=1)
    recent = [each for each in volume.modifications if each.start_time > day_ago]
    if limit_modifications and len(recent) >= MODIFICATIONS_PER_DAY:
        until = recent[-MODIFICATIONS_PER_DAY].start_time + timedelta(days=1)
        raise EC2ClientError(
            "VolumeModificationRateExceeded",
            f"You've reached the maximum modification rate per volume limit ({MODIFICATIONS_PER_DAY} in 24 hours). "
            f"Volume {volume_id} can be modified again at {until:%Y-%m-%dT%H:%M:%SZ}",
        )
    changed = original(
        backend, volume_id, target_size, target_volume_type, target_iops, target_throughput, *args, **kwargs
    )
    set_performance(changed, {"Iops": target_iops, "Throughput": target_throughput})
    return changed


@patches.wrap(EBSBackend)
def describe_volumes_modifications(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
    """AWS shows the newest modification of each volume; moto shows all, oldest first."""
    newest = {each.volume.id: each for each in original(backend, *args, **kwargs)}
    return list(newest.values())


@patches.wrap(EBSBackend)
def attach_volume(
    original: Any, backend: Any, volume_id: str, instance_id: str, device_path: str, *args: Any, **kwargs: Any
) -> Any:
    volume, instance = backend.get_volume(volume_id), backend.get_instance(instance_id)
    if instance._state.name not in ("running", "stopped"):
        raise EC2ClientError("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
    if volume.attachment is not None:
        raise EC2ClientError("VolumeInUse", f"{volume_id} is already attached to an instance")
    if volume.zone.name != instance.availability_zone:
        raise EC2ClientError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
        )
    if device_path in instance.block_device_mapping:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Invalid value '{device_path}' for unixDevice. Attachment point {device_path} is already in use",
        )
    return original(backend, volume_id, instance_id, device_path, *args, **kwargs)


@patches.wrap(ElasticBlockStore)
def detach_volume(original: Any, response: Any) -> Any:
    volume_id = response._get_param("VolumeId")
    attachment = response.ec2_backend.get_volume(volume_id).attachment
    if attachment is not None:
        instance = attachment.instance
        if instance.id != (response._get_param("InstanceId") or instance.id):
            raise EC2ClientError(
                "InvalidAttachment.NotFound",
                f"The volume '{volume_id}' is not attached to instance '{response._get_param('InstanceId')}'",
            )
        if attachment.device == instance.root_device_name and instance._state.name == "running":
            raise EC2ClientError(
                "OperationNotPermitted",
                f"Unable to detach root volume '{volume_id}' from instance '{instance.id}'",
            )
    return original(response)


@patches.wrap(EBSBackend, "detach_volume")
def detach_by_volume_alone(
    original: Any, backend: Any, volume_id: str, instance_id: Any, device_path: Any
) -> Any:
    """A volume is attached once, so AWS needs neither instance nor device; moto wants the instance."""
    attachment = backend.get_volume(volume_id).attachment
    return original(backend, volume_id, instance_id or (attachment and attachment.instance.id), device_path)


@patches.wrap(EBSBackend)
def create_snapshot(original: Any, backend: Any, volume_id: str, *args: Any, **kwargs: Any) -> Any:
    snapshot = original(backend, volume_id, *args, **kwargs)
    snapshot.size_gib = snapshot.volume.size
    snapshot.kms_key_id = snapshot.volume.kms_key_id
    return snapshot


def _volume_size(snapshot: Any) -> int:
    """What the volume measured when the snapshot was taken; moto would show what it measures now."""
    return int(getattr(snapshot, "size_gib", snapshot.volume.size))


patches.set(Snapshot, "volume_size", property(_volume_size))


def install() -> None:
    """Install into moto."""
    patches.apply()
