"""The only place for what a release is: its name, its parts, its manifest, where it lies in the artifacts bucket.

Standard library alone: the host bundle carries this file to the box, so that what packs and what unpacks agree.

    releases/VERSION.tar.gz     manifest.json and the parts
    releases/VERSION.json       written last: without it the release is not published
    releases/current.json       what a box that has no state of its own starts
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

FORMAT = 1
MANIFEST = "manifest.json"
CURRENT_KEY = "releases/current.json"

_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RESERVED = frozenset({"current"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Part(StrEnum):
    """What a box runs of a release, in the order in which a box takes it up."""

    BACKEND = "backend"
    FRONTEND = "frontend"


class Strategy(StrEnum):
    """How a release is taken up.

    `ROLLING` puts one new service beside its predecessor at a time, `BLUE_GREEN` all of them before it switches;
    `BIG_BANG` stops the old ones first and needs no more memory than they had.
    """

    ROLLING = "rolling"
    BLUE_GREEN = "blue-green"
    BIG_BANG = "big-bang"


ROLE_PARTS: Mapping[str, tuple[Part, ...]] = {
    "single": (Part.BACKEND, Part.FRONTEND),
    "backend": (Part.BACKEND,),
    "frontend": (Part.FRONTEND,),
}
"""Which parts a box runs, by its role. The database is changed by the box that runs the backend."""


class ReleaseError(ValueError):
    """A release that is not what it says: `what` is wrong, and the `remedy`."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Where one part lies in the release, and the digest of what lies there (see `digest`).

    `entry` is the frontend's first file, below `path`; the backend's `path` is its jar.
    """

    path: str
    sha256: str
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Migrations:
    """The files that change the database, and the command that applies them, run in the release's directory."""

    path: str
    sha256: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `manifest.json` of a release says. `created_at` is UTC, `git` the commit it was built from, or empty."""

    version: str
    created_at: datetime
    git: str
    parts: Mapping[Part, PartFiles]
    migrations: Migrations | None = None

    def to_json(self) -> dict[str, Any]:
        """The manifest as it is written."""
        parts: dict[str, Any] = {}
        for part, files in self.parts.items():
            parts[part.value] = {"path": files.path, "sha256": files.sha256}
            if files.entry:
                parts[part.value]["entry"] = files.entry
        if self.migrations is not None:
            parts["migrations"] = {
                "path": self.migrations.path,
                "sha256": self.migrations.sha256,
                "command": list(self.migrations.command),
            }
        return {
            "format": FORMAT,
            "version": self.version,
            "created_at": stamp(self.created_at),
            "git": self.git,
            "parts": parts,
        }

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Reads a manifest.

        Raises:
            ReleaseError: it is not one, or of a format that this program does not know.
        """
        given = _object(text, MANIFEST)
        parts = _member(given, "parts", dict)
        found = {part: _files(part, parts[part.value]) for part in Part if part.value in parts}
        if not found:
            raise ReleaseError(f"{MANIFEST} names neither backend nor frontend", "Pack the release anew")
        return cls(
            check_version(_member(given, "version", str)),
            _time(_member(given, "created_at", str)),
            str(given.get("git") or ""),
            found,
            _migrations(parts["migrations"]) if "migrations" in parts else None,
        )

    def check(self, tree: Path) -> None:
        """Compares the parts with what lies in the unpacked `tree`.

        Raises:
            ReleaseError: a part is missing or differs.
        """
        listed: dict[str, PartFiles | Migrations] = {part.value: each for part, each in self.parts.items()}
        if self.migrations is not None:
            listed["migrations"] = self.migrations
        for name, files in listed.items():
            found = digest(tree / files.path)
            if found != files.sha256:
                raise ReleaseError(
                    f"{name} of {self.version} is {found[:12] or 'missing'}, its manifest says {files.sha256[:12]}",
                    "Publish the release again under a new version",
                )


