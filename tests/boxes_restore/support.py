"""What these tests are written with: boxes with PostgreSQL on /data, set up as the contract of the host has it, and
the backup programs of this working tree in them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from embedded import endpoint
from embedded.aws.faults import Fault, FaultKind
from embedded.aws.server import ApiServer
from embedded.boxes import Host, Identity, VolumeSpec
from embedded.boxes.model import GIBIBYTE
from infra.host.bundle import build
from tests.boxes.support import BOOT_SECONDS, Cloud, keys

ROOT = Path(__file__).parents[2]
REGION, ACCOUNT = "ap-northeast-2", "123456789012"
BACKUPS, UPLOADS = f"terrace-dev-backups-{ACCOUNT}", f"terrace-dev-uploads-{ACCOUNT}"
PARAMETER = "/terrace/dev/database/backup-passphrase"
ARCHIVE_SECONDS = 5
"""How often the archive closes a segment here, instead of every 120 s."""
RUN_SECONDS = 300.0
INSTALL_SECONDS = 300.0

PREPARE = """
set -e
mkdir -p /etc/postgresql-common /etc/terrace /data
printf "create_main_cluster = false\\nadd_include_dir = 'conf.d'\\n" > /etc/postgresql-common/createcluster.conf
groupadd -g 650 postgres; useradd -u 650 -g postgres -d /var/lib/postgresql -s /bin/bash postgres
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  python3-boto3 postgresql-17 postgresql-17-pgvector pgbackrest > /root/apt.log 2>&1
for name in backup restore; do
  printf '#!/bin/sh\\nPYTHONPATH=/opt/terrace/lib exec python3 -m infra.host.box.%s "$@"\\n' $name \
    > /usr/local/sbin/terrace-$name
  chmod 755 /usr/local/sbin/terrace-$name
done
"""
MOUNT = """
set -e
[ -n "$(blkid -o value -s LABEL /dev/sdf)" ] || mkfs.ext4 -q -L terrace-data /dev/sdf
mountpoint -q /data || mount LABEL=terrace-data /data
"""
CLUSTER = """
set -e
install -d -o postgres -g postgres -m 700 /data/pgdata
pg_createcluster 17 main -d /data/pgdata -- --data-checksums > /dev/null
mkdir -p /etc/postgresql/17/main/conf.d
printf "shared_buffers = 64MB\\nwal_level = logical\\n" > /etc/postgresql/17/main/conf.d/10-terrace.conf
"""


WRITER = """
: > /root/acknowledged
runuser -u postgres -- psql -XAtq -d app -c \
  'create table if not exists acknowledged (n bigint primary key, at timestamptz)'
cat > /root/writer <<'LOOP'
#!/bin/sh
n=$(runuser -u postgres -- psql -XAtq -d app -c 'select coalesce(max(n), 0) from acknowledged')
while :; do
  n=$((n + 1))
  runuser -u postgres -- psql -XAtq -d app -c "insert into acknowledged values ($n, clock_timestamp())" || exit 0
  echo "$n $(date +%s.%N)" >> /root/acknowledged
done
LOOP
chmod +x /root/writer
systemd-run --quiet --collect --unit=writer /root/writer
"""
"""One row after another, each noted with its time when it was acknowledged."""


@dataclass
class World:
    """A cloud with S3, SSM and CloudWatch, and boxes that reach it."""

    api: ApiServer
    cloud: Cloud

    def client(self, service: str) -> Any:
        """A boto3 client of the same cloud."""
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.api.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def make_buckets(self) -> None:
        """The two buckets, and the pass phrase's parameter as Pulumi leaves it."""
        s3 = self.client("s3")
        for name in (BACKUPS, UPLOADS):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.client("ssm").put_parameter(Name=PARAMETER, Value="unset", Type="SecureString")

    @contextmanager
    def bucket_unreachable(self) -> Generator[None]:
        """S3 answers nothing but errors."""
        self.api.faults.add(
            Fault(
                FaultKind.API_FAILS,
                service="s3",
                times=None,
                error_code="ServiceUnavailable",
                http_status=503,
            )
        )
        try:
            yield
        finally:
            self.api.faults.clear()

    def box(self, *, volume_gib: int = 4) -> Machine:
        """A booted box with the programs and an empty /data."""
        cloud = self.cloud
        spec = cloud.spec(
            memory_bytes=2 * GIBIBYTE,
            public_ip=cloud.public(),
            identity=Identity(
                account_id=ACCOUNT,
                region=REGION,
                availability_zone=f"{REGION}a",
                role_name="app",
                instance_profile_arn=f"arn:aws:iam::{ACCOUNT}:instance-profile/app",
            ),
        )
        volume = VolumeSpec(
            volume_id=f"vol-{spec.instance_id[2:]}",
            size_bytes=volume_gib * GIBIBYTE,
            attached_to=spec.instance_id,
            device="/dev/sdf",
        )
        cloud.put(volume, spec)
        cloud.booted(spec)
        machine = Machine(cloud.host, self.client, spec.instance_id)
        machine.install()
        return machine


