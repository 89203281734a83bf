"""The only place for every threshold: what is watched, from which value on, for how long, what it means, what to do.

Alarms, dashboards, `scripts/watch.py` and `scripts/scale_up.py` read this table; nothing compares its numbers again:
CloudWatch evaluates, everybody else asks an alarm's state. The first table is F.1 of the founding document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from infra.core import metrics as m
from infra.core.instances import INSTANCE_TYPES
from infra.core.metrics import Metric
from infra.core.shape import Box, Shape
from infra.core.stages import Objectives, Option

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800
GIB = 1024**3


class Severity(StrEnum):
    """What an alarm asks of a person: look at it, consider the next stage, come now."""

    WARN = "warn"
    REVIEW = "review"
    PAGE = "page"


Missing = Literal["missing", "ignore", "breaching", "notBreaching"]
Reaction = Literal["recover", "reboot"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the table is computed from: what stands, and the settings that change a threshold."""

    shape: Shape
    cpu_credits: Literal["unlimited", "standard"] = "unlimited"
    gpu: bool = False
    budget: bool = False
    webhook: bool = False
    database_connections: int = 80
    """max_connections of RDS, set in its parameter group: the default formula gives another number (verify)."""

    @property
    def balanced(self) -> bool:
        """Whether requests come through a load balancer: not yet while one only stands beside what serves."""
        return self.shape.serving is Option.PRIVATE

    @property
    def single(self) -> bool:
        """Whether everything is on one machine."""
        return self.shape.stage.option is Option.SINGLE


Value = Decimal | Callable[[Facts, Box | None], Decimal]


@dataclass(frozen=True, slots=True)
class Level:
    """From which value on, in how many of how many periods, and what to do then."""

    severity: Severity
    value: Value
    datapoints: int
    periods: int
    do: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """One row. `statistic` as CloudWatch names it; `period_seconds` the length of a data point.

    `ratio_of`: the value is 100 × metric / that metric, 0 with fewer than `least_events` of `metric`. `applies` says
    for which stack (and box) the row stands. `warm_up_minutes` after creation or a change no state is told.
    `missing`: without data an alarm stays as it is (docs/adr/0053), unless silence itself is news or health.
    `reviews`: ALARM speaks for the next stage; `down`: it says that the service is down.
    """

    key: str
    title: str
    metric: Metric
    statistic: str
    period_seconds: int
    levels: tuple[Level, ...]
    means: str
    above: bool = True
    missing: Missing = "ignore"
    ratio_of: Metric | None = None
    least_events: int = 0
    unit: str = "%"
    scale: Decimal = Decimal(1)
    """A shown value is the metric's times this (requests in five minutes shown a second)."""
    low_samples: Literal["evaluate", "ignore"] = "evaluate"
    warm_up_minutes: int = 0
    applies: Callable[[Facts, Box | None], bool] = lambda _, __: True
    reviews: bool = False
    down: bool = False
    reaction: Reaction | None = None


_CLIMB = "Run scripts/scale_up.py advise: it shows the next stage, its price and what the climb takes."


def _levels(
    warn: Value,
    review: Value,
    held: tuple[int, int],
    held_review: tuple[int, int] | None = None,
    *,
    look: str,
) -> tuple[Level, ...]:
    return (
        Level(Severity.WARN, warn, *held, look),
        Level(Severity.REVIEW, review, *(held_review or held), _CLIMB),
    )


def _one(severity: Severity, value: str | int | Value, held: tuple[int, int], do: str) -> tuple[Level, ...]:
    return (Level(severity, Decimal(value) if isinstance(value, (str, int)) else value, *held, do),)


def _credits(percent: int) -> Value:
    def value(_: Facts, box: Box | None) -> Decimal:
        return Decimal(percent * (box.instance.most_credits if box else 0)) / 100

    return value


def _most_database_credits(facts: Facts) -> int:
    """0 without a burstable one. That a class earns what EC2's type of its name does is an assumption (verify)."""
    standing = facts.shape.database
    return INSTANCE_TYPES[standing.name.removeprefix("db.")].most_credits if standing else 0


