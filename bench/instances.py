"""The only place where a bench looks at the instance that stands, by the cloud's own API."""

from __future__ import annotations

from typing import Any

import boto3

from embedded.cloud import Cloud


class Instance:
    """The one instance that stands, by the API."""

    def __init__(self, cloud: Cloud) -> None:
        variables = cloud.variables()
        self._ec2: Any = boto3.client(
            "ec2",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id="bench",
            aws_secret_access_key="bench",  # noqa: S106 the embedded cloud asks for no secret
        )
        found = self._ec2.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        (self._instance,) = [each for group in found["Reservations"] for each in group["Instances"]]

    @property
    def address(self) -> str:
        """Its public address."""
        return str(self._instance["PublicIpAddress"])

    @property
    def launched(self) -> float:
        """When RunInstances was called, in seconds of the epoch."""
        return float(self._instance["LaunchTime"].timestamp())

    def terminate(self) -> None:
        """Ends it, and waits until it is gone."""
        self._ec2.terminate_instances(InstanceIds=[self._instance["InstanceId"]])
        self._ec2.get_waiter("instance_terminated").wait(
            InstanceIds=[self._instance["InstanceId"]], WaiterConfig={"Delay": 1}
        )