@dataclass
class Machine:
    """One box."""

    host: Host
    client: Callable[[str], Any]
    instance_id: str
    backups: str = BACKUPS
    uploads: str = UPLOADS

    def run(
        self, script: str, *, stdin: bytes = b"", seconds: float = RUN_SECONDS, check: bool = True
    ) -> Any:
        """Runs a shell script as root in the box."""
        done = self.host.run(self.instance_id, script, stdin=stdin, timeout_seconds=seconds)
        if check:
            assert done.returncode == 0, (
                f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def sh(self, script: str) -> str:
        """What the script wrote to stdout."""
        return str(self.run(script).stdout).strip()

    def sql(self, query: str, *, database: str = "app", port: int = 5432) -> str:
        """The answer of the database."""
        line = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -p {port} -d {database}"
        return str(self.run(line, stdin=query.encode()).stdout).strip()

    def install(self) -> None:
        """Packages, programs, facts, /data: what the host does before backups are set up."""
        self.run(PREPARE)
        self.ship()
        facts = {
            "project": "terrace",
            "stack": "dev",
            "region": REGION,
            "role": "single",
            "backups_bucket": self.backups,
            "uploads_bucket": self.uploads,
            "parameters": "/terrace/dev",
        }
        self.run("cat > /etc/terrace/box.json", stdin=json.dumps(facts).encode())
        self.mount()

    def ship(self) -> None:
        """The programs of this working tree, where the bundle puts them."""
        self.run("mkdir -p /opt/terrace && tar -x -C /opt/terrace", stdin=build().content)

    def mount(self) -> None:
        """As the host's mount program: formats only what is blank."""
        self.run(MOUNT)

    def make_source(self, *, timeout_seconds: int | None = None) -> None:
        """A database with rows, archived and backed up; `timeout_seconds` stands in for the archive's own bound."""
        self.run(CLUSTER)
        self.run("terrace-backup install")
        if timeout_seconds is not None:
            self.run(
                f"printf 'archive_timeout = {timeout_seconds}s\\n' > /etc/postgresql/17/main/conf.d/30-test.conf"
            )
        self.run("systemctl stop terrace-backup-watch.timer; systemctl restart postgresql@17-main")
        self.sql("create database app", database="postgres")
        self._fill()
        self.run("terrace-backup ready")

    def take_over(self) -> None:
        """The same of a box that installs itself: its host made the database; rows and a backup are added."""
        until(self.installed, seconds=INSTALL_SECONDS)
        until(lambda: self.status()["backups"], seconds=INSTALL_SECONDS)
        self.run("systemctl stop terrace-backup-watch.timer")
        self._fill()
        self.run("terrace-backup full")

    def installed(self) -> bool:
        """Whether its host's installer is through."""
        told = self.run("terrace-host status --json", check=False)
        return told.returncode == 0 and json.loads(told.stdout)["state"] == "done"

    def _fill(self) -> None:
        for path in sorted((ROOT / "embedded/sample/migrations").glob("*.sql")):
            self.sql(path.read_text(encoding="utf-8"))
        self.add_receipts(200)

    def add_receipts(self, count: int) -> None:
        """Rows with vectors, of which every tenth names an upload that exists."""
        before = int(self.sql("select count(*) from receipts"))
        s3 = self.client("s3")
        for number in range(before, before + count):
            if number % 10 == 0:
                s3.put_object(Bucket=self.uploads, Key=f"receipts/{number}", Body=b"receipt")
        self.sql(f"""
            insert into receipts (id, merchant, paid_on, total_krw, upload_key, embedding)
            select gen_random_uuid(), 'shop ' || n, '2026-11-01', n * 100,
                   case when n % 10 = 0 then 'receipts/' || n end,
                   (select array_agg(sin(n * k))::vector from generate_series(1, 64) k)
            from generate_series({before}, {before + count - 1}) n""")  # noqa: S608 numbers of ours

    def status(self) -> dict[str, Any]:
        """What `terrace-backup status` tells."""
        found: dict[str, Any] = json.loads(self.sh("terrace-backup status"))
        return found

    def restore(self, *arguments: str, check: bool = True) -> Any:
        """`terrace-restore` and its result."""
        done = self.run(f"terrace-restore {' '.join(arguments)}", check=check)
        return json.loads(done.stdout) if check else done

    def told(self, name: str) -> bool:
        """Whether the metric was ever published by this machine."""
        listed = self.client("cloudwatch").list_metrics(Namespace="terrace", MetricName=name)["Metrics"]
        own = {"Name": "InstanceId", "Value": self.instance_id}
        return any(own in each["Dimensions"] for each in listed)

    def metric(self, name: str) -> float:
        """The newest value of a metric in the project's namespace."""
        from datetime import UTC, datetime, timedelta

        now = datetime.now(UTC)
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace="terrace",
            MetricName=name,
            Dimensions=[{"Name": "InstanceId", "Value": self.instance_id}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=2),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return float(max(points, key=lambda each: each["Timestamp"])["Maximum"])

    def counts(self, *, port: int = 5432) -> str:
        """Rows and a checksum of what they hold, of both tables."""
        return self.sql(
            "select (select count(*) || ' ' || sum(hashtextextended(r::text, 0)::numeric) from receipts r), "
            "(select count(*) from items)",
            port=port,
        )

    def now(self) -> str:
        """The box's time as `--time` takes it, with microseconds."""
        return self.sh("date -u +%Y-%m-%dT%H:%M:%S.%6NZ")

    def waiting(self) -> int:
        """How many finished segments wait for the archive."""
        return int(self.sh("ls /data/pgdata/pg_wal/archive_status | grep -c ready || true"))

    def archive(self) -> None:
        """Closes the segment that is written to, and waits until every finished one is in the bucket."""
        self.sql("select pg_switch_wal()")
        until(lambda: self.waiting() == 0, seconds=90)

    def fill_segments(self, count: int) -> None:
        """That many finished segments, each with a row in it."""
        each = "insert into filler values (1); select pg_switch_wal();\n"
        self.sql("create table if not exists filler (n int);" + each * count)

    def forget_drill(self) -> None:
        """The scratch server and its directories are gone."""
        self.run(
            "[ ! -e /data/drill/postmaster.pid ] || runuser -u postgres -- "
            "/usr/lib/postgresql/17/bin/pg_ctl stop -m immediate -D /data/drill; rm -rf /data/drill*"
        )

    def acknowledged(self) -> dict[int, float]:
        """The rows that the writer was told of, with their times (POSIX, seconds); a line that was cut is none."""
        lines = [line.split() for line in self.sh("cat /root/acknowledged").splitlines()]
        return {int(line[0]): float(line[1]) for line in lines if len(line) == 2 and "." in line[1]}

    def power_cut(self) -> None:
        """The plug is pulled, and put in again; /data is mounted as at any boot."""
        boots = self.host.box(self.instance_id).boots
        self.host.power_cut(self.instance_id)
        self.host.power_on(self.instance_id)
        self.host.wait(
            self.instance_id, lambda box: box.booted and box.boots > boots, timeout_seconds=BOOT_SECONDS
        )
        self.mount()


def open_world(directory: Path) -> World:
    """A cloud of one's own."""
    api = ApiServer()
    api.start()
    try:
        api.reset()
        host = Host.open(
            directory / "boxes",
            environment=endpoint.ENVIRONMENT,
            trusted=endpoint.authority(directory / "tls"),
            credentials=keys,
            resolve=endpoint.resolve,
        )
    except BaseException:
        api.stop()
        raise
    endpoint.serve(host, api, directory / "tls")
    world = World(api, Cloud(host))
    world.make_buckets()
    return world


def until(check: Any, *, seconds: float = 60.0) -> Any:
    """What `check` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(0.5)
    return found


@contextmanager
def restored(machine: Machine, *arguments: str) -> Generator[dict[str, Any]]:
    """A restore into a scratch directory, served on port 5433; gone afterwards."""
    try:
        yield machine.restore("--target /data/drill", *arguments)
    finally:
        machine.forget_drill()


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """A figure on the terminal, past pytest's capture."""
    with capsys.disabled():
        sys.stderr.write(f"\n  {line}\n")
