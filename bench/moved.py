"""The only place that stands a box and an RDS instance up for a move of rows, for tests and figures alike."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3

from embedded.aws.server import ApiServer
from embedded.boxes.errors import BoxesError
from embedded.machines import Machines
from infra.core.naming import DATABASE_PASSWORD, DATABASE_WRITER, FAKE_AMI, UNSET
from infra.host import bundle

REGION = "ap-northeast-2"
READY_SECONDS = 240.0
CLIENT = "#!/bin/sh\nexport DEBIAN_FRONTEND=noninteractive\napt-get install -y postgresql-client-17 python3-boto3\n"
SERVER = """\
#!/bin/sh
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends postgresql-17 postgresql-17-pgvector python3-boto3
"""


PARAMETERS = "/terrace/dev"
SENT_BYTES = 90_000
"""Of the host's bundle at once: a script of more is more than the kernel takes."""
CLUSTER = """
set -e
pg_lsclusters -h | grep -q main || pg_createcluster 17 main
echo "host all app 127.0.0.1/32 scram-sha-256" >> /etc/postgresql/17/main/pg_hba.conf
echo "include_if_exists pg_hba-replication.conf" >> /etc/postgresql/17/main/pg_hba.conf
echo "wal_level = logical" > /etc/postgresql/17/main/conf.d/10-terrace.conf
systemctl restart postgresql@17-main
"""
ROWS = """
create extension vector;
create schema billing;
create table receipts (id bigint generated always as identity primary key, merchant text not null,
  at timestamptz not null default now(), amount numeric(12, 2), scan bytea, embedding vector(3));
create table billing.lines (receipt bigint references receipts, position int, said text,
  primary key (receipt, position));
create index on receipts using hnsw (embedding vector_l2_ops);
create sequence billing.numbers start 1000;
insert into receipts (merchant, amount, scan, embedding) select 'm' || i, i / 7.0, decode(md5(i::text), 'hex'),
  format('[%s,%s,%s]', i % 7, i % 11, i % 13)::vector from generate_series(1, 2000) i;
insert into billing.lines select id, 1, 'a line' from receipts;
select nextval('billing.numbers');
"""
GIGABYTE = """
set role app;
create table heavy (id bigint primary key, said text not null);
insert into heavy select i, repeat(md5(i::text), 28) from generate_series(1, 1100000) i;
"""
WRITES_AFTER = 50
"""How many writes the new side takes before the client is stopped."""

PACED = Path(__file__).with_name("paced.py")


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
        aws_secret_access_key="test",  # noqa: S106 the embedded cloud asks for no secret
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


def stand(directory: Path, api: ApiServer) -> tuple[Machines, Cloud]:
    """Machines and the cloud on them; whoever calls closes the machines."""
    machines = Machines(directory, api, progress=lambda _: None)
    try:
        return machines, _made(api, machines)
    except BaseException:
        machines.close()
        raise


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
    # As a climb has it the database also reaches the box that it follows.
    for target, source in (("database", "app"), ("database", "backend"), ("app", "database")):
        ec2.authorize_security_group_ingress(
            GroupId=groups[target],
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "UserIdGroupPairs": [{"GroupId": groups[source]}],
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
            # With an address of its own, as public boxes have: the authorities of RDS lie outside of the VPC.
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnets[0],
                    "Groups": [groups[name]],
                    "AssociatePublicIpAddress": True,
                }
            ],
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


class Mover:
    """terrace-data on the box that has the rows."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.arguments = (
            f"--region {REGION} --parameters {PARAMETERS} --endpoint {cloud.endpoint}:5432 "
            f"--master-secret '{cloud.master_secret}' --storage-gib 20"
        )

    def run(self, verb: str, *options: str, code: int = 0) -> Any:
        """What a verb answers; what it says where it does not end with 0."""
        line = f"terrace-data {verb} {' '.join(options)} {self.arguments}"
        done = self.cloud.machines.host.run(self.cloud.boxes["app"], line, timeout_seconds=240)
        assert done.returncode == code, f"{line}: {done.returncode} {done.stdout} {done.stderr}"
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stderr

    def box(self, query: str, database: str = "app") -> str:
        """The answer of PostgreSQL on the box."""
        return self.cloud.sh(
            "app", f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} <<'SQL'\n{query}\nSQL"
        )

    def password(self) -> str:
        """The application's."""
        found = self.cloud.client("ssm").get_parameter(
            Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", WithDecryption=True
        )
        return str(found["Parameter"]["Value"])

    def application(self, where: str, query: str, *, fails: bool = False) -> str:
        """The answer to the application's role, by its own password."""
        host = (
            "127.0.0.1" if where == "box" else f"{self.cloud.endpoint} sslmode=verify-full sslrootcert=system"
        )
        name = "app" if where == "box" else "backend"
        return self.cloud.sh(
            name,
            f"PGPASSWORD='{self.password()}' psql -XAtq -v ON_ERROR_STOP=1 "
            f"'host={host} dbname=app user=app' -c \"{query}\"",
            fails=fails,
        )

    def master(self, query: str) -> str:
        """The answer of RDS to its master user, who may write where the application may not."""
        found = self.cloud.client("secretsmanager").get_secret_value(SecretId=self.cloud.master_secret)
        login = json.loads(found["SecretString"])
        return self.cloud.sh(
            "backend",
            f"PGPASSWORD='{login['password']}' PGOPTIONS='-c default_transaction_read_only=off' psql -XAtq "
            f"-v ON_ERROR_STOP=1 'host={self.cloud.endpoint} dbname=app user={login['username']}' -c \"{query}\"",
        )

    def writer(self) -> dict[str, Any]:
        """What the record says."""
        value = self.cloud.client("ssm").get_parameter(Name=f"{PARAMETERS}/{DATABASE_WRITER}")["Parameter"][
            "Value"
        ]
        found: dict[str, Any] = json.loads(value)
        return found


