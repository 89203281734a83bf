"""The only place that builds the sample: its jar, kept by the hash of its sources, and a release's directory."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from embedded.sample import toolchain
from embedded.sample.toolchain import BuildError

HERE = Path(__file__).parent
SOURCES = HERE / "backend" / "src"
MAIN_CLASS = "terrace.sample.Main"
DRIVER_JARS = (
    "postgresql.jar", "scram-client.jar", "scram-common.jar", "saslprep.jar", "stringprep.jar", "nameprep.jar",
)  # fmt: skip

_COMPILE = (
    "mkdir /build/classes && cp {jars} /build && "
    "cd /build && javac --release 21 -Xlint:all -Werror -cp postgresql.jar -d classes $(find src -name '*.java')"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can hold."""


class FaultKind(StrEnum):
    """What a release does wrong on purpose."""

    NEVER_HEALTHY = "never-healthy"
    EXITS = "exits"
    DIES = "dies"
    GROWS = "grows"
    """At GET /grow: the backend beyond its heap, the frontend beyond its unit's limit."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A release that is wrong in one part; `after_seconds` counts for `DIES`."""

    kind: FaultKind
    part: Literal["backend", "frontend"] = "backend"
    after_seconds: int = 0


def lay_out(
    directory: Path,
    version: str,
    *,
    cache: Path,
    fault: Fault | None = None,
    migrations: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Makes what `scripts/deploy.py publish` takes: backend, frontend, the first `migrations`, and release.json.

    Raises:
        BuildError: the backend cannot be compiled here.
    """
    for name in ("backend", "frontend", "migrations"):
        (directory / name).mkdir(parents=True)
    jar = directory / "backend" / "app.jar"
    shutil.copy2(backend_jar(cache, progress), jar)
    shutil.copy2(HERE / "frontend" / "server.js", directory / "frontend" / "server.js")
    files = sorted((HERE / "migrations").glob("V*.sql"))
    for file in files[:migrations]:
        shutil.copy2(file, directory / "migrations" / file.name)
    if fault is not None:
        text = f"{fault.kind} {fault.after_seconds}\n"
        if fault.part == "frontend":
            (directory / "frontend" / "fault").write_text(text, encoding="utf-8")
        else:
            with zipfile.ZipFile(jar, "a") as opened:
                opened.writestr(zipfile.ZipInfo("fault", _EPOCH), text)
    about = {"version": version, "migrate": ["java", "-jar", "backend/app.jar", "--migrate"]}
    (directory / "release.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    _as_old_as_its_sources(directory)
    return directory


def _as_old_as_its_sources(directory: Path) -> None:
    """So that the same sample, laid out twice, is the same release."""
    newest = max(path.stat().st_mtime for path in HERE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in directory.rglob("*"):
        os.utime(path, (newest, newest))


def backend_jar(cache: Path, progress: Callable[[str], None] = lambda _: None) -> Path:
    """The backend with its driver in one file; compiled when its sources changed since.

    Raises:
        BuildError: it cannot be compiled here.
    """
    kept = cache / "sample" / f"{_key()}.jar"
    if not kept.exists():
        layers = toolchain.jdk(cache, progress)
        progress("compiling the sample's backend")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=kept.parent) as scratch:
            work = Path(scratch)
            shutil.copytree(SOURCES, work / "src")
            jars = " ".join(f"{toolchain.JAVA_JARS}/{name}" for name in DRIVER_JARS)
            toolchain.run(layers, work, _COMPILE.format(jars=jars))
            draft = work / "app.jar"
            with draft.open("wb") as file:
                file.write(_jar(work))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(kept)
    return kept


def _key() -> str:
    digest = hashlib.sha256(json.dumps([_COMPILE, DRIVER_JARS, MAIN_CLASS, toolchain.PACKAGES]).encode())
    for path in sorted(SOURCES.rglob("*.java")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _jar(work: Path) -> bytes:
    """Ours and the driver's classes; the same bytes for the same classes."""
    manifest = f"Manifest-Version: 1.0\r\nMain-Class: {MAIN_CLASS}\r\n\r\n".encode()
    members: dict[str, bytes] = {"META-INF/MANIFEST.MF": manifest}
    for name in DRIVER_JARS:
        members.update(_driver(work / name))
    for path in sorted((work / "classes").rglob("*.class")):
        members[path.relative_to(work / "classes").as_posix()] = path.read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as jar:
        for member, content in members.items():
            jar.writestr(zipfile.ZipInfo(member, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _driver(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as jar:
        for member in sorted(jar.namelist()):
            if not member.endswith("/") and (
                not member.startswith("META-INF/") or member.startswith("META-INF/services/")
            ):
                yield member, jar.read(member)


__all__ = ["BuildError", "Fault", "FaultKind", "backend_jar", "lay_out"]
