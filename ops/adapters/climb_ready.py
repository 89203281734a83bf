"""The only place that waits until what a climb added serves: its boxes by Run Command, its balancer's targets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import boto3

from infra.core.errors import TerraceError
from infra.core.release import CURRENT_KEY
from ops.adapters.aws import TIMEOUTS, speaking
from ops.adapters.aws_deploy import S3Artifacts
from ops.adapters.drills import SsmShell

READY_SECONDS = 900.0
"""How long a box may take from its making until it has installed itself and its services are healthy."""

TARGET_SECONDS = 120.0
"""Two health checks of ten seconds each, and the balancer's own start."""

SERVES = """\
terrace-host status --json | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)["state"] != "done")' &&
terrace-deploy status --json | python3 -c 'import json, sys
parts = json.load(sys.stdin)["parts"].values()
sys.exit(not parts or not all(part["healthy"] for part in parts))'
"""
"""Ends with 0 where the box is installed and every service of its role is healthy."""


def deployed(outputs: Mapping[str, Any], region: str) -> bool:
    """Whether a release serves on this stack, so that boxes made now have to take it up."""
    bucket = (outputs.get("buckets") or {}).get("artifacts")
    return bool(bucket) and S3Artifacts(str(bucket), region).read(CURRENT_KEY) is not None


def boxes(instances: Sequence[str], region: str) -> list[str]:
    """What does not serve after READY_SECONDS, in sentences."""
    shell, deadline = SsmShell(region), time.monotonic() + READY_SECONDS
    faults = []
    for instance in instances:
        try:
            shell.wait_until(instance, SERVES, seconds=max(deadline - time.monotonic(), 1.0))
        except TerraceError as error:
            faults += [f"{fault.path} {fault.what}: terrace-deploy status on it" for fault in error.faults]
    return faults


def targets(resources: Sequence[Mapping[str, Any]], region: str) -> list[str]:
    """Target groups of a stack that have no healthy target after TARGET_SECONDS, in sentences."""
    groups = [
        str(each["id"])
        for each in resources
        if each["type"] == "aws:lb/targetGroup:TargetGroup" and each.get("id")
    ]
    client: Any = boto3.client("elbv2", region_name=region, config=TIMEOUTS)
    deadline = time.monotonic() + TARGET_SECONDS
    while True:
        faults = []
        for arn in groups:
            with speaking("target health"):
                shown = client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            states = [str(each["TargetHealth"]["State"]) for each in shown]
            if "healthy" not in states:
                faults.append(
                    f"target group {_name(arn)} has no healthy target: {', '.join(states) or 'none'}"
                )
        if not faults or time.monotonic() > deadline:
            return faults
        time.sleep(2)


def _name(arn: str) -> str:
    return arn.split("/")[1]
