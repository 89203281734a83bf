"""RDS: instances, parameter groups, subnet groups."""

from __future__ import annotations

from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Scope,
    Update,
    Wait,
    before,
    found,
    from_inputs,
    given,
    known,
)

RDS_TAGS = Update(
    ("tags",),
    (
        Call(
            "rds.remove_tags_from_resource",
            {"ResourceName": known("arn"), "TagKeys": GONE_TAGS},
            when=GONE_TAGS,
        ),
        Call("rds.add_tags_to_resource", {"ResourceName": known("arn"), "Tags": TAGS}, when=TAGS),
    ),
)

# An input, and what CreateDBInstance and ModifyDBInstance call it.
_BOTH = {
    "allocatedStorage": "AllocatedStorage",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "backupWindow": "PreferredBackupWindow",
    "caCertIdentifier": "CACertificateIdentifier",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "dbSubnetGroupName": "DBSubnetGroupName",
    "deletionProtection": "DeletionProtection",
    "engineVersion": "EngineVersion",
    "instanceClass": "DBInstanceClass",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "manageMasterUserPassword": "ManageMasterUserPassword",
    "masterUserSecretKmsKeyId": "MasterUserSecretKmsKeyId",
    "multiAz": "MultiAZ",
    "parameterGroupName": "DBParameterGroupName",
    "publiclyAccessible": "PubliclyAccessible",
    "storageType": "StorageType",
    "vpcSecurityGroupIds": "VpcSecurityGroupIds",
}
_ONCE = {
    "dbName": "DBName",
    "engine": "Engine",
    "engineLifecycleSupport": "EngineLifecycleSupport",
    "identifier": "DBInstanceIdentifier",
    "kmsKeyId": "KmsKeyId",
    "storageEncrypted": "StorageEncrypted",
    "username": "MasterUsername",
}
_LOGS = "enabledCloudwatchLogsExports"


def _if_changed(name: str) -> Expression:
    def evaluate(scope: Scope) -> Any:
        now = scope.inputs.get(name)
        return now if now != scope.old_inputs.get(name) else None

    return Expression(evaluate, (name,))


def _log_changes(scope: Scope) -> dict[str, list[str]] | None:
    old, new = set(scope.old_inputs.get(_LOGS) or []), set(scope.inputs.get(_LOGS) or [])
    if old == new:
        return None
    return {"EnableLogTypes": sorted(new - old), "DisableLogTypes": sorted(old - new)}


def _engine_version(scope: Scope) -> str | None:
    """A major version that was asked for is shown as asked while the instance runs one of its minors."""
    asked, runs = scope.inputs.get("engineVersion"), scope.answer.get("EngineVersion")
    return asked if asked and runs and f"{runs}.".startswith(f"{asked}.") else runs


def _endpoint(scope: Scope) -> str | None:
    endpoint = scope.answer.get("Endpoint") or {}
    return f"{endpoint['Address']}:{endpoint['Port']}" if endpoint.get("Address") else None


_AVAILABLE = Wait(Expression(lambda s: s.answer.get("DBInstanceStatus") == "available"), "the database")
_AT_DELETION = "is said when the instance is deleted"


def _parameters(inputs: Any) -> list[dict[str, Any]]:
    return [
        {
            "ParameterName": each["name"],
            "ParameterValue": each["value"],
            "ApplyMethod": each.get("applyMethod") or "immediate",
        }
        for each in inputs.get("parameters") or []
    ]


def _gone_parameters(scope: Scope) -> list[dict[str, Any]] | None:
    named = {each["name"] for each in scope.inputs.get("parameters") or []}
    gone = [each for each in scope.old_inputs.get("parameters") or [] if each["name"] not in named]
    return [{"ParameterName": each["name"], "ApplyMethod": "pending-reboot"} for each in gone] or None


_GROUP = {"DBParameterGroupName": given("name")}
_SET_PARAMETERS = Call(
    "rds.modify_db_parameter_group",
    {**_GROUP, "Parameters": from_inputs("parameters")(_parameters)},
    when=given("parameters"),
)

