"""The only place that shows RDS instances and Route 53 records as plain frozen data, read in process.

Beside view.py, which shows EC2: what a supervisor makes real as machines that nobody logs in to, and what the
resolver of boxes answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.world import WORLD
from infra.core.instances import DATABASE_CLASSES

ENGINE = "postgres"
MOST_CHAIN = 8
"""How many CNAMEs are followed before a name counts as leading nowhere."""


@dataclass(frozen=True, slots=True)
class Database:
    """An RDS instance of PostgreSQL in a VPC. `subnet_cidr` is the first of its group, `parameters` the user's."""

    identifier: str
    region: str
    is_running: bool
    address: str
    port: int
    name: str
    major: str
    memory_mib: int
    vcpus: int
    vpc_id: str
    vpc_cidr: str
    subnet_cidr: str
    security_group_ids: tuple[str, ...]
    parameters: Mapping[str, str]
    master: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One record set of a name: its values with their time to live, or what it is an alias of."""

    kind: str
    values: tuple[str, ...]
    ttl_seconds: int
    alias: str = ""


def databases(account_id: str = ACCOUNT_ID) -> tuple[Database, ...]:
    """Every PostgreSQL instance that stands in a subnet group, in the order of its making."""
    from moto.rds.models import rds_backends

    with WORLD:
        return tuple(
            _database(backend, each)
            for backend in rds_backends[account_id].values()
            for each in backend.databases.values()
            if each.engine == ENGINE and getattr(each, "db_subnet_group", None) is not None
        )


def records(name: str, account_id: str = ACCOUNT_ID) -> tuple[Answer, ...] | None:
    """What Route 53 says of a name without its last dot; None where no hosted zone holds it."""
    from moto.route53.models import route53_backends

    wanted = name.rstrip(".").lower() + "."
    with WORLD:
        zones = [
            zone
            for backend in route53_backends[account_id].values()
            for zone in backend.zones.values()
            if wanted == zone.name.lower() or wanted.endswith("." + zone.name.lower())
        ]
        if not zones:
            return None
        zone = max(zones, key=lambda each: len(each.name))
        return tuple(_answers(zone, wanted))


def _answers(zone: Any, wanted: str) -> Iterator[Answer]:
    for record in zone.rrsets:
        if record.name.lower().rstrip(".") + "." != wanted:
            continue
        alias = record.alias_target or {}
        yield Answer(
            kind=str(record.type),
            values=tuple(str(each) for each in record.records or ()),
            ttl_seconds=int(record.ttl or 60),
            alias=str(alias.get("DNSName", "")).rstrip(".").lower(),
        )


def _database(backend: Any, database: Any) -> Database:
    from moto.ec2.models import ec2_backends

    ec2 = ec2_backends[backend.account_id][backend.region_name]
    group = database.db_subnet_group
    subnet = min(group._subnets, key=lambda each: str(each.availability_zone))
    size = DATABASE_CLASSES.get(str(database.db_instance_class))
    parameters = backend.db_parameter_groups.get(database.db_parameter_group_name)
    shown = parameters.parameters if parameters is not None else {}
    return Database(
        identifier=str(database.db_instance_identifier),
        region=str(backend.region_name),
        is_running=database.status == "available",
        address=str(database.address),
        port=int(database.port),
        name=str(database.db_name or "postgres"),
        major=str(database.engine_version).split(".", 1)[0],
        memory_mib=(size.memory_gib if size else 1) * 1024,
        vcpus=size.vcpus if size else 2,
        vpc_id=str(subnet.vpc_id),
        vpc_cidr=str(ec2.get_vpc(subnet.vpc_id).cidr_block),
        subnet_cidr=str(subnet.cidr_block),
        security_group_ids=tuple(sorted(str(each) for each in database.vpc_security_group_ids)),
        parameters={name: str(each["ParameterValue"]) for name, each in shown.items()
                    if "ParameterValue" in each},
        master=str(database.master_username),
        password=_password(backend, database),
    )  # fmt: skip


def _password(backend: Any, database: Any) -> str:
    managed = getattr(database, "master_user_secret", None)
    if managed is None:
        return str(database.master_user_password)
    found = backend.secretsmanager.get_secret_value(managed.secret.arn, None, None)
    return str(json.loads(found["SecretString"])["password"])
