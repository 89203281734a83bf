"""terrace-data on machines: rows move from the box to RDS and back, and at no moment do both take writes."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.served import note
from infra.core.naming import DATABASE_PASSWORD, DATABASE_WRITER, UNSET
from tests.boxes_data.conftest import REGION, Cloud, secret, until

pytestmark = [pytest.mark.box, pytest.mark.drill]

ROOT = Path(__file__).parents[2]
SHIPPED = (
    "infra/__init__.py",
    "infra/core/__init__.py",
    "infra/core/errors.py",
    "infra/core/memory.py",
    "infra/core/naming.py",
    "infra/host/__init__.py",
    "infra/host/box/__init__.py",
    "infra/host/box/system.py",
    *(f"infra/host/box/{room}/*.py" for room in ("backup", "data")),
)
PARAMETERS = "/terrace/dev"
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
WRITER = """
cat > /root/write.sql <<'SQL'
do $$ begin loop insert into receipts (merchant) values ('live'); commit; perform pg_sleep(0.02); end loop; end $$;
SQL
nohup psql -Xq 'host=127.0.0.1 dbname=app user=app' -f /root/write.sql > /root/written 2> /root/refused &
"""

GIGABYTE = """
set role app;
create table heavy (id bigint primary key, said text not null);
insert into heavy select i, repeat(md5(i::text), 28) from generate_series(1, 1100000) i;
checkpoint;
"""
PACED = Path(__file__).with_name("paced.py")


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

    def application(self, where: str, query: str, *, fails: bool = False) -> str:
        """The answer to the application's role, by its own password."""
        found = self.cloud.client("ssm").get_parameter(
            Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", WithDecryption=True
        )
        host = (
            "127.0.0.1" if where == "box" else f"{self.cloud.endpoint} sslmode=verify-full sslrootcert=system"
        )
        name = "app" if where == "box" else "backend"
        return self.cloud.sh(
            name,
            f"PGPASSWORD='{found['Parameter']['Value']}' psql -XAtq -v ON_ERROR_STOP=1 "
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


@pytest.fixture(scope="module")
def mover(cloud: Cloud) -> Mover:
    """The box with 2 000 receipts, the parameters as Pulumi leaves them, and the program."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for pattern in SHIPPED:
            for path in ROOT.glob(pattern):
                tar.add(path, path.relative_to(ROOT))
    text = base64.b64encode(packed.getvalue()).decode()
    cloud.sh(
        "app",
        f"mkdir -p /opt/terrace/lib && base64 -d <<'TAR' | tar -xz -C /opt/terrace/lib\n{text}\nTAR\n"
        "printf '#!/bin/sh\\nPYTHONPATH=/opt/terrace/lib exec python3 -m infra.host.box.data \"$@\"\\n' "
        "> /usr/local/sbin/terrace-data; chmod 755 /usr/local/sbin/terrace-data",
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


def test_rows_move_to_rds_and_back_and_one_database_writes_at_a_time(mover: Mover) -> None:
    plan = mover.run("plan", code=10)
    assert (plan["source"], plan["target"], plan["tables"], plan["refused"]) == ("box", "rds", 2, [])
    assert "holds no whole copy" in mover.run("switch", code=4)

    rehearsed = mover.run("copy", "--rehearse")
    assert rehearsed["rehearsed"]
    assert mover.application("box", "select count(*) from receipts") == "2000"
    assert "holds no whole copy" in mover.run("switch", code=4)

    mover.run("copy")
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert mover.application("rds", "select count(*) from receipts") == "2000"
    assert "read-only transaction" in mover.application(
        "rds", "insert into receipts (merchant) values ('x')", fails=True
    )

    found = mover.run("verify")
    assert (found["differences"], found["tables"], found["rows"]) == ([], 2, 4000)
    assert (found["sequences"], found["vector_queries"]) == (2, 1)

    assert mover.run("switch")["changed"]
    assert mover.writer() == {"epoch": 1, "end": "rds", "host": mover.cloud.endpoint, "port": 5432}
    assert mover.application("rds", "insert into receipts (merchant) values ('new') returning id") == "2001"
    assert mover.application("rds", "select nextval('billing.numbers')") == "1001"
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert not mover.run("switch")["changed"]
    assert "Move back the same way" in mover.run("back", code=4)

    assert mover.run("copy")["kept"] == "app_before_2"
    assert mover.run("switch")["writer"]["end"] == "box"
    assert mover.application("box", "select merchant from receipts where id = 2001") == "new"
    assert "not permitted to log in" in mover.application("rds", "select 1", fails=True)


def test_a_change_of_one_row_of_the_copy_is_found_and_refuses_the_switch(mover: Mover) -> None:
    before = mover.run("copy")
    assert before["target"] == "rds"
    mover.master("update receipts set amount = 0 where id = 77")
    (difference,) = mover.run("verify", code=4)["differences"]
    assert difference.startswith("table public.receipts: 2001 rows, checksum")
    assert "checksum" in mover.run("switch", code=4)
    mover.run("back")
    assert mover.application("box", "insert into receipts (merchant) values ('on') returning 1") == "1"


def test_sessions_that_keep_writing_end_with_the_fence_and_lose_nothing_that_was_acknowledged(
    mover: Mover,
) -> None:
    found = mover.cloud.client("ssm").get_parameter(
        Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", WithDecryption=True
    )
    mover.cloud.sh("app", f"export PGPASSWORD='{found['Parameter']['Value']}'\n{WRITER}")
    until(lambda: int(mover.box("select count(*) from receipts where merchant = 'live'")) > 5)
    mover.run("copy")
    assert "terminating connection" in mover.cloud.sh("app", "sleep 1; cat /root/refused")
    live = mover.box("select count(*) from receipts where merchant = 'live'")
    assert mover.application("rds", "select count(*) from receipts where merchant = 'live'") == live
    assert mover.run("verify")["differences"] == []
    mover.run("back")


def test_a_checksum_that_rests_on_an_earlier_reading_is_that_of_a_whole_one_after_any_change(
    mover: Mover,
) -> None:
    script = Path(__file__).with_name("changing.py").read_text(encoding="utf-8")
    found = json.loads(mover.cloud.sh("app", f"PYTHONPATH=/opt/terrace/lib python3 - <<'PY'\n{script}\nPY"))
    # Two changes leave the rows as they were: none, and one that was taken back.
    assert found == {"wrong": [], "different": 8}


LEFT_BEHIND = "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)"
DOOR = "find /etc/postgresql/17/main /etc/systemd/system -name '*replication*' | wc -l"


@pytest.mark.matrix
def test_a_copy_that_follows_loses_no_acknowledged_write_and_leaves_nothing_behind(mover: Mover) -> None:
    found = mover.cloud.client("ssm").get_parameter(
        Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", WithDecryption=True
    )
    mover.cloud.sh("app", f"export PGPASSWORD='{found['Parameter']['Value']}'\n{WRITER}")
    mover.run("follow")
    assert "terrace_move" not in json.dumps(mover.run("plan", code=10))
    before = int(mover.box("select count(*) from receipts"))
    until(lambda: int(mover.box("select count(*) from receipts")) > before)
    switched = mover.run("switch")
    note(f"followed {switched['rows']} rows: {switched['pause']} s without a writer")
    assert (switched["differences"], switched["writer"]["end"]) == ([], "rds")
    rows = mover.box("select count(*) from receipts")
    assert mover.application("rds", "select count(*) from receipts") == rows
    assert mover.application("rds", "insert into receipts (merchant) values ('on') returning 1") == "1"
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert mover.box(LEFT_BEHIND) == "0"
    assert mover.cloud.sh("app", DOOR) == "0"
    mover.run("copy")
    assert mover.run("switch")["writer"]["end"] == "box"


@pytest.mark.matrix
def test_a_gigabyte_is_followed_and_a_client_that_writes_fifty_times_a_second_waits_for_seconds(
    mover: Mover,
) -> None:
    mover.box(GIGABYTE.replace("checkpoint;", ""))
    size = int(mover.box("select pg_database_size('app')"))
    found = mover.cloud.client("ssm").get_parameter(
        Name=f"{PARAMETERS}/{DATABASE_PASSWORD}", WithDecryption=True
    )
    mover.cloud.sh(
        "app",
        f"cat > /root/paced.py <<'PY'\n{PACED.read_text(encoding='utf-8')}\nPY\n"
        f"export PGPASSWORD='{found['Parameter']['Value']}'\n"
        f"nohup python3 /root/paced.py 127.0.0.1 {mover.cloud.endpoint} > /root/acknowledged 2> /root/paced.log &",
    )
    followed = mover.run("follow")
    mover.box("set role app; update heavy set said = said || 'x' where id % 100000 = 1")
    switched = mover.run("switch")
    until(lambda: int(mover.cloud.sh("app", "grep -c other /root/acknowledged || true")) > 50)
    told = [
        line.split()
        for line in mover.cloud.sh("app", "touch /root/stop; sleep 1; cat /root/acknowledged").splitlines()
    ]
    gap = max(float(after[2]) - float(before[2]) for before, after in pairwise(told))
    note(
        f"{size / 1e9:.2f} GB, {len(told)} writes at 50/s: followed within {followed['seconds']} s, "
        f"{switched['pause_seconds']} s without a writer {switched['pause']}, "
        f"{gap:.2f} s between two acknowledged writes"
    )
    assert switched["differences"] == []
    written = "select merchant from receipts where merchant like 'paced-%' order by 1"
    here, there = (set(mover.application("rds", written).split()), set(mover.box(written).split()))
    assert len(here) == int(
        mover.application("rds", "select count(*) from receipts where merchant like 'paced-%'")
    )
    assert {f"paced-{number}" for number, _, _ in told} <= here, "an acknowledged write was lost"
    assert there <= here, "the box took a write after the copy was whole"
    assert not there & {f"paced-{number}" for number, side, _ in told if side == "other"}, "written to both"
    mover.application("rds", "drop table heavy")
    mover.run("copy")
    mover.run("switch")
    mover.box(
        "select format('drop database %I', datname) from pg_database where datname like 'app_before_%' \\gexec",
        "postgres",
    )


@pytest.mark.matrix
def test_a_copy_that_followed_is_given_up_and_no_slot_keeps_the_log(mover: Mover) -> None:
    mover.run("follow")
    assert mover.run("plan", code=10)["kept_for_follower"]
    mover.run("back")
    assert mover.box(LEFT_BEHIND) == "0"
    assert mover.application("box", "insert into receipts (merchant) values ('on') returning 1") == "1"


@pytest.mark.matrix
def test_a_table_without_a_key_is_refused_before_its_updates_would_fail(mover: Mover) -> None:
    mover.box("set role app; create table bare (n int)")
    assert "without a primary key cannot be followed: public.bare" in mover.run("follow", code=4)
    mover.box("drop table bare")


def test_a_copy_that_is_killed_begins_anew_or_is_taken_back(mover: Mover) -> None:
    # Seen and killed in the box: a restore of so few rows is over before anybody outside it has looked twice.
    mover.cloud.sh(
        "app",
        f"nohup terrace-data copy {mover.arguments} > /root/killed 2>&1 & pid=$!\n"
        "timeout 60 sh -c 'until grep -q restoring /root/killed; do sleep 0.02; done'\n"
        "kill -9 $pid; sleep 1; pkill pg_restore; true",
    )
    assert mover.run("plan", code=10)["next"] == "copy; or back"
    assert "holds no whole copy" in mover.run("switch", code=4)
    mover.run("back")
    assert mover.application("box", "select 1") == "1"
    mover.run("copy")
    assert mover.run("verify")["differences"] == []
    mover.run("back")


def test_a_target_with_tables_that_no_move_left_there_is_refused_before_anything_changes(
    mover: Mover,
) -> None:
    mover.master("comment on database app is null; create table theirs (x int)")
    assert "not empty: it has 1 tables" in mover.run("copy", code=4)
    assert mover.application("box", "select 1") == "1"


def test_a_stack_that_began_with_rds_gets_the_applications_role_and_an_empty_database(mover: Mover) -> None:
    mover.master("comment on database app is null; drop table if exists theirs")
    record = {"epoch": 9, "end": "rds", "host": mover.cloud.endpoint, "port": 5432}
    mover.cloud.client("ssm").put_parameter(
        Name=f"{PARAMETERS}/{DATABASE_WRITER}", Value=json.dumps(record), Type="String", Overwrite=True
    )
    assert mover.run("provide")["changed"]
    mover.application("rds", "create table t (v vector(3)); insert into t values ('[1,2,3]')")
    assert not mover.run("provide")["changed"]
    assert mover.application("rds", "select v from t") == "[1,2,3]"


def test_no_secret_stands_on_a_command_line_or_in_what_is_said(mover: Mover) -> None:
    login = json.loads(
        mover.cloud.client("secretsmanager").get_secret_value(SecretId=mover.cloud.master_secret)[
            "SecretString"
        ]
    )
    said = mover.cloud.sh("app", "cat /root/killed; journalctl -b --no-pager -t terrace-data; ps -ef")
    assert login["password"] not in said
