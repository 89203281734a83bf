"""The only place for signed requests of ACME: JSON Web Signature in its flattened form (RFC 7515, RFC 8555 6.2)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

Json = dict[str, Any]


class BadRequestError(Exception):
    """A request that is refused, by its ACME error type (RFC 8555 6.7) and a sentence."""

    def __init__(self, kind: str, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.status = kind, detail, status


def decode(text: str) -> bytes:
    """base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(key: Json) -> str:
    """The key's own name (RFC 7638): of its required members in their order."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}[key["kty"]]
    text = json.dumps({name: key[name] for name in members}, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


def verify(key: Json, protected: str, payload: str, signature: str) -> None:
    """Checks a signature, RS256 or ES256.

    Raises:
        BadRequestError: it is not the key's, or the key is of another kind.
    """
    signed, given = f"{protected}.{payload}".encode(), decode(signature)
    try:
        if key["kty"] == "RSA":
            numbers = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
            numbers.public_key().verify(given, signed, padding.PKCS1v15(), hashes.SHA256())
        elif key["kty"] == "EC" and key["crv"] == "P-256":
            point = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1())
            halves = (int.from_bytes(given[:32], "big"), int.from_bytes(given[32:], "big"))
            point.public_key().verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA256()))
        else:
            raise BadRequestError("badPublicKey", f"a key of kind {key['kty']} is not taken")
    except InvalidSignature as error:
        raise BadRequestError("unauthorized", "the signature is not the key's", 403) from error


def _number(text: str) -> int:
    return int.from_bytes(decode(text), "big")
