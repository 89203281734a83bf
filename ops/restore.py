"""The only place for how a restore is proved: a scratch stack, a restore in it, the proof, and its end.

    made -> online -> restored and proved -> published -> destroyed

Whatever happens after `made` begins, the scratch stack is destroyed; what a killed drill leaves expires, and
`sweep` destroys it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from infra.core import metrics as m
from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from infra.core.naming import DRILLS

PREFIX = DRILLS
LIFETIME_HOURS = 12
"""How long a scratch stack may stand; a drill that is killed costs no more than a box for that long."""

BOOT_SECONDS = 900
RESTORE_SECONDS = 4 * 3600
_NAME = re.compile(r"drill-(\d{8})-(\d{4})(?:-.*)?")

OnStep = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command on a box ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Source:
    """The stack that is restored from: its outputs, as the scratch stack needs them."""

    stack: str
    vpc_id: str
    subnet_id: str
    key_arn: str
    backups_bucket: str
    uploads_bucket: str
    artifacts_bucket: str
    instance_id: str


class Kits(Protocol):
    """Where the restore programs are put for the scratch box."""

    def put(self, bucket: str) -> tuple[str, str]:
        """Puts them into the bucket, once; key and SHA-256."""
        ...


class Stacks(Protocol):
    """Scratch stacks by the engine."""

    def make(self, name: str, drill: Mapping[str, str]) -> str:
        """Makes the stack; its box's instance id."""
        ...

    def destroy(self, name: str) -> None:
        """Destroys it with everything in it and forgets it; also one whose engine was killed."""
        ...

    def names(self) -> Sequence[str]:
        """Every scratch stack that the state knows."""
        ...


class Boxes(Protocol):
    """Commands on boxes."""

    def wait_until(self, instance_id: str, script: str, *, seconds: float) -> None:
        """Waits until the script succeeds on the box.

        Raises:
            TerraceError: it did not within that time.
        """
        ...

    def run(self, instance_id: str, script: str, *, seconds: float) -> Ran:
        """Runs a shell script as root."""
        ...


class Metrics(Protocol):
    """Where results are published."""

    def publish(self, stack: str, values: Mapping[Metric, float]) -> None:
        """Value and CloudWatch unit by name, for that stack."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a drill came to. Seconds by its runner's wall clock; `faults` are sentences, none when all is well."""

    stack: str
    source: str
    began_at: str
    backup: str
    recovery_seconds: float
    """From the first step to a database that takes writes and was proved: the measured RTO."""
    stack_seconds: float
    boot_seconds: float
    restore_seconds: float
    newest_row_age_seconds: float | None
    """At the moment when the box was asked to restore: the measured RPO."""
    proof: Mapping[str, Any]
    faults: tuple[str, ...]

    def as_values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Drills:
    """Restore drills of one source."""

    stacks: Stacks
    boxes: Boxes
    kits: Kits
    metrics: Metrics

    def drill(
        self,
        source: Source,
        *,
        now: datetime,
        wish: Sequence[str] = (),
        on_step: OnStep = lambda _: None,
        keep: bool = False,
    ) -> Report:
        """Restores into a scratch stack and proves it; `wish` are arguments of terrace-restore.

        Raises:
            TerraceError: it could not be carried out; the scratch stack is gone, or the fault says how to destroy it.
        """
        name = name_of(now)
        try:
            report = self._carried_out(name, source, now, wish, on_step)
        except BaseException as error:
            if isinstance(error, TerraceError):
                self._publish(source, {m.DRILL_FAILED: 1.0})
            self._end(name, on_step, keep=keep)
            raise
        self._end(name, on_step, keep=keep)
        values: dict[Metric, float] = {
            m.DRILL_FAILED: float(bool(report.faults)),
            m.RESTORE_SECONDS: report.recovery_seconds,
        }
        if report.newest_row_age_seconds is not None:
            values[m.RESTORED_ROW_AGE] = report.newest_row_age_seconds
        self._publish(source, values)
        return report

    def sweep(
        self, *, now: datetime, everything: bool = False, on_step: OnStep = lambda _: None
    ) -> list[str]:
        """Destroys scratch stacks whose time is over, or all of them; their names.

        Raises:
            TerraceError: some could not be destroyed; the others were.
        """
        gone: list[str] = []
        faults: list[Fault] = []
        for name in self.stacks.names():
            if not everything and now < expires(name):
                continue
            on_step(f"destroying {name}")
            try:
                self.stacks.destroy(name)
            except TerraceError as error:
                faults.extend(error.faults)
            else:
                gone.append(name)
        if faults:
            raise TerraceError(*faults, summary=f"Destroyed: {', '.join(gone) or 'none'}. Not destroyed:")
        return gone

    def _carried_out(
        self, name: str, source: Source, now: datetime, wish: Sequence[str], on_step: OnStep
    ) -> Report:
        began = time.monotonic()
        key, digest = self.kits.put(source.artifacts_bucket)
        on_step(f"making {name}")
        instance_id = self.stacks.make(name, _told(source, name, key, digest))
        made = time.monotonic()
        on_step("waiting for its boot")
        self.boxes.wait_until(instance_id, "test -e /var/lib/terrace/restore-ready", seconds=BOOT_SECONDS)
        online = time.monotonic()
        on_step("restoring and proving")
        line = " ".join(["terrace-restore", "--prove", *wish])
        ran = self.boxes.run(instance_id, line, seconds=RESTORE_SECONDS)
        ended = time.monotonic()
        result = _result(ran)
        proof = dict(result.get("proof", {}))
        age = proof.get("newest_row_age_seconds")
        return Report(
            stack=name,
            source=source.stack,
            began_at=now.isoformat(timespec="seconds"),
            backup=result["backup"],
            recovery_seconds=round(ended - began, 1),
            stack_seconds=round(made - began, 1),
            boot_seconds=round(online - made, 1),
            restore_seconds=round(ended - online, 1),
            newest_row_age_seconds=None if age is None else round(age, 1),
            proof=proof,
            faults=tuple(proof.get("faults", ())),
        )

    def _end(self, name: str, on_step: OnStep, *, keep: bool) -> None:
        if keep:
            on_step(
                f"{name} stands until {expires(name):%Y-%m-%d %H:%M} UTC; scripts/restore.py sweep ends it"
            )
            return
        on_step(f"destroying {name}")
        try:
            self.stacks.destroy(name)
        except BaseException as error:
            raise TerraceError(
                Fault(
                    f"stack {name}",
                    f"could not be destroyed: {error or type(error).__name__}",
                    "Its box costs money until: scripts/restore.py sweep --all",
                )
            ) from error

    def _publish(self, source: Source, values: Mapping[Metric, float]) -> None:
        self.metrics.publish(source.stack, values)


