"""A double for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedded.runpod.server import RunPodServer

from .support import KEY


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPodServer]:
    """A double over HTTP, to which programs of this process turn; a minute passes in half a second."""
    with RunPodServer(speed=120) as server:
        monkeypatch.setenv("RUNPOD_API_URL", server.url)
        monkeypatch.setenv("RUNPOD_API_KEY", KEY)
        yield server
