"""One cloud for the room: a box with a database, two boxes beside, an RDS instance: as a climb has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.moved import Cloud, stand
from embedded.aws.server import ApiServer
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ExitStack() as stack:
        api = ApiServer()
        api.start()
        stack.callback(api.stop)
        machines, made = stand(tmp_path_factory.mktemp("data"), api)
        stack.callback(machines.close)
        yield made
