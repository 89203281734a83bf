"""The only place for what a box takes from the distribution, and for how an archive of it is named.

An archive is a plain tar: `Packages` (the index of a flat repository, deb822), the .deb files that it names, and the
certificates of RDS's authorities, which lie outside of AWS's endpoints as the mirrors do.
"""

from __future__ import annotations

from collections.abc import Mapping

SUITE = "trixie"
ARCHITECTURE = "arm64"

PACKAGES = ("chrony", "logrotate", "nginx", "unattended-upgrades")
ROLE_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "single": ("nodejs", "openjdk-21-jre-headless", "pgbackrest", "postgresql-17", "postgresql-17-pgvector"),
    "backend": ("openjdk-21-jre-headless", "postgresql-client-17"),
    "frontend": ("nodejs",),
}
CERTBOT = "certbot"

ARCHIVED_ROLES = ("backend", "frontend")
"""Whose packages an archive holds: of the boxes that can stand without a NAT gateway."""

BESIDE = ("python3-boto3", "awscli", "curl", "ca-certificates", "openssl", "openssh-server", "sudo")
"""What a box needs before its bundle, and what of its image listens or speaks, so that it is upgraded too."""

INDEX = "Packages"
AUTHORITIES = "rds-authorities.pem"
AUTHORITIES_URL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""Certificates of RDS's authorities (RDS User Guide, "Using SSL/TLS to encrypt a connection to a DB instance")."""

PREFIX = "packages/"


def archived() -> tuple[str, ...]:
    """What an archive holds by name, sorted; what they depend on comes with them."""
    roles = (name for role in ARCHIVED_ROLES for name in ROLE_PACKAGES[role])
    return tuple(sorted({*PACKAGES, *roles, CERTBOT, *BESIDE}))


def version(sha256: str) -> str:
    """What an archive is called: the first 12 digits of its SHA-256."""
    return sha256[:12]


def key(sha256: str) -> str:
    """Where it lies in the artifacts bucket."""
    return f"{PREFIX}{version(sha256)}.tar"
