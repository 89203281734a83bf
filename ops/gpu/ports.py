"""The only place for what the GPU's use cases need of the world."""

from __future__ import annotations

from typing import Protocol

from infra.core.errors import TerraceError


class NotPublishedError(TerraceError):
    """The publisher shows no such thing: it is not there yet, or not to be seen without a key."""


class Digests(Protocol):
    """Where digests and revisions are published."""

    def image_digest(self, reference: str) -> str:
        """The digest of `repository:tag`, as its registry says.

        Raises:
            NotPublishedError: the registry shows no such image.
            TerraceError: it cannot be asked, or answers something else.
        """

    def model_revision(self, model: str) -> str:
        """The commit that the model's main branch stands at.

        Raises:
            TerraceError: the hub cannot be asked, or knows no such model.
        """
