"""The only place for PostgreSQL on the box: its configuration, its cluster on /data, role, database, extensions.

The cluster is made by initdb itself, beside its place and then renamed: pg_createcluster would leave half of one
after a power cut, and does not take up a directory that an earlier box made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from infra.core.memory import Budget
from infra.host.box.data.record import BOX, Record

from .settings import USER, password
from .system import DATA, Facts, client, directory, run, write

PGDATA = DATA / "pgdata"
CONF = Path("/etc/postgresql/17/main")
BIN = Path("/usr/lib/postgresql/17/bin")
UNIT = "postgresql@17-main.service"
FIXED_PGVECTOR = (0, 8, 2)
"""Parallel builds of HNSW indexes overflow a buffer before 0.8.2 (CVE-2026-3172)."""

SCRAM_ITERATIONS = 4096
"""PostgreSQL's own default (its manual, scram_iterations)."""

_MAIN = """\
# Written by terrace-host; conf.d/ adds to it.
data_directory = '/data/pgdata'
hba_file = '/etc/postgresql/17/main/pg_hba.conf'
ident_file = '/etc/postgresql/17/main/pg_ident.conf'
external_pid_file = '/var/run/postgresql/17-main.pid'
unix_socket_directories = '/var/run/postgresql'
cluster_name = '17/main'
port = 5432
include_dir = 'conf.d'
"""
_HBA = """\
# The application by password over the loopback; who maintains it by being that user of this machine.
local   all             postgres                                peer
local   postgres        terrace_metrics                         peer map=metrics
local   all             all                                     peer
host    all             app             127.0.0.1/32            scram-sha-256
# Only while terrace-data lets another database follow this one.
include_if_exists pg_hba-replication.conf
"""
_DROP_IN = """\
[Unit]
AssertPathIsMountPoint=/data
Requires=terrace-data.service
After=terrace-data.service
[Service]
Restart=on-failure
RestartSec=5
OOMPolicy=continue
OOMScoreAdjust=-800
"""


def configuration(budget: Budget, pgvector: str) -> str:
    """conf.d/10-terrace.conf for a box with that budget and that version of pgvector (as "0.8.0-2").

    Raises:
        ValueError: the budget has no database.
    """
    share = budget.database
    if share is None:
        raise ValueError(f"a {budget.role} box has no database")
    values = {
        "listen_addresses": "'127.0.0.1'",
        "password_encryption": "'scram-sha-256'",
        "shared_buffers": f"{share.shared_buffers_mib}MB",
        "effective_cache_size": f"{budget.effective_cache_mib}MB",
        "work_mem": f"{share.work_mem_mib}MB",
        "maintenance_work_mem": f"{share.maintenance_work_mem_mib}MB",
        "max_connections": str(share.max_connections),
        "shared_preload_libraries": "'pg_stat_statements'",
        "wal_level": "logical",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
        "logging_collector": "off",
    }
    if version(pgvector) < FIXED_PGVECTOR:
        values["max_parallel_maintenance_workers"] = "0"
    return "# Written by terrace-host from the box's memory.\n" + "".join(
        f"{name} = {value}\n" for name, value in values.items()
    )


