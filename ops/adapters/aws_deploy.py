"""The ports of deploys on boto3: the artifacts bucket in S3, commands on boxes by SSM Run Command."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3

from infra.core.errors import Fault, TerraceError
from ops.adapters.aws import TIMEOUTS, speaking
from ops.deploy import Box, Ended
from ops.release import Packed

DOCUMENT = "AWS-RunShellScript"
DELIVERY_SECONDS = 60
"""How long SSM tries to hand a command over; 30 is the least (SSM API reference, SendCommand)."""

EXECUTION_SECONDS = 7200
"""Longer than a deploy with the longest migration that the box allows; then SSM itself ends it."""

_POLL_SECONDS = 0.5
_UNFINISHED = ("Pending", "InProgress", "Delayed", "Cancelling")
_UNDELIVERED = ("Undeliverable", "Terminated", "Delivery Timed Out")


class S3Artifacts:
    """One bucket."""

    def __init__(self, bucket: str, region: str) -> None:
        self._bucket = bucket
        self._s3: Any = boto3.client("s3", region_name=region, config=TIMEOUTS)

    def read(self, key: str) -> bytes | None:
        """A small object; None where there is none."""
        with speaking(f"s3://{self._bucket}/{key}"):
            try:
                return bytes(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
            except self._s3.exceptions.NoSuchKey:
                return None

    def write(self, key: str, content: bytes) -> None:
        """Writes a small object."""
        with speaking(f"s3://{self._bucket}/{key}"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType="application/json")

    def upload(self, key: str, archive: Packed) -> None:
        """Writes a release's archive."""
        self.upload_file(key, archive.archive, archive.published.sha256)

    def upload_file(self, key: str, path: Path, sha256: str) -> None:
        """Writes a file, in parts where it is large; S3 shows it when all of them are there."""
        with speaking(f"s3://{self._bucket}/{key}"):
            self._s3.upload_file(str(path), self._bucket, key, ExtraArgs={"Metadata": {"sha256": sha256}})

    def size_of(self, key: str) -> int | None:
        """Bytes of an object; None where there is none."""
        with speaking(f"s3://{self._bucket}/{key}"):
            try:
                return int(self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
            except self._s3.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise


class SsmBoxes:
    """The boxes of one region."""

    def __init__(self, region: str) -> None:
        self._ssm: Any = boto3.client("ssm", region_name=region, config=TIMEOUTS)

    def begin(self, box: Box, argv: Sequence[str]) -> str:
        """Starts a command; its id.

        Raises:
            TerraceError: the box is not online, or these credentials may not.
        """
        name = f"{box.role} {box.instance_id}"
        with speaking(name):
            try:
                sent = self._ssm.send_command(
                    InstanceIds=[box.instance_id],
                    DocumentName=DOCUMENT,
                    Comment=" ".join(argv[:3])[:100],
                    TimeoutSeconds=DELIVERY_SECONDS,
                    Parameters={
                        "commands": [shlex.join(argv)],
                        "executionTimeout": [str(EXECUTION_SECONDS)],
                    },
                )
            except self._ssm.exceptions.InvalidInstanceId as error:
                raise TerraceError(
                    Fault(
                        name,
                        "is not online: its SSM agent does not answer",
                        "Wait for its boot, or look at it",
                    )
                ) from error
        return str(sent["Command"]["CommandId"])

    def ended(self, box: Box, command: str) -> Ended | None:
        """How it ended; None while it goes on.

        Raises:
            TerraceError: the box never got it, or went down meanwhile.
        """
        with speaking(f"{box.role} {box.instance_id}"):
            try:
                found = self._ssm.get_command_invocation(CommandId=command, InstanceId=box.instance_id)
            except self._ssm.exceptions.InvocationDoesNotExist:
                return None  # SendCommand's answer comes before its invocations can be read
        if found["Status"] in _UNFINISHED:
            return None
        if found["StatusDetails"] in _UNDELIVERED:
            raise TerraceError(
                Fault(
                    f"{box.role} {box.instance_id}",
                    f"did not take the command: {found['StatusDetails']}",
                    "Look whether it is up; the same command goes on",
                )
            )
        return Ended(
            int(found["ResponseCode"]), found["StandardOutputContent"], found["StandardErrorContent"]
        )

    def run(self, box: Box, argv: Sequence[str]) -> Ended:
        """Starts a command and waits for its end."""
        command = self.begin(box, argv)
        while (ended := self.ended(box, command)) is None:
            time.sleep(_POLL_SECONDS)
        return ended