@dataclass(frozen=True, slots=True)
class Moved:
    """A gigabyte that was followed and switched under fifty writes a second, as the client saw it.

    `lost` were acknowledged and are not on the new side, `twice` are there twice, `astray` are on the old side and
    not on the new, or were acknowledged by the new and are on the old.
    """

    size_bytes: int
    followed_seconds: float
    pause_seconds: float
    pause: Mapping[str, float]
    gap_seconds: float
    acknowledged: int
    lost: int
    twice: int
    astray: int

    def said(self) -> str:
        """In a line."""
        return (
            f"{self.size_bytes / 1e9:.2f} GB, {self.acknowledged} writes: followed within {self.followed_seconds} s, "
            f"{self.pause_seconds} s without a writer {dict(self.pause)}, {self.gap_seconds:.2f} s between two "
            f"acknowledged writes; {self.lost} lost, {self.twice} twice, {self.astray} astray"
        )


def move_a_gigabyte(mover: Mover) -> Moved:
    """From the box to RDS; the box stays fenced, with its rows."""
    mover.box(GIGABYTE)
    size_bytes = int(mover.box("select pg_database_size('app')"))
    mover.cloud.sh(
        "app",
        f"cat > /root/paced.py <<'PY'\n{PACED.read_text(encoding='utf-8')}\nPY\n"
        f"export PGPASSWORD='{mover.password()}'\n"
        f"nohup python3 /root/paced.py 127.0.0.1 {mover.cloud.endpoint} > /root/acknowledged 2> /root/paced.log &",
    )
    followed = mover.run("follow")
    mover.box("set role app; update heavy set said = said || 'x' where id % 100000 = 1")
    switched = mover.run("switch")
    until(lambda: int(mover.cloud.sh("app", "grep -c other /root/acknowledged || true")) > WRITES_AFTER)
    log = mover.cloud.sh("app", "touch /root/stop; sleep 1; cat /root/acknowledged")
    told = [line.split() for line in log.splitlines()]
    written = "select merchant from receipts where merchant like 'paced-%'"
    rows = mover.application("rds", written).split()
    new, old = set(rows), set(mover.box(written).split())
    acknowledged = {f"paced-{number}": side for number, side, _ in told}
    by_new = {name for name, side in acknowledged.items() if side == "other"}
    return Moved(
        size_bytes,
        followed["seconds"],
        switched["pause_seconds"],
        switched["pause"],
        max(float(after[2]) - float(before[2]) for before, after in pairwise(told)),
        len(told),
        lost=len(acknowledged.keys() - new),
        twice=len(rows) - len(new),
        astray=len(old - new) + len(old & by_new),
    )


def ready(cloud: Cloud) -> Mover:
    """The box with 2 000 receipts, the parameters as Pulumi leaves them, and the program."""
    text = base64.b64encode(gzip.compress(bundle.build().content)).decode()
    for begin in range(0, len(text), SENT_BYTES):
        cloud.sh("app", f"cat >> /root/bundle <<'PART'\n{text[begin : begin + SENT_BYTES]}\nPART")
    cloud.sh(
        "app",
        "mkdir -p /opt/terrace/current && base64 -d /root/bundle | tar -xz -C /opt/terrace/current && "
        "ln -sf /opt/terrace/current/bin/terrace-data /usr/local/sbin/",
    )
    cloud.sh("app", CLUSTER)
    made = Mover(cloud)
    password = secret()
    made.box(f"create role app login password '{password}'", "postgres")
    made.box("create database app owner app", "postgres")
    made.box("create extension vector")
    made.box("set role app;" + ROWS.replace("create extension vector;", ""))
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", Value=password, Type="SecureString")
    ssm.put_parameter(Name=f"{PARAMETERS}/{DATABASE_WRITER}", Value=UNSET, Type="String")
    return made