def version(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (0, 8, 0) of "0.8.0-2"."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(each) for each in found[0].split(".")) if found else (0,)


def configure(budget: Budget) -> bool:
    """Writes every file; whether one changed. The package must be installed."""
    packaged = run(["dpkg-query", "-W", "-f", "${Version}", "postgresql-17-pgvector"])
    directory(CONF, owner="postgres", group="postgres")
    directory(CONF / "conf.d", owner="postgres", group="postgres")

    def put(name: str, text: str, mode: int = 0o644) -> bool:
        return write(CONF / name, text, mode=mode, owner="postgres", group="postgres")

    changed = [
        put("postgresql.conf", _MAIN),
        put("pg_hba.conf", _HBA, 0o640),
        put(
            "pg_ident.conf",
            "# The system's name and the database's.\nmetrics terrace-metrics terrace_metrics\n",
            0o640,
        ),
        put("start.conf", "auto\n"),
        put("environment", "# Nothing.\n"),
        put("pg_ctl.conf", "pg_ctl_options = ''\n"),
        put("conf.d/10-terrace.conf", configuration(budget, packaged)),
        write(Path(f"/etc/systemd/system/{UNIT.replace('17-main', '')}.d/terrace.conf"), _DROP_IN),
    ]
    return any(changed)


def reload() -> None:
    """The running server reads its files again; from then on it knows which settings wait for a restart.

    Raises:
        TerraceError: it has not read them within ten seconds.
    """
    loaded = "select extract(epoch from pg_conf_load_time())"
    before = sql(loaded)
    sql("select pg_reload_conf()")
    deadline = time.monotonic() + 10.0
    while sql(loaded) == before:
        if time.monotonic() > deadline:
            raise TerraceError(Fault(UNIT, "does not read its files again", f"journalctl -u {UNIT}"))
        time.sleep(0.1)


def make_cluster() -> bool:
    """Makes the cluster where there is none; whether it did."""
    if (PGDATA / "PG_VERSION").exists():
        return False
    part = DATA / ".pgdata.part"
    run(["rm", "-rf", str(part)])
    directory(part, mode=0o700, owner="postgres", group="postgres")
    run(
        [
            str(BIN / "initdb"), "--pgdata", str(part), "--data-checksums", "--encoding=UTF8",
            "--locale=C.UTF-8", "--auth=peer",
        ],
        user="postgres",
    )  # fmt: skip
    run(["sync", "--file-system", str(part)])
    part.rename(PGDATA)
    return True


def provide(found: Facts) -> None:
    """The application's role with its password, its database, and the extensions; the server runs.

    The server is given the password's verifier, never the password: statements are seen in its log and in
    pg_stat_statements (PostgreSQL manual, ALTER ROLE).

    A role made while RDS writes may not log in: a release that began here would make tables of its own, and take
    writes beside RDS's. terrace-data lets it in as it moves the rows (data/ends.py).
    """
    writes = Record(client("ssm", found), found["parameters"]).read().end == BOX
    sql(
        f"""
        do $do$ begin
          if not exists (select from pg_roles where rolname = '{USER}') then
            create role {USER} {"login" if writes else "nologin"}; end if;
          if not exists (select from pg_roles where rolname = 'terrace_metrics') then
            create role "terrace_metrics" login; grant pg_monitor to "terrace_metrics"; end if;
        end $do$;
        select 'create database {USER} owner {USER}'
          where not exists (select from pg_database where datname = '{USER}') \\gexec
        """  # noqa: S608 names of ours
    )
    secret = password(found, may_make=True)
    if not matches(secret, sql(f"select rolpassword from pg_authid where rolname = '{USER}'")):  # noqa: S608
        sql(f"alter role {USER} password '{verifier(secret)}'")
    sql("create extension if not exists vector; create extension if not exists pg_stat_statements;", USER)


def knows(found: Facts) -> bool:
    """Whether the server has the password that SSM has; the server runs."""
    kept = sql(f"select rolpassword from pg_authid where rolname = '{USER}'")  # noqa: S608 a name of ours
    return matches(password(found), kept)


def verifier(secret: str, *, salt: bytes = b"", iterations: int = SCRAM_ITERATIONS) -> str:
    """What PostgreSQL keeps of a password of ASCII characters (RFC 5803; its manual, pg_authid.rolpassword).

    Raises:
        ValueError: the password has other characters, which SASLprep would have to prepare.
    """
    if not secret.isascii() or not secret.isprintable():
        raise ValueError("a password of a role has printable ASCII characters only")
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, iterations)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(each).decode() for each in (salt, client, server)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def matches(secret: str, kept: str) -> bool:
    """Whether what PostgreSQL keeps is that password's."""
    found = re.match(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$", kept)
    if found is None:
        return False
    made = verifier(secret, salt=base64.b64decode(found[2]), iterations=int(found[1]))
    return hmac.compare_digest(made, kept)


def sql(query: str, database: str = "postgres") -> str:
    """The answer of the database, as its superuser by peer authentication."""
    line = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]
    return run(line, stdin=query, user="postgres").strip()
