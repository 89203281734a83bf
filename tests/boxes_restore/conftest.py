"""One cloud for the room, and one box whose database is backed up; tests add to it and never take away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_restore.support import ARCHIVE_SECONDS, Machine, World, open_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = open_world(tmp_path_factory.mktemp("cloud"))
    try:
        yield made
    finally:
        made.cloud.host.close()
        made.api.stop()


@pytest.fixture(scope="module")
def source(world: World) -> Machine:
    """A box with 200 receipts, a full backup of them, and an archive that closes segments every 5 s."""
    box = world.box()
    box.make_source(timeout_seconds=ARCHIVE_SECONDS)
    return box


@pytest.fixture(scope="module")
def scratch(world: World) -> Machine:
    """Another box: it has the programs and an empty /data, as a new one after a loss."""
    return world.box()
