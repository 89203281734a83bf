"""The only place that fetches releases from the artifacts bucket, and that keeps them on the disk.

A directory gets its final name when all of it has been checked, so a release that is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from infra.core.release import (
    CURRENT_KEY,
    MANIFEST,
    Manifest,
    Published,
    ReleaseError,
    about_key,
    archive_key,
    check_version,
)

from .errors import DeployError, RefusedError
from .model import Unpacked

SPARE_BYTES = 1024**3
"""What has to stay free on the disk besides a release: the database writes to it too."""

_CHUNK_BYTES = 1024**2
_DRAFT = ".part"


class Bucket(Protocol):
    """The artifacts bucket, read."""

    def read(self, key: str) -> bytes | None:
        """A small object; None where there is none. Raises DeployError."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """A large object. Raises DeployError."""


class Store:
    """Releases in `directory`, one below it for each version."""

    def __init__(self, directory: Path, bucket: Bucket, say: Callable[[str, str], None]) -> None:
        self._directory, self._bucket, self._say = directory, bucket, say

    def about(self, version: str) -> Published:
        """What is published of a version; of one on the disk, without the bucket: the way back must not need it.

        Raises:
            RefusedError: nothing is.
            DeployError: the bucket does not answer, or what it has is not that.
        """
        with _as_deploy_errors():
            return self._kept(check_version(version)) or self._published(version)

    def take(self, version: str) -> Unpacked:
        """The release, from the disk where it is whole there, else fetched.

        Raises:
            DeployError: it cannot be had, its checksum is wrong, or it does not fit on the disk.
        """
        with _as_deploy_errors():
            directory = self._directory / check_version(version)
            if directory.is_dir():
                try:
                    return Unpacked(_checked(directory, version), directory)
                except (ReleaseError, OSError) as error:
                    self._say("fetch", f"{version} on the disk is damaged, fetching it again: {error}")
                    shutil.rmtree(directory)
            return Unpacked(self._fetch(version, directory), directory)

    def wanted(self) -> str:
        """What a box without a state of its own should run; empty when nobody has said."""
        text = self._bucket.read(CURRENT_KEY)
        if text is None:
            return ""
        try:
            return check_version(json.loads(text)["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeployError(
                f"{CURRENT_KEY} is damaged: {error}", "Deploy again, it is then rewritten"
            ) from error

    def prune(self, keep: frozenset[str]) -> tuple[str, ...]:
        """Takes away what is not kept, and what an interrupted fetch left.

        Raises:
            DeployError: something cannot be taken away.
        """
        try:
            gone = sorted(each for each in self._directory.iterdir() if each.name not in keep)
            for each in gone:
                shutil.rmtree(each)
        except OSError as error:
            raise DeployError(f"{self._directory} cannot be tidied: {error}", "Look at its rights") from error
        return tuple(each.name for each in gone)

    def _published(self, version: str) -> Published:
        text = self._bucket.read(about_key(version))
        if text is None:
            raise RefusedError(
                f"{version} is not published", "Publish it: scripts/deploy.py publish; or look at the name"
            )
        return Published.parse(text)

    def _kept(self, version: str) -> Published | None:
        try:
            manifest = _checked(self._directory / version, version)
        except (ReleaseError, OSError):
            return None
        return Published(version, "", 0, 0, manifest.created_at, manifest.git, tuple(manifest.parts))

    def _fetch(self, version: str, directory: Path) -> Manifest:
        about = self._published(version)
        self._directory.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(self._directory).free, about.size_bytes + about.unpacked_bytes
        if free - needed < SPARE_BYTES:
            raise RefusedError(
                f"{version} needs {_mib(needed)} MiB in {self._directory}, which has {_mib(free)} MiB free, and "
                f"{_mib(SPARE_BYTES)} MiB have to stay free",
                "Make the volume larger: terrace:volumeGib",
            )
        draft = self._directory / f"{version}{_DRAFT}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            archive = draft / "archive"
            self._say("fetch", f"{version}, {_mib(about.size_bytes)} MiB")
            self._load(version, archive, about)
            tree = draft / "tree"
            _unpack(archive, tree)
            manifest = _checked(tree, version)
            os.sync()  # once for the file system: a release may have thousands of files
            tree.rename(directory)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return manifest

    def _load(self, version: str, archive: Path, about: Published) -> None:
        digest, size = hashlib.sha256(), 0
        with archive.open("wb") as file:
            for chunk in self._bucket.chunks(archive_key(version)):
                size += len(chunk)
                if size > about.size_bytes:
                    break
                digest.update(chunk)
                file.write(chunk)
        if (digest.hexdigest(), size) != (about.sha256, about.size_bytes):
            raise DeployError(
                f"the archive of {version} has checksum {digest.hexdigest()[:12]} and {size} bytes, published were "
                f"{about.sha256[:12]} and {about.size_bytes}",
                "Nothing was unpacked. Publish it again under a new version",
            )


class S3Bucket:
    """The bucket by boto3, with the instance's role."""

    def __init__(self, name: str, region: str) -> None:
        self._name, self._region = name, region
        self._made: Any = None

    def read(self, key: str) -> bytes | None:
        """A small object; None where there is none."""
        with _speaking(f"s3://{self._name}/{key}"):
            try:
                return bytes(self._client().get_object(Bucket=self._name, Key=key)["Body"].read())
            except self._client().exceptions.NoSuchKey:
                return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """A large object."""
        with _speaking(f"s3://{self._name}/{key}"):
            yield from self._client().get_object(Bucket=self._name, Key=key)["Body"].iter_chunks(_CHUNK_BYTES)

    def _client(self) -> Any:
        if self._made is None:
            # Half a second that a `status` need not wait.
            import boto3
            from botocore.config import Config

            make: Any = boto3.client
            config = Config(
                connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 5}
            )
            self._made = make("s3", region_name=self._region, config=config)
        return self._made


@contextmanager
def _speaking(what: str) -> Generator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"{what} cannot be read: {error}", "Look at the network and at the box's role"
        ) from error


@contextmanager
def _as_deploy_errors() -> Generator[None]:
    try:
        yield
    except ReleaseError as error:
        raise DeployError(error.what, error.remedy) from error
    except OSError as error:
        raise DeployError(f"the disk refuses: {error}", "Look at its room and rights") from error


def _unpack(archive: Path, tree: Path) -> None:
    tree.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as packed:
            packed.extractall(tree, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise DeployError(f"the archive cannot be unpacked: {error}", "Publish it again") from error


def _checked(tree: Path, version: str) -> Manifest:
    try:
        text = (tree / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise ReleaseError(f"{version} has no {MANIFEST}", "Pack it with scripts/deploy.py publish") from None
    manifest = Manifest.parse(text)
    if manifest.version != version:
        raise ReleaseError(f"the archive of {version} holds {manifest.version}", "Publish it again")
    manifest.check(tree)
    return manifest


def _mib(size: int) -> str:
    return f"{size / 1024**2:.1f}"
