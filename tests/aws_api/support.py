"""What the tests of the AWS API share beside fixtures: clients, names, a network."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from embedded.aws.environment import DEFAULT_REGION

FAKE_AMI = "ami-00000000000000000"
AMD64_AMI = "ami-0deb13ad640000000"
ZONE = f"{DEFAULT_REGION}a"


def make_client(url: str, service: str, region: str = DEFAULT_REGION, **config: Any) -> Any:
    settings: dict[str, Any] = {
        "retries": {"max_attempts": 0},
        "s3": {"addressing_style": "path"},
        "read_timeout": 20,
    } | config
    # Untyped: the stubs know a client for each name, not for a name that is a variable.
    make: Any = boto3.client
    return make(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="AKIAEMBEDDEDEXAMPLE0",
        aws_secret_access_key="embedded",
        config=Config(**settings),
    )


@cache
def shared_client(url: str, service: str, region: str) -> Any:
    return make_client(url, service, region)


class Network:
    """A VPC with one subnet in each of two zones, and a security group."""

    def __init__(self, ec2: Any) -> None:
        self.vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.20.{index}.0/24", AvailabilityZone=DEFAULT_REGION + letter
            )["Subnet"]["SubnetId"]
            for index, letter in enumerate("ac")
        ]
        self.group = ec2.create_security_group(GroupName="box", Description="box", VpcId=self.vpc)["GroupId"]
