"""The only place for the metrics of a stack: their names, spaces, dimensions, units, ranges, publishers.

The box, the GPU controller and the restore drill publish under these names, the alarms and dashboards read them, and
a test compares both with the agent's configuration: an alarm that names one dimension more or less sleeps for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from infra.core.memory import BoxRole


class Space(StrEnum):
    """Where a metric stands. The last two stand for names that hold the project, and project and stack."""

    EC2 = "AWS/EC2"
    AGENT = "CWAgent"
    BALANCER = "AWS/ApplicationELB"
    DATABASE = "AWS/RDS"
    NAT = "AWS/NATGateway"
    CERTIFICATES = "AWS/CertificateManager"
    LAMBDA = "AWS/Lambda"
    PROJECT = "<project>"
    LOGS = "<project>/<stack>"

    def named(self, project: str, stack: str) -> str:
        """The namespace as published."""
        return self.value.replace("<project>", project).replace("<stack>", stack)


class Subject(StrEnum):
    """What a metric is about; its dimensions are told apart by it."""

    BOX = "box"
    STACK = "stack"
    BALANCER = "balancer"
    TARGETS = "targets"
    DATABASE = "database"
    NAT = "nat"
    WEBHOOK = "webhook"


class Unit(StrEnum):
    """Units as CloudWatch names them."""

    PERCENT = "Percent"
    SECONDS = "Seconds"
    COUNT = "Count"
    BYTES = "Bytes"
    NONE = "None"


EVERY_ROLE: tuple[BoxRole, ...] = ("single", "frontend", "backend")
_SINGLE: tuple[BoxRole, ...] = ("single",)
_FRONT: tuple[BoxRole, ...] = ("single", "frontend")
_BACK: tuple[BoxRole, ...] = ("single", "backend")


def role_of(box: str) -> BoxRole:
    """The role that a box is told, by its logical name: role and placement, and `app` is the single one."""
    word = box.partition("-")[0]
    return next((role for role in EVERY_ROLE if role == word), "single")


def publishes(box: str, metric: Metric) -> bool:
    """Whether the box of that logical name publishes the metric, by its role and by where it stands."""
    return role_of(box) in metric.roles and not (metric.public_only and box.endswith("-private"))


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is published.

    `dimensions` are all of its dimensions' names, `fixed` those with a value known beforehand. `lowest` and `highest`
    bound what the machine can produce (None: no bound). `every_seconds` is how often a datum comes. `billed_hours`
    is in how many hours of a day it is published: CloudWatch bills a custom metric by the hour (0: AWS's own).
    `roles` are the boxes that publish it, where boxes do; with `public_only` none of them behind a load balancer.
    """

    name: str
    space: Space
    subject: Subject
    unit: Unit
    by: str
    fixed: tuple[tuple[str, str], ...] = ()
    lowest: float = 0
    highest: float | None = None
    every_seconds: int = 60
    billed_hours: int = 24
    roles: tuple[BoxRole, ...] = EVERY_ROLE
    public_only: bool = False

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension's name, in the order of publication."""
        own = SPACE_DIMENSIONS.get(self.space, SUBJECT_DIMENSIONS[self.subject])
        return (*own, *(name for name, _ in self.fixed))

    @property
    def key(self) -> str:
        """A short name that is unique among all metrics."""
        return "-".join(
            [self.name, *(value.strip("/") or "root" for name, value in self.fixed if name != "fstype")]
        )


CONCURRENT_TOLD_FROM = 100
"""From so many users at once on every count is published; below it only the highest of a day."""

SUBJECT_DIMENSIONS: dict[Subject, tuple[str, ...]] = {
    Subject.BOX: ("InstanceId",),
    Subject.STACK: ("Stack",),
    Subject.BALANCER: ("LoadBalancer",),
    Subject.TARGETS: ("TargetGroup", "LoadBalancer"),
    Subject.DATABASE: ("DBInstanceIdentifier",),
    Subject.NAT: ("NatGatewayId",),
    Subject.WEBHOOK: ("FunctionName",),
}

