"""The only place for what the GPU's use cases need of the world."""

from __future__ import annotations

from typing import Protocol


class Digests(Protocol):
    """Where digests and revisions are published."""

    def image_digest(self, reference: str) -> str:
        """The digest of `repository:tag`, as its registry says."""

    def model_revision(self, model: str) -> str:
        """The commit that the model's main branch stands at."""
