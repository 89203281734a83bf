"""The only place for what the double's control plane answers: REST v2, resource by resource."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from embedded.runpod.bodies import REGISTRY, Refused, check_endpoint, check_together, closed
from embedded.runpod.model import Endpoint, Habits, Worker
from embedded.runpod.world import World
from infra.core.gpu.platform import POOLS, EndpointType, Scaler, WorkerStatus

Json = dict[str, Any]
Query = Mapping[str, str]

CONTAINER_FIELDS = ("image", "args", "disk", "env", "ports", "registry")
"""A change of these is a release; all others reach the autoscaler."""

AMOUNTS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount", "feeAmount")
BUCKETS = ("hour", "day", "week", "month", "year")
VERBS = {
    "serverless": "GET, POST", "serverless/*": "GET, PATCH, DELETE", "serverless/*/workers": "GET",
    "serverless/*/releases": "GET", "catalog/gpus": "GET", "catalog/gpus/*": "GET", "billing/serverless": "GET",
    "registries": "GET, POST", "registries/*": "DELETE",
}  # fmt: skip
"""What is answered here; a path with another method is refused with these."""


class Control:
    """REST v2 over a world. `base` is where the endpoints' job API is said to be."""

    def __init__(self, world: World, *, base: str) -> None:
        self.world, self.base = world, base
        self.registries: dict[str, Json] = {}

    @property
    def habits(self) -> Habits:
        """What a test may set."""
        return self.world.habits

    def answer(self, method: str, parts: list[str], query: Query, body: Any) -> tuple[int, Any]:
        """Status and body for `/v2/…`, its parts without `v2`.

        Raises:
            Refused: everything that is not done.
        """
        match method, parts:
            case "POST", ["serverless"]:
                return 201, self._create(body)
            case "GET", ["serverless"]:
                return 200, self._page(
                    "endpoints", [self._shown(e) for e in self.world.endpoints.values()], query
                )
            case "GET", ["serverless", name]:
                return 200, self._shown(self._find(name))
            case "PATCH", ["serverless", name]:
                return 200, self._patch(self._find(name), body)
            case "DELETE", ["serverless", name]:
                self.world.remove(self._find(name))
                return 204, None
            case "GET", ["serverless", name, "workers"]:
                return 200, self._workers(self._find(name))
            case "GET", ["serverless", name, "releases"]:
                return 200, self._releases(self._find(name))
            case "GET", ["catalog", "gpus"]:
                return 200, self._page("gpus", self._cards(query), query)
            case "GET", ["catalog", "gpus", name]:
                return 200, next((e for e in self._cards(query) if e["id"] == name), None) or self._nothing()
            case "GET", ["billing", "serverless"]:
                return 200, self._billing(query)
            case "GET", ["registries"]:
                return 200, self._page("registries", list(self.registries.values()), query)
            case "POST", ["registries"]:
                return 201, self._registry(body)
            case "DELETE", ["registries", name]:
                if self.registries.pop(name, None) is None:
                    self._nothing()
                return 204, None
        allowed = next((verbs for path, verbs in VERBS.items() if _matches(path, parts)), "")
        if allowed and method not in allowed.split(", "):
            raise Refused(405, "method not allowed", allow=allowed)
        return self._nothing()

    def _nothing(self) -> NoReturn:
        raise Refused(404, "resource not found")

    def _find(self, name: str) -> Endpoint:
        return self.world.endpoints.get(name) or self._nothing()

    def _create(self, body: Any) -> Json:
        check_endpoint(body, create=True)
        self._check_known(body)
        workers = {"min": 0, "max": 3, **body.get("workers", {})}
        queue_counts = body["type"] == EndpointType.QUEUE and body["scaling"]["type"] == Scaler.REQUEST_COUNT
        if not queue_counts:
            workers.setdefault("idleTimeout", 10)
        made = {
            "args": "", "disk": 20, "env": {}, "ports": [], "registry": None, "dataCenterIds": [],
            "networkVolumes": [], "timeout": 0, "flashboot": "OFF",
            **{name: value for name, value in body.items() if name != "templateId"},
            "workers": workers,
        }  # fmt: skip
        if "gpu" in made:
            made["gpu"] = {
                "count": 1,
                "excludedTypes": [],
                "allowedCudaVersions": [],
                "minCudaVersion": None,
            } | {
                name: value or None if name == "minCudaVersion" else value
                for name, value in body["gpu"].items()
            }
        check_together(made)
        self._check_quota(workers["max"], None)
        endpoint = Endpoint(self.world.name("ep"), made, self.world.now)
        endpoint.releases.append(self._release(endpoint, []))
        self.world.add(endpoint)
        return self._shown(endpoint)

    def _patch(self, endpoint: Endpoint, body: Any) -> Json:
        check_endpoint(body, create=False)
        if "cpu" in body and "gpu" in endpoint.body:
            raise Refused(400, "a GPU endpoint cannot become a CPU endpoint")
        self._check_known(body)
        before, after = endpoint.body, json.loads(json.dumps(endpoint.body))
        for name, value in body.items():
            if name == "gpu":
                if "pools" in value:
                    after["gpu"]["excludedTypes"] = []
                after["gpu"].update(value)
                after["gpu"]["minCudaVersion"] = after["gpu"]["minCudaVersion"] or None
            elif name == "workers":
                after["workers"].update(value)
            else:
                after[name] = value
        if after["scaling"]["type"] == Scaler.REQUEST_COUNT and "idleTimeout" not in body.get("workers", {}):
            after["workers"].pop("idleTimeout", None)
        check_together(after)
        self._check_quota(after["workers"]["max"], endpoint)
        endpoint.body = after
        changed = [name for name in CONTAINER_FIELDS if before.get(name) != after.get(name)]
        if changed:
            endpoint.version += 1
            endpoint.crashing = False
            endpoint.releases.append(self._release(endpoint, changed))
            for worker in list(endpoint.workers.values()):
                if not worker.running:
                    self.world.stop(endpoint, worker)
        if body.get("workers", {}).get("max"):
            endpoint.quieted, endpoint.last_request = 0, self.world.now
        for worker in list(endpoint.workers.values()):
            if worker.idle_since is not None:
                self.world.idle_over(endpoint, worker, worker.idle_since)
        self.world.balance(endpoint)
        return self._shown(endpoint)

    def _check_known(self, body: Json) -> None:
        """No template stands on the double; a registry credential does once it was made (its status: verify)."""
        if "templateId" in body:
            raise Refused(404, f"template {body['templateId']} not found")
        if (registry := body.get("registry")) and registry not in self.registries:
            raise Refused(400, f"registry {registry} not found")

    def wipe_exclusions(self, endpoint_id: str) -> None:
        """The platform's mistake of July 2026."""
        if endpoint := self.world.endpoints.get(endpoint_id):
            endpoint.body["gpu"]["excludedTypes"] = []

    def _check_quota(self, most: int, mine: Endpoint | None) -> None:
        others = sum(each.most for each in self.world.endpoints.values() if each is not mine)
        if most + others > self.habits.quota_workers:
            raise Refused(400, f"worker quota exceeded: {most + others} of {self.habits.quota_workers}")

    def _shown(self, endpoint: Endpoint) -> Json:
        url = f"{self.base}/{endpoint.id}"
        queue = ("run", "runsync", "status", "stream", "cancel", "retry", "purge-queue", "health")
        names = ("run", "runSync", "status", "stream", "cancel", "retry", "purgeQueue", "health")
        urls = {name: f"{url}/{path}" for name, path in zip(names, queue, strict=True)}
        if endpoint.body["type"] == EndpointType.LOAD_BALANCER:
            urls = {"base": url, "health": f"{url}/ping"}
        return {
            "id": endpoint.id, **json.loads(json.dumps(endpoint.body)), "requestUrls": urls,
            "createdAt": _time(endpoint.created),
        }  # fmt: skip

    def _workers(self, endpoint: Endpoint) -> Json:
        listed = [self._worker(endpoint, each) for each in endpoint.workers.values()]
        counts = {
            status.value.lower(): sum(1 for each in listed if each["status"] == status)
            for status in WorkerStatus
        }
        return {
            "endpointVersion": endpoint.version, "summary": {**counts, "total": len(listed)}, "workers": listed,
        }  # fmt: skip

    def _worker(self, endpoint: Endpoint, worker: Worker) -> Json:
        shown: Json = {
            "id": worker.id, "status": worker.status.value, "isStale": worker.version != endpoint.version,
            "gpuCount": 1, "version": worker.version, "image": endpoint.body["image"], "gpuTypeId": "NVIDIA L4",
        }  # fmt: skip
        if worker.billed_from is not None:
            shown["startedAt"] = _time(worker.billed_from)
            shown["uptimeSeconds"] = int(self.world.now - worker.billed_from)
        return shown

    def _release(self, endpoint: Endpoint, changed: list[str]) -> Json:
        return {
            "id": self.world.name("rel"), "version": endpoint.version, "source": "MANUAL", "workerCount": 0,
            "createdAt": _time(self.world.now),
            "diff": [{"field": name, "old": "", "new": ""} for name in changed],
        }  # fmt: skip

    def _releases(self, endpoint: Endpoint) -> Json:
        workers = list(endpoint.workers.values())
        latest = sum(1 for each in workers if each.version == endpoint.version)
        percent = 100 * latest // len(workers) if workers else 100
        rollout = {
            "inProgress": latest < len(workers), "workersOnLatest": latest, "workersTotal": len(workers),
            "percentOnLatest": percent,
        }  # fmt: skip
        return {
            "endpointVersion": endpoint.version, "rollout": rollout, "releases": list(reversed(endpoint.releases)),
        }  # fmt: skip

    def _cards(self, query: Query) -> list[Json]:
        if ("include" in query) != ("product" in query):
            raise Refused(400, "include and product go together")
        cards = []
        for pool, types in POOLS.items():
            for card in types:
                hour = round(self.habits.usd_per_second * 3600, 6) if pool == "AMPERE_24" else None
                shown: Json = {
                    "id": card, "name": card, "pool": pool, "manufacturer": "NVIDIA", "memory": 24,
                    "secure": True, "community": True, "price": {"secure": 0, "community": 0},
                    "maxCount": {"secure": 8, "community": 8},
                }  # fmt: skip
                if hour is not None:
                    shown["price"] = {**shown["price"], "serverless": hour}
                if "include" in query:
                    stock = self.habits.stock.get(card, "NONE")
                    shown["availability"] = stock
                    shown["dataCenters"] = []
                    shown["cudaVersions"] = [{"version": "13.0", "available": stock != "NONE"}]
                cards.append(shown)
        return cards

    def _billing(self, query: Query) -> Json:
        spans = _spans(query, datetime.fromtimestamp(self.world.now, UTC))
        wanted = query.get("serverlessId", "")
        records: list[Json] = []
        for endpoint in [*self.world.endpoints.values(), *self.world.deleted]:
            if wanted and endpoint.id != wanted:
                continue
            for begin, over in spans:
                seconds = self.world.billed_seconds(endpoint, begin, over)
                gpu = seconds * self.habits.usd_per_second
                # 5-minute steps while running; a month of 30 days.
                steps = math.ceil(seconds / 300)
                disk = steps * 300 / 2592000 * endpoint.body["disk"] * self.habits.disk_usd_per_gb_month
                fee = gpu * self.habits.fee_share
                if seconds:
                    records.append(
                        {
                            "startTime": _time(begin), "endTime": _time(over), "serverlessId": endpoint.id,
                            "totalAmount": round(gpu + disk + fee, 8), "gpuAmount": round(gpu, 8), "cpuAmount": 0,
                            "diskAmount": round(disk, 8), "feeAmount": round(fee, 8),
                        }
                    )  # fmt: skip
        totals = {name: sum(each[name] for each in records) for name in AMOUNTS}
        found = {
            "query": dict(query),
            "recordCount": len(records),
            "totals": totals,
            "uniqueServerlessCount": 1,
        }
        return {"records": records, "metadata": found}

    def _registry(self, body: Any) -> Json:
        if wrong := closed(body, REGISTRY):
            raise Refused(422, "Request validation failed.", *wrong)
        made = {"id": self.world.name("reg"), "name": body["name"]}
        self.registries[made["id"]] = made
        return made

    def _page(self, name: str, items: list[Json], query: Query) -> Json:
        size = self.habits.pages_of
        if not size:
            return {name: items}
        start = int(query.get("cursor", "0"))
        page: Json = {name: items[start : start + size]}
        if start + size < len(items):
            page["nextCursor"] = str(start + size)
        return page


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _matches(path: str, parts: list[str]) -> bool:
    wanted = path.split("/")
    return len(wanted) == len(parts) and all(
        want in ("*", part) for want, part in zip(wanted, parts, strict=True)
    )


