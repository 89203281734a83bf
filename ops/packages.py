"""The only place that packs an archive of packages, and lays it where the boxes of a stack look for it.

    Packages               the index: each package as the distribution's signed index describes it
    nginx_1.26.3-3_arm64.deb, …
    rds-authorities.pem    the certificates of RDS's authorities

The same packages give the same bytes: sorted, without times or owners of this machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.core import packages
from infra.core.errors import Fault, TerraceError


@dataclass(frozen=True, slots=True)
class Deb:
    """One package: its file, and its paragraph of the distribution's signed index."""

    path: Path
    paragraph: str

    def field(self, name: str) -> str:
        """A one-line field of the paragraph; empty where it has none."""
        found = re.search(rf"^{name}: (.*)$", self.paragraph, re.MULTILINE)
        return found[1].strip() if found else ""

    @property
    def file(self) -> str:
        """Its name in the archive: without the epoch, whose colon a `file:` address would have to escape."""
        version = self.field("Version").partition(":")[2] or self.field("Version")
        return f"{self.field('Package')}_{version}_{self.field('Architecture')}.deb"


class Distribution(Protocol):
    """Where packages come from; `ops/adapters/apt.py`."""

    def fetch(self, directory: Path, names: Sequence[str]) -> list[Deb]:
        """Those packages with everything that they depend on, each as the distribution signed it."""
        ...


class Artifacts(Protocol):
    """The artifacts bucket of a stack."""

    def size_of(self, key: str) -> int | None:
        """Bytes of an object; None where there is none."""
        ...

    def upload_file(self, key: str, path: Path, sha256: str) -> None:
        """Writes it, whole or not at all."""
        ...


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive on this machine; `packages` is how many it holds."""

    path: Path
    sha256: str
    size_bytes: int
    packages: int

    @property
    def key(self) -> str:
        """Where it lies in the artifacts bucket."""
        return packages.key(self.sha256)


def build(distribution: Distribution, authorities: str, scratch: Path, archive: Path) -> Archive:
    """Fetches what `infra/core/packages.py` names, with what it depends on, and packs it.

    Raises:
        TerraceError: a package is not as the signed index says, or `authorities` holds no certificate.
    """
    if "BEGIN CERTIFICATE" not in authorities:
        raise TerraceError(
            Fault("RDS's authorities", "hold no certificate", f"Give the file of {packages.AUTHORITIES_URL}")
        )
    found = sorted(distribution.fetch(scratch, packages.archived()), key=lambda each: each.file)
    lacking = set(packages.archived()) - {each.field("Package") for each in found}
    faults = [Fault(name, "was not fetched", "Look at what apt said") for name in sorted(lacking)]
    faults += [
        Fault(each.path.name, "is not what the signed index says (SHA-256)", "Build it again")
        for each in found
        if _digest(each.path) != each.field("SHA256")
    ]
    if faults:
        raise TerraceError(*faults, summary="no archive was made:")
    index = "\n".join(_paragraph(each) for each in found)
    draft = archive.with_name(f"{archive.name}.new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, text in ((packages.INDEX, index), (packages.AUTHORITIES, authorities)):
                content = text.encode()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            for each in found:
                entry = tarfile.TarInfo(each.file)
                entry.size = each.path.stat().st_size
                with each.path.open("rb") as deb:
                    tar.addfile(entry, deb)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(archive)
    return read(archive)


def read(archive: Path) -> Archive:
    """What an archive that was built earlier, or elsewhere, is.

    Raises:
        TerraceError: it is no archive of packages.
    """
    try:
        with tarfile.open(archive) as tar:
            names = tar.getnames()
    except (OSError, tarfile.TarError) as error:
        raise _no_archive(archive, str(error)) from error
    debs = sum(1 for name in names if name.endswith(".deb"))
    if not debs or packages.INDEX not in names or packages.AUTHORITIES not in names:
        raise _no_archive(archive, f"it lacks {packages.INDEX}, {packages.AUTHORITIES} or every .deb")
    return Archive(archive, _digest(archive), archive.stat().st_size, debs)


def publish(store: Artifacts, archive: Archive) -> bool:
    """Lays it into the bucket under its digest; whether it was not there yet."""
    if store.size_of(archive.key) == archive.size_bytes:
        return False
    store.upload_file(archive.key, archive.path, archive.sha256)
    return True


def _paragraph(deb: Deb) -> str:
    """The index's own words, but for where the file lies."""
    return (
        re.sub(r"^Filename: .*$", f"Filename: ./{deb.file}", deb.paragraph.strip(), flags=re.MULTILINE) + "\n"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_archive(path: Path, why: str) -> TerraceError:
    return TerraceError(
        Fault(str(path), f"is no archive of packages: {why}", "Make one: scripts/packages.py build")
    )
