"""The one place that lists what a cloud bills for, by its own Describe calls and without any state.

What stands is written down as pulumi-aws would have been asked for it, so that a price of the walk and a price of the
plan come from two readings of the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from infra.core.cost import Resource, StackCost, price_stack
from infra.core.prices import load
from ops.adapters.preview import SHOWN
from ops.report import read_preview


def walk(project: Any) -> list[Resource]:
    """Everything that stands in the project's cloud and may be billed."""
    return [each for look in LOOKS for each in look(project.client)]


def listed(project: Any, *more: Resource) -> StackCost:
    """What all of that costs, without the zone: it is the domain's, not the stack's."""
    found = [each for each in walk(project) if each.token != "aws:route53/zone:Zone"]
    return price_stack([*found, *more], load())


def planned(project: Any, text: str = "") -> StackCost:
    """What a preview's plan costs, made now unless its text is given."""
    text = text or project.pulumi("preview", "--json", *SHOWN).stdout
    return price_stack(read_preview(text, where="preview").after, load())


def endpoints(project: Any, key: str) -> list[Resource]:
    """GPU endpoints by RunPod's own list. It knows no modes: what always runs is billed all month, else seconds."""
    answer = httpx.get(
        f"{project.environment['RUNPOD_API_URL']}/v2/serverless", headers={"Authorization": f"Bearer {key}"}
    )
    return [
        _resource(
            "pulumi-python:dynamic/gpu:Endpoint",
            "endpoint",
            envelope={
                "mode": "active" if each["workers"]["min"] else "flex",
                "mostWorkers": each["workers"]["max"],
                "idleTimeouts": None,
            },
            spec={"disk": each["disk"]},
        )
        for each in answer.raise_for_status().json()["endpoints"]
    ]


def _resource(token: str, name: str, **inputs: Any) -> Resource:
    return Resource(
        f"cloud::{token}::{name}", token, {key: value for key, value in inputs.items() if value is not None}
    )


def _name(thing: dict[str, Any], fallback: str) -> str:
    named = next((tag["Value"] for tag in thing.get("Tags", []) if tag["Key"] == "Name"), fallback)
    return named.removeprefix("terrace-dev-")


def _machines(client: Any) -> Iterator[Resource]:
    ec2 = client("ec2")
    elastic = {each["PublicIp"] for each in ec2.describe_addresses()["Addresses"]}
    volumes = {each["VolumeId"]: each for each in ec2.describe_volumes()["Volumes"]}
    for group in ec2.describe_instances()["Reservations"]:
        for box in group["Instances"]:
            if box["State"]["Name"] == "terminated":
                continue
            mapped = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in box["BlockDeviceMappings"]}
            root = volumes.pop(mapped[box["RootDeviceName"]])
            credit = ec2.describe_instance_credit_specifications(InstanceIds=[box["InstanceId"]])
            (mode,) = credit["InstanceCreditSpecifications"] or [{"CpuCredits": None}]
            yield _resource(
                "aws:ec2/instance:Instance",
                _name(box, box["InstanceId"]),
                instanceType=box["InstanceType"],
                rootBlockDevice=_disk(root, "volumeSize", "volumeType"),
                associatePublicIpAddress=box.get("PublicIpAddress") not in (None, *elastic),
                monitoring=box["Monitoring"]["State"] == "enabled",
                creditSpecification={"cpuCredits": mode["CpuCredits"]} if mode["CpuCredits"] else None,
            )
    for each in volumes.values():
        yield _resource("aws:ebs/volume:Volume", each["VolumeId"], **_disk(each, "size", "type"))


def _disk(volume: dict[str, Any], size: str, kind: str) -> dict[str, Any]:
    more = {"iops": volume.get("Iops"), "throughput": volume.get("Throughput")}
    return {size: volume["Size"], kind: volume["VolumeType"], **more}


def _network(client: Any) -> Iterator[Resource]:
    ec2 = client("ec2")
    for each in ec2.describe_addresses()["Addresses"]:
        yield _resource("aws:ec2/eip:Eip", each["AllocationId"])
    for each in ec2.describe_nat_gateways()["NatGateways"]:
        if each["State"] == "available":
            yield _resource("aws:ec2/natGateway:NatGateway", each["NatGatewayId"])
    for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]:
        if each["State"] != "deleted":
            kind, subnets = each["VpcEndpointType"], each.get("SubnetIds", [])
            yield _resource(
                "aws:ec2/vpcEndpoint:VpcEndpoint",
                each["VpcEndpointId"],
                vpcEndpointType=kind,
                subnetIds=subnets,
            )
    for each in ec2.describe_flow_logs()["FlowLogs"]:
        yield _resource("aws:ec2/flowLog:FlowLog", each["FlowLogId"])
    for each in client("elbv2").describe_load_balancers()["LoadBalancers"]:
        yield _resource(
            "aws:lb/loadBalancer:LoadBalancer",
            each["LoadBalancerName"],
            internal=each["Scheme"] == "internal",
            subnets=[zone["SubnetId"] for zone in each["AvailabilityZones"]],
        )
    for each in client("route53").list_hosted_zones()["HostedZones"]:
        yield _resource("aws:route53/zone:Zone", each["Id"])