SPACE_DIMENSIONS: dict[Space, tuple[str, ...]] = {Space.LOGS: (), Space.CERTIFICATES: ("CertificateArn",)}
"""Where the space decides: what is read out of the log has none, ACM knows nothing of the load balancer."""

_DISK = (("path", "/"), ("fstype", "ext4"))
_DATA = (("path", "/data"), ("fstype", "ext4"))
_BOX, _STACK, _DB = Subject.BOX, Subject.STACK, Subject.DATABASE
_PERCENT, _SECONDS, _COUNT, _BYTES, _NONE = Unit.PERCENT, Unit.SECONDS, Unit.COUNT, Unit.BYTES, Unit.NONE


def _own(
    name: str,
    unit: Unit,
    by: str,
    roles: tuple[BoxRole, ...],
    *,
    every: int = 60,
    hours: int = 24,
    highest: float | None = None,
    public_only: bool = False,
) -> Metric:
    return Metric(
        name,
        Space.PROJECT,
        _BOX,
        unit,
        by,
        highest=highest,
        every_seconds=every,
        billed_hours=hours,
        roles=roles,
        public_only=public_only,
    )


def _aws(
    name: str, space: Space, subject: Subject, unit: Unit, *, every: int = 60, highest: float | None = None
) -> Metric:
    return Metric(name, space, subject, unit, "AWS", highest=highest, every_seconds=every, billed_hours=0)


def _log(name: str, unit: Unit) -> Metric:
    return Metric(name, Space.LOGS, _STACK, unit, "metric filter on Nginx's access log")


def _gpu(name: str, unit: Unit, *, highest: float | None = None) -> Metric:
    return Metric(name, Space.PROJECT, _STACK, unit, "GPU controller", highest=highest)


# -- EC2: every five minutes without detailed monitoring, status checks every minute (EC2 User Guide) --------------
CPU = _aws("CPUUtilization", Space.EC2, _BOX, _PERCENT, every=300, highest=100)
CREDITS = _aws("CPUCreditBalance", Space.EC2, _BOX, _COUNT, every=300)
SURPLUS = _aws("CPUSurplusCreditsCharged", Space.EC2, _BOX, _COUNT, every=300)
CHECK_SYSTEM = _aws("StatusCheckFailed_System", Space.EC2, _BOX, _COUNT, highest=1)
CHECK_INSTANCE = _aws("StatusCheckFailed_Instance", Space.EC2, _BOX, _COUNT, highest=1)

# -- the CloudWatch agent -----------------------------------------------------------------------------------------
MEMORY = Metric("mem_used_percent", Space.AGENT, _BOX, _PERCENT, "agent", highest=100)
DISK = Metric("disk_used_percent", Space.AGENT, _BOX, _PERCENT, "agent", fixed=_DISK, highest=100)
DATA = Metric(
    "disk_used_percent", Space.AGENT, _BOX, _PERCENT, "agent", fixed=_DATA, highest=100, roles=_SINGLE
)

# -- the box's own program. Rare ones are published once a day: a custom metric is billed by the hour (verify) -----
CONNECTIONS = _own("database_connections_percent", _PERCENT, "terrace-metrics", _SINGLE, highest=100)
# The highest of a day, and each of the last five minutes from CONCURRENT_TOLD_FROM on.
CONCURRENT = _own("concurrent_users", _COUNT, "terrace-metrics", _FRONT, every=300, hours=1)
DAILY_USERS = _own("daily_active_users", _COUNT, "terrace-metrics", _FRONT, every=86_400, hours=1)
MONTHLY_USERS = _own("monthly_active_users", _COUNT, "terrace-metrics", _FRONT, every=86_400, hours=1)
# Behind a load balancer a box serves its self-signed pair, which nobody looks at.
CERTIFICATE = _own(
    "certificate_days_left", _NONE, "terrace-metrics", _FRONT, every=86_400, hours=1, public_only=True
)
BACKUP_AGE = _own("backup_age_seconds", _SECONDS, "terrace-backup", _SINGLE, every=21_600, hours=4)
ARCHIVE_QUEUE = _own("archive_queue_bytes", _BYTES, "terrace-backup", _SINGLE, every=300)
# These three only while they are not 0, and the 0 that ends it.
BACKUP_FAILED = _own("backup_failed", _COUNT, "terrace-backup", _SINGLE, hours=1, highest=1)
ARCHIVE_GAP = _own("archive_gap_open", _COUNT, "terrace-backup", _SINGLE, hours=1, highest=1)
ARCHIVE_LAG = _own("archive_lag_seconds", _SECONDS, "terrace-backup", _SINGLE, hours=1)
DRILL_AGE = _own("restore_drill_age_seconds", _SECONDS, "terrace-metrics", _SINGLE, every=86_400, hours=1)
BOOTSTRAP = _own("bootstrap_failed", _COUNT, "terrace-host", EVERY_ROLE, every=86_400, hours=1, highest=1)
# Looked for every minute, told in the minutes that have some: priced as one hour of a day.
OOM = _own("oom_kills", _COUNT, "terrace-metrics", EVERY_ROLE, hours=1)

