"""One box for the module that asks for it, and when these tests may be skipped (as tests/boxes)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.served import Served, served
from tests.boxes.conftest import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]


@pytest.fixture(scope="module")
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A box of the stage and with the settings that the module names, on which v1 serves."""
    stage = getattr(request.module, "STAGE", "single-8g")
    settings = getattr(request.module, "SETTINGS", {})
    with served(tmp_path_factory.mktemp("deploys"), stage, **settings) as made:
        yield made
