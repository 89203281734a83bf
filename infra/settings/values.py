"""The only place for what one value of a stack file may be: a type for each kind, with its bound and remedy."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_network
from itertools import permutations
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from infra.core import network
from infra.core.errors import Fault, TerraceError, nearest
from infra.core.instances import DATABASE_CLASSES, INSTANCE_TYPES, Architecture
from infra.core.notice import QuietHours
from infra.core.prices import load as load_book
from infra.core.stages import find

NAMESPACE = "terrace"

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557)
"""What PutRetentionPolicy takes, of up to seven years (CloudWatch Logs API reference)."""


def _refuse(what: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("terrace", "{what}", {"what": what, "remedy": remedy})


def _refuse_first(faults: list[Fault]) -> None:
    if faults:
        raise _refuse(faults[0].what, faults[0].remedy)


def _stage_name(value: str) -> str:
    try:
        return find(value).name
    except TerraceError as error:
        _refuse_first(list(error.faults))
        raise


def _climb_to(value: str) -> str:
    try:
        return find(value, path="terrace:climb.to").name
    except TerraceError as error:
        _refuse_first(list(error.faults))
        raise


def _box_type(value: str) -> str:
    known = [each.name for each in INSTANCE_TYPES.values() if each.architecture is Architecture.ARM64]
    if value not in known:
        raise _refuse(
            f"{value!r} is no instance type that a box can have (arm64)",
            f"Use one of {', '.join(known)}{nearest(value, known)}",
        )
    return value


def _database_class(value: str) -> str:
    if value not in DATABASE_CLASSES:
        raise _refuse(
            f"{value!r} is no database class of this project",
            f"Use one of {', '.join(DATABASE_CLASSES)}{nearest(value, DATABASE_CLASSES)}",
        )
    return value


def _ami(value: str) -> str:
    remedy = "Fill it with: scripts/account.py ami --stack STACK"
    if not value:
        raise _refuse("is empty: no image is guessed", remedy)
    if not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", value):
        raise _refuse(f"{value!r} has not the form of an AMI id (ami- and 17 hexadecimal digits)", remedy)
    return value


def _vpc_cidr(value: str) -> str:
    _refuse_first(network.vpc_faults(value))
    return value


def _source_cidr(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise _refuse(
            f"{value!r} is no CIDR block ({error})", "Write 203.0.113.0/24, or 0.0.0.0/0"
        ) from error


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise _refuse("is empty: nobody could reach the service", 'Name at least one block, or ["0.0.0.0/0"]')
    return values


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", value):
        raise _refuse(f"{value!r} is no e-mail address", "Give one that somebody reads, as ops@example.com")
    return value


def _domain(value: str) -> str:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if len(value) > 253 or not re.fullmatch(rf"({label}\.)+[a-z]{{2,63}}", value):
        raise _refuse(
            f"{value!r} is no domain name", "Write it in lower case without a scheme: app.example.com"
        )
    return value


def _price_book(value: str) -> str:
    try:
        return load_book(value).name
    except TerraceError as error:
        _refuse_first(list(error.faults))
        raise


def _not_empty(value: object) -> object:
    if value == "":
        raise _refuse(
            "is empty: nobody here knows what you may spend",
            'Write an amount in quotes, as "150"; scripts/cost.py stage STAGE says what a stage costs a month',
        )
    return value


def _retention(value: int) -> int:
    if value not in LOG_RETENTION_DAYS:
        raise _refuse(f"{value} is no retention that CloudWatch knows", f"Use one of {LOG_RETENTION_DAYS}")
    return value


def _quiet_hours(value: str) -> str:
    try:
        _ = value and QuietHours.parse(value)
    except ValueError as error:
        raise _refuse(str(error), 'Write "22:00-08:00+09:00" for ten hours of the night in Seoul') from error
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,127}", value):
        raise _refuse(
            f"{value!r} is no name of an environment variable", "Use capitals, digits and _, as JWT_SECRET"
        )
    return value


def _stack_names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Stacks that get roles. A name that began as the roles' own do would reach them (components/roles.py)."""
    if not values:
        raise _refuse("is empty: no stack would get a role", "Name the account's stacks, as [dev, prod]")
    for value in values:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", value) or value.startswith(("workflow", "state")):
            raise _refuse(
                f"{value!r} is no name of a stack that workflows deploy",
                "Use up to 16 of a-z, 0-9 and -, beginning neither with workflow nor with state",
            )
    for one, other in permutations(values, 2):
        if one == other or other.startswith(f"{one}-"):
            raise _refuse(
                f"{other!r} is {one!r}, or begins with it: the role of {one} would reach both",
                "Name each once, and none after another's name and a dash",
            )
    return values


StageName = Annotated[str, AfterValidator(_stage_name)]
ClimbTarget = Annotated[str, AfterValidator(_climb_to)]
BoxType = Annotated[str, AfterValidator(_box_type)]
DatabaseClass = Annotated[str, AfterValidator(_database_class)]
Ami = Annotated[str, AfterValidator(_ami)]
VpcCidr = Annotated[str, AfterValidator(_vpc_cidr)]
SourceCidr = Annotated[str, AfterValidator(_source_cidr)]
Sources = Annotated[tuple[SourceCidr, ...], AfterValidator(_some)]
Email = Annotated[str, AfterValidator(_email)]
Domain = Annotated[str, AfterValidator(_domain)]
BookName = Annotated[str, AfterValidator(_price_book)]
RetentionDays = Annotated[int, AfterValidator(_retention)]
Nightly = Annotated[str, AfterValidator(_quiet_hours)]
Variable = Annotated[str, AfterValidator(_variable)]
StackNames = Annotated[tuple[str, ...], AfterValidator(_stack_names)]
Amount = Annotated[Decimal, BeforeValidator(_not_empty)]
