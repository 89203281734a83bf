"""RDS: ids of their own, settings that are shown as they were given, a master secret that is one, and refusals.

Rules: the RDS API reference (botocore 1.44.5). What is not here: a maintenance window; a change that does not ask to
be applied at once is applied at once all the same.
"""

from __future__ import annotations

import copy
import json
import secrets
import string
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import (
    DBParameterGroupNotFoundError,
    DBSubnetGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBInstanceClustered, DBParameterGroup, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from embedded.aws.extensions import rds_catalogue
from embedded.aws.extensions.patching import Patches

patches = Patches()

_PASSWORD_ALPHABET = string.ascii_letters + string.digits + "!#$%&*+-<=>?^_~"
MASTER_PASSWORD_LENGTH = 28

# What a request says and moto drops: the name in the request, the name that is shown, and what is shown unasked.
_ECHOED: tuple[tuple[str, str, Any], ...] = (
    ("enable_performance_insights", "performance_insights_enabled", False),
    ("performance_insights_kms_key_id", "performance_insights_kms_key_id", None),
    ("performance_insights_retention_period", "performance_insights_retention_period", None),
    ("database_insights_mode", "database_insights_mode", "standard"),
    ("engine_lifecycle_support", "engine_lifecycle_support", "open-source-rds-extended-support"),
    ("network_type", "network_type", "IPV4"),
    ("dedicated_log_volume", "dedicated_log_volume", False),
)
_INSIGHTS_DAYS = 7


def _new_resource_id() -> str:
    return "db-" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(26))


@patches.wrap(RDSBackend)
def create_db_instance(original: Any, backend: Any, db_kwargs: Any) -> Any:
    if db_kwargs.get("engine") == rds_catalogue.ENGINE and db_kwargs.get("db_cluster_identifier") is None:
        _check_new(backend, db_kwargs)
        db_kwargs["engine_version"] = rds_catalogue.version_of(db_kwargs.get("engine_version"))
        db_kwargs.setdefault("license_model", "postgresql-license")
    if db_kwargs.get("storage_encrypted"):
        db_kwargs["kms_key_id"] = _key_arn(backend, db_kwargs.get("kms_key_id"))
    database = original(backend, db_kwargs)
    database.dbi_resource_id = _new_resource_id()
    if db_kwargs.get("ca_certificate_identifier") is None:
        database.ca_certificate_identifier = "rds-ca-rsa2048-g1"
    _echo(database, db_kwargs)
    if database.multi_az and not db_kwargs.get("availability_zone"):
        database.secondary_availability_zone = f"{backend.region_name}c"
    return database


def _check_new(backend: Any, asked: Any) -> None:
    rds_catalogue.check_class(asked.get("db_instance_class"))
    rds_catalogue.check_storage(asked.get("storage_type") or "gp2", asked.get("allocated_storage"))
    managed, password = asked.get("manage_master_user_password"), asked.get("master_user_password")
    if managed and password:
        raise InvalidParameterCombination(
            "You can't specify MasterUserPassword when ManageMasterUserPassword is set to true."
        )
    if not managed and not password and not asked.get("source_db_instance_identifier"):
        raise InvalidParameterCombination(
            "The parameter MasterUserPassword must be provided and must not be blank."
        )
    from moto.ec2.models import ec2_backends

    ec2 = ec2_backends[backend.account_id][backend.region_name]
    for group_id in asked.get("vpc_security_group_ids") or []:
        if ec2.get_security_group_from_id(group_id) is None:
            raise InvalidParameterValue(f"Invalid security group , groupId= {group_id}, groupName=.")


def _key_arn(backend: Any, key_id: str | None) -> str:
    """The key that was named, or the one that AWS makes for RDS."""
    kms = backend.kms
    if key_id is None:
        key_id = "alias/aws/rds"
        if not kms.alias_exists(key_id):
            key = kms.create_key(
                policy="",
                key_usage="ENCRYPT_DECRYPT",
                key_spec="SYMMETRIC_DEFAULT",
                description="Default key that protects my RDS database volumes when no other key is defined",
                tags=None,
            )
            kms.create_alias(key.id, key_id)
    return str(backend._validate_kms_key(key_id))


