"""Databases are shown as they were asked for, with a secret of their own, and what RDS refuses is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .support import Network

Aws = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def groups(aws: Aws, network: Network) -> Any:
    rds = aws("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=network.subnets
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="pg17", DBParameterGroupFamily="postgres17", Description="pg"
    )
    return rds


def database(network: Network, **more: Any) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": "db",
        "DBInstanceClass": "db.t4g.micro",
        "Engine": "postgres",
        "EngineVersion": "17.6",
        "AllocatedStorage": 20,
        "StorageType": "gp3",
        "MasterUsername": "owner",
        "ManageMasterUserPassword": True,
        "DBSubnetGroupName": "db",
        "DBParameterGroupName": "pg17",
        "VpcSecurityGroupIds": [network.group],
    } | more


def shown(rds: Any, identifier: str = "db") -> dict[str, Any]:
    found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    return found


def test_two_databases_have_two_resource_ids(groups: Any, network: Network) -> None:
    for name in ("db", "other"):
        groups.create_db_instance(**database(network, DBInstanceIdentifier=name))
    groups.create_db_instance_read_replica(DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="db")
    ids = {each["DbiResourceId"] for each in groups.describe_db_instances()["DBInstances"]}
    assert len(ids) == 3


def test_what_moto_forgets_is_shown(groups: Any, network: Network, aws: Aws) -> None:
    asked = {
        "EnablePerformanceInsights": True,
        "PerformanceInsightsRetentionPeriod": 7,
        "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
    }
    groups.create_db_instance(**database(network, **asked))
    found = shown(groups)
    assert found["PerformanceInsightsEnabled"] is True
    assert found["PerformanceInsightsRetentionPeriod"] == 7
    assert found["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled"
    assert (found["NetworkType"], found["CACertificateIdentifier"]) == ("IPV4", "rds-ca-rsa2048-g1")
    groups.modify_db_instance(
        DBInstanceIdentifier="db", EnablePerformanceInsights=False, ApplyImmediately=True
    )
    assert shown(groups)["PerformanceInsightsEnabled"] is False


def test_encryption_without_a_key_uses_the_accounts_rds_key(groups: Any, network: Network, aws: Aws) -> None:
    groups.create_db_instance(**database(network, StorageEncrypted=True))
    key = aws("kms").describe_key(KeyId="alias/aws/rds")["KeyMetadata"]["Arn"]
    assert shown(groups)["KmsKeyId"] == key


def test_the_master_secret_holds_the_master_user_and_a_password_of_its_own(
    groups: Any, network: Network, aws: Aws
) -> None:
    secrets = []
    for name in ("db", "other"):
        groups.create_db_instance(**database(network, DBInstanceIdentifier=name))
        arn = shown(groups, name)["MasterUserSecret"]["SecretArn"]
        secrets.append(json.loads(aws("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]))
    assert [secret["username"] for secret in secrets] == ["owner", "owner"]
    assert len({secret["password"] for secret in secrets}) == 2
    assert all(len(secret["password"]) == 28 for secret in secrets)


def test_saying_again_that_the_secret_is_managed_makes_no_other(groups: Any, network: Network) -> None:
    groups.create_db_instance(**database(network))
    before = shown(groups)["MasterUserSecret"]["SecretArn"]
    groups.modify_db_instance(DBInstanceIdentifier="db", ManageMasterUserPassword=True, ApplyImmediately=True)
    assert shown(groups)["MasterUserSecret"]["SecretArn"] == before


def test_a_major_version_alone_is_its_newest_minor(groups: Any, network: Network) -> None:
    groups.create_db_instance(**database(network, EngineVersion="17"))
    assert shown(groups)["EngineVersion"] == "17.7"


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("InvalidParameterValue", {"DBInstanceClass": "db.t99.enormous"}),
        ("InvalidParameterValue", {"DBInstanceClass": "db.t4g.nano"}),
        ("InvalidParameterCombination", {"EngineVersion": "99.1"}),
        ("InvalidParameterCombination", {"EngineVersion": "17.3"}),
        ("InvalidParameterCombination", {"AllocatedStorage": 10}),
        ("InvalidParameterCombination", {"MasterUserPassword": "correct horse"}),
        ("InvalidParameterCombination", {"ManageMasterUserPassword": False}),
        ("InvalidParameterValue", {"VpcSecurityGroupIds": ["sg-0123456789abcdef0"]}),
    ],
)
def test_a_database_that_cannot_be_is_refused(
    groups: Any, network: Network, refused: Refused, code: str, wrong: dict[str, Any]
) -> None:
    refused(code, groups.create_db_instance, **database(network, **wrong))


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("InvalidParameterValue", {"DBInstanceClass": "db.t99.enormous"}),
        ("InvalidParameterCombination", {"EngineVersion": "99.1"}),
        ("InvalidParameterCombination", {"EngineVersion": "16.9"}),
        ("InvalidParameterCombination", {"AllocatedStorage": 20}),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    groups: Any, network: Network, refused: Refused, code: str, change: dict[str, Any]
) -> None:
    groups.create_db_instance(**database(network, AllocatedStorage=50))
    refused(code, groups.modify_db_instance, DBInstanceIdentifier="db", **change)


def test_a_new_major_version_must_be_allowed(groups: Any, network: Network, refused: Refused) -> None:
    groups.create_db_parameter_group(
        DBParameterGroupName="pg16", DBParameterGroupFamily="postgres16", Description="pg"
    )
    groups.create_db_instance(**database(network, EngineVersion="16.9", DBParameterGroupName="pg16"))
    change = {"DBInstanceIdentifier": "db", "EngineVersion": "17.6", "ApplyImmediately": True}
    refused("InvalidParameterCombination", groups.modify_db_instance, **change)
    groups.modify_db_instance(**change, AllowMajorVersionUpgrade=True, DBParameterGroupName="pg17")
    assert shown(groups)["EngineVersion"] == "17.6"


def test_storage_grows_by_a_tenth_at_least(groups: Any, network: Network) -> None:
    groups.create_db_instance(**database(network, AllocatedStorage=100))
    groups.modify_db_instance(DBInstanceIdentifier="db", AllocatedStorage=101, ApplyImmediately=True)
    assert shown(groups)["AllocatedStorage"] == 110


def test_a_deletion_without_a_last_snapshot_must_be_meant(
    groups: Any, network: Network, refused: Refused
) -> None:
    groups.create_db_instance(**database(network))
    refused("InvalidParameterCombination", groups.delete_db_instance, DBInstanceIdentifier="db")
    groups.delete_db_instance(DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="last")
    assert (
        groups.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]["Status"] == "available"
    )


def test_a_changed_subnet_group_is_still_there(groups: Any, network: Network, aws: Aws) -> None:
    more = aws("ec2").create_subnet(
        VpcId=network.vpc, CidrBlock="10.20.7.0/24", AvailabilityZone="ap-northeast-2b"
    )
    wanted = sorted([*network.subnets, more["Subnet"]["SubnetId"]])
    groups.modify_db_subnet_group(DBSubnetGroupName="db", SubnetIds=wanted)
    found = groups.describe_db_subnet_groups(DBSubnetGroupName="db")["DBSubnetGroups"][0]
    assert sorted(subnet["SubnetIdentifier"] for subnet in found["Subnets"]) == wanted


def test_a_subnet_group_covers_two_zones_and_is_not_deleted_while_used(
    groups: Any, network: Network, refused: Refused
) -> None:
    one = {"DBSubnetGroupName": "one", "DBSubnetGroupDescription": "x", "SubnetIds": network.subnets[:1]}
    refused("DBSubnetGroupDoesNotCoverEnoughAZs", groups.create_db_subnet_group, **one)
    groups.create_db_instance(**database(network))
    refused("InvalidDBSubnetGroupStateFault", groups.delete_db_subnet_group, DBSubnetGroupName="db")
    refused("InvalidDBParameterGroupState", groups.delete_db_parameter_group, DBParameterGroupName="pg17")
    groups.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
    groups.delete_db_subnet_group(DBSubnetGroupName="db")
    groups.delete_db_parameter_group(DBParameterGroupName="pg17")


def parameter(name: str, value: str, method: str) -> dict[str, str]:
    return {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}


def test_parameters_say_who_set_them_and_can_be_reset(groups: Any, refused: Refused) -> None:
    mine = {"DBParameterGroupName": "pg17"}
    wanted = [
        parameter("max_connections", "80", "pending-reboot"),
        parameter("work_mem", "8192", "immediate"),
    ]
    groups.modify_db_parameter_group(**mine, Parameters=wanted)

    def names() -> list[str]:
        found = groups.describe_db_parameters(**mine, Source="user")["Parameters"]
        return sorted(each["ParameterName"] for each in found if each["Source"] == "user")

    assert names() == ["max_connections", "work_mem"]
    groups.reset_db_parameter_group(
        **mine, Parameters=[{"ParameterName": "work_mem", "ApplyMethod": "immediate"}]
    )
    assert names() == ["max_connections"]
    groups.reset_db_parameter_group(**mine, ResetAllParameters=True)
    assert names() == []
    static = [parameter("max_connections", "80", "immediate")]
    refused("InvalidParameterCombination", groups.modify_db_parameter_group, **mine, Parameters=static)


def test_engine_versions_and_orderable_classes_can_be_looked_up(aws: Aws) -> None:
    rds = aws("rds")
    default = rds.describe_db_engine_versions(Engine="postgres", EngineVersion="17", DefaultOnly=True)
    assert [each["EngineVersion"] for each in default["DBEngineVersions"]] == ["17.7"]
    one = rds.describe_db_engine_versions(Engine="postgres", EngineVersion="16.11")["DBEngineVersions"][0]
    targets = {each["EngineVersion"]: each["IsMajorVersionUpgrade"] for each in one["ValidUpgradeTarget"]}
    assert (one["DBParameterGroupFamily"], targets) == (
        "postgres16",
        {"17.5": True, "17.6": True, "17.7": True},
    )
    options = rds.describe_orderable_db_instance_options(
        Engine="postgres", EngineVersion="17.6", DBInstanceClass="db.t4g.micro"
    )["OrderableDBInstanceOptions"]
    assert {each["StorageType"] for each in options} == {"gp2", "gp3", "io1", "io2"}
    none = rds.describe_orderable_db_instance_options(Engine="postgres", DBInstanceClass="db.t4g.nano")
    assert none["OrderableDBInstanceOptions"] == []