KINDS = (
    Kind(
        "aws:rds/instance:Instance",
        autoname="identifier",
        create=Call(
            "rds.create_db_instance",
            {
                **{api: given(name) for name, api in {**_BOTH, **_ONCE}.items()},
                "Port": given("port"),
                "EnableCloudwatchLogsExports": given(_LOGS),
                "Tags": TAGS,
            },
        ),
        id=found("DBInstance.DbiResourceId"),
        then=(_AVAILABLE,),
        read=(
            Read(
                "rds.describe_db_instances",
                {"DBInstanceIdentifier": given("identifier")},
                at="DBInstances[0]",
            ),
        ),
        updates=(
            Update(
                (*_BOTH, "identifier", "port", _LOGS),
                (
                    Call(
                        "rds.modify_db_instance",
                        {
                            "DBInstanceIdentifier": before("identifier"),
                            "NewDBInstanceIdentifier": _if_changed("identifier"),
                            "ApplyImmediately": given("applyImmediately"),
                            **{api: _if_changed(name) for name, api in _BOTH.items()},
                            "DBPortNumber": _if_changed("port"),
                            "CloudwatchLogsExportConfiguration": Expression(_log_changes, (_LOGS,)),
                        },
                    ),
                    _AVAILABLE,
                ),
            ),
            RDS_TAGS,
        ),
        write_only=("manageMasterUserPassword", "masterUserSecretKmsKeyId"),
        not_carried={
            "applyImmediately": "is said with each change",
            "skipFinalSnapshot": _AT_DELETION,
            "finalSnapshotIdentifier": _AT_DELETION,
            "deleteAutomatedBackups": _AT_DELETION,
        },
        outputs={
            "arn": found("DBInstanceArn"),
            "identifier": found("DBInstanceIdentifier"),
            "instanceClass": found("DBInstanceClass"),
            "username": found("MasterUsername"),
            "dbSubnetGroupName": found("DBSubnetGroup.DBSubnetGroupName"),
            "parameterGroupName": found("DBParameterGroups[0].DBParameterGroupName"),
            "vpcSecurityGroupIds": found("VpcSecurityGroups[].VpcSecurityGroupId"),
            "backupWindow": found("PreferredBackupWindow"),
            "maintenanceWindow": found("PreferredMaintenanceWindow"),
            "caCertIdentifier": found("CACertificateIdentifier"),
            "port": found("Endpoint.Port"),
            "address": found("Endpoint.Address"),
            "endpoint": Expression(_endpoint),
            "hostedZoneId": found("Endpoint.HostedZoneId"),
            "resourceId": found("DbiResourceId"),
            "status": found("DBInstanceStatus"),
            "engineVersion": Expression(_engine_version),
            "engineVersionActual": found("EngineVersion"),
            "masterUserSecrets": Expression(
                lambda s: (
                    [
                        {
                            "secretArn": secret.get("SecretArn"),
                            "secretStatus": secret.get("SecretStatus"),
                            "kmsKeyId": secret.get("KmsKeyId"),
                        }
                    ]
                    if (secret := s.answer.get("MasterUserSecret"))
                    else None
                )
            ),
        },
        delete=(
            Call(
                "rds.delete_db_instance",
                {
                    "DBInstanceIdentifier": given("identifier"),
                    "SkipFinalSnapshot": Expression(lambda s: bool(s.inputs.get("skipFinalSnapshot"))),
                    "FinalDBSnapshotIdentifier": Expression(
                        lambda s: (
                            None
                            if s.inputs.get("skipFinalSnapshot")
                            else s.inputs.get("finalSnapshotIdentifier")
                        )
                    ),
                    "DeleteAutomatedBackups": given("deleteAutomatedBackups"),
                },
                missing_is_fine=True,
            ),
            Wait(Expression(lambda s: not s.answer), "the end of the database"),
        ),
    ),
    Kind(
        "aws:rds/parameterGroup:ParameterGroup",
        autoname="name",
        create=Call(
            "rds.create_db_parameter_group",
            {
                **_GROUP,
                "DBParameterGroupFamily": given("family"),
                "Description": given("description"),
                "Tags": TAGS,
            },
        ),
        id=found("DBParameterGroup.DBParameterGroupName"),
        then=(_SET_PARAMETERS,),
        read=(
            Read("rds.describe_db_parameter_groups", dict(_GROUP), at="DBParameterGroups[0]"),
            Read("rds.describe_db_parameters", {**_GROUP, "Source": "user"}, at="{Parameters: Parameters}"),
        ),
        updates=(
            Update(
                ("parameters",),
                (
                    _SET_PARAMETERS,
                    Call(
                        "rds.reset_db_parameter_group",
                        {**_GROUP, "Parameters": Expression(_gone_parameters), "ResetAllParameters": False},
                        when=Expression(_gone_parameters),
                    ),
                ),
            ),
            RDS_TAGS,
        ),
        outputs={
            "arn": found("DBParameterGroupArn"),
            "name": found("DBParameterGroupName"),
            "family": found("DBParameterGroupFamily"),
            "parameters": Expression(
                lambda s: [
                    {
                        "name": each["ParameterName"],
                        "value": each.get("ParameterValue"),
                        "applyMethod": each.get("ApplyMethod"),
                    }
                    for each in s.answer.get("Parameters") or []
                ]
            ),
        },
        delete=(Call("rds.delete_db_parameter_group", dict(_GROUP), missing_is_fine=True),),
    ),
    Kind(
        "aws:rds/subnetGroup:SubnetGroup",
        autoname="name",
        create=Call(
            "rds.create_db_subnet_group",
            {
                "DBSubnetGroupName": given("name"),
                "DBSubnetGroupDescription": given("description"),
                "SubnetIds": given("subnetIds"),
                "Tags": TAGS,
            },
        ),
        id=found("DBSubnetGroup.DBSubnetGroupName"),
        read=(
            Read(
                "rds.describe_db_subnet_groups",
                {"DBSubnetGroupName": given("name")},
                at="DBSubnetGroups[0]",
            ),
        ),
        updates=(
            Update(
                ("description", "subnetIds"),
                (
                    Call(
                        "rds.modify_db_subnet_group",
                        {
                            "DBSubnetGroupName": given("name"),
                            "DBSubnetGroupDescription": given("description"),
                            "SubnetIds": given("subnetIds"),
                        },
                    ),
                ),
            ),
            RDS_TAGS,
        ),
        outputs={
            "arn": found("DBSubnetGroupArn"),
            "name": found("DBSubnetGroupName"),
            "description": found("DBSubnetGroupDescription"),
            "subnetIds": found("Subnets[].SubnetIdentifier"),
        },
        delete=(
            Call(
                "rds.delete_db_subnet_group",
                {"DBSubnetGroupName": given("name")},
                missing_is_fine=True,
            ),
        ),
    ),
)