def _spans(query: Query, now: datetime) -> list[tuple[float, float]]:
    """The buckets of a billing window, which snaps outward to them; the last `lastN`, or 30 days."""
    size = query.get("bucketSize", "day")
    if size not in BUCKETS:
        raise Refused(400, f"bucketSize must be one of {', '.join(BUCKETS)}")
    if "lastN" in query and ("startTime" in query or "endTime" in query):
        raise Refused(400, "lastN and startTime/endTime are mutually exclusive")
    end = _moment(query.get("endTime"), now)
    start = _moment(query.get("startTime"), end - timedelta(days=30))
    if (last := query.get("lastN")) is not None:
        if not last.isdigit() or int(last) < 1:
            raise Refused(400, "lastN must be an integer >= 1")
        start = _floor(now, size)
        for _ in range(int(last) - 1):
            start = _floor(start - timedelta(hours=1), size)
    spans, begin = [], _floor(start, size)
    while begin < end:
        over = _floor(begin + _ABOUT[size], size)
        spans.append((begin.timestamp(), over.timestamp()))
        begin = over
    return spans


_ABOUT = {
    "hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31),
    "year": timedelta(days=366),
}  # fmt: skip
"""From any bucket's begin into the next one."""


def _floor(moment: datetime, size: str) -> datetime:
    """The begin of its bucket; weeks begin on Monday (verify)."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    return {
        "hour": hour, "day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1),
        "year": day.replace(month=1, day=1),
    }[size]  # fmt: skip


def _moment(text: str | None, default: datetime) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else default
