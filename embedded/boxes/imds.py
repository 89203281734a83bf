"""The only place for the instance metadata service: what http://169.254.169.254 answers, and to whom.

Its rules are those of the EC2 user guide ("Use the Instance Metadata Service", "Instance metadata categories",
"Instance identity documents"): a session token by PUT with a lifetime of 1 to 21 600 s; 400 for a PUT without a
valid lifetime, 401 for a request without a valid token where one is required, 403 when the endpoint is off or a PUT
came through a proxy (X-Forwarded-For) or to another path than /latest/api/token, 404 for what there is not. The
answer to the PUT has the instance's hop limit as its IP time to live. A token is good for its own instance only.

Left out: signatures of the identity document, spot and scheduled events, public keys (there is no key pair).
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address

from embedded.boxes.model import BoxSpec

_log = logging.getLogger(__name__)

LONGEST_TOKEN_SECONDS = 21_600
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - the name of a header
_LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"
_VERSION = re.compile(r"/(latest|\d{4}-\d{2}-\d{2})(/.*)?")
_PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A role's temporary keys, as the supervisor gives them for one instance."""

    access_key_id: str
    secret_access_key: str
    token: str
    expires_at: datetime


Deliver = Callable[[BoxSpec], Credentials | None]
"""The keys for the role of that box; None when it has none."""

Value = str | bytes | Callable[[], str | None]


