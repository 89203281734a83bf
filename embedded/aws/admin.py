"""The only place for the HTTP admin surface under ``/_terrace/``: status, faults, state, the record of requests.

Served on the loopback socket alone. A POST must say ``Content-Type: application/json``, so that no web page that a
developer has open can send one (a browser asks first, and is not answered).

=======  ==========================  =====================================================================
GET      ``/_terrace/status``        what runs, since when, how much changed since the last save
GET      ``/_terrace/faults``        the faults that stand
POST     ``/_terrace/faults``        let one stand (the parts of ``faults.Fault``)
DELETE   ``/_terrace/faults[/ID]``   take one away, or all
GET      ``/_terrace/requests``      the last requests; ``?limit=N``
POST     ``/_terrace/save``          ``{"path": ...}``
POST     ``/_terrace/load``          ``{"path": ...}``
POST     ``/_terrace/reset``         empty the cloud
POST     ``/_terrace/alarms``        ``{"by_seconds": 3600}``: the alarms' clock runs ahead by so much
=======  ==========================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from embedded.aws.answers import Answer
from embedded.aws.application import ADMIN_ALLOWED_KEY, ADMIN_PREFIX
from embedded.aws.errors import EmbeddedAwsError
from embedded.aws.faults import fault_from
from embedded.aws.hooks import HOOKS

if TYPE_CHECKING:
    from embedded.aws.server import ApiServer


MOST_AHEAD_SECONDS = 86_400
"""At once: a day of a stack's alarms takes about a second."""


class Admin:
    """Answers admin requests by the public methods of the server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._routes: dict[tuple[str, str], Callable[[str, dict[str, Any]], Any]] = {
            ("GET", "status"): lambda _, __: server.status(),
            ("GET", "faults"): lambda _, __: [report.as_json() for report in server.faults.standing()],
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda one, _: {"cleared": server.faults.clear(one or None)},
            ("GET", "requests"): self._requests,
            ("POST", "save"): lambda _, body: server.save(_path(body)).as_json(),
            ("POST", "load"): lambda _, body: server.load(_path(body)).as_json(),
            ("POST", "reset"): self._reset,
            ("POST", "alarms"): self._advance,
        }

    def __call__(self, environ: dict[str, Any], body: bytes) -> Answer:
        """Answer one request whose path begins with ``/_terrace``."""
        method = environ.get("REQUEST_METHOD", "GET")
        if not environ.get(ADMIN_ALLOWED_KEY):
            return _json(404, {"error": "not served here"})
        parts = environ.get("PATH_INFO", "")[len(ADMIN_PREFIX) :].strip("/").split("/", 1)
        route = self._routes.get((method, parts[0]))
        if route is None:
            known = ", ".join(f"{verb} {ADMIN_PREFIX}/{name}" for verb, name in self._routes)
            return _json(404, {"error": f"no such thing here. There is: {known}"})
        if method == "POST" and not environ.get("CONTENT_TYPE", "").startswith("application/json"):
            return _json(415, {"error": "send Content-Type: application/json"})
        try:
            values = json.loads(body or b"{}") if method == "POST" else _query(environ)
            if not isinstance(values, dict):
                raise EmbeddedAwsError(f"the body is {type(values).__name__}, must be a JSON object")
            return _json(200, route(parts[1] if len(parts) > 1 else "", values))
        except (EmbeddedAwsError, json.JSONDecodeError) as error:
            return _json(400, {"error": str(error)})

    def _add_fault(self, _: str, body: dict[str, Any]) -> dict[str, str]:
        if HOOKS.fault is not None and (did := HOOKS.fault(body)) is not None:
            return {"did": did}
        return {"id": self._server.faults.add(fault_from(body)).id}

    def _requests(self, _: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        limit = query.get("limit", "")
        return [
            request.as_json()
            for request in self._server.requests.last(int(limit) if limit.isdigit() else None)
        ]

    def _advance(self, _: str, body: dict[str, Any]) -> list[dict[str, str]]:
        if HOOKS.advance_alarms is None:
            raise EmbeddedAwsError("no alarms are evaluated here: the API runs alone")
        by = body.get("by_seconds")
        if not isinstance(by, (int, float)) or not 0 < by <= MOST_AHEAD_SECONDS:
            raise EmbeddedAwsError(f"by_seconds is {by!r}, must be above 0 and at most {MOST_AHEAD_SECONDS}")
        changes = HOOKS.advance_alarms(timedelta(seconds=by))
        return [
            {
                "alarm": each.name,
                "from": each.old,
                "to": each.new,
                "at": each.at.isoformat(),
                "reason": each.reason,
            }
            for each in changes
        ]

    def _reset(self, _: str, __: dict[str, Any]) -> dict[str, bool]:
        self._server.reset()
        return {"reset": True}


def _path(body: dict[str, Any]) -> Path:
    path = body.get("path")
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise EmbeddedAwsError(f"path is {path!r}, must be the absolute path of a state file")
    return Path(path)


def _query(environ: dict[str, Any]) -> dict[str, Any]:
    return {key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}


def _json(code: int, value: Any) -> Answer:
    body = json.dumps(value).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answer(f"{code} {'OK' if code == 200 else 'Refused'}", headers, body)