def source_of(stack: str, outputs: Mapping[str, Any], zone: str) -> Source:
    """The source by its stack's outputs.

    Raises:
        TerraceError: it does not stand, or not with a box that has the database.
    """
    try:
        return Source(
            stack=stack,
            vpc_id=outputs["vpc_id"],
            subnet_id=outputs["public_subnets"][zone],
            key_arn=outputs["key_arn"],
            backups_bucket=outputs["buckets"]["backups"],
            uploads_bucket=outputs["buckets"]["uploads"],
            artifacts_bucket=outputs["buckets"]["artifacts"],
            instance_id=outputs["instance_id"],
        )
    except KeyError as error:
        raise TerraceError(
            Fault(
                f"stack {stack}",
                f"has no output {error} to restore from",
                "Is it up, and of this terrace? pulumi up",
            )
        ) from error


def name_of(now: datetime) -> str:
    """The scratch stack of a drill that begins then (UTC)."""
    return f"{PREFIX}{now.astimezone(UTC):%Y%m%d-%H%M}"


def expires(name: str) -> datetime:
    """When a scratch stack's time is over, by its name alone: a drill may have died before it said anything."""
    found = _NAME.fullmatch(name)
    if found is None:
        return datetime.max.replace(tzinfo=UTC)
    began = datetime.strptime(f"{found[1]}{found[2]}+0000", "%Y%m%d%H%M%z")
    return began + timedelta(hours=LIFETIME_HOURS)


def _told(source: Source, name: str, key: str, digest: str) -> dict[str, str]:
    return {
        "source": source.stack,
        "expires": f"{expires(name):%Y-%m-%dT%H:%MZ}",
        "vpcId": source.vpc_id,
        "subnetId": source.subnet_id,
        "keyArn": source.key_arn,
        "backupsBucket": source.backups_bucket,
        "uploadsBucket": source.uploads_bucket,
        "artifactsBucket": source.artifacts_bucket,
        "kitKey": key,
        "kitSha256": digest,
    }


def _result(ran: Ran) -> dict[str, Any]:
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        found = None
    if isinstance(found, dict) and "backup" in found:
        return found
    said = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing")[-800:]
    raise TerraceError(
        Fault(
            "terrace-restore",
            f"ended with {ran.exit_code}: {said}",
            "The scratch box is destroyed; see above",
        )
    )
