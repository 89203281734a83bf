"""The only place for what RDS offers here: PostgreSQL versions, instance classes, parameters that need a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult, PaginatedResult
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.rds.responses import RDSResponse

from embedded.aws.extensions.patching import Patches

patches = Patches()

ENGINE = "postgres"

# Minor versions that can still be created, newest last. Source: reports of AWS's notice on the end, in May 2026,
# of PostgreSQL 17.1-17.4, 16.5-16.8, 15.9-15.12 and 14.14-14.17 on RDS, and of 17.7, 16.11, 15.15 and 14.20.
VERSIONS = {
    "14": ("14.18", "14.19", "14.20"),
    "15": ("15.13", "15.14", "15.15"),
    "16": ("16.9", "16.10", "16.11"),
    "17": ("17.5", "17.6", "17.7"),
}
DEFAULT_MAJOR = "17"

# RDS user guide, "DB instance classes": those of PostgreSQL, without the X, Z and NVMe ones.
_FAMILIES = frozenset({"t3", "t4g", "m5", "m6g", "m6i", "m7g", "m7i", "r5", "r6g", "r6i", "r7g", "r7i"})
_SIZES_NOT_SOLD = ("nano", "metal")
STORAGE_GIB = {"gp2": (20, 65_536), "gp3": (20, 65_536), "io1": (100, 65_536), "io2": (100, 65_536)}

# PostgreSQL 17 documentation: those that "can only be set at server start", where RDS lets them be set; and its own.
STATIC_PARAMETERS = frozenset(
    {
        "autovacuum_max_workers",
        "huge_pages",
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_replication_slots",
        "max_wal_senders",
        "max_worker_processes",
        "rds.logical_replication",
        "shared_buffers",
        "shared_preload_libraries",
        "superuser_reserved_connections",
        "track_activity_query_size",
        "wal_buffers",
    }
)


def version_of(asked: str | None) -> str:
    """The version that is created for ``17``, ``17.6`` or nothing. Raises RDS's error for one that there is not."""
    if not asked:
        return VERSIONS[DEFAULT_MAJOR][-1]
    if asked in VERSIONS:
        return VERSIONS[asked][-1]
    if asked in VERSIONS.get(asked.split(".", maxsplit=1)[0], ()):
        return asked
    raise InvalidParameterCombination(f"Cannot find version {asked} for {ENGINE}")


def check_class(name: str) -> None:
    """Raise RDS's error for an instance class that there is not."""
    if name not in set(_classes()):
        raise InvalidParameterValue(f"Invalid DB Instance class: {name}")


def check_storage(storage_type: str, size_gib: int | None) -> None:
    """Raise RDS's error for a size that the storage type does not have."""
    low, high = STORAGE_GIB.get(storage_type, (1, 65_536))
    if size_gib is not None and not low <= int(size_gib) <= high:
        raise InvalidParameterCombination(
            f"Invalid storage size for engine name {ENGINE} and storage type {storage_type}: {size_gib}"
        )


def _classes() -> Iterator[str]:
    for name in INSTANCE_TYPES:
        family, size = name.split(".", 1)
        if family in _FAMILIES and not any(word in size for word in _SIZES_NOT_SOLD):
            yield f"db.{name}"


@patches.add(RDSResponse)
def describe_db_engine_versions(response: Any) -> ActionResult:
    asked = response.params
    engine, version = asked.get("Engine"), asked.get("EngineVersion")
    if engine not in (None, ENGINE):
        raise NotImplementedError(f"the embedded cloud knows the versions of {ENGINE} alone, not of {engine}")
    shown = [
        _version(minor, major)
        for major, minors in VERSIONS.items()
        for minor in minors
        if version in (None, major, minor)
        and asked.get("DBParameterGroupFamily") in (None, f"{ENGINE}{major}")
    ]
    if asked.get("DefaultOnly"):
        default = VERSIONS[version if version in VERSIONS else DEFAULT_MAJOR][-1]
        shown = [
            each
            for each in shown
            if each["EngineVersion"] == (version if version and "." in version else default)
        ]
    return PaginatedResult({"DBEngineVersions": shown})


def _version(minor: str, major: str) -> dict[str, Any]:
    later = [other for minors in VERSIONS.values() for other in minors if _as_tuple(other) > _as_tuple(minor)]
    return {
        "Engine": ENGINE,
        "MajorEngineVersion": major,
        "EngineVersion": minor,
        "DBParameterGroupFamily": f"{ENGINE}{major}",
        "DBEngineDescription": "PostgreSQL",
        "DBEngineVersionDescription": f"PostgreSQL {minor}",
        "ValidUpgradeTarget": [
            {
                "Engine": ENGINE,
                "EngineVersion": other,
                "Description": f"PostgreSQL {other}",
                "AutoUpgrade": False,
                "IsMajorVersionUpgrade": not other.startswith(f"{major}."),
            }
            for other in later
        ],
        "ExportableLogTypes": ["postgresql", "upgrade"],
        "SupportsLogExportsToCloudwatchLogs": True,
        "SupportsReadReplica": True,
        "Status": "available",
        "SupportedCACertificateIdentifiers": ["rds-ca-ecc384-g1", "rds-ca-rsa4096-g1", "rds-ca-rsa2048-g1"],
    }


def _as_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@patches.wrap(RDSResponse)
def describe_orderable_db_instance_options(original: Any, response: Any) -> Any:
    asked = response.params
    if asked.get("Engine") != ENGINE:
        return original(response)
    region = response.backend.region_name
    version, wanted = asked.get("EngineVersion"), asked.get("DBInstanceClass")
    options = [
        {
            "Engine": ENGINE,
            "EngineVersion": minor,
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": [{"Name": f"{region}{letter}"} for letter in "abc"],
            "MultiAZCapable": True,
            "ReadReplicaCapable": True,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": storage_type,
            "SupportsEnhancedMonitoring": True,
            "SupportsIAMDatabaseAuthentication": True,
            "MinStorageSize": low,
            "MaxStorageSize": high,
            "SupportsStorageAutoscaling": True,
            "SupportedNetworkTypes": ["IPV4", "DUAL"],
        }
        for name in _classes()
        if wanted in (None, name)
        for minors in VERSIONS.values()
        for minor in minors
        if version in (None, minor)
        for storage_type, (low, high) in STORAGE_GIB.items()
    ]
    return PaginatedResult({"OrderableDBInstanceOptions": options})


def install() -> None:
    """Install into moto."""
    patches.apply()
