"""The only place for how the application reaches RDS: what it is told, and the authorities that RDS is known by.

A backend beside RDS always uses RDS, also while a climb goes on: until the switch it may look there and not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from infra.core import packages
from infra.core.errors import Fault, TerraceError
from infra.core.packages import AUTHORITIES_URL
from infra.host.box import fetch
from infra.host.box.backup.box import program
from infra.host.box.data.ends import DATABASE, ROLE

AUTHORITIES = Path("/etc/terrace/rds-authorities.pem")
ARCHIVED = fetch.ARCHIVE / "current" / packages.AUTHORITIES
"""Where an archive of packages has brought them: a box without a way out cannot fetch them."""


def environment(endpoint: str, password: str) -> Mapping[str, str]:
    """What a backend is told of its database; `endpoint` is HOST:PORT, the server's certificate is verified."""
    verified = f"sslmode=verify-full&sslrootcert={AUTHORITIES}"
    return {
        "DATABASE_URL": f"postgresql://{ROLE}:{quote(password, safe='')}@{endpoint}/{DATABASE}?{verified}",
        "SPRING_DATASOURCE_URL": f"jdbc:postgresql://{endpoint}/{DATABASE}?{verified}",
        "SPRING_DATASOURCE_USERNAME": ROLE,
        "SPRING_DATASOURCE_PASSWORD": password,
    }


def authorities(path: Path = AUTHORITIES) -> Path:
    """The file with the certificates, taken from the archive of packages or fetched, once.

    Raises:
        TerraceError: they could not be had.
    """
    if not path.exists():
        if ARCHIVED.exists():
            text = ARCHIVED.read_text(encoding="ascii")
        else:
            text = program("curl", "-fsS", "--retry", "3", AUTHORITIES_URL, timeout_seconds=60)
        if "BEGIN CERTIFICATE" not in text:
            raise TerraceError(Fault(AUTHORITIES_URL, "holds no certificates", "Look at what it answers"))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text, encoding="ascii")
        part.replace(path)
    return path
