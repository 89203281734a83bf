"""The only place for calls of RunPod's REST v2 control plane. REST v1 is retired; GraphQL is not used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from infra.clients.calling import BadReplyError, Caller, NotFoundError, parsed
from infra.clients.runpod_types import BillingRecord, Endpoint, GpuType, Registry, Rollout, Worker
from infra.core.gpu.platform import API_URL

URL_VARIABLE = "RUNPOD_API_URL"
"""Points every program at another control plane: the embedded cloud's double sets it."""

MOST_PAGES = 100

T = TypeVar("T")
Json = dict[str, Any]


class RunPod:
    """The control plane, by one key."""

    def __init__(self, caller: Caller, *, url: str | None = None) -> None:
        self.caller = caller
        self.url = (url or os.environ.get(URL_VARIABLE) or API_URL).rstrip("/")

    @property
    def is_real(self) -> bool:
        """Whether this is RunPod itself."""
        return self.url == API_URL

    def beside(self, url: str) -> str:
        """Where the job API at `url` is asked: there, or with a double at the double's own address.

        An endpoint's address was written down by whom made it, who may have reached the double by another one.
        """
        return url if self.is_real else f"{self.url}{urlsplit(url).path}"

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint of the account."""
        return [self._as(Endpoint.parse, each, "list") for each in self._list("/v2/serverless", "endpoints")]

    def named(self, name: str) -> list[Endpoint]:
        """The endpoints of that name; the platform does not keep names unique."""
        return [each for each in self.endpoints() if each.name == name]

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint of that id, or None where it is gone."""
        try:
            raw = self._json("GET", f"/v2/serverless/{quote(endpoint_id, safe='')}")
        except NotFoundError:
            return None
        return self._as(Endpoint.parse, raw, "endpoint")

    def create(self, body: Json) -> Endpoint:
        """Makes an endpoint. Never sent twice: after a LostAnswerError, look for it by name."""
        return self._as(
            Endpoint.parse, self._json("POST", "/v2/serverless", body, repeatable=False), "create"
        )

    def patch(self, endpoint_id: str, body: Json) -> Endpoint:
        """Changes the fields that are sent; a PATCH of whole fields may be repeated."""
        raw = self._json("PATCH", f"/v2/serverless/{quote(endpoint_id, safe='')}", body)
        return self._as(Endpoint.parse, raw, "patch")

    def delete(self, endpoint_id: str) -> bool:
        """Deletes an endpoint with its workers and jobs; False where it was gone already."""
        try:
            self.caller.call(
                "DELETE", f"{self.url}/v2/serverless/{quote(endpoint_id, safe='')}", repeatable=True
            )
        except NotFoundError:
            return False
        return True

    def workers(self, endpoint_id: str) -> list[Worker]:
        """The workers that are not scaled down."""
        raw = self._json("GET", f"/v2/serverless/{quote(endpoint_id, safe='')}/workers")
        return [self._as(Worker.parse, each, "workers") for each in self._field(raw, "workers")]

    def rollout(self, endpoint_id: str) -> Rollout:
        """How far the newest release has come."""
        raw = self._json("GET", f"/v2/serverless/{quote(endpoint_id, safe='')}/releases")
        return self._as(Rollout.parse, raw, "releases")

    def gpu_types(self) -> list[GpuType]:
        """The catalogue with serverless prices and stock."""
        query = {"include": "AVAILABILITY", "product": "SERVERLESS"}
        return [
            self._as(GpuType.parse, each, "gpus") for each in self._list("/v2/catalog/gpus", "gpus", query)
        ]

    def billing(
        self, *, start: datetime, end: datetime, bucket: str = "day", endpoint_id: str = ""
    ) -> list[BillingRecord]:
        """What was billed; the window snaps outward to whole buckets (`hour`, `day`, …)."""
        query = {"startTime": _rfc3339(start), "endTime": _rfc3339(end), "bucketSize": bucket}
        if endpoint_id:
            query["serverlessId"] = endpoint_id
        records = self._list("/v2/billing/serverless", "records", query)
        return [self._as(BillingRecord.parse, each, "billing") for each in records]

    def registries(self) -> list[Registry]:
        """The registry credentials of the account."""
        return [
            self._as(Registry.parse, each, "registries")
            for each in self._list("/v2/registries", "registries")
        ]

    def create_registry(self, name: str, username: str, password: str) -> Registry:
        """Makes a registry credential; the password is never shown again."""
        body = {"name": name, "username": username, "password": password}
        return self._as(
            Registry.parse, self._json("POST", "/v2/registries", body, repeatable=False), "registry"
        )

    def delete_registry(self, registry_id: str) -> bool:
        """Deletes a registry credential; False where it was gone already."""
        try:
            self.caller.call(
                "DELETE", f"{self.url}/v2/registries/{quote(registry_id, safe='')}", repeatable=True
            )
        except NotFoundError:
            return False
        return True

    def _json(self, method: str, path: str, body: Json | None = None, *, repeatable: bool = True) -> Any:
        reply = self.caller.call(method, self.url + path, body, repeatable=repeatable)
        return parsed(reply, f"{method} {path}")

    def _list(self, path: str, name: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Every item of a list. The description knows no pages; clients have met a cursor, so one is followed."""
        parameters = dict(query or {})
        for _ in range(MOST_PAGES):
            raw = self._json("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
            yield from self._field(raw, name)
            cursor = raw.get("nextCursor") or raw.get("cursor")
            if not cursor:
                return
            parameters["cursor"] = str(cursor)
        raise BadReplyError(f"RunPod GET {path}", f"goes on after {MOST_PAGES} pages", "Report it")

    def _field(self, raw: Any, name: str) -> list[Any]:
        found = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(found, list):
            raise BadReplyError(
                "RunPod", f"answered without the list {name!r}", f"Look at the address {self.url}"
            )
        return found

    def _as(self, parse: Callable[[Any], T], raw: Any, what: str) -> T:
        try:
            return parse(raw)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise BadReplyError(
                f"RunPod {what}",
                f"is not what the API promises ({type(error).__name__}: {error})",
                "Report it",
            ) from None


def _rfc3339(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
