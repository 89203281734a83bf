"""The only place for what pgBackRest, PostgreSQL and systemd read about backups."""

from __future__ import annotations

from dataclasses import dataclass

from infra.host.box.backup.bounds import (
    ARCHIVE_TIMEOUT_SECONDS,
    FULL_BACKUPS_KEPT,
    LOOK_SECONDS,
    REPOSITORY_PREFIX,
    STANZA,
)

PGBACKREST_CONF = "/etc/pgbackrest.conf"
ARCHIVE_CONF = "/etc/postgresql/17/main/conf.d/20-archive.conf"
UNITS = "/etc/systemd/system"
PROGRAM = "/usr/local/sbin/terrace-backup"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where backups are: bucket and its region."""

    bucket: str
    region: str


def pgbackrest(
    repository: Repository, *, pass_phrase: str, data_directory: str, queue_bytes: int | None
) -> str:
    """pgbackrest.conf. It holds the pass phrase: 0640 root:postgres. Without `queue_bytes` it only restores.

    `key-type=auto` takes the instance role's credentials from the metadata service, version 2 (pgBackRest user
    guide, "S3-Compatible Object Store Support"). Bundles keep the many small files of an empty database from being as
    many requests.
    """
    lines = [
        "[global]",
        "repo1-type=s3",
        f"repo1-path=/{REPOSITORY_PREFIX}",
        f"repo1-s3-bucket={repository.bucket}",
        f"repo1-s3-endpoint=s3.{repository.region}.amazonaws.com",
        f"repo1-s3-region={repository.region}",
        "repo1-s3-key-type=auto",
        "repo1-bundle=y",
        "repo1-cipher-type=aes-256-cbc",
        f"repo1-cipher-pass={pass_phrase}",
        "compress-type=zst",
        "io-timeout=30",
        "log-level-console=warn",
        "log-level-file=detail",
        "process-max=2",
    ]
    if queue_bytes is not None:
        lines += [
            f"repo1-retention-full={FULL_BACKUPS_KEPT}",
            "start-fast=y",
            "archive-async=y",
            "archive-timeout=60",
            f"archive-push-queue-max={queue_bytes}",
        ]
    lines += ["", f"[{STANZA}]", f"pg1-path={data_directory}", "pg1-port=5432", ""]
    return "\n".join(lines)


def archive(*, timeout_seconds: int = ARCHIVE_TIMEOUT_SECONDS) -> str:
    """The drop-in that makes PostgreSQL archive its WAL."""
    return (
        "archive_mode = on\n"
        f"archive_command = 'pgbackrest --stanza={STANZA} archive-push %p'\n"
        f"archive_timeout = {timeout_seconds}s\n"
        "wal_compression = zstd\n"
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One timer: what it runs, when (systemd calendar, UTC), and how far it may wander."""

    verb: str
    what: str
    calendar: str
    delay_seconds: int


JOBS = (
    Job("full", "weekly full backup", "Sat 19:30 UTC", 1800),
    Job("diff", "daily differential backup", "Sun,Mon,Tue,Wed,Thu,Fri 18:30 UTC", 1800),
    Job("dump", "nightly logical dump", "*-*-* 17:00 UTC", 1800),
)


def units() -> dict[str, str]:
    """The units by file name: a service and a timer for each job, the watch, and the first backup after a boot."""
    made: dict[str, str] = {}
    for job in JOBS:
        made[f"terrace-backup-{job.verb}.service"] = _service(job.verb, job.what)
        made[f"terrace-backup-{job.verb}.timer"] = _timer(
            job.what, f"OnCalendar={job.calendar}\nRandomizedDelaySec={job.delay_seconds}\nPersistent=true"
        )
    made["terrace-backup-watch.service"] = _service("watch", "look after the archive")
    made["terrace-backup-watch.timer"] = _timer(
        "look after the archive", f"OnBootSec=30\nOnUnitInactiveSec={LOOK_SECONDS}\nAccuracySec=5"
    )
    made["terrace-backup-ready.service"] = _service("ready", "the repository and its first backup")
    return made


def timers() -> list[str]:
    """The units that are enabled."""
    return [name for name in units() if name.endswith(".timer")]


def _service(verb: str, what: str) -> str:
    return f"""\
[Unit]
Description=terrace: {what}
After=postgresql@17-main.service network-online.target
Wants=network-online.target

[Service]
Type=oneshot
ExecStart={PROGRAM} {verb}
Nice=10
IOSchedulingClass=idle
PrivateTmp=true
ProtectHome=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectControlGroups=true
RestrictSUIDSGID=true
"""


def _timer(what: str, when: str) -> str:
    return f"""\
[Unit]
Description=terrace: {what}

[Timer]
{when}

[Install]
WantedBy=timers.target
"""
