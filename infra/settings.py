"""The only place for a stack's settings: one frozen model, every key described, every fault at once.

`from_engine()` reads what the engine hands to the program, `from_file()` a stack file without the engine; both end
in `parse()`, so there is one rule behind two doors. Secrets never stand here: only the names of SSM parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from ipaddress import ip_network
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from infra.core import external_ai, network
from infra.core.errors import Fault, TerraceError, nearest
from infra.core.gpu import definition as gpu_definition
from infra.core.gpu.modes import APPLICATION_IS_TOLD, Wanted
from infra.core.instances import DATABASE_CLASSES, INSTANCE_TYPES, Architecture
from infra.core.naming import FAKE_AMI, CostCenter, Environment, Naming, Team, mandatory_tags
from infra.core.notice import QuietHours, Webhook
from infra.core.prices import DEFAULT_BOOK
from infra.core.prices import load as load_book
from infra.core.shape import Climb, Firewall, Nat, Part, Phase, Shape, Sizes, shape
from infra.core.stages import LADDER, Option, Role, Stage, find
from infra.core.thresholds import Facts
from infra.core.transition import Standing, climb_faults

NAMESPACE = "terrace"
SMALLEST_VOLUME_GIB = 20
LARGEST_VOLUME_GIB = 16384
"""A gp3 volume holds 1 GiB to 16 TiB (EBS User Guide, "General Purpose SSD volumes")."""

LARGEST_DATABASE_GIB = 65536
"""RDS for PostgreSQL on gp3 holds 20 GiB to 64 TiB (RDS User Guide, "Amazon RDS DB instance storage")."""

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


def _decoded(value: object) -> object:
    """The engine hands lists and maps over as JSON text; a stack file holds them as they are."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


BoxType = Annotated[str, AfterValidator(_box_type)]
Email = Annotated[str, AfterValidator(_email)]
Variable = Annotated[str, AfterValidator(_variable)]
SourceCidr = Annotated[str, AfterValidator(_source_cidr)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        str_strip_whitespace=True,
    )


class Tags(_Model):
    """The tags that a person answers for; Environment and Project follow from the stack."""

    team: Team = Field(description="who builds it", examples=["engineering"])
    cost_center: CostCenter = Field(description="who pays for it", examples=["RnD"])
    owner: Email = Field(description="e-mail address of who answers for it", examples=["ops@example.com"])


class Network(_Model):
    """Addresses."""

    cidr: Annotated[str, AfterValidator(_vpc_cidr)] = Field(
        default="10.20.0.0/16", description="the VPC's block, /16 to /20 of a private range; never changes"
    )
    ingress_sources: Annotated[tuple[SourceCidr, ...], AfterValidator(_some)] = Field(
        default=("0.0.0.0/0",), description="who may reach port 443"
    )


class Notify(_Model):
    """Who is told of alarms besides the mail."""

    webhook: Webhook = Field(
        default=Webhook.NONE,
        description="slack or discord; its address by `scripts/watch.py webhook --set`",
    )
    quiet_hours: Annotated[str, AfterValidator(_quiet_hours)] = Field(
        default="",
        description='when the chat hears of pages alone, with the offset from UTC: "22:00-08:00+09:00"',
    )


class Backup(_Model):
    """Copies of the data volume."""

    daily_snapshots: int = Field(default=7, ge=1, le=365, description="daily snapshots that are kept")
    weekly_snapshots: int = Field(default=4, ge=0, le=52, description="weekly snapshots that are kept")
    aws_backup: bool = Field(
        default=False, description="AWS Backup with a vault of its own, besides snapshots"
    )
    offsite_region: str | None = Field(
        default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="another region, into which the backups bucket is copied all the time",
        examples=["ap-northeast-1"],
    )  # fmt: skip


class App(_Model):
    """What the application is told."""

    settings: dict[Variable, str] = Field(
        default_factory=dict, description="environment variables, not secret"
    )
    secrets: tuple[Variable, ...] = Field(
        default=(), description="names of secret ones; values by `scripts/account.py set NAME`"
    )
    worker: bool = Field(
        default=False,
        description="background jobs beside the backend: its jar once more, with the profile worker",
    )


