"""The only place that packs a release: a directory, checked, becomes an archive whose bytes its content decides.

    release.json           {"version": "v12", "migrate": ["java", "-jar", "backend/app.jar", "--migrate"]}
    backend/app.jar        the backend; "backend" in release.json names another path
    frontend/server.js     the frontend's first file; "frontend" and "entry" name other ones
    migrations/            what "migrate" applies; where the jar carries its migrations it may be missing

A release for boxes of one role may have one of both parts. What `infra/core/release.py` says of an archive holds.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from infra.core.errors import Fault, TerraceError
from infra.core.release import (
    MANIFEST,
    Manifest,
    Migrations,
    Part,
    PartFiles,
    Published,
    ReleaseError,
    check_version,
    digest,
)

DESCRIPTION = "release.json"
MOST_BYTES = 2 * 1024**3
"""Unpacked. Larger than any jar and standalone build seen; a checkout with its node_modules is what this refuses."""

_KNOWN = frozenset({"version", "migrate", "backend", "frontend", "entry"})
_SECRET = re.compile(r"(^|/)(\.env(\..*)?|[^/]*\.(pem|key|p12|jks)|id_(rsa|ed25519))$")
_COMPRESSION = 6


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive on this machine, and what is published of it."""

    archive: Path
    manifest: Manifest
    published: Published


