"""One cloud for the room: a box with a database, two boxes beside, an RDS instance: as a climb has them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from embedded.aws.server import ApiServer
from embedded.boxes.errors import BoxesError
from embedded.machines import Machines
from infra.core.naming import FAKE_AMI
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

REGION = "ap-northeast-2"
READY_SECONDS = 240.0
CLIENT = "#!/bin/sh\nexport DEBIAN_FRONTEND=noninteractive\napt-get install -y postgresql-client-17 python3-boto3\n"
SERVER = """\
#!/bin/sh
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends postgresql-17 postgresql-17-pgvector python3-boto3
"""


@dataclass
class Cloud:
    """The cloud, its boxes by name, its database's endpoint."""

    api: ApiServer
    machines: Machines
    boxes: Mapping[str, str]
    endpoint: str
    master_secret: str

    def client(self, service: str) -> Any:
        """A boto3 client of it."""
        return _client(self.api, service)

    def sh(self, name: str, script: str, *, fails: bool = False) -> str:
        """What a script writes on that box; its error where it `fails`."""
        done = self.machines.host.run(self.boxes[name], script, timeout_seconds=READY_SECONDS)
        assert (done.returncode != 0) == fails, f"{script!r}: {done.returncode} {done.stdout} {done.stderr}"
        return (done.stderr if fails else done.stdout).strip()


def _client(api: ApiServer, service: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=api.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def until(what: Callable[[], Any], *, seconds: float = READY_SECONDS) -> Any:
    """What it returns as soon as that is something; machines that do not stand yet are nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except (BoxesError, AssertionError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(1)


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    api = ApiServer()
    api.start()
    machines = Machines(tmp_path_factory.mktemp("data"), api, progress=lambda _: None)
    try:
        yield _made(api, machines)
    finally:
        machines.close()
        api.stop()


def _made(api: ApiServer, machines: Machines) -> Cloud:
    ec2, rds = _client(api, "ec2"), _client(api, "rds")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, zone in ((0, "a"), (16, "a"), (17, "b"))
    ]
    groups = {
        name: ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("app", "backend", "frontend", "database")
    }
    for name in ("app", "backend"):
        ec2.authorize_security_group_ingress(
            GroupId=groups["database"],
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "UserIdGroupPairs": [{"GroupId": groups[name]}],
                }
            ],
        )
    # As a climb has it: the database reaches the box that it follows.
    ec2.authorize_security_group_ingress(
        GroupId=groups["app"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "UserIdGroupPairs": [{"GroupId": groups["database"]}],
            }
        ],
    )
    rds.create_db_subnet_group(
        DBSubnetGroupName="database", DBSubnetGroupDescription="database", SubnetIds=subnets[1:]
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="database", DBParameterGroupFamily="postgres17", Description="database"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="database",
        Parameters=[
            {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
            for name, value in (("rds.logical_replication", "1"), ("max_connections", "80"))
        ],
    )
    made = rds.create_db_instance(
        DBInstanceIdentifier="terrace-dev-database",
        Engine="postgres",
        EngineVersion="17",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        StorageType="gp3",
        DBName="app",
        MasterUsername="terrace_master",
        ManageMasterUserPassword=True,
        DBSubnetGroupName="database",
        DBParameterGroupName="database",
        VpcSecurityGroupIds=[groups["database"]],
    )["DBInstance"]
    iam = _client(api, "iam")
    iam.create_role(RoleName="box", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="box")
    iam.add_role_to_instance_profile(InstanceProfileName="box", RoleName="box")
    boxes = {
        name: ec2.run_instances(
            ImageId=FAKE_AMI,
            InstanceType="t4g.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnets[0],
            SecurityGroupIds=[groups[name]],
            IamInstanceProfile={"Name": "box"},
            UserData=SERVER if name == "app" else CLIENT,
        )["Instances"][0]["InstanceId"]
        for name in ("app", "backend", "frontend")
    }
    address = rds.describe_db_instances()["DBInstances"][0]["Endpoint"]["Address"]
    cloud = Cloud(api, machines, boxes, address, made["MasterUserSecret"]["SecretArn"])
    for name in boxes:
        until(lambda name=name: cloud.sh(name, "cloud-init status --wait >/dev/null; which psql"))  # type: ignore[misc]
    until(lambda: cloud.sh("backend", f"pg_isready -h {address}"))
    return cloud


def secret() -> str:
    """A password that no fixture holds."""
    return secrets.token_urlsafe(16)