class Budget(_Model):
    """A month's money, before tax. AWS never sees what RunPod bills, so the GPU's share stands apart."""

    monthly: Annotated[Decimal, BeforeValidator(_not_empty)] = Field(
        gt=0, description="amount a month, in quotes", examples=["100000"]
    )
    currency: Literal["USD", "KRW"] = Field(default="USD", description="USD or KRW")
    krw_per_usd: Decimal | None = Field(
        default=None, gt=0, description="what a dollar costs, where currency is KRW"
    )
    rate_of: date | None = Field(default=None, description="the day of that rate, as 2026-10-09")
    gpu_share: Decimal = Field(default=Decimal(0), ge=0, lt=1, description="the GPU's share, 0.2 for a fifth")

    @property
    def usd(self) -> Decimal:
        """The whole in USD."""
        return (self.monthly / (self.krw_per_usd or 1)).quantize(Decimal("0.01"))

    @property
    def aws_usd(self) -> Decimal:
        """What AWS Budgets watches."""
        return (self.usd * (1 - self.gpu_share)).quantize(Decimal("0.01"))


class ExternalAi(_Model):
    """An AI API of somebody else, to which the backend may send receipts; leave it out and none leaves the stack."""

    url: str = Field(
        pattern=r"^https://[a-z0-9.-]+(:\d+)?(/\S*)?$",
        description="its address, over TLS",
        examples=["https://api.example.com/v1"],
    )
    model: str = Field(min_length=1, description="the model that is asked", examples=["a-model"])
    reason: str = Field(
        min_length=external_ai.SHORTEST_REASON,
        description="why receipts may go there, who agreed and until when; the application and its logs show it",
        examples=["endpoint away until 2027-01-31, agreed with the customer"],
    )

    @property
    def told(self) -> dict[str, str]:
        """What the application is told; the key is a secret of its own."""
        return {
            external_ai.URL_VARIABLE: self.url,
            external_ai.MODEL_VARIABLE: self.model,
            external_ai.REASON_VARIABLE: self.reason,
        }


class Account(_Model):
    """What an AWS account has once, in one stack of it: trail, detection, defaults, roles of the workflows."""

    repository: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$",
        description="OWNER/NAME on GitHub, whose workflows get roles: docs/workflows.md",
    )
    stacks: Annotated[tuple[str, ...], AfterValidator(_stack_names)] = Field(
        default=("dev", "prod"), description="the stacks of this account that workflows preview and deploy"
    )
    trail: bool = Field(default=True, description="CloudTrail of all regions, to the logs bucket")
    guard_duty: bool = Field(default=True, description="GuardDuty in this region")
    cost_tags: bool = Field(
        default=False,
        description="cost-allocation tags; billing must have seen them, a day after the first up",
    )


class Drill(_Model):
    """What `scripts/restore.py drill` tells the scratch stack that it makes; nobody writes it by hand."""

    source: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="the stack whose backups are restored"
    )
    expires: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\dZ$", description="when `restore.py sweep` may destroy it"
    )
    vpc_id: str = Field(description="the source's VPC")
    subnet_id: str = Field(description="the source's public subnet in the first zone")
    key_arn: str = Field(description="the source's key")
    backups_bucket: str = Field(description="the source's backups")
    uploads_bucket: str = Field(description="the source's uploads")
    artifacts_bucket: str = Field(description="where the restore programs lie")
    kit_key: str = Field(description="their key in it")
    kit_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="their SHA-256")


class Dns(_Model):
    """A record in Route 53; leave the whole key out where the name is served elsewhere."""

    zone_id: str = Field(
        pattern=r"^Z[A-Z0-9]{8,31}$", description="id of the hosted zone that holds the domain"
    )


class ClimbTo(_Model):
    """A climb across options while it goes on."""

    to: Annotated[str, AfterValidator(_climb_to)] = Field(
        description="the stage that the stack climbs to", examples=["split"]
    )
    phase: Phase = Field(
        description="expanded: both sides stand, the old one serves; moved: the new one serves",
        examples=["expanded"],
    )


class Machines(_Model):
    """Sizes of the stages with two boxes and a database."""

    frontend: BoxType = Field(default="t4g.small", description="instance type of the frontend box")
    backend: BoxType = Field(default="t4g.small", description="instance type of the backend box")
    database: Annotated[str, AfterValidator(_database_class)] = Field(
        default="db.t4g.micro", description="RDS instance class"
    )
    database_gib: int = Field(
        default=SMALLEST_VOLUME_GIB, ge=SMALLEST_VOLUME_GIB, le=LARGEST_DATABASE_GIB,
        description="storage of the database in GiB; it only ever grows",
    )  # fmt: skip


