"""The only place for the authority's answers: accounts, orders, challenges by HTTP, certificates (RFC 8555).

An account is its key, carried in its own address, so none is lost when the cloud starts again; orders are.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from embedded.acme.jws import BadRequestError, Json, decode, encode, thumbprint, verify

LIFE = timedelta(days=90)
CHALLENGE_SECONDS = 5.0
RESOURCES = {each: each for each in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")}
Answer = tuple[int, Json | bytes, dict[str, str]]
Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass
class Order:
    """One name that somebody asked a certificate for."""

    domain: str
    account: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    state: str = "pending"
    fault: Json | None = None
    chain: bytes = b""


class Acme:
    """The authority. `address_of` says where a domain's record points to, None where it has none.

    `age` makes what it signs that old, and `refuses` makes it answer no order: both are for bad days.
    """

    def __init__(self, signer: Signer, address_of: Callable[[str], str | None]) -> None:
        self.age = timedelta()
        self.refuses = False
        self.signed = 0
        self._signer, self._address_of = signer, address_of
        self._lock = threading.Lock()
        self._nonces: set[str] = set()
        self._orders: dict[str, Order] = {}

    @property
    def certificate(self) -> bytes:
        """What clients have to trust (PEM)."""
        return self._signer[0].public_bytes(serialization.Encoding.PEM)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """A WSGI application."""
        base = f"https://{environ['HTTP_HOST']}"
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            status, said, headers = self._answer(environ["REQUEST_METHOD"], base, environ["PATH_INFO"], body)
        except BadRequestError as error:
            problem = {"type": f"urn:ietf:params:acme:error:{error.kind}", "detail": error.detail}
            status, said, headers = error.status, problem, {"Content-Type": "application/problem+json"}
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        headers = {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}
        headers = {"Link": f'<{base}/directory>;rel="index"', **headers, "Replay-Nonce": self._nonce()}
        start(f"{status} -", list(headers.items()))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else content]

    def _nonce(self) -> str:
        nonce = secrets.token_urlsafe(16)
        with self._lock:
            self._nonces.add(nonce)
        return nonce

    def _answer(self, method: str, base: str, path: str, body: bytes) -> Answer:
        if path == "/directory":
            return 200, {name: f"{base}/{where}" for name, where in RESOURCES.items()}, {}
        if path == "/newNonce":
            return 200 if method == "HEAD" else 204, b"", {}
        account, key, payload = self._opened(base + path, body)
        kind, _, name = path.lstrip("/").partition("/")
        if kind in ("newAccount", "account"):
            return 200 if name else 201, {"status": "valid"}, {"Location": f"{base}/account/{account}"}
        if kind == "newOrder":
            return self._new_order(base, account, payload)
        order = self._orders.get(name.partition("/")[0])
        if order is None or order.account != account:
            raise BadRequestError("malformed", f"{path} is nothing of this account's", 404)
        name = name.partition("/")[0]
        if kind == "authorization":
            return 200, self._authorization(base, name, order), {}
        if kind == "challenge":
            if payload is not None and order.state == "pending":
                self._challenge(order, thumbprint(key))
            up = {"Link": f'<{base}/authorization/{name}>;rel="up"'}
            return 200, self._challenge_told(base, name, order), up
        if kind == "order":
            if path.endswith("/finalize") and payload is not None:
                self._sign(order, decode(payload["csr"]))
            return 200, self._order(base, name, order), {"Location": f"{base}/order/{name}"}
        if kind == "certificate" and order.chain:
            return 200, order.chain, {"Content-Type": "application/pem-certificate-chain"}
        raise BadRequestError("malformed", f"{path} is nothing", 404)

    def _opened(self, url: str, body: bytes) -> tuple[str, Json, Json | None]:
        """The account, its key, and what it asks; None for a plain look (POST-as-GET)."""
        try:
            outer = json.loads(body)
            header = json.loads(decode(outer["protected"]))
            account = header["kid"].rpartition("/")[2] if "kid" in header else ""
            key: Json = json.loads(decode(account)) if account else header["jwk"]
            nonce, meant = header["nonce"], header["url"]
            verify(key, outer["protected"], outer["payload"], outer["signature"])
            payload = json.loads(decode(outer["payload"])) if outer["payload"] else None
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequestError("malformed", f"no signed request: {type(error).__name__}") from error
        with self._lock:
            if nonce not in self._nonces:
                raise BadRequestError("badNonce", "the nonce was not given out, or was used")
            self._nonces.remove(nonce)
        if meant != url:
            raise BadRequestError("unauthorized", f"signed for {meant}", 403)
        return account or encode(json.dumps(key, sort_keys=True).encode()), key, payload

    def _new_order(self, base: str, account: str, payload: Json | None) -> Answer:
        if self.refuses:
            raise BadRequestError("rateLimited", "too many certificates for this name", 429)
        names = [each["value"] for each in (payload or {}).get("identifiers", []) if each["type"] == "dns"]
        if len(names) != 1:
            raise BadRequestError("rejectedIdentifier", f"one name for each order, not {len(names)}")
        name = secrets.token_urlsafe(8)
        self._orders[name] = order = Order(names[0], account)
        return 201, self._order(base, name, order), {"Location": f"{base}/order/{name}"}

    def _order(self, base: str, name: str, order: Order) -> Json:
        told: Json = {
            "status": order.state,
            "identifiers": [{"type": "dns", "value": order.domain}],
            "authorizations": [f"{base}/authorization/{name}"],
            "finalize": f"{base}/order/{name}/finalize",
        }
        return told | ({"certificate": f"{base}/certificate/{name}"} if order.chain else {})

    def _authorization(self, base: str, name: str, order: Order) -> Json:
        return {
            "status": "valid" if order.state in ("ready", "valid") else order.state,
            "identifier": {"type": "dns", "value": order.domain},
            "challenges": [self._challenge_told(base, name, order)],
        }

    def _challenge_told(self, base: str, name: str, order: Order) -> Json:
        state = "valid" if order.state in ("ready", "valid") else order.state
        told: Json = {
            "type": "http-01",
            "url": f"{base}/challenge/{name}",
            "token": order.token,
            "status": state,
        }
        return told | ({"error": order.fault} if order.fault else {})

    def _challenge(self, order: Order, print_of_key: str) -> None:
        """Asks the domain for the file, as the world would: by its record, on port 80."""
        path, wanted = f"/.well-known/acme-challenge/{order.token}", f"{order.token}.{print_of_key}"
        address = self._address_of(order.domain)
        kind, detail = "dns", f"no record of {order.domain}"
        if address is not None:
            try:
                asking = HTTPConnection(address, 80, timeout=CHALLENGE_SECONDS)
                asking.request("GET", path, headers={"Host": order.domain})
                answer = asking.getresponse()
                said = answer.read(1024).decode(errors="replace").strip()
                asking.close()
                if answer.status == 200 and said == wanted:
                    order.state = "ready"
                    return
                kind, detail = "unauthorized", f"{address} answered {answer.status}, and not the file"
            except OSError as error:
                kind, detail = "connection", f"{address}: {error}"
        order.state = "invalid"
        order.fault = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": 400}

    def _sign(self, order: Order, request: bytes) -> None:
        if order.state != "ready":
            raise BadRequestError("orderNotReady", f"the order is {order.state}", 403)
        asked = x509.load_der_x509_csr(request)
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if names.get_values_for_type(x509.DNSName) != [order.domain] or not asked.is_signature_valid:
            raise BadRequestError("badCSR", "the request names something else, or is not its key's")
        issuer, key = self._signer
        begins = datetime.now(UTC) - timedelta(hours=1) - self.age
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + LIFE)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(order.domain)]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        order.chain = made.public_bytes(pem) + issuer.public_bytes(pem)
        order.state = "valid"
        self.signed += 1
