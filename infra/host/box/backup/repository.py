"""The only place that speaks to pgBackRest and AWS: repository, what lies beside it, pass phrase, metrics."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from urllib.request import Request, urlopen

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from infra.core.naming import UNSET
from infra.host.box.backup import gaps as records
from infra.host.box.backup.bounds import GAPS_PREFIX, REPOSITORY_PREFIX, STANZA
from infra.host.box.backup.box import POSTGRES, EndedError, Facts, program
from infra.host.box.backup.gaps import Gap
from infra.host.box.backup.segments import Segment, parse

Kind = Literal["full", "diff", "incr"]
PASS_PHRASE_BYTES = 48
LOCKED = 50
"""pgBackRest's LockAcquireError (its error.yaml): another command of it holds the stanza's lock."""
LOCK_PATIENCE_SECONDS = 90.0
METADATA = "http://169.254.169.254/latest"


@dataclass(frozen=True, slots=True)
class Backup:
    """One base backup; times in UTC, sizes in bytes."""

    label: str
    kind: str
    started_at: datetime
    stopped_at: datetime
    first: str
    last: str
    size_bytes: int
    stored_bytes: int


class PgBackRest:
    """pgBackRest as PostgreSQL's user, with the configuration at `config`."""

    def __init__(self, config: str = "/etc/pgbackrest.conf") -> None:
        self._config = config

    def run(self, *arguments: str, timeout_seconds: float = 6 * 3600.0) -> str:
        """One command of it.

        Raises:
            TerraceError: it failed.
        """
        argv = ("pgbackrest", f"--config={self._config}", f"--stanza={STANZA}", *arguments)
        return program(*argv, user=POSTGRES, timeout_seconds=timeout_seconds)

    def prepare(self) -> None:
        """Makes the stanza where it is not, and checks that a segment reaches the bucket."""
        self._when_unlocked("stanza-create", timeout_seconds=120)
        self._when_unlocked("check", timeout_seconds=180)

    def _when_unlocked(self, *arguments: str, timeout_seconds: float) -> None:
        """A command that wants the lock which the archiver's own process holds while it pushes segments."""
        until = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                self.run(*arguments, timeout_seconds=timeout_seconds)
                return
            except EndedError as ended:
                if ended.code != LOCKED or time.monotonic() > until:
                    raise
                time.sleep(1)

    def backup(self, kind: Kind) -> Backup:
        """Makes a backup; the first is a full one whatever was asked for."""
        self.run("backup", f"--type={kind}")
        made = self.backups()
        if not made:
            raise TerraceError(Fault("backup", "left nothing in the repository", "See /var/log/pgbackrest"))
        return made[-1]

    def backups(self) -> list[Backup]:
        """The whole backups in the repository, oldest first."""
        found = json.loads(self.run("info", "--output=json", timeout_seconds=60) or "[]")
        status = found[0]["status"] if found else {"code": 0}
        if status["code"] in (99,):
            raise TerraceError(
                Fault(
                    "repository",
                    f"cannot be read: {status['message']}",
                    "Is its bucket reachable and its pass phrase right?",
                )
            )
        return sorted(
            (_backup(each) for stanza in found for each in stanza["backup"] if not each["error"]),
            key=lambda each: each.stopped_at,
        )

    def held(self, logs: Sequence[str]) -> set[Segment]:
        """The segments that the repository holds in those directories.

        Raises:
            TerraceError: the bucket cannot be reached.
        """
        listed = json.loads(self.run("repo-ls", "--output=json", f"archive/{STANZA}", timeout_seconds=60))
        versions = [name for name, what in listed.items() if what["type"] == "path" and name != "."]
        found: set[Segment] = set()
        for version in versions:
            for log in logs:
                inside = json.loads(
                    self.run(
                        "repo-ls", "--output=json", f"archive/{STANZA}/{version}/{log}", timeout_seconds=60
                    )
                    or "{}"
                )
                found |= {
                    segment
                    for name in inside
                    if ".partial" not in name and ".backup" not in name and (segment := parse(name))
                }
        return found


def _backup(values: Mapping[str, Any]) -> Backup:
    return Backup(
        label=values["label"],
        kind=values["type"],
        started_at=datetime.fromtimestamp(values["timestamp"]["start"], UTC),
        stopped_at=datetime.fromtimestamp(values["timestamp"]["stop"], UTC),
        first=values["archive"]["start"] or "",
        last=values["archive"]["stop"] or "",
        size_bytes=values["info"]["size"],
        stored_bytes=values["info"]["repository"].get("delta", 0),
    )


