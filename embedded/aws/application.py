"""The only place for the path of a request: named, struck by a fault or not, carried out under the lock, recorded."""

from __future__ import annotations

import socket
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from embedded.aws import answers
from embedded.aws.answers import Answer
from embedded.aws.faults import Fault, FaultKind, Faults
from embedded.aws.hooks import HOOKS
from embedded.aws.idempotency import ClientTokens
from embedded.aws.operations import Operation, identify, take_body
from embedded.aws.posts import POSTS
from embedded.aws.requests import Request, RequestRing
from embedded.aws.world import WORLD

ADMIN_PREFIX = "/_terrace"
MOTO_PREFIX = "/moto-api"
"""moto's own admin surface, which can empty the cloud too; it stays usable where ours is."""
ADMIN_ALLOWED_KEY = "terrace.admin_allowed"

# A change in these may mean a machine, an address, a name or a permission of one.
_WORLDLY = frozenset({"ec2", "rds", "elbv2", "route53", "iam", "autoscaling", "elasticache", "ecs"})

_StartResponse: TypeAlias = Callable[..., Any]


class Dispatcher(DomainDispatcherApplication):
    """moto's own choice of a service for a request, without its print for hosts that it does not know."""

    @lru_cache(maxsize=256)  # noqa: B019 one dispatcher lives as long as the process
    def get_backend_for_host(self, host: str | None) -> Any:
        """moto's name of the service behind a host name; ``None`` where there is none."""
        if host is None or host == "moto_api":
            return host
        for backend, pattern in self.backend_url_patterns:
            if host == backend or pattern.match(f"http://{host}"):
                return backend
        return None


def _document(environ: dict[str, Any], path: str) -> bytes | None:
    return HOOKS.document(environ.get("HTTP_HOST", ""), path) if HOOKS.document else None


def _service_application(service: Any) -> Any:
    if service is None:
        raise NotImplementedError("moto has no such service")
    return create_backend_app(service)


_LINKS = {"ConfirmSubscription": "TopicArn", "Unsubscribe": "SubscriptionArn"}
"""What SNS puts into messages as links, which carry no signature; the region is that of the ARN."""


def _sign_link(environ: dict[str, Any]) -> None:
    """Lets a link of SNS be a request to SNS, as its host name would on AWS."""
    if environ.get("HTTP_AUTHORIZATION") or "Action=" not in environ.get("QUERY_STRING", ""):
        return
    asked = parse_qs(environ["QUERY_STRING"])
    named = asked.get(_LINKS.get(asked.get("Action", [""])[0], ""), [""])[0].split(":")
    if len(named) > _REGION_OF_AN_ARN and named[2] == "sns":
        scope = f"link/19700101/{named[_REGION_OF_AN_ARN]}/sns/aws4_request"
        environ["HTTP_AUTHORIZATION"] = (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        )


_REGION_OF_AN_ARN = 3


class Application:
    """The WSGI application that every socket of the server serves."""

    def __init__(
        self, faults: Faults, ring: RequestRing, admin: Callable[[dict[str, Any], bytes], Answer]
    ) -> None:
        self._dispatcher = Dispatcher(_service_application)
        self._faults = faults
        self._ring = ring
        self._admin = admin
        self._tokens = ClientTokens()

    def __call__(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        started = time.monotonic()
        body = take_body(environ)
        _sign_link(environ)
        path = environ.get("PATH_INFO", "")
        if path.startswith(ADMIN_PREFIX) or (
            path.startswith(MOTO_PREFIX) and not environ.get(ADMIN_ALLOWED_KEY)
        ):
            answer = self._admin(environ, body)
        elif (document := _document(environ, path)) is not None:
            answer = Answer("200 OK", [("Content-Type", "application/octet-stream")], document)
        else:
            answer = self._serve(environ, body, started)
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _serve(self, environ: dict[str, Any], body: bytes, started: float) -> Answer:
        operation = identify(self._dispatcher, environ, body)
        fault = self._faults.strike(operation)
        answer, trouble = None, None
        if fault is not None:
            answer = self._before(fault, operation, environ)
        if answer is None:
            answer, trouble = self._carry_out(operation, environ, body)
        lost = fault is not None and fault.kind in (FaultKind.ANSWER_LOST, FaultKind.API_HANGS)
        self._ring.add(
            Request(
                at=datetime.now(UTC),
                service=operation.service,
                action=operation.action,
                region=operation.region,
                peer=environ.get("REMOTE_ADDR", ""),
                status=0 if lost else answer.code,
                duration_seconds=time.monotonic() - started,
                fault=fault.id if fault else None,
                trouble=trouble,
            )
        )
        if lost:
            _drop(environ)
        return answer

    def _before(self, fault: Fault, operation: Operation, environ: dict[str, Any]) -> Answer | None:
        match fault.kind:
            case FaultKind.API_FAILS | FaultKind.API_THROTTLES:
                code, status = fault.error_for(operation)
                message = f"Asked for by {fault.id} of the embedded cloud: {fault.kind}"
                return answers.error(operation, environ, code, message, status)
            case FaultKind.API_HANGS:
                self._faults.wait(fault.seconds)
                return Answer("503 Service Unavailable", [], b"")
            case FaultKind.API_SLOW:
                self._faults.wait(fault.seconds)
                return None
            case FaultKind.ANSWER_LOST:
                return None

    def forget(self) -> None:
        """Forget what belongs to a state that is gone."""
        self._tokens.forget()
        POSTS.forget()

    def _carry_out(
        self, operation: Operation, environ: dict[str, Any], body: bytes
    ) -> tuple[Answer, str | None]:
        with WORLD:
            if answer := self._tokens.answered(operation, body):
                return answer, None
            answer, trouble = self._ask_moto(operation, environ)
            self._tokens.note(operation, body, answer)
            changed = operation.mutates and answer.code < 400
            if changed:
                WORLD.note_change()
        if changed and operation.service in _WORLDLY:
            trouble = HOOKS.tell_world() or trouble
        return answer, trouble

    def _ask_moto(self, operation: Operation, environ: dict[str, Any]) -> tuple[Answer, str | None]:
        if operation.service == "s3" and environ.get("REQUEST_METHOD") == "PUT" and _is_form(environ):
            # A body is a body on S3; Flask would take it for a form and leave nothing of it.
            environ["CONTENT_TYPE"] = "binary/octet-stream"
        try:
            answer = _call(self._dispatcher, environ)
        except NotImplementedError as error:
            return answers.not_implemented(operation, environ, str(error) or "moto has it as a stub"), None
        except Exception as error:  # noqa: BLE001 whatever moto stumbles over is an answer, never a dead thread
            return answers.crashed(operation, environ, error), traceback.format_exc(limit=-12)
        if _is_unrouted(answer, operation):
            return answers.not_implemented(operation, environ, "no service of it answers here"), None
        return answer, None


def _is_form(environ: dict[str, Any]) -> bool:
    return str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")


def _call(application: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Answer:
    caught: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        caught[:] = [status, headers]

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if close := getattr(chunks, "close", None):
            close()
    return Answer(caught[0], list(caught[1]), body)


def _is_unrouted(answer: Answer, operation: Operation) -> bool:
    """moto answers an unknown path with Flask's HTML page, an action without a name with an empty 404."""
    if answer.code not in (404, 405):
        return False
    if answer.body[:15].lower() == b"<!doctype html>":
        return True
    return not answer.body and operation.service != "s3"


def _drop(environ: dict[str, Any]) -> None:
    """Close the connection without an answer, as a network that breaks does."""
    connection: socket.socket | None = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("the answer is lost, as a fault asked for")