@dataclass(frozen=True, slots=True)
class Published:
    """What `releases/VERSION.json` says of an archive: its digest, its size packed and unpacked."""

    version: str
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    created_at: datetime
    git: str
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "format": FORMAT,
            "version": self.version,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "unpacked_bytes": self.unpacked_bytes,
            "created_at": stamp(self.created_at),
            "git": self.git,
            "parts": [part.value for part in self.parts],
        }

    @classmethod
    def parse(cls, text: str | bytes) -> Published:
        """Reads what was written.

        Raises:
            ReleaseError: it is not that, or of a format that this program does not know.
        """
        given = _object(text, "what is published")
        known = {part.value for part in Part}
        return cls(
            check_version(_member(given, "version", str)),
            _sha256(_member(given, "sha256", str), "the archive"),
            _member(given, "size_bytes", int),
            _member(given, "unpacked_bytes", int),
            _time(_member(given, "created_at", str)),
            str(given.get("git") or ""),
            tuple(Part(each) for each in _member(given, "parts", list) if each in known),
        )


def archive_key(version: str) -> str:
    """Where the archive of a version lies in the artifacts bucket."""
    return f"releases/{version}.tar.gz"


def about_key(version: str) -> str:
    """Where what is published of a version lies in the artifacts bucket."""
    return f"releases/{version}.json"


def check_version(version: str) -> str:
    """The version, if it can be a name of a release.

    Raises:
        ReleaseError: it cannot.
    """
    if not _VERSION.fullmatch(version) or version in _RESERVED or ".." in version:
        raise ReleaseError(
            f"{version!r} cannot name a release",
            "A version has 1 to 63 lower-case letters, digits, dots, dashes and underscores, such as v12",
        )
    return version


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a directory's sorted list of files with theirs; empty where there is nothing.

    A symbolic link counts by where it points; modes and times do not count.
    """
    if path.is_symlink() or not path.exists():
        return ""
    if path.is_file():
        return _digest_file(path)
    whole = hashlib.sha256()
    for name, each in sorted((each.relative_to(path).as_posix(), each) for each in path.rglob("*")):
        if each.is_symlink():
            whole.update(f"-> {each.readlink()}  {name}\n".encode())
        elif each.is_file():
            whole.update(f"{_digest_file(each)}  {name}\n".encode())
    return whole.hexdigest()


def released_in(role: str, parts: Iterable[Part], version: str) -> tuple[Part, ...]:
    """The parts that a box of that role takes from a release with those parts.

    Raises:
        ReleaseError: the release lacks one of them.
    """
    has = tuple(parts)
    if missing := [part.value for part in ROLE_PARTS[role] if part not in has]:
        raise ReleaseError(
            f"{version} has no {' and no '.join(missing)}, which a box of role {role} runs",
            "Pack and publish a release with it",
        )
    return ROLE_PARTS[role]


def stamp(time: datetime) -> str:
    """A time as it is written, in UTC to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(part: Part, given: Any) -> PartFiles:
    if not isinstance(given, dict):
        raise _wrong(f"parts.{part.value}", "an object")
    entry = _inside(_member(given, "entry", str), part) if part is Part.FRONTEND else ""
    return PartFiles(
        _inside(_member(given, "path", str), part), _sha256(_member(given, "sha256", str), part), entry
    )


def _migrations(given: Any) -> Migrations:
    if not isinstance(given, dict):
        raise _wrong("parts.migrations", "an object")
    command = _member(given, "command", list)
    if not command or not all(isinstance(word, str) and word for word in command):
        raise _wrong("parts.migrations.command", "a list of words")
    return Migrations(
        _inside(_member(given, "path", str), "migrations"),
        _sha256(_member(given, "sha256", str), "migrations"),
        tuple(command),
    )


def _object(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ReleaseError(f"{name} is no JSON: {error}", "Publish the release again") from error
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        found = given.get("format") if isinstance(given, dict) else None
        raise ReleaseError(
            f"{name} has format {found!r}, this program knows {FORMAT}",
            "Update the host: terrace-host update",
        )
    return given


def _member(given: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = given.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(name, {str: "a text", int: "a number", list: "a list", dict: "an object"}[kind])
    return value


def _inside(path: str, name: str) -> str:
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts:
        raise ReleaseError(f"path {path!r} of {name} leads out of the release", "Pack the release anew")
    return path


def _sha256(value: str, name: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ReleaseError(f"sha256 of {name} is {value!r}", "It has 64 hexadecimal digits; publish again")
    return value


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise _wrong("created_at", "a time such as 2026-11-20T09:00:00Z") from error
    if time.tzinfo is None:
        raise _wrong("created_at", "a time with its zone")
    return time.astimezone(UTC)


def _wrong(name: str, wanted: str) -> ReleaseError:
    return ReleaseError(f"{name} has to be {wanted}", "Pack the release anew")
