"""The only place for what the control plane answers, as typed values: strict in what is used, blind to the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from infra.core.gpu.modes import Workers
from infra.core.gpu.platform import Stock, WorkerStatus

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A serverless endpoint; `body` is the API's own form, for comparing. It may hold secrets: it does not show."""

    id: str
    name: str
    workers: Workers
    urls: Mapping[str, str]
    body: Json = field(repr=False)

    @classmethod
    def parse(cls, raw: Json) -> Endpoint:
        """From the API's form; KeyError, TypeError or ValueError where it is another."""
        return cls(
            str(raw["id"]),
            str(raw["name"]),
            Workers.from_body(raw["workers"]),
            dict(raw.get("requestUrls") or {}),
            raw,
        )

    @property
    def jobs_url(self) -> str:
        """Where the job API of a queue endpoint is: its /run without the last part."""
        return self.urls.get("run", "").removesuffix("/run")


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as it is listed; `uptime_seconds` and `started_at` are None until it is placed."""

    id: str
    status: WorkerStatus
    stale: bool
    uptime_seconds: int | None
    started_at: datetime | None
    gpu_type: str | None

    @classmethod
    def parse(cls, raw: Json) -> Worker:
        """From the API's form."""
        started = raw.get("startedAt")
        uptime = raw.get("uptimeSeconds")
        return cls(
            str(raw["id"]),
            WorkerStatus(raw["status"]),
            bool(raw["isStale"]),
            None if uptime is None else int(uptime),
            None if started is None else moment(started),
            raw.get("gpuTypeId"),
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the newest release has come."""

    version: int | None
    in_progress: bool
    percent: int

    @classmethod
    def parse(cls, raw: Json) -> Rollout:
        """From the API's form of releases."""
        rollout = raw["rollout"]
        return cls(raw.get("endpointVersion"), bool(rollout["inProgress"]), int(rollout["percentOnLatest"]))


@dataclass(frozen=True, slots=True)
class GpuType:
    """A card of the catalogue; prices are USD for an hour of one; `stock` and `cuda` only where asked for."""

    id: str
    pool: str | None
    serverless_usd_per_hour: Decimal | None
    stock: Stock | None
    cuda: tuple[tuple[str, bool], ...]

    @classmethod
    def parse(cls, raw: Json) -> GpuType:
        """From the API's form."""
        price = raw["price"].get("serverless")
        stock = raw.get("availability")
        return cls(
            str(raw["id"]),
            raw.get("pool"),
            None if price is None else Decimal(str(price)),
            None if stock is None else Stock(stock),
            tuple((str(each["version"]), bool(each["available"])) for each in raw.get("cudaVersions") or ()),
        )


@dataclass(frozen=True, slots=True)
class BillingRecord:
    """What one endpoint cost in one bucket of time, in USD."""

    start: datetime
    end: datetime
    endpoint_id: str
    total_usd: Decimal
    gpu_usd: Decimal
    disk_usd: Decimal
    fee_usd: Decimal

    @classmethod
    def parse(cls, raw: Json) -> BillingRecord:
        """From the API's form."""
        return cls(
            moment(raw["startTime"]),
            moment(raw["endTime"]),
            str(raw["serverlessId"]),
            *(Decimal(str(raw[name])) for name in ("totalAmount", "gpuAmount", "diskAmount", "feeAmount")),
        )


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry credential."""

    id: str
    name: str

    @classmethod
    def parse(cls, raw: Json) -> Registry:
        """From the API's form."""
        return cls(str(raw["id"]), str(raw["name"]))


def moment(text: str) -> datetime:
    """A time of the API, with its zone."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def types_of_pool(types: Sequence[GpuType], pool: str) -> list[GpuType]:
    """The cards of a pool."""
    return [each for each in types if each.pool == pool]