class Edge(_Model):
    """How the world reaches private boxes, and they the world."""

    nat: Nat = Field(
        default=Nat.ONE, description="NAT gateways: one, or per-zone; none is refused with its reasons"
    )
    firewall: Firewall = Field(
        default=Firewall.OFF,
        description="AWS WAF before the load balancer: off, count what its rules match, or block it",
    )
    certificate_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}$",
        description="an issued ACM certificate, where the domain's DNS is not in Route 53",
    )
    idle_timeout_seconds: int = Field(
        default=3600, ge=1, le=4000, description="how long the load balancer holds a silent connection"
    )
    drain_seconds: int = Field(
        default=60, ge=0, le=3600, description="how long a box that leaves may finish its requests"
    )


class Gpu(_Model):
    """The GPU endpoint; what it is stands in runpod/endpoint.yaml, how it is switched in runpod/policy.yaml."""

    mode: Wanted = Field(
        default=Wanted.OFF,
        description="off, flex, soft, active, or auto: the controller chooses; off has no endpoint",
    )
    most_workers: int | None = Field(
        default=None, ge=1, le=100, description="most workers at once; none: what the stage allows"
    )
    active_until: date | None = Field(
        default=None, description="last day of mode active (UTC), as 2027-01-31; then it goes back by itself"
    )
    budget_usd: Decimal = Field(
        default=Decimal(50), ge=1, description="most that the GPU may cost in a month, USD"
    )
    sample_share: Decimal = Field(
        default=Decimal(1),
        ge=0,
        le=1,
        description="share of receipts that the backend sends to the model, 0.1",
    )
    remove: str = Field(
        default="", description="name of the endpoint that mode off is to delete; asked for by the guard"
    )


