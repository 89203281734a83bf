"""A double for a test, alone or with a controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.runpod.server import RunPodServer

from .desk import Desk, desk
from .support import KEY


@pytest.fixture
def auto(tmp_path: Path) -> Desk:
    """A controller that chooses its modes itself."""
    return desk(tmp_path)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPodServer]:
    """A double over HTTP, to which programs of this process turn; a minute passes in half a second."""
    with RunPodServer(speed=120) as server:
        monkeypatch.setenv("RUNPOD_API_URL", server.url)
        monkeypatch.setenv("RUNPOD_API_KEY", KEY)
        yield server