def _echo(database: Any, said: Any) -> None:
    for asked, shown, default in _ECHOED:
        value = said.get(asked)
        if value is not None or shown not in vars(database):
            setattr(database, shown, default if value is None else value)
    if database.performance_insights_enabled:
        database.performance_insights_retention_period = (
            database.performance_insights_retention_period or _INSIGHTS_DAYS
        )
        key_id = database.performance_insights_kms_key_id
        database.performance_insights_kms_key_id = _key_arn(database.backend, key_id)


@patches.wrap(RDSBackend)
def create_db_instance_read_replica(original: Any, backend: Any, db_kwargs: Any) -> Any:
    replica = original(backend, db_kwargs)
    replica.dbi_resource_id = _new_resource_id()
    # moto copies the source's lists by reference: what is said of one would be said of both.
    for name in ("enabled_cloudwatch_logs_exports", "vpc_security_group_ids", "db_security_groups"):
        setattr(replica, name, copy.copy(getattr(replica, name)))
    _echo(replica, db_kwargs)
    return replica


@patches.wrap(RDSBackend)
def modify_db_instance(original: Any, backend: Any, db_instance_identifier: str, db_kwargs: Any) -> Any:
    database = backend.describe_db_instances(db_instance_identifier)[0]
    if database.engine == rds_catalogue.ENGINE and not isinstance(database, DBInstanceClustered):
        if db_kwargs.get("db_instance_class"):
            rds_catalogue.check_class(db_kwargs["db_instance_class"])
        if db_kwargs.get("engine_version"):
            db_kwargs["engine_version"] = _upgrade(database, db_kwargs)
        if db_kwargs.get("allocated_storage"):
            db_kwargs["allocated_storage"] = _grown(database, db_kwargs)
    group = db_kwargs.get("db_parameter_group_name")
    if group and database.is_default_parameter_group(group):
        # moto makes the default groups when it first shows them.
        database.db_parameter_groups()
    changed = original(backend, db_instance_identifier, db_kwargs)
    _echo(changed, db_kwargs)
    return changed


def _upgrade(database: Any, asked: Any) -> str:
    version = rds_catalogue.version_of(asked["engine_version"])
    old, new = (tuple(int(part) for part in each.split(".")) for each in (database.engine_version, version))
    if new < old:
        raise InvalidParameterCombination(
            f"Cannot upgrade {database.engine} from {database.engine_version} to {version}"
        )
    if new[0] > old[0] and not asked.get("allow_major_version_upgrade"):
        raise InvalidParameterCombination(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version."
        )
    return version