class Readable(Protocol):
    """What can be read piece by piece."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        ...


class Bucket:
    """What lies beside the repository in its bucket: records of gaps, censuses, dumps."""

    def __init__(self, name: str, region: str) -> None:
        self.name = name
        self._s3 = _client("s3", region)

    def put(self, key: str, text: str) -> None:
        """Writes a small object.

        Raises:
            TerraceError: the bucket cannot be reached.
        """
        self._guarded(lambda: self._s3.put_object(Bucket=self.name, Key=key, Body=text.encode()))

    def stream(self, key: str, source: Readable) -> None:
        """Writes a large one as it is read, in parts."""
        self._guarded(lambda: self._s3.upload_fileobj(source, self.name, key))

    def get(self, key: str) -> str:
        """Reads a small object."""
        read = self._guarded(lambda: self._s3.get_object(Bucket=self.name, Key=key)["Body"].read())
        return bytes(read).decode()

    def keys(self, prefix: str) -> list[str]:
        """Every key with that prefix, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return list(
            self._guarded(lambda: [each["Key"] for page in pages for each in page.get("Contents", [])])
        )

    def holds(self, key: str) -> bool:
        """Whether there is such an object."""
        return key in self.keys(key)

    def gaps(self) -> list[Gap]:
        """Every gap that was recorded, oldest first."""
        return sorted(
            (records.loads(self.get(key)) for key in self.keys(GAPS_PREFIX)), key=lambda gap: gap.since
        )

    def record(self, gap: Gap) -> None:
        """Writes a gap down; the same gap again takes its own place."""
        self.put(f"{GAPS_PREFIX}{gap.first}.json", records.dumps(gap))

    def _guarded(self, call: Any) -> Any:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise TerraceError(
                Fault(f"bucket {self.name}", f"cannot be used: {error}", "Look at the box's role and network")
            ) from error


def pass_phrase(facts: Facts, bucket: Bucket, *, may_make: bool) -> str:
    """The repository's pass phrase from SSM; with `may_make` the first box of a stack makes one up.

    Raises:
        TerraceError: it is unset and none may be made: a repository that stands could not be opened with a new one.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    ssm = _client("ssm", facts.region)
    name = facts.pass_phrase_parameter
    try:
        value = _value(ssm, name)
        if value not in ("", UNSET):
            return value
        if not may_make or bucket.holds(f"{REPOSITORY_PREFIX}/archive/{STANZA}/archive.info"):
            raise TerraceError(
                Fault(
                    name,
                    "is unset; the repository opens only with the pass phrase that it was made with",
                    "Bring it back from the parameter's history (aws ssm get-parameter-history): docs/restore.md",
                )
            )
        made = secrets.token_urlsafe(PASS_PHRASE_BYTES)
        key = {"KeyId": facts.key_arn} if facts.key_arn else {}
        ssm.put_parameter(Name=name, Value=made, Type="SecureString", Overwrite=True, **key)
        return _value(ssm, name)  # what SSM has is what counts
    except (BotoCoreError, ClientError) as error:
        raise TerraceError(
            Fault(
                name,
                f"cannot be read or filled: {error}",
                "The box's role needs GetParameter and PutParameter",
            )
        ) from error


def _value(ssm: Any, name: str) -> str:
    try:
        # Filled from a file by a person, it ends with a line's end.
        return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]).strip()
    except ssm.exceptions.ParameterNotFound:
        return ""


def publish(facts: Facts, values: Mapping[Metric, float]) -> None:
    """Puts metrics into the project's namespace, by InstanceId alone.

    Raises:
        TerraceError: CloudWatch cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    dimensions = [{"Name": "InstanceId", "Value": instance_id()}]
    data = [
        {"MetricName": metric.name, "Dimensions": dimensions, "Value": value, "Unit": metric.unit.value}
        for metric, value in values.items()
    ]
    try:
        _client("cloudwatch", facts.region).put_metric_data(Namespace=facts.project, MetricData=data)
    except (BotoCoreError, ClientError) as error:
        raise TerraceError(
            Fault("metrics", f"cannot be published: {error}", "The next look tries again")
        ) from error


def instance_id() -> str:
    """This machine's id, from the metadata service in its second version.

    Raises:
        TerraceError: it does not answer.
    """
    try:
        ask = Request(  # noqa: S310 a fixed http address
            f"{METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        )
        with urlopen(ask, timeout=5) as answer:  # noqa: S310
            token = answer.read().decode()
        ask = Request(f"{METADATA}/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token})  # noqa: S310
        with urlopen(ask, timeout=5) as answer:  # noqa: S310
            return str(answer.read().decode())
    except OSError as error:
        raise TerraceError(
            Fault("metadata service", f"does not answer: {error}", "Is this an EC2 instance?")
        ) from error


def _client(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(
        service,
        region_name=region,
        config=Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"}),
    )
