"""The only place for how boxes reach the AWS API: in clear at one address, and by S3's own names over TLS.

boto3 and the AWS CLI take AWS_ENDPOINT_URL. Programs that do not (pgBackRest speaks HTTPS alone) ask for the names
that AWS has, `s3.REGION.amazonaws.com` and `BUCKET.s3.REGION.amazonaws.com`: the resolver of the boxes answers with
the same address, where a certificate of the cloud's own authority is shown. Every box trusts that authority, so
nothing on a box knows in which world it runs.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from embedded import boxes
from embedded.aws.server import ApiServer

HTTP, HTTPS = 80, 443
ENVIRONMENT = {"AWS_ENDPOINT_URL": f"http://{boxes.ENDPOINT}"}
"""What every service of every box gets."""

RDS_AUTHORITIES = "truststore.pki.rds.amazonaws.com"
RDS_AUTHORITIES_PATH = "/global/global-bundle.pem"
"""Where RDS publishes the certificates of its authorities (RDS User Guide, "Using SSL/TLS")."""

_S3 = re.compile(r"([a-z0-9.-]+\.)?s3\.[a-z0-9-]+\.amazonaws\.com")
_YEARS = 10


def resolve(_vpc: str, name: str, kind: str) -> boxes.Reply | None:
    """What the resolver of boxes says of S3's names, and of RDS's authorities; None for any other."""
    if not _S3.fullmatch(name.lower()) and name.lower() != RDS_AUTHORITIES:
        return None
    return boxes.Reply((boxes.Record("A", str(boxes.ENDPOINT)),) if kind == "A" else ())


def serve(host: boxes.Host, api: ApiServer, directory: Path) -> None:
    """Lets the API answer on the boxes' link, in clear and over TLS.

    Raises:
        HostError: a port is taken.
    """
    api.listen_on(host.listen(boxes.ENDPOINT, HTTP), admin=False)
    api.listen_on(host.listen(boxes.ENDPOINT, HTTPS), admin=False, tls=_context(directory))


def authority(directory: Path) -> bytes:
    """The certificate (PEM) of the cloud's authority, made in `directory` at the first call."""
    return _authority(directory)[0].public_bytes(serialization.Encoding.PEM)


def _authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path = directory / "authority.pem"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("terrace embedded cloud")
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
    issuer, issuer_key = _authority(directory)
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


def _context(directory: Path) -> ssl.SSLContext:
    regions = boto3.session.Session().get_available_regions("s3")
    names = [f"{star}s3.{region}.amazonaws.com" for region in sorted(regions) for star in ("", "*.")]
    path = directory / "endpoint.pem"
    path.touch(mode=0o600)
    path.write_bytes(certificate(directory, *names, RDS_AUTHORITIES))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


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
