"""The only place that writes error answers in the form that each AWS protocol wants."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from embedded.aws.operations import Operation

NOT_IMPLEMENTED_CODE = "NotImplementedByEmbeddedCloud"
FAULT_CODE = "EmbeddedCloudFault"

# 501 is in no retry table of botocore (its legacy mode retries 500, 502, 503, 504 and 509; standard the first four).
NOT_RETRIED_STATUS = 501


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer: status line without the protocol, headers, body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> int:
        """The HTTP status code, 100 to 599."""
        return int(self.status.split(" ", 1)[0])


def error(operation: Operation, environ: dict[str, Any], code: str, message: str, http_status: int) -> Answer:
    """An error as the service of this operation would write it, so that any SDK reads code and message."""
    protocol = _protocol(operation.service, environ)
    request_id = str(uuid.uuid4())
    content_type, body = _write(protocol, code, message, request_id)
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", request_id),
    ]
    if "json" in protocol or protocol == "cbor":
        headers.append(("X-Amzn-ErrorType", code))
    if protocol == "cbor":
        headers.append(("smithy-protocol", "rpc-v2-cbor"))
    if environ.get("REQUEST_METHOD") == "HEAD":
        body = b""
    return Answer(f"{http_status} {code}", headers, body)


def not_implemented(operation: Operation, environ: dict[str, Any], detail: str) -> Answer:
    """The answer to an action that this cloud does not have. No SDK retries it."""
    message = (
        f"{operation.service}:{operation.action} is not implemented by the embedded cloud ({detail}). "
        "How to add it: docs/adding-a-resource.md"
    )
    return error(operation, environ, NOT_IMPLEMENTED_CODE, message, NOT_RETRIED_STATUS)


def crashed(operation: Operation, environ: dict[str, Any], cause: BaseException) -> Answer:
    """The answer where the embedded cloud itself failed. It would fail again, so no SDK retries it."""
    message = (
        f"{operation.service}:{operation.action} crashed in the embedded cloud: "
        f"{type(cause).__name__}: {cause}. The stack is in GET /_terrace/requests"
    )
    return error(operation, environ, FAULT_CODE, message, NOT_RETRIED_STATUS)


def _protocol(service: str, environ: dict[str, Any]) -> str:
    content_type = environ.get("CONTENT_TYPE", "")
    if "cbor" in content_type or environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        return "cbor"
    if "x-amz-json" in content_type:
        return "json"
    from botocore.exceptions import UnknownServiceError
    from moto.core.utils import get_service_model

    try:
        protocol = str(get_service_model(service).protocol)
    except UnknownServiceError:
        return "json"
    if "cbor" in protocol:
        return "query"
    return "s3" if service in ("s3", "s3control") else protocol


def _write(protocol: str, code: str, message: str, request_id: str) -> tuple[str, bytes]:
    xml_error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    match protocol:
        case "cbor":
            return "application/cbor", _cbor({"__type": code, "message": message})
        case "json" | "rest-json":
            body = json.dumps({"__type": code, "message": message, "Message": message})
            return "application/x-amz-json-1.1", body.encode()
        case "ec2":
            text = (
                f"<Response><Errors><Error>{xml_error}</Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>"
            )
        case "s3":
            text = f"<Error>{xml_error}<RequestId>{request_id}</RequestId></Error>"
        case _:
            text = (
                f"<ErrorResponse><Error><Type>Sender</Type>{xml_error}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
    return "text/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _cbor(members: dict[str, str]) -> bytes:
    """A CBOR map of at most 23 text strings (RFC 8949, sections 3.1 and 3.3)."""
    out = bytearray([0xA0 | len(members)])
    for member in (text for pair in members.items() for text in pair):
        raw = member.encode()
        out += bytes([0x7A]) + len(raw).to_bytes(4, "big") + raw
    return bytes(out)