def _database_credits(percent: int) -> Value:
    return lambda facts, _: Decimal(percent * _most_database_credits(facts)) / 100


def _connections(percent: int) -> Value:
    return lambda facts, _: Decimal(percent * facts.database_connections) / 100


def _promised(of: Callable[[Objectives], Decimal]) -> Value:
    """A value that the stage's objectives say."""
    return lambda facts, _: of(facts.shape.stage.objectives)


def _burstable(_: Facts, box: Box | None) -> bool:
    return box is not None and box.instance.burstable


def _unlimited(facts: Facts, box: Box | None) -> bool:
    return _burstable(facts, box) and facts.cpu_credits == "unlimited"


def _standard(facts: Facts, box: Box | None) -> bool:
    return _burstable(facts, box) and facts.cpu_credits == "standard"


def _steady(facts: Facts, box: Box | None) -> bool:
    return not _standard(facts, box)


def _single(facts: Facts, _: Box | None) -> bool:
    return facts.single


def _logged(facts: Facts, _: Box | None) -> bool:
    """Whether answers are counted in Nginx's log: behind a balancer its own metrics count them."""
    return not facts.balanced


def _gpu(facts: Facts, _: Box | None) -> bool:
    return facts.gpu


PER_SECOND_IN_5_MINUTES = Decimal(300)

