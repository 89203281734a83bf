"""The only place that says which service and action an HTTP request asks for, and whether it changes anything."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from embedded.aws.environment import DEFAULT_REGION

if TYPE_CHECKING:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

UNKNOWN = "unknown"

_READING = re.compile(
    r"^(BatchGet|Check|Describe|Download|Estimate|Filter|Get|Head|List|Lookup|Search|Select|Simulate|Test|Validate"
    r"|Verify|Decrypt|Encrypt|ReEncrypt|GenerateDataKey|GenerateMac|Sign|AssumeRole)"
)
_REGION_IN_CREDENTIAL = re.compile(r"Credential=[^/]+/\d+/([^/]*)/([^/]+)/aws4_request")
_CBOR_PATH = re.compile(r"^/service/[^/]+/operation/([^/]+)$")

# Both generations of load balancers sign for one service; their requests differ by the version that they name.
_ELBV2_VERSION = b"Version=2015-12-01"

# moto calls these by other names than botocore does.
_BOTOCORE_NAMES = {"awslambda": "lambda", "dynamodb_v20111205": "dynamodb", "s3bucket_path": "s3"}


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request asks for: a service by its botocore name, an action, a region; ``unknown`` where unsaid."""

    service: str
    action: str
    region: str

    @property
    def mutates(self) -> bool:
        """Whether it may change the state. An action whose name is not a reading verb counts as changing."""
        return self.action != UNKNOWN and not _READING.match(self.action)


def take_body(environ: dict[str, Any]) -> bytes:
    """Read the request's body from the socket and put it back as a buffer of known length.

    Called before any lock is taken, so that a slow client never holds up the others.
    """
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body: bytes = stream.read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input_terminated"] = False
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def identify(dispatcher: DomainDispatcherApplication, environ: dict[str, Any], body: bytes) -> Operation:
    """Name the operation of a request whose body was taken by ``take_body``. Never raises for odd requests."""
    credential = environ.get("HTTP_AUTHORIZATION", "")
    if not credential:
        credential = "Credential=" + _first(environ.get("QUERY_STRING", ""), "X-Amz-Credential")
    scope = _REGION_IN_CREDENTIAL.search(credential)
    region = scope[1] if scope and scope[1] else DEFAULT_REGION
    try:
        service = _service(dispatcher, environ)
    except (KeyError, ValueError, IndexError):
        service = None
    if service is None:
        return Operation(scope[2] if scope else UNKNOWN, _action(None, environ, body), region)
    if service == "elb" and _ELBV2_VERSION in body:
        service = "elbv2"
    return Operation(service, _action(service, environ, body), region)


def _service(dispatcher: DomainDispatcherApplication, environ: dict[str, Any]) -> str | None:
    host = dispatcher.infer_service_region_host(environ, environ.get("PATH_INFO", ""))
    environ["wsgi.input"].seek(0)
    if host is None:
        return "s3"
    name = dispatcher.get_backend_for_host(host)
    if name is None:
        return None
    from moto.core.utils import service_name_from_moto_package_name

    return _BOTOCORE_NAMES.get(name) or service_name_from_moto_package_name(name.replace("-", ""))


def _action(service: str | None, environ: dict[str, Any], body: bytes) -> str:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rsplit(".", 1)[-1]
    if cbor := _CBOR_PATH.match(environ.get("PATH_INFO", "")):
        return cbor[1]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        if action := _first(body.decode("utf-8", "replace"), "Action"):
            return action
    elif action := _first(environ.get("QUERY_STRING", ""), "Action"):
        return action
    return _routed(service, environ) if service else UNKNOWN


def _routed(service: str, environ: dict[str, Any]) -> str:
    """The action of a REST request, found by botocore's own description of the service's paths."""
    from botocore.exceptions import UnknownServiceError
    from moto.core.routing import get_service_router
    from moto.moto_server.werkzeug_app import BackendRequest
    from werkzeug.exceptions import HTTPException

    try:
        operation, _ = get_service_router(service).match(BackendRequest(dict(environ)))
    except (UnknownServiceError, HTTPException, NotImplementedError):
        return UNKNOWN
    finally:
        environ["wsgi.input"].seek(0)
    return str(operation.name)


def _first(query: str, name: str) -> str:
    values = parse_qs(query, keep_blank_values=True).get(name)
    return values[0] if values else ""
