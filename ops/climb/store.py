"""The only place for what a climb asks of the versioned bucket that every clone shares.

BucketUnreachableError      it does not answer, or not to these credentials
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.core.errors import TerraceError


class BucketUnreachableError(TerraceError):
    """The bucket does not answer."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object; `age_seconds` is since it was last written, by the bucket's own clock."""

    content: bytes
    etag: str
    age_seconds: float


class Objects(Protocol):
    """Small objects with conditional writes. Every method may raise BucketUnreachableError."""

    @property
    def name(self) -> str:
        """For people: `s3://bucket`."""
        ...

    def get(self, key: str) -> Stored | None:
        """The object, or None where there is none."""
        ...

    def create(self, key: str, content: bytes) -> str | None:
        """Writes an object that is not there yet; its ETag, or None where it is."""
        ...

    def replace(self, key: str, content: bytes, etag: str) -> str | None:
        """Writes over exactly that one; the new ETag, or None where it is another by now."""
        ...

    def delete(self, key: str) -> None:
        """Takes it away; the bucket keeps its versions."""
        ...

    def keys(self, prefix: str) -> Sequence[str]:
        """Every key that begins so, in order."""
        ...
