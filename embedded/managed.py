"""The only place for machines behind managed services: an RDS instance is a PostgreSQL machine at its endpoint.

What it does as RDS does (RDS User Guide): the master user is no superuser but a member of rds_superuser; TLS is
forced where `rds.force_ssl` says so; `max_connections` and `rds.logical_replication` are the parameter group's. What
it does not: a change of the parameter group, of the class or of the master secret after its first boot, copies of
its disk, a second zone, a version of PostgreSQL other than the distribution's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network

from embedded import boxes
from embedded.aws.managed import MOST_CHAIN, Database, records

MIB = 1024**2
RESERVED_ADDRESSES = 4
"""The first four addresses of a subnet are AWS's own (VPC User Guide, "Subnet CIDR blocks")."""

ENDPOINT_SECONDS, BALANCER_SECONDS = 5, 60
"""How long the name of a database and of a load balancer may be remembered (the latter: ELB User Guide)."""

Certificate = Callable[[str], bytes]
"""Key and certificate (PEM) for a name, by the cloud's authority."""


def machine_id(database: Database) -> str:
    """The box's id, derived from the identifier."""
    digest = hashlib.sha256(f"{database.region}/{database.identifier}".encode()).hexdigest()
    return f"rds-{digest[:12]}"


def places(found: Sequence[Database], taken: Collection[IPv4Address]) -> dict[str, IPv4Address]:
    """The private address of every database by its endpoint, from the far end of its subnet."""
    used, placed = set(taken), {}
    for database in found:
        network = IPv4Network(database.subnet_cidr)
        for offset in range(2, network.num_addresses - RESERVED_ADDRESSES):
            if (address := network[-offset]) not in used:
                used.add(address)
                placed[database.address] = address
                break
    return placed


def box(database: Database, address: IPv4Address, certificate: Certificate) -> boxes.BoxSpec:
    """The machine that answers at that address; its user data is the cloud's own and leaves it never."""
    digest = hashlib.sha256(database.address.encode()).digest()
    return boxes.BoxSpec(
        instance_id=machine_id(database),
        power=boxes.Power.RUNNING if database.is_running else boxes.Power.STOPPED,
        vpc_id=database.vpc_id,
        vpc_cidr=IPv4Network(database.vpc_cidr),
        private_ip=address,
        mac="0a:db:" + ":".join(f"{byte:02x}" for byte in digest[:4]),
        memory_bytes=database.memory_mib * MIB,
        vcpus=database.vcpus,
        user_data=_user_data(database, certificate(database.address)).encode(),
        security_groups=database.security_group_ids,
        identity=boxes.Identity(region=database.region),
    )


def resolve(placed: dict[str, IPv4Address], name: str, kind: str) -> boxes.Reply | None:
    """What the resolver says of an endpoint or of a name in Route 53; None for any other."""
    chain: list[boxes.Record] = []
    asked = name
    for _ in range(MOST_CHAIN):
        if (address := placed.get(asked)) is not None:
            seconds = BALANCER_SECONDS if asked.endswith(".elb.amazonaws.com") else ENDPOINT_SECONDS
            found = (boxes.Record("A", str(address), seconds, asked),) if kind == "A" else ()
            return boxes.Reply((*chain, *found))
        answers = records(asked)
        if answers is None:
            return boxes.Reply(tuple(chain)) if chain else None
        if not answers:
            return boxes.Reply(tuple(chain), exists=bool(chain))
        aliases = [each for each in answers if each.alias and each.kind == kind]
        names = [each for each in answers if each.kind == "CNAME" and kind != "CNAME"]
        if not aliases and not names:
            return boxes.Reply((*chain, *_of_kind(answers, asked, kind)))
        if names:
            (target, *_), ttl = names[0].values, names[0].ttl_seconds
            chain.append(boxes.Record("CNAME", target.rstrip("."), ttl, asked))
            asked = target.rstrip(".").lower()
        else:
            asked = aliases[0].alias
    return boxes.Reply(tuple(chain))


def _of_kind(answers: Sequence[object], asked: str, kind: str) -> list[boxes.Record]:
    from embedded.aws.managed import Answer

    found = []
    for answer in answers:
        if not isinstance(answer, Answer) or answer.kind != kind:
            continue
        for value in answer.values:
            if answer.kind == "A":
                found.append(boxes.Record("A", value, answer.ttl_seconds, asked))
            elif answer.kind == "CNAME":
                found.append(boxes.Record("CNAME", value.rstrip("."), answer.ttl_seconds, asked))
            elif answer.kind == "TXT":
                found.append(boxes.Record("TXT", value.strip('"'), answer.ttl_seconds, asked))
    return found


def _user_data(database: Database, certificate: bytes) -> str:
    forced = database.parameters.get("rds.force_ssl", "1") == "1"
    logical = database.parameters.get("rds.logical_replication", "0") == "1"
    return _SCRIPT.format(
        major=database.major,
        port=database.port,
        connections=database.parameters.get("max_connections", "100"),
        level="logical" if logical else "replica",
        way="hostssl" if forced else "host",
        cidr=database.vpc_cidr,
        master=database.master,
        password=database.password.replace("'", "''"),
        name=database.name,
        certificate=certificate.decode(),
    )


_SCRIPT = """\
#!/bin/sh
# A managed database of the embedded cloud.
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
apt-get install --yes --no-install-recommends postgresql-{major} postgresql-{major}-pgvector
# RDS lets rds_superuser make the extensions that it knows; the distribution lets a superuser alone.
for name in vector pg_stat_statements; do
    control=/usr/share/postgresql/{major}/extension/$name.control
    grep -q '^trusted' "$control" || echo 'trusted = true' >> "$control"
done
pg_createcluster {major} rds --locale C.UTF-8 --port {port} -- --auth-host=scram-sha-256
umask 077
cat > /etc/postgresql/{major}/rds/server.pem <<'PEM'
{certificate}
PEM
chown postgres: /etc/postgresql/{major}/rds/server.pem
umask 022
cat >> /etc/postgresql/{major}/rds/postgresql.conf <<'CONF'
listen_addresses = '*'
ssl = on
ssl_cert_file = '/etc/postgresql/{major}/rds/server.pem'
ssl_key_file = '/etc/postgresql/{major}/rds/server.pem'
password_encryption = 'scram-sha-256'
max_connections = {connections}
wal_level = {level}
timezone = 'UTC'
CONF
cat > /etc/postgresql/{major}/rds/pg_hba.conf <<'HBA'
local all postgres peer
{way} all all {cidr} scram-sha-256
HBA
chown -R postgres: /etc/postgresql/{major}/rds
systemctl enable --now postgresql@{major}-rds
runuser -u postgres -- psql -v ON_ERROR_STOP=1 -p {port} <<'SQL'
set log_statement = 'none';
create role rds_superuser nologin;
grant pg_monitor, pg_signal_backend, pg_checkpoint, pg_create_subscription, pg_use_reserved_connections,
  pg_maintain to rds_superuser with admin option;
create role rds_replication nologin;
create role "{master}" login createdb createrole in role rds_superuser, rds_replication;
alter role "{master}" password '{password}';
create database "{name}" owner "{master}";
SQL
"""
