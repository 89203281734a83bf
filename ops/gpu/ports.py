"""The only place for what the GPU's use cases need of the world."""

from __future__ import annotations

from typing import Protocol


class Parameters(Protocol):
    """SSM parameters of a stack."""

    def put_secret(self, name: str, value: str) -> None:
        """Writes a secret into a parameter that exists, under the key that it has."""

    def parameter_version(self, name: str) -> int | None:
        """How often it was written (1: only made), or None where there is none."""


class Digests(Protocol):
    """Where digests and revisions are published."""

    def image_digest(self, reference: str) -> str:
        """The digest of `repository:tag`, as its registry says."""

    def model_revision(self, model: str) -> str:
        """The commit that the model's main branch stands at."""