class Settings(_Model):
    """Everything that one stack is told. Read-only; derived values are properties."""

    region: str = Field(
        alias="aws:region", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="AWS region; never changes", examples=["ap-northeast-2"],
    )  # fmt: skip
    stage: Annotated[str, AfterValidator(_stage_name)] = Field(
        description="where on the ladder the stack stands", examples=["single-8g"]
    )
    climb: ClimbTo | None = Field(
        default=None, description="to and phase, only while a climb across options goes on: docs/climbing.md"
    )
    kept: tuple[Part, ...] = Field(
        default=(), description="what stays of an earlier option: box-data, database, eip"
    )
    released: tuple[Part, ...] = Field(
        default=(), description="what of kept is protected no more, so that it can be given up"
    )
    environment: Environment = Field(
        description="dev, staging or prod; prod retains its data and takes no stand-in values",
        examples=["dev"],
    )
    zones: tuple[str, ...] = Field(
        description="availability zones, at least two; the first holds the box and its data for ever",
        examples=[["ap-northeast-2a", "ap-northeast-2c"]],
    )
    ami: Annotated[str, AfterValidator(_ami)] = Field(
        description="id of the Debian 13 arm64 image, pinned; `scripts/account.py ami` fills it",
        examples=["ami-…"],
    )
    alarm_email: Email = Field(description="who gets the alarms", examples=["ops@example.com"])
    notify: Notify = Field(
        default_factory=Notify, description="webhook and quietHours: alarms in a chat besides the mail"
    )
    tags: Tags = Field(description="team, costCenter and owner of everything in the stack")
    network: Network = Field(default_factory=Network, description="cidr and ingressSources")
    domain: Annotated[str, AfterValidator(_domain)] | None = Field(
        default=None, description="name under which the service answers, such as app.example.com"
    )
    dns: Dns | None = Field(default=None, description="zoneId: switches the Route 53 record on")
    data_volume_gib: int = Field(
        default=100, ge=SMALLEST_VOLUME_GIB, le=LARGEST_VOLUME_GIB,
        description="size of the data volume in GiB; it only ever grows",
    )  # fmt: skip
    machines: Machines = Field(default_factory=Machines, description="sizes from stage split on")
    edge: Edge = Field(default_factory=Edge, description="load balancer and NAT of stage private")
    cpu_credits: Literal["unlimited", "standard"] = Field(
        default="unlimited", description="what a burstable box does without credits: pay, or slow down"
    )
    certificate: Literal["production", "staging"] = Field(
        default="production",
        description="Let's Encrypt's endpoint for the domain; staging has wide limits and no browser's trust",
    )
    backup: Backup = Field(
        default_factory=Backup, description="dailySnapshots, weeklySnapshots, awsBackup, offsiteRegion"
    )
    deletion_protection: bool = Field(
        default=True, description="Pulumi's and AWS's protection of everything that holds data"
    )
    log_retention_days: Annotated[int, AfterValidator(_retention)] = Field(
        default=30, description="how long CloudWatch keeps logs"
    )
    app: App = Field(default_factory=App, description="settings and secrets of the application")
    gpu: Gpu = Field(default_factory=Gpu, description="the GPU endpoint on RunPod")
    external_ai: ExternalAi | None = Field(
        default=None,
        description="an AI API of somebody else that the backend may ask; without it no receipt leaves the stack",
    )
    budget: Budget | None = Field(
        default=None, description="monthly, currency, krwPerUsd, rateOf, gpuShare; switches AWS Budgets on"
    )
    account: Account | None = Field(
        default=None,
        description="what an account has once; in one stack of each account: {} takes all defaults",
    )
    drill: Drill | None = Field(
        default=None,
        description="makes it the scratch stack of a restore drill; `scripts/restore.py` writes it",
    )
    price_book: Annotated[str, AfterValidator(_price_book)] = Field(
        default=DEFAULT_BOOK, description="the price book that costs are told by"
    )

    @property
    def rung(self) -> Stage:
        """The row of the ladder that `stage` names."""
        return find(self.stage)

    @property
    def climbing(self) -> Climb | None:
        """The climb that goes on."""
        return Climb(find(self.climb.to), self.climb.phase) if self.climb is not None else None

    @property
    def sizes(self) -> Sizes:
        """What the stack sets in place of the ladder's own sizes."""
        machines = self.machines
        return Sizes(
            data_volume_gib=self.data_volume_gib,
            boxes={Role.FRONTEND: machines.frontend, Role.BACKEND: machines.backend},
            database_class=machines.database,
            database_gib=machines.database_gib,
            nat=self.edge.nat,
            zones=len(self.zones),
        )

    @property
    def shape(self) -> Shape:
        """What stands with these settings."""
        return shape(self.rung, climb=self.climbing, kept=self.kept, sizes=self.sizes)

    @property
    def app_settings(self) -> dict[str, str]:
        """What the application is told in clear."""
        return self.app.settings | (self.external_ai.told if self.external_ai is not None else {})

    @property
    def app_secrets(self) -> tuple[str, ...]:
        """Names of what it is told in secret."""
        return (*self.app.secrets, *((external_ai.KEY_VARIABLE,) if self.external_ai is not None else ()))

    @property
    def retains_data(self) -> bool:
        """Whether what holds data outlives even a `pulumi destroy`."""
        return self.environment is Environment.PROD

    def tag_values(self, project: str) -> dict[str, str]:
        """The mandatory tags."""
        return mandatory_tags(
            environment=self.environment,
            team=self.tags.team,
            project=project,
            cost_center=self.tags.cost_center,
            owner=self.tags.owner,
        )

    def gpu_most_workers(self, defined: int) -> int:
        """Most workers of the endpoint: the setting, else the stage's, never more than `defined`."""
        return min(defined, self.gpu.most_workers or self.rung.gpu_workers_most)

    @property
    def facts(self) -> Facts:
        """What the alarms of this stack are computed from."""
        standing = self.shape
        facts = Facts(
            standing,
            self.cpu_credits,
            gpu=self.gpu.mode is not Wanted.OFF,
            budget=self.budget is not None,
            webhook=self.notify.webhook is not Webhook.NONE,
        )
        return (
            replace(facts, database_connections=standing.database.connections) if standing.database else facts
        )

    def standing(self, naming: Naming) -> Standing:
        """What the guard remembers of these settings."""
        return Standing(
            project=naming.project,
            stack=naming.stack,
            region=self.region,
            zones=self.zones,
            vpc_cidr=self.network.cidr,
            stage=self.stage,
            data_volume_gib=self.data_volume_gib,
            climb_to=self.climb.to if self.climb else "",
            climb_phase=self.climb.phase.value if self.climb else "",
            kept=tuple(sorted(part.value for part in self.kept)),
            released=tuple(sorted(part.value for part in self.released)),
            database_gib=self.machines.database_gib,
            gpu="" if self.gpu.mode is Wanted.OFF else naming.physical(gpu_definition.load().name),
            gpu_remove=self.gpu.remove,
        )