class MetadataService:
    """Answers on sockets of several VPCs. `who` tells the box by VPC and source address."""

    def __init__(self, who: Callable[[str, IPv4Address], BoxSpec | None], deliver: Deliver) -> None:
        self._who = who
        self._deliver = deliver
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._servers: dict[str, ThreadingHTTPServer] = {}

    def serve(self, vpc_id: str, listening: socket.socket) -> None:
        """Answer the boxes of that VPC on a listening socket of its namespace."""
        service = self

        class Handler(_Handler):
            def answer(self) -> _Answer:
                return service.answer(self, vpc_id)

        server = _Server(("", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        server.daemon_threads = True
        self._servers[vpc_id] = server
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"boxes-imds-{vpc_id}", daemon=True
        ).start()

    def forget(self, vpc_id: str) -> None:
        """Stop answering in that VPC."""
        server = self._servers.pop(vpc_id, None)
        if server is not None:
            server.shutdown()
            server.server_close()

    def close(self) -> None:
        """Stop answering everywhere."""
        for vpc_id in list(self._servers):
            self.forget(vpc_id)

    def answer(self, request: BaseHTTPRequestHandler, vpc_id: str) -> _Answer:
        """What one request gets."""
        spec = self._who(vpc_id, IPv4Address(request.client_address[0]))
        if spec is None:
            return _Answer(HTTPStatus.NOT_FOUND)
        if not spec.metadata.http_endpoint:
            return _Answer(HTTPStatus.FORBIDDEN)
        if request.command == "PUT":
            return self._token(request, spec)
        if request.command not in ("GET", "HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        token = request.headers.get(_TOKEN)
        if token is None and spec.metadata.http_tokens == "required":
            return _Answer(HTTPStatus.UNAUTHORIZED)
        if token is not None and not self._valid(token, spec):
            return _Answer(HTTPStatus.UNAUTHORIZED)
        try:
            return _found(tree(spec, self._deliver), request.path)
        except Exception as error:  # noqa: BLE001 - the supervisor's own code; a box gets a failure for it
            _log.warning("no answer for %s to %s: %s", request.path, spec.instance_id, error)
            return _Answer(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _token(self, request: BaseHTTPRequestHandler, spec: BoxSpec) -> _Answer:
        if request.path != "/latest/api/token" or "X-Forwarded-For" in request.headers:
            return _Answer(HTTPStatus.FORBIDDEN)
        lifetime = request.headers.get(_LIFETIME, "")
        if not lifetime.isdecimal() or not 1 <= int(lifetime) <= LONGEST_TOKEN_SECONDS:
            return _Answer(HTTPStatus.BAD_REQUEST)
        token = secrets.token_urlsafe(42)
        now = time.monotonic()
        with self._lock:
            self._tokens = {key: kept for key, kept in self._tokens.items() if kept[1] > now}
            self._tokens[token] = spec.instance_id, now + int(lifetime)
        return _Answer(
            HTTPStatus.OK,
            token.encode(),
            headers={_LIFETIME: lifetime},
            hop_limit=spec.metadata.http_put_response_hop_limit,
        )

    def _valid(self, token: str, spec: BoxSpec) -> bool:
        with self._lock:
            owner, until = self._tokens.get(token, ("", 0.0))
        return owner == spec.instance_id and time.monotonic() < until


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain"
    headers: dict[str, str] | None = None
    hop_limit: int | None = None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A box that hangs up is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_SECONDS

    def answer(self) -> _Answer:
        raise NotImplementedError

    def version_string(self) -> str:
        """What EC2 calls its server."""
        return "EC2ws"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        answer = self.answer()
        if answer.hop_limit is not None:
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, answer.hop_limit)
        body = answer.body or (
            b"" if answer.status is HTTPStatus.OK else f"{answer.status.phrase}\n".encode()
        )
        self.send_response(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Say nothing: a box asks all the time."""


def tree(spec: BoxSpec, deliver: Deliver) -> dict[str, Value]:
    """Every path below the version that has a value for this box; directories follow from the paths."""
    identity = spec.identity
    public = str(spec.public_ip) if spec.public_ip else ""
    local_name = f"{spec.hostname}.{spec.domain}"
    values: dict[str, Value] = {
        "ami-id": identity.image_id,
        "ami-launch-index": "0",
        "hostname": local_name,
        "instance-action": "none",
        "instance-id": spec.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": identity.instance_type,
        "local-hostname": local_name,
        "local-ipv4": str(spec.private_ip),
        "mac": spec.mac,
        "placement/availability-zone": identity.availability_zone,
        "placement/region": identity.region,
        "profile": "default-hvm",
        "public-ipv4": public,
        "reservation-id": identity.reservation_id,
        "security-groups": "\n".join(identity.security_group_names),
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    card = f"network/interfaces/macs/{spec.mac}"
    values |= {
        f"{card}/device-number": "0",
        f"{card}/interface-id": identity.interface_id,
        f"{card}/local-hostname": local_name,
        f"{card}/local-ipv4s": str(spec.private_ip),
        f"{card}/mac": spec.mac,
        f"{card}/owner-id": identity.account_id,
        f"{card}/public-ipv4s": public,
        f"{card}/security-group-ids": "\n".join(spec.security_groups or ()),
        f"{card}/subnet-id": identity.subnet_id,
        f"{card}/subnet-ipv4-cidr-block": identity.subnet_cidr,
        f"{card}/vpc-id": spec.vpc_id,
        f"{card}/vpc-ipv4-cidr-block": str(spec.vpc_cidr),
    }
    if identity.instance_profile_arn:
        values["iam/info"] = json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _time(datetime.now(UTC)),
                "InstanceProfileArn": identity.instance_profile_arn,
                "InstanceProfileId": identity.instance_profile_id,
            },
            indent=2,
        )
    if identity.role_name:
        values[f"iam/security-credentials/{identity.role_name}"] = lambda: _credentials(deliver(spec))
    if spec.metadata.instance_metadata_tags:
        values |= {f"tags/instance/{name}": value for name, value in identity.tags.items()}
    paths = {
        f"meta-data/{path}": value for path, value in values.items() if value or path.startswith("tags/")
    }
    paths["dynamic/instance-identity/document"] = _document(spec)
    if spec.user_data:
        paths["user-data"] = spec.user_data
    return paths


def _document(spec: BoxSpec) -> str:
    identity = spec.identity
    return json.dumps(
        {
            "accountId": identity.account_id,
            "architecture": identity.architecture,
            "availabilityZone": identity.availability_zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "imageId": identity.image_id,
            "instanceId": spec.instance_id,
            "instanceType": identity.instance_type,
            "kernelId": None,
            "marketplaceProductCodes": None,
            "pendingTime": _time(identity.launched_at) if identity.launched_at else None,
            "privateIp": str(spec.private_ip),
            "ramdiskId": None,
            "region": identity.region,
            "version": "2017-09-30",
        },
        indent=2,
    )


def _credentials(keys: Credentials | None) -> str | None:
    if keys is None:
        return None
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _time(datetime.now(UTC)),
            "Type": "AWS-HMAC",
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.token,
            "Expiration": _time(keys.expires_at),
        },
        indent=2,
    )


def _found(values: dict[str, Value], asked: str) -> _Answer:
    path = asked.partition("?")[0]
    if path == "/":
        return _Answer(HTTPStatus.OK, b"latest")
    match = _VERSION.fullmatch(path)
    if match is None:
        return _Answer(HTTPStatus.NOT_FOUND)
    inside = (match[2] or "/").strip("/")
    if inside in values:
        value = values[inside]
        if isinstance(value, bytes):
            return _Answer(HTTPStatus.OK, value, "application/octet-stream")
        text = value if isinstance(value, str) else value()
        if text is None:
            return _Answer(HTTPStatus.NOT_FOUND)
        kind = "application/json" if text.startswith("{") else "text/plain"
        return _Answer(HTTPStatus.OK, text.encode(), kind)
    names = list(_listing(values, inside + "/" if inside else ""))
    if not names:
        return _Answer(HTTPStatus.NOT_FOUND)
    return _Answer(HTTPStatus.OK, "\n".join(names).encode())


def _listing(values: dict[str, Value], prefix: str) -> Iterator[str]:
    seen: set[str] = set()
    for path in sorted(values):
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            if prefix == "meta-data/tags/instance/":
                name, slash = path[len(prefix) :], ""  # a tag's name may have a slash
            if name + slash not in seen:
                seen.add(name + slash)
                yield name + slash


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