TABLE: tuple[Threshold, ...] = (
    # -- table F.1 of the document, and what the issue adds to it --------------------------------------------------
    Threshold(
        "credits", "CPU credits", m.CREDITS, "Minimum", 5 * MINUTE,
        _levels(_credits(30), _credits(20), (3, 3), look="See in the dashboard what uses the processor."),
        "The burst balance runs out; without credits the box is slow (standard) or costs more (unlimited).",
        above=False, unit="credits", applies=_burstable, reviews=True,
        # A t4g starts with none and earns 30 % of its maximum in 7.2 idle hours; a resize may lose them (verify).
        warm_up_minutes=24 * 60,
    ),
    Threshold(
        "cpu", "CPU, mean of 7 days", m.CPU, "Average", WEEK,
        _levels(Decimal(60), Decimal(70), (1, 1),
            look="Compare with the fixed-performance type of the same size."),
        "The processor is busy all week, not in peaks; above 43.5 % m6g.large costs less than t4g.large in Seoul.",
        applies=_steady, reviews=True, warm_up_minutes=48 * 60,
    ),
    Threshold(
        "credits-gone", "CPU credits at 0", m.CREDITS, "Maximum", 5 * MINUTE,
        _levels(Decimal(1), Decimal(1), (12, 12), (72, 72),
            look="The box runs at its baseline: find the load."),
        "Standard mode: the box is held at its baseline, so a mean of 60 % is never seen; this is the sign instead.",
        above=False, unit="credits", applies=_standard, reviews=True, warm_up_minutes=24 * 60,
    ),
    Threshold(
        "surplus", "CPU credits charged", m.SURPLUS, "Sum", HOUR,
        _one(Severity.WARN, 0, (1, 1),
            "Surplus credits cost 0.04 USD a vCPU hour: see whether a fixed type is cheaper."),
        "The box used more than it earned, and that is billed.",
        unit="credits", missing="notBreaching", applies=_unlimited,
    ),
    Threshold(
        "memory", "Memory", m.MEMORY, "Average", 5 * MINUTE,
        _levels(Decimal(70), Decimal(80), (3, 3), (6, 6),
            look="See which service grew: systemd-cgtop -m on the box."),
        "Less is left for the page cache and for a second copy of a service during a deploy.", reviews=True,
    ),
    Threshold(
        "response", "API response time, p95", m.RESPONSE, "p95", 5 * MINUTE,
        _levels(Decimal("0.3"), Decimal("0.5"), (3, 4), look="Look at slow queries and at the last deploy."),
        "One request in twenty waits longer; requests to the language model are counted apart.",
        unit="s", low_samples="ignore", reviews=True, applies=_logged,
    ),
    Threshold(
        "response", "Response time, p95", m.BALANCER_RESPONSE, "p95", 5 * MINUTE,
        _levels(Decimal("0.3"), Decimal("0.5"), (3, 4), look="Look at slow queries and at the last deploy."),
        "One request in twenty waits longer; the balancer cannot tell requests to the language model apart.",
        unit="s", low_samples="ignore", reviews=True,
    ),
    Threshold(
        "connections", "Database connections", m.CONNECTIONS, "Average", 5 * MINUTE,
        _levels(Decimal(70), Decimal(80), (3, 3), look="See who holds connections: pg_stat_activity."),
        "PostgreSQL refuses clients at 100 %, and three connections are reserved.",
        applies=_single, reviews=True,
    ),
    Threshold(
        "requests", "Requests per second", m.REQUESTS, "Sum", 5 * MINUTE,
        _levels(20 * PER_SECOND_IN_5_MINUTES, 30 * PER_SECOND_IN_5_MINUTES, (3, 3),
            look="Compare with the capacity of the stage."),
        "Sustained load; a t4g.large is expected to carry 50 to 150 requests a second.",
        unit="/s", scale=1 / PER_SECOND_IN_5_MINUTES, missing="notBreaching", reviews=True, applies=_logged,
    ),
    Threshold(
        "requests", "Requests per second", m.BALANCER_REQUESTS, "Sum", 5 * MINUTE,
        _levels(20 * PER_SECOND_IN_5_MINUTES, 30 * PER_SECOND_IN_5_MINUTES, (3, 3),
            look="Compare with the capacity of the stage."),
        "Sustained load.", unit="/s", scale=1 / PER_SECOND_IN_5_MINUTES, missing="notBreaching", reviews=True,
    ),
    Threshold(
        "daily-users", "Daily active users", m.DAILY_USERS, "Maximum", DAY,
        _levels(Decimal(400), Decimal(500), (1, 1), look="Plan the step to Option B."),
        "The document leaves the single box at 500 users a day.", unit="users", applies=_single, reviews=True,
    ),
    Threshold(
        "concurrent-users", "Concurrent users", m.CONCURRENT, "Maximum", 5 * MINUTE,
        _one(Severity.REVIEW, 400, (3, 3), _CLIMB),
        "From 400 at once the ladder leaves `split`.", unit="users", missing="notBreaching", reviews=True,
        # `private` is left for other reasons, and has nowhere to climb to yet.
        applies=lambda facts, box: facts.shape.stage.option is Option.SPLIT and box is not None,
    ),
    # -- the machine ------------------------------------------------------------------------------------------------
    Threshold(
        "check-system", "AWS's own hardware", m.CHECK_SYSTEM, "Maximum", MINUTE,
        _one(Severity.PAGE, 0, (2, 2),
            "Nothing: AWS moves the box to other hardware. Look again in ten minutes."),
        "The host under the box fails its check; EC2's recovery moves it, with its address and volumes.",
        unit="failed", down=True, reaction="recover",
    ),
    Threshold(
        "check-instance", "The box's own check", m.CHECK_INSTANCE, "Maximum", MINUTE,
        _one(Severity.PAGE, 0, (3, 3), "It is rebooted. Then: scripts/watch.py, and the console log in EC2."),
        "The box does not answer its network check; it is rebooted.", unit="failed",
        down=True, reaction="reboot",
    ),
    Threshold(
        "heartbeat", "Agent on the box", m.MEMORY, "SampleCount", MINUTE,
        _one(Severity.PAGE, 1, (5, 5),
            "Session Manager: systemctl status amazon-cloudwatch-agent. Memory and disk are not seen."),
        # CloudWatch looks two periods beyond the five for a datum before it counts missing ones.
        "The box has published nothing for seven minutes: agent dead, or box dead.",
        above=False, unit="samples", missing="breaching", down=True, warm_up_minutes=15,
    ),
    Threshold(
        "disk-root", "Root disk", m.DISK, "Maximum", 5 * MINUTE,
        _one(Severity.WARN, 85, (3, 3),
            "Old releases and logs: journalctl --vacuum-size=200M. Nothing of value stays there."),
        "A full root disk stops deploys and logs.",
    ),
    Threshold(
        "disk-data", "Data disk", m.DATA, "Maximum", 5 * MINUTE,
        _one(Severity.PAGE, 80, (3, 3),
            "Raise terrace:dataVolumeGib and run pulumi up: it grows without a stop."),
        "PostgreSQL stops when it is full.", applies=lambda facts, _: facts.shape.data_volume_gib > 0,
    ),
    Threshold(
        "bootstrap", "First boot", m.BOOTSTRAP, "Maximum", 5 * MINUTE,
        _one(Severity.PAGE, 0, (1, 1),
            "/var/lib/terrace/bootstrap.json names the step; terrace-host install goes on from it."),
        "A step of the installation failed.", unit="failed", missing="notBreaching",
    ),
    Threshold(
        "oom", "Out-of-memory kills", m.OOM, "Sum", 5 * MINUTE,
        _one(Severity.WARN, 0, (1, 1), "journalctl -k names the victim; see the memory alarm."),
        "The kernel ended a program for want of memory.", unit="kills", missing="notBreaching",
    ),
    # -- data and certificates --------------------------------------------------------------------------------------
    Threshold(
        "backup-age", "Age of the newest backup", m.BACKUP_AGE, "Maximum", 6 * HOUR,
        _one(Severity.PAGE, 26 * HOUR, (1, 1), "terrace-backup status on the box says why."),
        "No good backup for more than a day.", unit="h", scale=Decimal(1) / HOUR, missing="breaching",
        applies=_single,
        warm_up_minutes=48 * 60,
    ),
    Threshold(
        "backup-failed", "A backup failed", m.BACKUP_FAILED, "Maximum", 5 * MINUTE,
        _one(Severity.WARN, 0, (1, 1), "terrace-backup status on the box says why; terrace-backup check."),
        "The last attempt of one kind of backup failed; the next comes by its timer.", unit="failed",
        missing="notBreaching", applies=_single,
    ),
    Threshold(
        "archive-gap", "WAL that was dropped", m.ARCHIVE_GAP, "Maximum", 5 * MINUTE,
        _one(Severity.WARN, 0, (1, 1),
            "scripts/restore.py list shows the gap; a full backup ends it by itself: see that it does."),
        "The bucket was away for too long: no restore to a time inside of the gap.", unit="open",
        missing="notBreaching", applies=_single,
    ),
    Threshold(
        "archive-queue", "WAL not archived yet", m.ARCHIVE_QUEUE, "Maximum", 5 * MINUTE,
        _one(Severity.WARN, 512 * 1024**2, (3, 3),
            "See whether the backup bucket can be reached: terrace-backup check."),
        "Point-in-time restore falls behind; at the bound WAL is dropped.", unit="MiB",
        scale=Decimal(1) / 1024**2, applies=_single,
    ),
    Threshold(
        "restore-drill", "Age of the last restore drill", m.DRILL_AGE, "Maximum", DAY,
        _one(Severity.WARN, 35 * DAY, (1, 1), "scripts/restore.py drill."),
        "A backup that nobody restored is a hope.", unit="days", scale=Decimal(1) / DAY, applies=_single,
    ),
    Threshold(
        "certificate", "Certificate, days left", m.CERTIFICATE, "Minimum", DAY,
        _one(Severity.WARN, 14, (1, 1), "systemctl status terrace-certificate; the challenge needs port 80."),
        "Renewal should have happened at 30 days; days without a datum speak too: nobody looks at it then.",
        above=False, unit="days", missing="breaching", warm_up_minutes=48 * 60,
    ),
    Threshold(
        "certificate", "Certificate of the load balancer, days left", m.BALANCER_CERTIFICATE, "Minimum", DAY,
        _one(Severity.WARN, 14, (1, 1),
            "ACM renews while its CNAME stands (scripts/names.py show); an imported one: import anew."),
        "ACM should have renewed it; after its last day nothing is published any more, which speaks too.",
        above=False, unit="days", missing="breaching",
        # The first datum comes within half a day.
        warm_up_minutes=48 * 60,
    ),
    # -- answers ----------------------------------------------------------------------------------------------------
    Threshold(
        "errors-5xx", "Answers with 5xx", m.ERRORS_5XX, "Sum", 5 * MINUTE,
        _one(Severity.PAGE, 1, (2, 3),
            "Look at the backend's log and the last deploy; scripts/deploy.py rollback."),
        "More than one answer in a hundred failed, at least five: a single one at night pages nobody.",
        ratio_of=m.REQUESTS, least_events=5, missing="notBreaching", down=True, applies=_logged,
    ),
    Threshold(
        "errors-5xx", "Answers with 5xx", m.BALANCER_5XX, "Sum", 5 * MINUTE,
        _one(Severity.PAGE, 1, (2, 3),
            "Look at the backend's log and the last deploy; scripts/deploy.py rollback."),
        "More than one answer in a hundred failed, at least five: a single one at night pages nobody.",
        ratio_of=m.BALANCER_REQUESTS, least_events=5, missing="notBreaching", down=True,
    ),
    Threshold(
        "own-5xx", "Answers of the balancer itself with 5xx", m.BALANCER_OWN_5XX, "Sum", 5 * MINUTE,
        _one(Severity.PAGE, 4, (2, 3), "No target took the request: see the targets' alarm, then the boxes."),
        "Requests that reached no box.", unit="answers", missing="notBreaching", down=True,
    ),
    Threshold(
        "errors-4xx", "Answers with 4xx", m.ERRORS_4XX, "Sum", 15 * MINUTE,
        _one(Severity.WARN, _promised(lambda each: each.errors_4xx_percent), (2, 2),
            "A broken link, an old client, or somebody trying doors: see the access log."),
        "More requests were refused than the objective allows, at least twenty.",
        ratio_of=m.REQUESTS, least_events=20, missing="notBreaching", applies=_logged,
    ),
    Threshold(
        "errors-4xx", "Answers with 4xx", m.BALANCER_4XX, "Sum", 15 * MINUTE,
        _one(Severity.WARN, _promised(lambda each: each.errors_4xx_percent), (2, 2),
            "A broken link, an old client, or somebody trying doors: see the access log."),
        "More requests were refused than the objective allows, at least twenty.",
        ratio_of=m.BALANCER_REQUESTS, least_events=20, missing="notBreaching",
    ),
    # -- Options B and C --------------------------------------------------------------------------------------------
    Threshold(
        "connections", "Database connections", m.DB_CONNECTIONS, "Average", 5 * MINUTE,
        _levels(_connections(70), _connections(80), (3, 3),
            look="See who holds connections: pg_stat_activity."),
        "RDS refuses clients at max_connections.", unit="connections", reviews=True,
    ),
    Threshold(
        "storage", "Database storage left", m.DB_STORAGE, "Minimum", 5 * MINUTE,
        _one(Severity.PAGE, lambda facts, _: Decimal(facts.shape.database_gib * GIB) / 5, (3, 3),
            "Raise the size: RDS storage grows without a stop, by 10 % at least."),
        "Below a fifth; at 0 the database stops.", above=False, unit="GiB", scale=Decimal(1) / GIB,
    ),
    Threshold(
        "database-credits", "Database CPU credits", m.DB_CREDITS, "Minimum", 5 * MINUTE,
        _one(Severity.WARN, _database_credits(20), (6, 6),
            "RDS is always unlimited: surplus is billed. Find the query."),
        "Below a fifth of what the class can hold, counted as EC2's type of its name (verify).",
        above=False, unit="credits", warm_up_minutes=24 * 60,
        applies=lambda facts, _: _most_database_credits(facts) > 0,
    ),
    Threshold(
        "targets", "Targets that fail their check", m.UNHEALTHY, "Maximum", MINUTE,
        _one(Severity.PAGE, 0, (3, 3), "scripts/watch.py, then the service's log."),
        "The balancer sends a target nothing more.", unit="targets", down=True,
    ),
    Threshold(
        "nat-ports", "NAT gateway out of ports", m.NAT_PORTS, "Sum", 5 * MINUTE,
        _one(Severity.WARN, 0, (1, 1), "Too many connections to one destination: reuse them."),
        "Connections to the outside were refused.", unit="errors", missing="notBreaching",
    ),
    Threshold(
        "webhook", "Messages to the chat", m.WEBHOOK_ERRORS, "Sum", 5 * MINUTE,
        _one(Severity.WARN, 0, (1, 1),
            "scripts/watch.py webhook --test says what the chat answers; its log: logs/webhook."),
        "The chat did not take a message. The mail came all the same.", unit="failed", missing="notBreaching",
        applies=lambda facts, _: facts.webhook,
    ),
    # -- the GPU and the money --------------------------------------------------------------------------------------
    Threshold(
        "llm-queue", "Requests waiting for the model", m.LLM_QUEUE, "Minimum", MINUTE,
        _one(Severity.WARN, 20, (3, 3), "scripts/gpu.py status: workers starting, or the envelope too small."),
        "Receipts wait.", unit="requests", missing="notBreaching", applies=_gpu,
    ),
    Threshold(
        "llm-failures", "Failed model requests", m.LLM_FAILED, "Sum", 15 * MINUTE,
        _one(Severity.WARN, _promised(lambda each: each.llm_failures_percent), (2, 2),
            "scripts/gpu.py status; the worker's log at RunPod."),
        "More than the objective allows, at least three.",
        ratio_of=m.LLM_REQUESTS, least_events=3, missing="notBreaching", applies=_gpu,
    ),
    Threshold(
        "llm-response", "Model response time, p95", m.LLM_SECONDS, "p95", 15 * MINUTE,
        _one(Severity.WARN, _promised(lambda each: Decimal(each.llm_p95_ms) / 1000), (2, 2),
            "See whether requests meet warm workers: gpu_workers_* in the dashboard."),
        "Over the objective for requests that meet a warm worker.", unit="s", missing="notBreaching",
        applies=_gpu,
    ),
    Threshold(
        "gpu-spend", "GPU spend of the month", m.GPU_SPEND, "Maximum", 5 * MINUTE,
        (
            Level(Severity.WARN, Decimal(75), 1, 1, "scripts/gpu.py bill; is the rate what was planned?"),
            Level(Severity.PAGE, Decimal(100), 1, 1,
                "The endpoint is closed until the month ends: raise terrace:gpu.budgetUsd, or wait."),
        ),
        "Of terrace:gpu.budgetUsd; AWS never sees it.", missing="notBreaching", applies=_gpu,
    ),
    Threshold(
        "gpu-spend-near", "GPU spend of the month, nearly all", m.GPU_SPEND, "Maximum", 5 * MINUTE,
        _one(Severity.WARN, 90, (1, 1), "scripts/gpu.py mode flex, or raise terrace:gpu.budgetUsd."),
        "Of terrace:gpu.budgetUsd; at 100 % the endpoint is closed.", missing="notBreaching", applies=_gpu,
    ),
    Threshold(
        "gpu-controller", "GPU controller", m.GPU_BLIND, "Minimum", 5 * MINUTE,
        _one(Severity.WARN, 0, (3, 3),
            "On a box: journalctl -u terrace-gpu. Is the key good (scripts/gpu.py key set)? Is RunPod up?"),
        "For 15 minutes nobody has seen the endpoint: mode and budget are not kept.", unit="blind",
        missing="breaching", applies=_gpu, warm_up_minutes=60,
    ),
    Threshold(
        "gpu-findings", "GPU endpoint in need of a person", m.GPU_FINDINGS, "Minimum", 5 * MINUTE,
        _one(Severity.WARN, 0, (2, 2),
            "scripts/gpu.py status says which: no card to be had, workers that crash, an engine that dies."),
        "For 10 minutes the model cannot work, and the controller alone cannot change it.", unit="findings",
        missing="notBreaching", applies=_gpu,
    ),
    Threshold(
        "budget", "Budget of the month, AWS and GPU", m.BUDGET_USED, "Maximum", HOUR,
        _one(Severity.WARN, 90, (1, 1), "scripts/cost.py report."),
        "Both shares together; AWS Budgets sees its own only.", missing="notBreaching",
        applies=lambda facts, _: facts.gpu and facts.budget,
    ),
)  # fmt: skip