def parse(raw: Mapping[str, Any], *, where: str) -> Settings:
    """Settings from keys with their namespaces (`terrace:stage`, `aws:region`); `where` names their source.

    Raises:
        TerraceError: everything that is wrong, at once, each with its dotted path, value, bound and remedy.
    """
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, value in raw.items():
        namespace, _, name = key.rpartition(":")
        if namespace == NAMESPACE:
            values[name] = _decoded(value)
        elif key == "aws:region":
            values[key] = value
        elif namespace not in ("aws", "pulumi"):
            faults.append(
                Fault(
                    key,
                    f"{namespace or '(none)'!r} is no namespace of this project",
                    f"Use {NAMESPACE}:{name}{nearest(namespace, [NAMESPACE])}",
                )
            )
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults += [_fault(each) for each in error.errors(include_url=False)]
    faults += _between_fields(values, {fault.path for fault in faults})
    if faults or settings is None:
        count = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
        raise TerraceError(*faults, summary=f"{where} has {count}; nothing was changed.")
    return settings


def from_file(path: Path) -> Settings:
    """Settings of a stack file such as `Pulumi.dev.yaml`, without the engine.

    Raises:
        TerraceError: no such file, no YAML, or anything that `parse` refuses.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = content.get("config") or {}
        items = dict(config.items())
    except FileNotFoundError as error:
        raise TerraceError(Fault(str(path), "there is no such file", "Name a stack that has one")) from error
    except (yaml.YAMLError, AttributeError) as error:
        raise TerraceError(Fault(str(path), f"is no stack file: {error}", "See Pulumi.dev.yaml")) from error
    secret = {key for key, value in items.items() if isinstance(value, Mapping) and "secure" in value}
    _refuse_secrets(secret, path.name)
    return parse(items, where=path.name)


def from_engine(stack: str) -> Settings:
    """Settings that the engine handed to this program.

    Raises:
        TerraceError: anything that `parse` refuses, or a value that is a secret.
    """
    from pulumi.runtime import config  # not at import: `from_file` works without the SDK

    where = f"Pulumi.{stack}.yaml"
    items = {**config.get_config_env(), **config.CONFIG.get()}
    _refuse_secrets({key for key in items if config.is_config_secret(key)}, where)
    return parse(items, where=where)


def described_keys() -> Iterator[tuple[str, str]]:
    """Every key of a stack file with its description, in the order of the model."""
    for name, info in Settings.model_fields.items():
        alias = info.alias or to_camel(name)
        yield (alias if ":" in alias else f"{NAMESPACE}:{alias}"), info.description or ""


def _refuse_secrets(keys: set[str], where: str) -> None:
    ours = sorted(key for key in keys if key.startswith(f"{NAMESPACE}:"))
    if ours:
        raise TerraceError(
            *(
                Fault(
                    key,
                    "is a secret, and secrets do not stand in stack files",
                    "Name it in terrace:app.secrets and fill it with: scripts/account.py set NAME",
                )
                for key in ours
            ),
            summary=f"{where} holds secrets; nothing was changed.",
        )


def _brought_twice(values: Mapping[str, Any]) -> Iterator[Fault]:
    app, gpu = values.get("app"), values.get("gpu")
    if not isinstance(app, Mapping):
        return
    brought: list[tuple[str, tuple[str, ...], str]] = []
    if isinstance(gpu, Mapping) and gpu.get("mode", Wanted.OFF) != Wanted.OFF:
        brought.append(("gpu", APPLICATION_IS_TOLD, "scripts/gpu.py key set"))
    if values.get("externalAi"):
        told = external_ai.APPLICATION_IS_TOLD
        brought.append(("externalAi", told, f"scripts/account.py set {external_ai.KEY_VARIABLE}"))
    for part in ("settings", "secrets"):
        for setting, names, command in brought:
            for name in names:
                if name in (app.get(part) or ()):
                    yield Fault(
                        f"{NAMESPACE}:app.{part}",
                        f"names {name}, which {NAMESPACE}:{setting} brings",
                        f"Take it out; the key is filled by {command}",
                    )


def _between_fields(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    """Faults that show only where two settings meet; looked for also when a third one is wrong."""
    region, zones = values.get("aws:region"), values.get("zones")
    usable = isinstance(zones, list) and all(isinstance(each, str) for each in zones)
    if usable and isinstance(region, str) and "aws:region" not in faulty:
        yield from network.zone_faults(region, zones or [])
    if values.get("environment") == Environment.PROD and values.get("ami") == FAKE_AMI:
        yield Fault(
            f"{NAMESPACE}:ami",
            f"{FAKE_AMI} is the embedded cloud's stand-in, which no prod stack takes",
            "Fill it with: scripts/account.py ami --stack STACK",
        )
    backup = values.get("backup")
    if isinstance(backup, Mapping) and region is not None and backup.get("offsiteRegion") == region:
        yield Fault(
            f"{NAMESPACE}:backup.offsiteRegion",
            f"is {region}, the stack's own region: a copy beside the original is lost with it",
            "Name another region, such as ap-northeast-1",
        )
    yield from _of_the_climb(values, faulty)
    yield from _of_private_stages(values, faulty)
    gpu = values.get("gpu")
    if isinstance(gpu, Mapping) and gpu.get("mode") == Wanted.ACTIVE and not gpu.get("activeUntil"):
        yield Fault(
            f"{NAMESPACE}:gpu.activeUntil",
            "is missing where mode is active: a kept worker is billed every second",
            "Give the last day of the validation, as 2027-01-31",
        )
    yield from _brought_twice(values)
    budget = values.get("budget")
    if isinstance(budget, dict) and budget.get("currency") == "KRW":
        for name, example in (("krwPerUsd", '"1341.49"'), ("rateOf", "2026-10-09")):
            if not budget.get(name):
                yield Fault(
                    f"{NAMESPACE}:budget.{name}", "is missing where currency is KRW", f"Such as {example}"
                )
    if values.get("dns") and not values.get("domain") and f"{NAMESPACE}:domain" not in faulty:
        yield Fault(
            f"{NAMESPACE}:domain", "is missing where terrace:dns is set", "Give the name of the record"
        )


def _stages(values: Mapping[str, Any]) -> tuple[Stage | None, Stage | None]:
    """The stage and the one that is climbed to, as far as their names are right."""
    by_name = {each.name: each for each in LADDER if each.built}
    climb = values.get("climb")
    to = climb.get("to") if isinstance(climb, Mapping) else None
    stage = values.get("stage")
    return (
        by_name.get(stage) if isinstance(stage, str) else None,
        by_name.get(to) if isinstance(to, str) else None,
    )


def _of_the_climb(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    stage, to = _stages(values)
    if stage is not None and to is not None:
        yield from climb_faults(stage, to)
    kept, released = values.get("kept") or [], values.get("released") or []
    if f"{NAMESPACE}:kept" in faulty or not isinstance(kept, list) or not isinstance(released, list):
        return
    for part in released:
        if part in set(Part) and part not in kept:
            yield Fault(
                f"{NAMESPACE}:released",
                f"names {part}, which is not in {NAMESPACE}:kept",
                "Release only what is kept; take it out of both once the release stands",
            )


def _of_private_stages(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    """What the load balancer and boxes without an address ask for."""
    if all(each is None or each.option is not Option.PRIVATE for each in _stages(values)):
        return
    domain, dns = values.get("domain"), values.get("dns")
    edge = values.get("edge") if isinstance(values.get("edge"), Mapping) else {}
    if not domain and f"{NAMESPACE}:domain" not in faulty:
        yield Fault(
            f"{NAMESPACE}:domain",
            "is missing: the load balancer of this stage speaks HTTPS, and a certificate is made for a name",
            "Give the service's name, such as app.example.com",
        )
    if isinstance(domain, str) and not dns:
        if domain.count(".") == 1:
            yield Fault(
                f"{NAMESPACE}:domain",
                f"{domain!r} is the apex of a zone that is not in Route 53: a load balancer is reached by a "
                "CNAME, and an apex cannot have one",
                f"Use a name below it, such as app.{domain}, or bring the zone to Route 53 (terrace:dns.zoneId)",
            )
        if not (edge or {}).get("certificateArn"):
            yield Fault(
                f"{NAMESPACE}:edge.certificateArn",
                "is missing where the domain's DNS is not in Route 53: nobody here can prove the domain",
                "Request a certificate in ACM, write its CNAME into your DNS, and give the ARN once it is issued",
            )
    if (edge or {}).get("nat") == Nat.NONE:
        yield Fault(
            f"{NAMESPACE}:edge.nat",
            f"is none: private boxes could not reach {'; '.join(_outside(values))}",
            f"Use {Nat.ONE} or {Nat.PER_ZONE}. None would take the GPU off, a host bundle that carries its "
            f"packages, and interface endpoints for {', '.join(ENDPOINTS)} (docs/adr/0042-nat.md)",
        )


ENDPOINTS = ("ssm", "ssmmessages", "logs", "monitoring", "kms", "secretsmanager", "sts")
"""What boxes ask of AWS besides buckets, which a gateway endpoint without a price reaches."""


def _outside(values: Mapping[str, Any]) -> Iterator[str]:
    """What boxes reach outside of AWS with these settings."""
    yield "the mirrors of the distribution, for the host bundle carries no packages"
    yield "webhooks that the application calls"
    gpu = found if isinstance(found := values.get("gpu"), Mapping) else {}
    if gpu.get("mode", Wanted.OFF) != Wanted.OFF:
        yield f"RunPod's API, which gpu.mode {gpu['mode']} asks"


def _fault(error: ErrorDetails) -> Fault:
    path = _path(error["loc"])
    context = error.get("ctx", {})
    if error["type"] == "terrace":
        return Fault(path, context["what"], context["remedy"])
    field = _field(error["loc"])
    if error["type"] == "missing":
        example = field.examples[0] if field is not None and field.examples else None
        shown = f", such as {example}" if example else ""
        return Fault(path, "is missing", f"It is {field.description if field else 'required'}{shown}")
    if error["type"] == "extra_forbidden":
        known = _known_at(error["loc"])
        name = str(error["loc"][-1])
        return Fault(
            path, "is no key of this project", f"Keys here: {', '.join(known)}{nearest(name, known)}"
        )
    got = error.get("input")
    remedy = f"It is {field.description}" if field is not None and field.description else "See Pulumi.yaml"
    return Fault(path, f"{got!r}: {error['msg'][:1].lower()}{error['msg'][1:]}", remedy)


def _path(location: tuple[int | str, ...]) -> str:
    first, *rest = location
    dotted = str(first) if ":" in str(first) else f"{NAMESPACE}:{first}"
    return dotted + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest if part != "[key]"
    )


def _models_on_the_way(location: tuple[int | str, ...]) -> Iterator[tuple[type[BaseModel], str]]:
    model: type[BaseModel] = Settings
    for part in location:
        yield model, str(part)
        for name, info in model.model_fields.items():
            if (info.alias or to_camel(name)) != part:
                continue
            nested = [info.annotation, *getattr(info.annotation, "__args__", ())]
            model = next(
                (each for each in nested if isinstance(each, type) and issubclass(each, BaseModel)), model
            )


def _field(location: tuple[int | str, ...]) -> Any:
    found = None
    for model, part in _models_on_the_way(location):
        for name, info in model.model_fields.items():
            if (info.alias or to_camel(name)) == part:
                found = info
    return found


def _known_at(location: tuple[int | str, ...]) -> list[str]:
    model = list(_models_on_the_way(location))[-1][0]
    return [info.alias or to_camel(name) for name, info in model.model_fields.items()]


def reference() -> str:
    """Every key with its description and default, as comment lines: what stands in Pulumi.yaml, held by a test."""
    return "\n".join(_reference_lines(Settings, ""))


def _reference_lines(model: type[BaseModel], indent: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        alias = info.alias or to_camel(name)
        key = alias if indent or ":" in alias else f"{NAMESPACE}:{alias}"
        nested = _nested_model(info.annotation)
        default = (
            ""
            if nested or info.is_required()
            else f" [{_plain_default(info.get_default(call_default_factory=True))}]"
        )
        yield f"#   {indent + key:<30} {info.description}{'' if not info.is_required() else ' (required)'}{default}"
        if nested is not None:
            yield from _reference_lines(nested, indent + "  ")


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    for each in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _plain_default(value: Any) -> str:
    return json.dumps(value, default=str) if value is not None else "none"


def project_name(root: Path) -> str:
    """The project's name, from Pulumi.yaml."""
    return str(yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])