def _data(client: Any) -> Iterator[Resource]:
    for each in client("rds").describe_db_instances()["DBInstances"]:
        yield _resource(
            "aws:rds/instance:Instance",
            each["DBInstanceIdentifier"],
            instanceClass=each["DBInstanceClass"],
            storageType=each["StorageType"],
            allocatedStorage=each["AllocatedStorage"],
            multiAz=each["MultiAZ"],
            publiclyAccessible=each["PubliclyAccessible"],
            manageMasterUserPassword="MasterUserSecret" in each,
        )
    for each in client("s3").list_buckets()["Buckets"]:
        yield _resource("aws:s3/bucket:Bucket", each["Name"])
    kms = client("kms")
    for each in kms.list_keys()["Keys"]:
        about = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
        if about["KeyManager"] == "CUSTOMER" and about["KeyState"] == "Enabled":
            rotates = kms.get_key_rotation_status(KeyId=each["KeyId"])["KeyRotationEnabled"]
            yield _resource("aws:kms/key:Key", each["KeyId"], enableKeyRotation=rotates)
    managed = {each.get("OwningService") for each in client("secretsmanager").list_secrets()["SecretList"]}
    for each in client("secretsmanager").list_secrets()["SecretList"]:
        if each.get("OwningService") not in ("rds", *(managed - {None})):
            yield _resource("aws:secretsmanager/secret:Secret", each["Name"])
    for each in client("ssm").describe_parameters()["Parameters"]:
        yield _resource("aws:ssm/parameter:Parameter", each["Name"], tier=each.get("Tier"))
    for each in client("dlm").get_lifecycle_policies()["Policies"]:
        yield _resource("aws:dlm/lifecyclePolicy:LifecyclePolicy", each["PolicyId"])
    for each in client("backup").list_backup_vaults()["BackupVaultList"]:
        yield _resource("aws:backup/vault:Vault", each["BackupVaultName"])


def _watching(client: Any) -> Iterator[Resource]:
    watch, logs = client("cloudwatch"), client("logs")
    pages = watch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    for page in pages:
        for each in page["MetricAlarms"]:
            name = each["AlarmName"].removeprefix("terrace-dev-")
            yield _resource("aws:cloudwatch/metricAlarm:MetricAlarm", name, **_alarm(each))
        for each in page["CompositeAlarms"]:
            yield _resource("aws:cloudwatch/compositeAlarm:CompositeAlarm", each["AlarmName"])
    for each in watch.list_dashboards()["DashboardEntries"]:
        yield _resource("aws:cloudwatch/dashboard:Dashboard", each["DashboardName"])
    for each in logs.describe_log_groups()["logGroups"]:
        yield _resource("aws:cloudwatch/logGroup:LogGroup", each["logGroupName"])
    for each in logs.describe_metric_filters()["metricFilters"]:
        made = each["metricTransformations"][0]
        yield _resource(
            "aws:cloudwatch/logMetricFilter:LogMetricFilter",
            each["filterName"],
            metricTransformation={"namespace": made["metricNamespace"], "name": made["metricName"]},
        )
    for each in client("sns").list_topics()["Topics"]:
        yield _resource("aws:sns/topic:Topic", each["TopicArn"])
    for each in client("lambda").list_functions()["Functions"]:
        yield _resource("aws:lambda/function:Function", each["FunctionName"])


def _alarm(alarm: dict[str, Any]) -> dict[str, Any]:
    if not alarm.get("Metrics"):
        return _metric(alarm, alarm.get("Period"))
    queries = []
    for each in alarm["Metrics"]:
        stat = each.get("MetricStat")
        queries.append({"metric": _metric(stat["Metric"], stat["Period"])} if stat else {"expression": "…"})
    return {"metricQueries": queries}


def _metric(metric: dict[str, Any], period: int | None) -> dict[str, Any]:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    named = {"namespace": metric["Namespace"], "metricName": metric["MetricName"]}
    return {**named, "dimensions": dimensions, "period": period}


LOOKS = (_machines, _network, _data, _watching)