# -- the access log: fields `status` (number), `rt` (seconds, number), `llm` (0 or 1) ------------------------------
REQUESTS = _log("requests", _COUNT)
ERRORS_5XX = _log("errors_5xx", _COUNT)
ERRORS_4XX = _log("errors_4xx", _COUNT)
RESPONSE = _log("response_seconds", _SECONDS)
LLM_RESPONSE = _log("llm_response_seconds", _SECONDS)
SLOW = _log("slow_requests", _COUNT)

# -- behind a balancer, with a database of its own, with a NAT gateway ---------------------------------------------
# Target health is published by target group only, never by balancer alone (ELB User Guide, "CloudWatch metrics").
UNHEALTHY = _aws("UnHealthyHostCount", Space.BALANCER, Subject.TARGETS, _COUNT)
BALANCER_REQUESTS = _aws("RequestCount", Space.BALANCER, Subject.BALANCER, _COUNT)
BALANCER_RESPONSE = _aws("TargetResponseTime", Space.BALANCER, Subject.BALANCER, _SECONDS)
BALANCER_5XX = _aws("HTTPCode_Target_5XX_Count", Space.BALANCER, Subject.BALANCER, _COUNT)
BALANCER_4XX = _aws("HTTPCode_Target_4XX_Count", Space.BALANCER, Subject.BALANCER, _COUNT)
BALANCER_OWN_5XX = _aws("HTTPCode_ELB_5XX_Count", Space.BALANCER, Subject.BALANCER, _COUNT)
# Twice a day (observed: dev.classmethod.jp on its interval), for as long as the certificate has not ended: CDK's
# metricDaysToExpiry says that the metric is no longer emitted then, and that missing data should breach.
BALANCER_CERTIFICATE = _aws("DaysToExpiry", Space.CERTIFICATES, Subject.BALANCER, _COUNT, every=43_200)
DB_CONNECTIONS = _aws("DatabaseConnections", Space.DATABASE, _DB, _COUNT)
DB_STORAGE = _aws("FreeStorageSpace", Space.DATABASE, _DB, _BYTES)
DB_CREDITS = _aws("CPUCreditBalance", Space.DATABASE, _DB, _COUNT, every=300)
NAT_PORTS = _aws("ErrorPortAllocation", Space.NAT, Subject.NAT, _COUNT)
WEBHOOK_ERRORS = _aws("Errors", Space.LAMBDA, Subject.WEBHOOK, _COUNT)

# -- the GPU's controller, with the dimension Stack alone ----------------------------------------------------------
LLM_QUEUE = _gpu("llm_queue", _COUNT)
LLM_WAIT = _gpu("llm_wait_seconds", _SECONDS)
LLM_REQUESTS = _gpu("llm_requests", _COUNT)
LLM_FAILED = _gpu("llm_failed", _COUNT)
LLM_SECONDS = _gpu("llm_seconds", _SECONDS)
GPU_WORKERS = {
    state: _gpu(f"gpu_workers_{state}", _COUNT)
    for state in ("idle", "running", "initializing", "throttled", "unhealthy")
}
# At 100 the endpoint is closed: only what is under way then goes beyond it.
GPU_SPEND = _gpu("gpu_spend_percent", _PERCENT, highest=101)
GPU_BLIND = _gpu("gpu_controller_blind", _COUNT, highest=1)
GPU_FINDINGS = _gpu("gpu_findings", _COUNT)
BUDGET_USED = Metric(
    "budget_used_percent",
    Space.PROJECT,
    _STACK,
    _PERCENT,
    "terrace-metrics",
    every_seconds=3_600,
    roles=_BACK,
)

