"""The only place for how boxes reach the AWS API, in clear at one address and by S3's own names over TLS, and RunPod.

boto3 and the AWS CLI take AWS_ENDPOINT_URL. Programs that do not (pgBackRest speaks HTTPS alone) ask for the names
that AWS has, `s3.REGION.amazonaws.com` and `BUCKET.s3.REGION.amazonaws.com`: the resolver of the boxes answers with
the same address, where a certificate of the cloud's own authority is shown. Every box trusts that authority, so
nothing on a box knows in which world it runs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from embedded import acme, boxes
from embedded.aws.server import ApiServer
from embedded.runpod.server import RunPodServer

HTTP, HTTPS = 80, 443
RUNPOD = IPv4Address("169.254.169.249")
"""Where boxes find the double of RunPod."""
TRUSTSTORE = IPv4Address("169.254.169.248")
"""Where boxes find what AWS publishes outside of its regions: no endpoint of a VPC leads there."""
ENVIRONMENT = {"AWS_ENDPOINT_URL": f"http://{boxes.ENDPOINT}", "RUNPOD_API_URL": f"http://{RUNPOD}"}
"""What every service of every box gets."""

RDS_AUTHORITIES = "truststore.pki.rds.amazonaws.com"
RDS_AUTHORITIES_PATH = "/global/global-bundle.pem"
"""Where RDS publishes the certificates of its authorities (RDS User Guide, "Using SSL/TLS")."""

_S3 = re.compile(r"([a-z0-9.-]+\.)?s3\.[a-z0-9-]+\.amazonaws\.com")
_YEARS = 10


def resolve(_vpc: str, name: str, kind: str) -> boxes.Reply | None:
    """What the resolver of boxes says of the names that the cloud stands in for; None for any other."""
    if name.lower() in acme.NAMES:
        return boxes.Reply((boxes.Record("A", str(acme.ADDRESS)),) if kind == "A" else ())
    if name.lower() == RDS_AUTHORITIES:
        return boxes.Reply((boxes.Record("A", str(TRUSTSTORE)),) if kind == "A" else ())
    if not _S3.fullmatch(name.lower()):
        return None
    return boxes.Reply((boxes.Record("A", str(boxes.ENDPOINT)),) if kind == "A" else ())


def serve(host: boxes.Host, api: ApiServer, directory: Path) -> None:
    """Lets the API answer on the boxes' link, in clear and over TLS.

    Raises:
        HostError: a port is taken.
    """
    api.listen_on(host.listen(boxes.ENDPOINT, HTTP), admin=False)
    api.listen_on(
        host.listen(boxes.ENDPOINT, HTTPS),
        admin=False,
        tls=context(directory, "s3", _s3_names()),
    )
    api.listen_on(
        host.listen(TRUSTSTORE, HTTPS),
        admin=False,
        tls=context(directory, "truststore", [RDS_AUTHORITIES]),
    )


def serve_runpod(host: boxes.Host, double: RunPodServer) -> None:
    """Lets RunPod's double answer on the boxes' link.

    Raises:
        HostError: the port is taken.
    """
    double.listen_on(host.listen(RUNPOD, HTTP))


def authority(directory: Path) -> bytes:
    """The certificate (PEM) of the cloud's authority, made in `directory` at the first call."""
    return signer(directory)[0].public_bytes(serialization.Encoding.PEM)


def signer(
    directory: Path, file: str = "authority.pem", called: str = "terrace embedded cloud"
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority's certificate and key, kept in that file and made at the first call."""
    path = directory / file
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(called)
        builder = _builder(name, name, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        part.replace(path)
    whole = path.read_bytes()
    private = serialization.load_pem_private_key(whole, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds another kind of key than it was made with")
    return x509.load_pem_x509_certificate(whole), private


def certificate(directory: Path, *names: str) -> bytes:
    """A new key and a certificate of the cloud's authority for those names, both PEM in one text."""
    issuer, issuer_key = signer(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = (
        _builder(_name(names[0][:64]), issuer.subject, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + signed.public_bytes(serialization.Encoding.PEM)


def context(directory: Path, called: str, names: Sequence[str]) -> ssl.SSLContext:
    """What a server shows to boxes that ask for one of those names, signed by the cloud's authority."""
    path = directory / f"{called}.pem"
    path.touch(mode=0o600)
    path.write_bytes(certificate(directory, *names))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


def _s3_names() -> list[str]:
    regions = sorted(boto3.session.Session().get_available_regions("s3"))
    return [f"{star}s3.{region}.amazonaws.com" for region in regions for star in ("", "*.")]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