def pack(directory: Path, archive: Path, *, version: str = "", git: str = "") -> Packed:
    """Writes the archive of a release's directory. The same content gives the same bytes, whenever it is packed.

    `version` wins over the one in release.json; `git` is the commit that the release was built from.

    Raises:
        TerraceError: the directory is no release; every fault at once.
    """
    manifest = _manifest(directory, version, git)
    files = list(_files(directory, manifest))
    unpacked = sum(path.lstat().st_size for _, path in files)
    if unpacked > MOST_BYTES:
        raise _wrong(
            directory,
            f"holds {unpacked / 1024**2:.0f} MiB, at most {MOST_BYTES / 1024**2:.0f} MiB can be a release",
            "Pack what was built, no checkout",
        )
    draft = archive.with_name(f"{archive.name}.new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest.to_json(), indent=2) + "\n"
    with draft.open("wb") as raw:
        # No name and no time in the header: neither is the content's.
        with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as zipped:
            _write(zipped, text.encode(), files)
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(archive)
    return Packed(archive, manifest, _published(archive, manifest, unpacked + len(text.encode())))


def read(archive: Path) -> Packed:
    """What an archive that was packed earlier, or elsewhere, holds; all of it is unpacked once, and checked.

    Raises:
        TerraceError: it is no release, or not what its manifest says.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="terrace-release-") as scratch:
            tree = Path(scratch, "tree")
            with tarfile.open(archive, "r:gz") as packed:
                packed.extractall(tree, filter="data")
            manifest = Manifest.parse((tree / MANIFEST).read_bytes())
            manifest.check(tree)
            unpacked = sum(each.lstat().st_size for each in tree.rglob("*") if not each.is_dir())
    except ReleaseError as error:
        raise _wrong(archive, error.what, error.remedy) from error
    except (OSError, tarfile.TarError, EOFError) as error:
        raise _wrong(archive, f"is no release: {error}", "Pack it: scripts/deploy.py pack") from error
    return Packed(archive, manifest, _published(archive, manifest, unpacked))


def _manifest(directory: Path, version: str, git: str) -> Manifest:
    described = _described(directory)
    faults: list[Fault] = []
    version = version or str(described.get("version") or "")
    try:
        check_version(version)
    except ReleaseError as error:
        faults.append(Fault("version", error.what, error.remedy))
    parts: dict[Part, PartFiles] = {}
    backend = _path(described, "backend", "backend/app.jar", faults)
    if (directory / backend).is_file():
        parts[Part.BACKEND] = PartFiles(backend, digest(directory / backend))
    frontend = _path(described, "frontend", "frontend", faults)
    entry = _path(described, "entry", "server.js", faults)
    if (directory / frontend).is_dir():
        if not (directory / frontend / entry).is_file():
            faults.append(Fault(f"{frontend}/{entry}", "is not there", 'Name the first file: "entry"'))
        parts[Part.FRONTEND] = PartFiles(frontend, digest(directory / frontend), entry)
    if not parts:
        faults.append(
            Fault(str(directory), f"has neither {backend} nor {frontend}/", "See templates/release")
        )
    migrations = _migrations(directory, described, backend, faults)
    for name in sorted(_relative(directory)):
        if _SECRET.search(name):
            faults.append(Fault(name, "looks like a secret, and a release holds none", "Take it out"))
    if faults:
        raise TerraceError(*faults, summary=f"{directory} is no release:")
    created_at = _newest(directory, parts, migrations)
    return Manifest(version, created_at, git, parts, migrations)


def _migrations(
    directory: Path, described: Mapping[str, Any], backend: str, faults: list[Fault]
) -> Migrations | None:
    command = described.get("migrate")
    has_files = (directory / "migrations").is_dir()
    if command is None:
        if has_files:
            faults.append(Fault("migrations", "are there, and nothing applies them", 'Name it: "migrate"'))
        return None
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        faults.append(Fault("migrate", f"is {command!r}", 'A list of words, as ["java", "-jar", "…"]'))
        return None
    path = "migrations" if has_files else backend
    return Migrations(path, digest(directory / path), tuple(command))


def _described(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(directory, f"has no {DESCRIPTION}", "See templates/release") from None
    except (OSError, ValueError) as error:
        raise _wrong(path, f"is no JSON: {error}", "See templates/release") from error
    if not isinstance(found, dict):
        raise _wrong(path, "is no object", "See templates/release")
    if unknown := sorted(found.keys() - _KNOWN):
        raise _wrong(path, f"has unknown {', '.join(unknown)}", f"Known are {', '.join(sorted(_KNOWN))}")
    return found


def _path(described: Mapping[str, Any], name: str, default: str, faults: list[Fault]) -> str:
    path = described.get(name, default)
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in PurePosixPath(path).parts:
        faults.append(Fault(name, f"is {path!r}", "A path below the release's directory"))
        return default
    return path


def _newest(directory: Path, parts: Mapping[Part, PartFiles], migrations: Migrations | None) -> datetime:
    """When the newest file was written: packing twice must not give two archives."""
    named = [*(each.path for each in parts.values()), *([migrations.path] if migrations else [])]
    times = [directory.joinpath(DESCRIPTION).stat().st_mtime]
    for each in named:
        found = directory / each
        files = [found] if found.is_file() else [file for file in found.rglob("*") if file.is_file()]
        times += [file.lstat().st_mtime for file in files]
    return datetime.fromtimestamp(int(max(times)), UTC)


def _files(directory: Path, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """Only what the manifest names is packed, so nothing lands in an archive by lying beside it."""
    named = {files.path for files in manifest.parts.values()}
    if manifest.migrations is not None:
        named.add(manifest.migrations.path)
    for name in sorted(_relative(directory)):
        if any(name == each or name.startswith(f"{each}/") for each in named):
            yield name, directory / name


def _relative(directory: Path) -> Iterator[str]:
    for each in directory.rglob("*"):
        if each.is_symlink() or each.is_file():
            yield each.relative_to(directory).as_posix()


def _write(zipped: gzip.GzipFile, manifest: bytes, files: list[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, len(manifest), io.BytesIO(manifest))
        for name, path in files:
            if path.is_symlink():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(link)
                continue
            with path.open("rb") as file:
                executable = bool(path.stat().st_mode & 0o100)
                _add(tar, name, path.stat().st_size, file, mode=0o755 if executable else 0o644)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes], *, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    tar.addfile(info, content)


def _published(archive: Path, manifest: Manifest, unpacked_bytes: int) -> Published:
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Published(
        manifest.version,
        sha256,
        archive.stat().st_size,
        unpacked_bytes,
        manifest.created_at,
        manifest.git,
        tuple(manifest.parts),
    )


def _wrong(path: Path, what: str, remedy: str) -> TerraceError:
    return TerraceError(Fault(str(path), what, remedy))
