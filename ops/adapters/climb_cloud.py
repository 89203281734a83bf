"""What a climb asks of AWS beyond the engine: account, restore points, machines, capacity, alarms, the suppressor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.core.alarms import DEPLOYING, alarm_set
from infra.core.errors import Fault, TerraceError
from infra.core.naming import Naming
from infra.core.shape import Shape
from infra.core.thresholds import Facts
from ops.adapters.aws import TIMEOUTS, speaking
from ops.adapters.aws_watch import AwsWatch

CLIMB_TAG = "terrace:climb"
SNAPSHOT_SECONDS = 3600.0
"""The first snapshot of a large volume takes its time; later ones hold what changed."""

STANDARD_VCPUS = ("ec2", "L-1216C47A")
"""Quota "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs (Service Quotas console)."""


class CloudOfClimb:
    """One account and region, for one stack."""

    def __init__(self, region: str, naming: Naming) -> None:
        self._session: Any = boto3.Session(region_name=region)
        self.region, self.naming = region, naming

    def account(self) -> str:
        """Whose credentials these are."""
        with speaking("sts:GetCallerIdentity"):
            return str(self._client("sts").get_caller_identity()["Account"])

    def snapshot(self, volume_id: str, climb: str) -> dict[str, Any]:
        """A finished snapshot of the volume for this climb; made unless there is one."""
        ec2 = self._client("ec2")
        with speaking(f"snapshot of {volume_id}"):
            found = ec2.describe_snapshots(
                OwnerIds=["self"],
                Filters=[
                    {"Name": f"tag:{CLIMB_TAG}", "Values": [climb]},
                    {"Name": "volume-id", "Values": [volume_id]},
                ],
            )["Snapshots"]
            made = found[0] if found else self._new_snapshot(ec2, volume_id, climb)
            deadline = time.monotonic() + SNAPSHOT_SECONDS
            while (shown := self._snapshot(made["SnapshotId"]))["State"] == "pending":
                if time.monotonic() > deadline:
                    raise TerraceError(
                        Fault(
                            shown["SnapshotId"], "is not finished after an hour", "scripts/scale_up.py resume"
                        )
                    )
                time.sleep(2)
        return {"snapshot": shown["SnapshotId"], "volume": volume_id, "at": str(shown["StartTime"])}

    def snapshot_faults(self, snapshot_id: str, volume_id: str) -> list[str]:
        """Why nothing could be restored from it."""
        ec2 = self._client("ec2")
        with speaking(snapshot_id):
            shown = self._snapshot(snapshot_id)
            (volume,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        checks = (
            (shown["State"] != "completed", f"is {shown['State']}"),
            (shown["VolumeId"] != volume_id, f"is of {shown['VolumeId']}, not of {volume_id}"),
            (shown["VolumeSize"] != volume["Size"], f"holds {shown['VolumeSize']} of {volume['Size']} GiB"),
            (bool(volume.get("Encrypted")) and not shown.get("Encrypted"), "is not encrypted"),
        )
        return [f"{snapshot_id} {what}" for wrong, what in checks if wrong]

    def database_snapshot(self, database: str, climb: str) -> dict[str, Any]:
        """A finished snapshot of the RDS instance for this climb, by its name; made unless there is one."""
        rds, name = self._client("rds"), self.naming.physical(f"climb-{climb}")
        with speaking(f"snapshot of {database}"):
            try:
                rds.describe_db_snapshots(DBSnapshotIdentifier=name)
            except rds.exceptions.DBSnapshotNotFoundFault:
                rds.create_db_snapshot(
                    DBSnapshotIdentifier=name,
                    DBInstanceIdentifier=database,
                    Tags=[
                        {"Key": CLIMB_TAG, "Value": climb},
                        {"Key": "Project", "Value": self.naming.project},
                    ],
                )
            deadline = time.monotonic() + SNAPSHOT_SECONDS
            while (shown := self._database_snapshot(name))["Status"] == "creating":
                if time.monotonic() > deadline:
                    raise TerraceError(
                        Fault(name, "is not finished after an hour", "scripts/scale_up.py resume")
                    )
                time.sleep(5)
        return {"snapshot": name, "database": database, "at": str(shown.get("SnapshotCreateTime", ""))}

    def database_snapshot_faults(self, name: str, database: str) -> list[str]:
        """Why nothing could be restored from it."""
        with speaking(name):
            shown = self._database_snapshot(name)
        checks = (
            (shown["Status"] != "available", f"is {shown['Status']}"),
            (
                shown["DBInstanceIdentifier"] != database,
                f"is of {shown['DBInstanceIdentifier']}, not of {database}",
            ),
        )
        return [f"{name} {what}" for wrong, what in checks if wrong]

    def machine_faults(self, shape: Shape, instances: Mapping[str, str]) -> list[str]:
        """What of a shape's boxes does not run as its type; `instances` are ids by logical name."""
        ec2 = self._client("ec2")
        faults = []
        for box in shape.boxes:
            if (identity := instances.get(box.name)) is None:
                faults.append(f"{box.name} does not stand")
                continue
            with speaking(identity):
                (found,) = ec2.describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"]
            state, type_ = found["State"]["Name"], found["InstanceType"]
            if state != "running":
                faults.append(f"{box.name} ({identity}) is {state}")
            if type_ != box.instance.name:
                faults.append(f"{box.name} ({identity}) is a {type_}, not a {box.instance.name}")
        return faults

    def alarm_faults(self, facts: Facts) -> list[str]:
        """Alarms that are missing, or compare with another value than the stage's."""
        made, faults = alarm_set(facts), []
        standing = AwsWatch(self.region).alarms(self.naming.physical(""), made.names)
        for alarm in made.alarms:
            found = standing.get(alarm.name)
            if found is None:
                faults.append(f"alarm {alarm.name} is missing")
            elif found.value is not None and Decimal(str(found.value)) != Decimal(str(float(alarm.value))):
                faults.append(
                    f"alarm {alarm.name} compares with {found.value:g}, not {alarm.value.normalize():f}"
                )
        faults += [f"alarm {each.name} is missing" for each in made.composites if each.name not in standing]
        return faults

    def budget(self, account: str) -> tuple[Decimal, Decimal, Decimal | None] | None:
        """Limit, spend and forecast of this month in USD by AWS Budgets; None where it cannot be had."""
        name = self.naming.physical("monthly")
        try:
            shown = self._session.client("budgets", region_name="us-east-1", config=TIMEOUTS).describe_budget(
                AccountId=account, BudgetName=name
            )["Budget"]
        except (ClientError, BotoCoreError):
            return None
        spend = shown.get("CalculatedSpend") or {}
        forecast = (spend.get("ForecastedSpend") or {}).get("Amount")
        return (
            Decimal(shown["BudgetLimit"]["Amount"]),
            Decimal((spend.get("ActualSpend") or {}).get("Amount", "0")),
            Decimal(forecast) if forecast is not None else None,
        )

    def offered(self, names: Iterable[str], zone: str) -> dict[str, bool | None]:
        """Whether each type is offered in that zone; None where that cannot be asked."""
        wanted = sorted(set(names))
        try:
            shown = self._client("ec2").describe_instance_type_offerings(
                LocationType="availability-zone",
                Filters=[
                    {"Name": "location", "Values": [zone]},
                    {"Name": "instance-type", "Values": wanted},
                ],
            )["InstanceTypeOfferings"]
        except (ClientError, BotoCoreError):
            return dict.fromkeys(wanted)
        had = {each["InstanceType"] for each in shown}
        return {name: name in had for name in wanted}

    def vcpus_left(self) -> int | None:
        """What the quota of standard instances leaves, in vCPUs; None where it cannot be read."""
        service, code = STANDARD_VCPUS
        try:
            quota = self._client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)
            pages = (
                self._client("ec2")
                .get_paginator("describe_instances")
                .paginate(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
            )
            used: int = sum(
                each["CpuOptions"]["CoreCount"] * each["CpuOptions"]["ThreadsPerCore"]
                for page in pages
                for group in page["Reservations"]
                for each in group["Instances"]
                if each.get("CpuOptions")
            )
        except (ClientError, BotoCoreError):
            return None
        return int(quota["Quota"]["Value"]) - used

    def suppress(self) -> None:
        """Tells the alarms that a climb is under way: composites tell nobody for as long as it lasts."""
        try:
            self._client("cloudwatch").put_metric_data(
                Namespace=self.naming.project,
                MetricData=[
                    {
                        "MetricName": DEPLOYING,
                        "Dimensions": [{"Name": "Stack", "Value": self.naming.stack}],
                        "Value": 1,
                        "Unit": "Count",
                        "Timestamp": datetime.now(UTC),
                    }
                ],
            )
        except (ClientError, BotoCoreError):
            return  # a mail too many is no reason to stop

    def _snapshot(self, snapshot_id: str) -> dict[str, Any]:
        (shown,) = self._client("ec2").describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        return dict(shown)

    def _database_snapshot(self, name: str) -> dict[str, Any]:
        (shown,) = self._client("rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        return dict(shown)

    def _new_snapshot(self, ec2: Any, volume_id: str, climb: str) -> dict[str, Any]:
        tags = {
            "Name": self.naming.physical(f"climb-{climb}"),
            CLIMB_TAG: climb,
            "Project": self.naming.project,
        }
        return dict(
            ec2.create_snapshot(
                VolumeId=volume_id,
                Description=f"before climb {climb} of {self.naming.prefix}",
                TagSpecifications=[
                    {
                        "ResourceType": "snapshot",
                        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                    }
                ],
            )
        )

    def _client(self, service: str) -> Any:
        return self._session.client(service, config=TIMEOUTS)
