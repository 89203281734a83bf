"""The ports of restore drills: scratch stacks by the Automation API, commands by SSM, programs in S3, CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import yaml
from pulumi import automation

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from infra.host import kit
from ops import recovery, restore, stackfile
from ops.adapters.aws import TIMEOUTS, speaking
from ops.adapters.engine import Engine, workspace
from ops.adapters.orphans import Orphans
from ops.adapters.state import EngineState
from ops.restore import Ran

DOCUMENT = "AWS-RunShellScript"
_POLL_SECONDS = 1.0
_UNFINISHED = ("Pending", "InProgress", "Delayed", "Cancelling")


class ScratchStacks:
    """Scratch stacks with the settings of the source's own stack file, in a project directory of their own.

    The engine remembers a chosen stack for each project directory: in the source's own, a drill would leave a person
    with none chosen.
    """

    def __init__(
        self, root: Path, source_file: Path, *, project: str, variables: Mapping[str, str], work_dir: Path
    ) -> None:
        self._root, self._work_dir, self._project = root, work_dir, project
        self._source_file, self._variables = source_file, dict(variables)

    def make(self, name: str, drill: Mapping[str, str]) -> str:
        """Writes its stack file, makes it; its box's instance id."""
        self._lay_out()
        source = stackfile.read(self._source_file)
        settings = {**source.get("config", {}), "terrace:drill": dict(drill)}
        # A drill tells the application nothing and has no name: it is reached by Session Manager alone.
        for key in ("terrace:app", "terrace:domain", "terrace:dns"):
            settings.pop(key, None)
        content = {**source, "config": settings}
        stackfile.write(self._file(name), yaml.safe_dump(content, sort_keys=False))
        return str(self._engine(name).up()["instance_id"])

    def destroy(self, name: str) -> None:
        """Recovers it first where its engine was killed; nothing there is fine."""
        if name not in self.names():
            self._file(name).unlink(missing_ok=True)
            return
        engine = self._engine(name)
        region = str(stackfile.config(self._source_file)["aws:region"])
        state = EngineState(self._work_dir, self._project, name, engine.environment)
        orphans = Orphans(region)
        planned = recovery.plan(state, orphans)
        if planned.needed:
            recovery.carry_out(planned, state, orphans)
        engine.destroy()
        engine.forget()
        self._file(name).unlink(missing_ok=True)

    def names(self) -> Sequence[str]:
        """Every scratch stack in the backend, oldest first."""
        self._lay_out()
        try:
            found = workspace(self._root, self._variables, self._work_dir).list_stacks()
        except automation.CommandError as error:
            raise TerraceError(Fault("stacks", f"cannot be listed: {error}", "See above")) from error
        names = (each.name.rpartition("/")[2] for each in found)
        return sorted(name for name in names if name.startswith(restore.PREFIX))

    def _lay_out(self) -> None:
        """The same program, by link; idempotent."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        text = (self._root / "Pulumi.yaml").read_text(encoding="utf-8")
        stackfile.write(self._work_dir / "Pulumi.yaml", text)
        for name in ("infra", ".venv"):
            link = self._work_dir / name
            if not link.is_symlink():
                link.symlink_to(self._root / name)

    def _engine(self, name: str) -> Engine:
        return Engine(self._root, name, variables=self._variables, work_dir=self._work_dir)

    def _file(self, name: str) -> Path:
        return self._work_dir / f"Pulumi.{name}.yaml"


class S3Kits:
    """The restore programs of this working tree in the artifacts bucket."""

    def __init__(self, region: str) -> None:
        self._s3: Any = boto3.client("s3", region_name=region, config=TIMEOUTS)

    def put(self, bucket: str) -> tuple[str, str]:
        """Puts them there; the same programs have the same key."""
        built = kit.build()
        with speaking(f"s3://{bucket}/{built.key}"):
            self._s3.put_object(Bucket=bucket, Key=built.key, Body=built.content)
        return built.key, built.sha256


class SsmShell:
    """Shell scripts on boxes by SSM Run Command."""

    def __init__(self, region: str) -> None:
        self._ssm: Any = boto3.client("ssm", region_name=region, config=TIMEOUTS)

    def wait_until(self, instance_id: str, script: str, *, seconds: float) -> None:
        """Asks again until the script succeeds; a box whose agent is not there yet is waited for as well."""
        until = time.monotonic() + seconds
        while True:
            try:
                if self.run(instance_id, script, seconds=60).exit_code == 0:
                    return
            except TerraceError:
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise TerraceError(
                    Fault(
                        instance_id,
                        f"was not ready within {seconds:g} s",
                        "Look at its console output: aws ec2 get-console-output",
                    )
                )
            time.sleep(_POLL_SECONDS)

    def run(self, instance_id: str, script: str, *, seconds: float) -> Ran:
        """Sends the script and waits for its end."""
        with speaking(f"box {instance_id}"):
            sent = self._ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName=DOCUMENT,
                TimeoutSeconds=60,
                Parameters={"commands": [script], "executionTimeout": [str(int(seconds))]},
            )
            command = sent["Command"]["CommandId"]
            until = time.monotonic() + seconds + 120
            while True:
                try:
                    found = self._ssm.get_command_invocation(CommandId=command, InstanceId=instance_id)
                except self._ssm.exceptions.InvocationDoesNotExist:
                    found = None  # SendCommand's answer comes before its invocations can be read
                if found and found["Status"] not in _UNFINISHED:
                    return Ran(
                        int(found["ResponseCode"]),
                        found["StandardOutputContent"],
                        found["StandardErrorContent"],
                    )
                if time.monotonic() > until:
                    raise TerraceError(
                        Fault(f"box {instance_id}", f"did not end within {seconds:g} s", "Look at it")
                    )
                time.sleep(_POLL_SECONDS)


class StackMetrics:
    """Results by stack in the project's namespace."""

    def __init__(self, region: str, project: str) -> None:
        self._project = project
        self._cloudwatch: Any = boto3.client("cloudwatch", region_name=region, config=TIMEOUTS)

    def publish(self, stack: str, values: Mapping[Metric, float]) -> None:
        """Puts them there."""
        data = [
            {
                "MetricName": metric.name,
                "Dimensions": [{"Name": "Stack", "Value": stack}],
                "Value": value,
                "Unit": metric.unit.value,
            }
            for metric, value in values.items()
        ]
        with speaking(f"metrics of {self._project}"):
            self._cloudwatch.put_metric_data(Namespace=self._project, MetricData=data)
