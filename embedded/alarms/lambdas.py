"""The only place that runs a Lambda function: its own code in a process of its own, against this cloud's API.

What Lambda does with an asynchronous call: three attempts in all (the waits of one and two minutes between them are
left out), its output to its log group, and the metrics Invocations and Errors. No memory limit, no layers, no roles.
"""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.world import WORLD

_log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Of an asynchronous call (Lambda Developer Guide, "How Lambda handles errors and retries")."""

_RUN = """\
import importlib, json, sys
module, _, name = sys.argv[1].rpartition(".")
sys.path.insert(0, ".")
print(json.dumps(getattr(importlib.import_module(module), name)(json.load(sys.stdin), None)))
"""


@dataclass(frozen=True, slots=True)
class _Code:
    """What is needed of a function to run it."""

    name: str
    archive: bytes
    handler: str
    variables: Mapping[str, str]
    timeout_seconds: int
    log_group: str


class Functions:
    """Runs functions one after the other, beside the clock of the alarms. `endpoint` gives the API's address."""

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._pool = ThreadPoolExecutor(1, "lambda")
        self._running: list[Future[None]] = []

    def call(self, arn: str, event: Mapping[str, Any], *, region: str, at: datetime) -> None:
        """Calls a function as SNS and EventBridge do: without waiting for it.

        Raises:
            LookupError: there is no such function.
        """
        code = _find(arn.rpartition(":function:")[2].partition(":")[0], region)
        self._running = [each for each in self._running if not each.done()]
        self._running.append(self._pool.submit(self._attempts, code, dict(event), region, at))

    def settle(self) -> None:
        """Waits until every call has ended."""
        for each in self._running:
            each.result()

    def _attempts(self, code: _Code, event: Mapping[str, Any], region: str, at: datetime) -> None:
        failed = attempts = 0
        for attempts in range(1, ATTEMPTS + 1):  # noqa: B007 counted on
            done, said = self._once(code, event, region)
            _note(code, said, region, at)
            failed += not done
            if done:
                break
        _measure(code.name, {"Invocations": attempts, "Errors": failed}, region, at)

    def _once(self, code: _Code, event: Mapping[str, Any], region: str) -> tuple[bool, str]:
        with tempfile.TemporaryDirectory(prefix="terrace-lambda-") as directory:
            with zipfile.ZipFile(io.BytesIO(code.archive)) as archive:
                archive.extractall(directory)
            try:
                done = subprocess.run(
                    [sys.executable, "-c", _RUN, code.handler],
                    input=json.dumps(event),
                    cwd=directory,
                    env={
                        **code.variables,
                        "AWS_ENDPOINT_URL": self._endpoint(),
                        "AWS_REGION": region,
                        "AWS_DEFAULT_REGION": region,
                        "AWS_ACCESS_KEY_ID": "function",
                        "AWS_SECRET_ACCESS_KEY": "function",
                        "AWS_EC2_METADATA_DISABLED": "true",
                        "PYTHONDONTWRITEBYTECODE": "1",
                    },
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=code.timeout_seconds,
                )
            except subprocess.TimeoutExpired:
                return False, f"Task timed out after {code.timeout_seconds}.00 seconds"
        return done.returncode == 0, (done.stdout + done.stderr).strip()


def _find(name: str, region: str) -> _Code:
    from moto.awslambda.utils import get_backend

    with WORLD:
        try:
            found: Any = get_backend(ACCOUNT_ID, region).get_function(name)
        except Exception as error:
            raise LookupError(f"there is no function {name}") from error
        return _Code(
            name,
            bytes(found.code_bytes),
            str(found.handler),
            dict(found.environment_vars),
            int(found.timeout),
            str((found.logging_config or {}).get("LogGroup") or ""),
        )


def _note(code: _Code, said: str, region: str, at: datetime) -> None:
    from moto.logs.models import logs_backends

    if not code.log_group or not said:
        return
    with WORLD:
        backend: Any = logs_backends[ACCOUNT_ID][region]
        group = backend.groups.get(code.log_group)
        if group is None:
            return
        stream = at.strftime("%Y/%m/%d")
        if stream not in group.streams:
            backend.create_log_stream(code.log_group, stream)
        stamp = int(at.timestamp() * 1000)
        backend.put_log_events(code.log_group, stream, [{"timestamp": stamp, "message": said}])
        WORLD.note_change()


def _measure(name: str, counts: Mapping[str, int], region: str, at: datetime) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    with WORLD:
        cloudwatch_backends[ACCOUNT_ID][region].put_metric_data(
            "AWS/Lambda",
            [
                {
                    "MetricName": metric,
                    "Value": count,
                    "Unit": "Count",
                    "Timestamp": at.replace(tzinfo=None),  # as moto keeps them
                    "Dimensions": [{"Name": "FunctionName", "Value": name}],
                }
                for metric, count in counts.items()
            ],
        )
        WORLD.note_change()