# -- a restore drill, by scripts/restore.py ------------------------------------------------------------------------
DRILL_FAILED = Metric(
    "restore_drill_failed", Space.PROJECT, _STACK, _COUNT, "scripts/restore.py", highest=1, billed_hours=0
)
RESTORE_SECONDS = Metric(
    "restore_seconds", Space.PROJECT, _STACK, _SECONDS, "scripts/restore.py", billed_hours=0
)
RESTORED_ROW_AGE = Metric(
    "restored_row_age_seconds", Space.PROJECT, _STACK, _SECONDS, "scripts/restore.py", billed_hours=0
)

# -- a deploy or a climb under way: suppresses the composites -------------------------------------------------------
DEPLOYING = Metric(
    "deploying", Space.PROJECT, _STACK, _COUNT, "deploys and climbs", highest=1, billed_hours=0
)

# -- error budgets by objective (slo.yaml), once a day; negative when overspent ------------------------------------
BUDGET_LEFT = {
    objective: Metric(
        "error_budget_left_percent", Space.PROJECT, _STACK, _PERCENT, "terrace-metrics",
        fixed=(("Objective", objective),), lowest=-1e12, highest=100, every_seconds=86_400, billed_hours=1,
        roles=_BACK,
    )
    for objective in ("availability", "latency", "model")
}  # fmt: skip

BOX_METRICS: tuple[Metric, ...] = (
    CPU, CREDITS, SURPLUS, CHECK_SYSTEM, CHECK_INSTANCE, MEMORY, DISK, DATA, CONNECTIONS, CONCURRENT, DAILY_USERS,
    MONTHLY_USERS, CERTIFICATE, BACKUP_AGE, BACKUP_FAILED, ARCHIVE_QUEUE, ARCHIVE_GAP, ARCHIVE_LAG, DRILL_AGE,
    BOOTSTRAP, OOM,
)  # fmt: skip
BALANCER_METRICS: tuple[Metric, ...] = (
    BALANCER_REQUESTS, BALANCER_RESPONSE, BALANCER_5XX, BALANCER_4XX, BALANCER_OWN_5XX, BALANCER_CERTIFICATE,
)  # fmt: skip
LOG_METRICS: tuple[Metric, ...] = (REQUESTS, ERRORS_5XX, ERRORS_4XX, RESPONSE, LLM_RESPONSE, SLOW)
GPU_METRICS: tuple[Metric, ...] = (
    LLM_QUEUE,
    LLM_WAIT,
    LLM_REQUESTS,
    LLM_FAILED,
    LLM_SECONDS,
    *GPU_WORKERS.values(),
    GPU_SPEND,
    GPU_BLIND,
    GPU_FINDINGS,
)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A metric filter on the access log; `<p95>` in a pattern is the stage's API p95 in seconds.

    Without `default` no line means no datum: zeros would spoil a latency.
    """

    metric: Metric
    pattern: str
    value: str
    default: int | None = None


LOG_FILTERS: tuple[LogFilter, ...] = (
    LogFilter(REQUESTS, "{ $.status >= 100 }", "1", 0),
    LogFilter(ERRORS_5XX, "{ $.status >= 500 }", "1", 0),
    # Published in hours that have some: it is billed by the hour.
    LogFilter(ERRORS_4XX, "{ $.status >= 400 && $.status < 500 }", "1"),
    LogFilter(RESPONSE, "{ $.rt >= 0 && $.llm = 0 }", "$.rt"),
    LogFilter(SLOW, "{ $.rt > <p95> && $.llm = 0 }", "1"),
    LogFilter(LLM_RESPONSE, "{ $.rt >= 0 && $.llm = 1 }", "$.rt"),
)
