"""The only place for the model of a stack's settings: every key with its type, default, bound and description."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from infra.core import external_ai
from infra.core.gpu import definition as gpu_definition
from infra.core.gpu.modes import Wanted
from infra.core.naming import CostCenter, Environment, Naming, Team, mandatory_tags
from infra.core.notice import Webhook
from infra.core.prices import DEFAULT_BOOK
from infra.core.shape import Climb, Firewall, Nat, Part, Phase, Shape, Sizes, shape
from infra.core.stages import Role, Stage, find
from infra.core.thresholds import Facts
from infra.core.transition import Standing
from infra.settings.values import (
    Ami,
    Amount,
    BookName,
    BoxType,
    ClimbTarget,
    DatabaseClass,
    Domain,
    Email,
    Nightly,
    RetentionDays,
    Sources,
    StackNames,
    StageName,
    Variable,
    VpcCidr,
)

SMALLEST_VOLUME_GIB = 20
LARGEST_VOLUME_GIB = 16384
"""A gp3 volume holds 1 GiB to 16 TiB (EBS User Guide, "General Purpose SSD volumes")."""

LARGEST_DATABASE_GIB = 65536
"""RDS for PostgreSQL on gp3 holds 20 GiB to 64 TiB (RDS User Guide, "Amazon RDS DB instance storage")."""


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

    cidr: VpcCidr = Field(
        default="10.20.0.0/16", description="the VPC's block, /16 to /20 of a private range; never changes"
    )
    ingress_sources: Sources = Field(default=("0.0.0.0/0",), description="who may reach port 443")


class Notify(_Model):
    """Who is told of alarms besides the mail."""

    webhook: Webhook = Field(
        default=Webhook.NONE,
        description="slack or discord; its address by `scripts/watch.py webhook --set`",
    )
    quiet_hours: Nightly = Field(
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

    monthly: Amount = Field(gt=0, description="amount a month, in quotes", examples=["100000"])
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
    stacks: StackNames = Field(
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

    to: ClimbTarget = Field(description="the stage that the stack climbs to", examples=["split"])
    phase: Phase = Field(
        description="expanded: both sides stand, the old one serves; moved: the new one serves",
        examples=["expanded"],
    )


class Machines(_Model):
    """Sizes of the stages with two boxes and a database."""

    frontend: BoxType = Field(default="t4g.small", description="instance type of the frontend box")
    backend: BoxType = Field(default="t4g.small", description="instance type of the backend box")
    database: DatabaseClass = Field(default="db.t4g.micro", description="RDS instance class")
    database_gib: int = Field(
        default=SMALLEST_VOLUME_GIB, ge=SMALLEST_VOLUME_GIB, le=LARGEST_DATABASE_GIB,
        description="storage of the database in GiB; it only ever grows",
    )  # fmt: skip


class Edge(_Model):
    """How the world reaches private boxes, and they the world."""

    nat: Nat = Field(
        default=Nat.ONE,
        description="NAT gateways: one, per-zone, or none: docs/adr/0042-nat.md says what that asks for",
    )
    packages: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the archive that boxes install from, `scripts/packages.py use`; none: the mirrors",
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
    stage: StageName = Field(description="where on the ladder the stack stands", examples=["single-8g"])
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
    ami: Ami = Field(
        description="id of the Debian 13 arm64 image, pinned; `scripts/account.py ami` fills it",
        examples=["ami-…"],
    )
    alarm_email: Email = Field(description="who gets the alarms", examples=["ops@example.com"])
    notify: Notify = Field(
        default_factory=Notify, description="webhook and quietHours: alarms in a chat besides the mail"
    )
    tags: Tags = Field(description="team, costCenter and owner of everything in the stack")
    network: Network = Field(default_factory=Network, description="cidr and ingressSources")
    domain: Domain | None = Field(
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
    log_retention_days: RetentionDays = Field(default=30, description="how long CloudWatch keeps logs")
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
    price_book: BookName = Field(default=DEFAULT_BOOK, description="the price book that costs are told by")

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