def _grown(database: Any, asked: Any) -> int:
    """Storage grows by a tenth at least: less is rounded up (ModifyDBInstance, AllocatedStorage)."""
    old, new = int(database.allocated_storage), int(asked["allocated_storage"])
    storage_type = asked.get("storage_type") or database.storage_type
    if new < old:
        raise InvalidParameterCombination(
            f"Invalid storage size for engine name {database.engine} and storage type {storage_type}: {new}"
        )
    rds_catalogue.check_storage(storage_type, new)
    return new if new == old else max(new, -(-old * 11 // 10))


@patches.wrap(RDSBackend)
def delete_db_instance(
    original: Any,
    backend: Any,
    db_instance_identifier: str,
    final_db_snapshot_identifier: str | None = None,
    skip_final_snapshot: Any = None,
    delete_automated_backups: Any = None,
) -> Any:
    database = backend.databases.get(db_instance_identifier)
    if (
        database is not None
        and not database.is_replica
        and not skip_final_snapshot
        and not final_db_snapshot_identifier
    ):
        raise InvalidParameterCombination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        )
    return original(
        backend,
        db_instance_identifier,
        final_db_snapshot_identifier,
        skip_final_snapshot,
        delete_automated_backups is not False,
    )


@patches.wrap(MasterUserSecret)
def _generate_secret_string(_: Any, secret: Any) -> str:
    """moto gives every database the same user and password."""
    password = "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(MASTER_PASSWORD_LENGTH))
    return json.dumps({"username": secret.resource.master_username, "password": password})


@patches.wrap(DBInstance)
def update(original: Any, database: Any, **said: Any) -> None:
    """A secret that is managed already stays; moto would make another each time a request says so."""
    if said.get("manage_master_user_password") is True and getattr(
        database, "manage_master_user_password", False
    ):
        said.pop("manage_master_user_password")
    original(database, **said)


@patches.wrap(RDSBackend)
def create_subnet_group(
    original: Any, backend: Any, subnet_name: str, description: str, subnets: Any, tags: Any
) -> Any:
    if subnet_name in backend.subnet_groups:
        raise RDSClientError(
            "DBSubnetGroupAlreadyExists", f"The DB subnet group '{subnet_name}' already exists."
        )
    _check_zones(subnets)
    return original(backend, subnet_name, description, subnets, tags)


def _check_zones(subnets: Any) -> None:
    zones = {subnet.availability_zone for subnet in subnets}
    if len(zones) < 2:
        raise RDSClientError(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. "
            f"Current AZ coverage: {', '.join(sorted(zones))}. Add subnets to cover at least 2 AZs.",
        )


@patches.wrap(RDSBackend)
def modify_db_subnet_group(
    original: Any, backend: Any, subnet_name: str, description: str, subnets: Any
) -> Any:
    """moto takes the group out to change it and never puts it back."""
    if subnet_name not in backend.subnet_groups:
        raise DBSubnetGroupNotFoundError(subnet_name)
    _check_zones(subnets)
    group = original(backend, subnet_name, description, subnets)
    backend.subnet_groups[subnet_name] = group
    return group


@patches.wrap(RDSBackend)
def delete_subnet_group(original: Any, backend: Any, subnet_name: str) -> Any:
    users = [each for each in backend.databases.values() if _subnet_group_of(each) == subnet_name.lower()]
    if users:
        raise RDSClientError(
            "InvalidDBSubnetGroupStateFault",
            f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: "
            f"{users[0].db_instance_identifier} is still using it.",
        )
    return original(backend, subnet_name)


def _subnet_group_of(database: Any) -> str | None:
    group = getattr(database, "db_subnet_group", None)
    return group.name if group else None


@patches.add(DBParameterGroup)
def update_parameters(group: Any, new_parameters: Any) -> None:
    for new in new_parameters:
        name, is_static = new["ParameterName"], new["ParameterName"] in rds_catalogue.STATIC_PARAMETERS
        if is_static and new.get("ApplyMethod") == "immediate":
            raise InvalidParameterCombination(
                f"cannot use immediate apply method for static parameter: {name}"
            )
        facts = {"Source": "user", "ApplyType": "static" if is_static else "dynamic", "IsModifiable": True}
        group.parameters[name].update({**new, **facts})


@patches.add(RDSResponse)
def describe_db_parameters(response: Any) -> ActionResult:
    name, source = response.params.get("DBParameterGroupName"), response.params.get("Source")
    group = response.backend.db_parameter_groups.get(name)
    if group is None:
        raise DBParameterGroupNotFoundError(name)
    return ActionResult(
        {"Parameters": [each for each in group.parameters.values() if source in (None, each["Source"])]}
    )


@patches.add(RDSResponse)
def reset_db_parameter_group(response: Any) -> ActionResult:
    name = response.params.get("DBParameterGroupName")
    group = response.backend.db_parameter_groups.get(name)
    if group is None:
        raise DBParameterGroupNotFoundError(name)
    if response.params.get("ResetAllParameters"):
        group.parameters.clear()
    for parameter in response.params.get("Parameters", []):
        group.parameters.pop(parameter["ParameterName"], None)
    return ActionResult({"DBParameterGroupName": group.name})


@patches.wrap(RDSBackend)
def delete_db_parameter_group(original: Any, backend: Any, db_parameter_group_name: str) -> Any:
    if db_parameter_group_name.startswith("default."):
        raise RDSClientError("InvalidDBParameterGroupState", "Default DBParameterGroup cannot be deleted")
    if any(each.db_parameter_group_name == db_parameter_group_name for each in backend.databases.values()):
        raise RDSClientError(
            "InvalidDBParameterGroupState",
            f"One or more database instances are still members of this parameter group {db_parameter_group_name}, "
            "so the group cannot be deleted",
        )
    return original(backend, db_parameter_group_name)


def install() -> None:
    """Install into moto."""
    patches.apply()
