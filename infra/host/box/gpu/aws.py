"""The only place where the controller asks AWS: its plan and key from SSM, its document in S3, its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.clients.calling import ONCE, Caller, Patience
from infra.clients.over_urllib import UrllibTransport
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import Jobs
from infra.clients.runpod_key import KEY_PARAMETER, find_key, read_parameter
from infra.clients.transport import Transport
from infra.core import metrics
from infra.core.errors import Fault, TerraceError
from infra.core.gpu.cards import Cards
from infra.core.gpu.modes import Envelope
from infra.core.gpu.policy import Policy, read_policy
from infra.core.naming import Naming
from infra.host.box.gpu.controller import Figures, Plan
from infra.host.box.gpu.record import ConflictError, Document

DOCUMENT = "gpu/controller.json"
MOST_VALUES = 150
UNITS = {each.name: each.unit.value for each in metrics.GPU_METRICS}


class NoEndpointError(TerraceError):
    """The stack has no endpoint, or not yet."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a stack gives the controller."""

    plan: Plan
    policy: Policy
    jobs_url: str
    bucket: str


def given(naming: Naming, *, region: str) -> Given:
    """What Pulumi put into SSM.

    Raises:
        NoEndpointError: the stack has no endpoint.
    """
    found = {
        name: read_parameter(naming.parameter("gpu", name), region=region)
        for name in ("endpoint", "jobs-url", "plan")
    }
    if not found["endpoint"] or not found["plan"] or not found["jobs-url"]:
        raise NoEndpointError(
            Fault(naming.parameter("gpu"), "holds no endpoint", "Set terrace:gpu.mode and run pulumi up")
        )
    data: dict[str, Any] = json.loads(found["plan"])
    until = None
    if data["activeUntil"]:
        last = datetime.fromisoformat(data["activeUntil"]).replace(tzinfo=UTC)
        until = (last + timedelta(days=1)).timestamp()
    plan = Plan(
        found["endpoint"],
        Envelope.from_data(data["envelope"]),
        float(data["budgetUsd"]),
        float(data["jobTimeoutSeconds"]),
        active_until=until,
        cards=Cards.from_data(data["cards"]) if data.get("cards") else None,
    )
    return Given(plan, read_policy(data["policy"]), found["jobs-url"], data["bucket"])


def clients(
    naming: Naming,
    given: Given,
    *,
    region: str,
    transport: Transport | None = None,
    patience: Patience = ONCE,
) -> tuple[RunPod, Jobs]:
    """Both APIs by the stack's key.

    By default a call is tried once: a controller's next round is the retry, a person has none.
    """
    key = find_key(naming.parameter(*KEY_PARAMETER), region=region)
    caller = Caller(transport or UrllibTransport(), key, patience)
    api = RunPod(caller)
    return api, Jobs(caller, api.beside(given.jobs_url))


@dataclass(slots=True)
class S3Store:
    """The document as an object that is written only over the version that was read (If-Match, If-None-Match)."""

    bucket: str
    region: str
    key: str = DOCUMENT

    def load(self) -> tuple[Document, str]:
        """See `Store`."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = _client("s3", self.region)
        try:
            found = client.get_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return Document(), ""
            raise _refused(f"s3://{self.bucket}/{self.key}", error) from None
        except BotoCoreError as error:
            raise _unreachable(f"s3://{self.bucket}/{self.key}", error) from None
        return Document.loads(found["Body"].read().decode()), str(found["ETag"])

    def save(self, document: Document, version: str) -> str:
        """See `Store`."""
        from botocore.exceptions import BotoCoreError, ClientError

        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        body = document.dumps().encode()
        try:
            done = _client("s3", self.region).put_object(
                Bucket=self.bucket, Key=self.key, Body=body, ContentType="application/json", **condition
            )
        except ClientError as error:
            # 409 is what S3 answers while another conditional write is under way (S3 User Guide).
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                raise ConflictError from None
            raise _refused(f"s3://{self.bucket}/{self.key}", error) from None
        except BotoCoreError as error:
            raise _unreachable(f"s3://{self.bucket}/{self.key}", error) from None
        return str(done["ETag"])


@dataclass(slots=True)
class CloudWatch:
    """Figures into the project's namespace; the stack is the only dimension."""

    namespace: str
    stack: str
    region: str

    def publish(self, values: Figures) -> None:
        """Sends them: up to 1000 metrics of 150 values in one call (PutMetricData, CloudWatch API reference)."""
        from botocore.exceptions import BotoCoreError, ClientError

        dimension = [{"Name": "Stack", "Value": self.stack}]
        data = [
            {"MetricName": name, "Values": each[-MOST_VALUES:], "Dimensions": dimension, "Unit": UNITS[name]}
            for name, each in values.items()
        ]
        try:
            _client("cloudwatch", self.region).put_metric_data(Namespace=self.namespace, MetricData=data)
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"CloudWatch: {type(error).__name__}") from None


def _client(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    settings = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    make: Any = boto3.client
    return make(service, region_name=region, config=settings)


def _refused(what: str, error: Any) -> TerraceError:
    return TerraceError(
        Fault(what, f"cannot be had: {error.response['Error']['Code']}", "Look at the box's role")
    )


def _unreachable(what: str, error: Exception) -> TerraceError:
    return TerraceError(
        Fault(what, f"cannot be had: {type(error).__name__}", "Look at credentials and network")
    )
