"""The double beside the embedded cloud: it remembers, its clock can run ahead, and a broken memory stops nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from embedded.runpod.kept import KeptRunPod
from infra.clients.calling import Caller
from infra.clients.over_urllib import UrllibTransport
from infra.clients.runpod import RunPod
from infra.clients.transport import Key
from infra.core.gpu import bodies
from infra.core.gpu.modes import Wanted

from .support import KEY, definition, envelope


def client(kept: KeptRunPod) -> RunPod:
    return RunPod(Caller(UrllibTransport(), Key(KEY)), url=kept.url)


def test_an_endpoint_and_its_address_outlive_the_cloud_and_time_goes_on(tmp_path: Path) -> None:
    first = KeptRunPod(tmp_path / "runpod")
    first.start()
    spec = bodies.spec(definition(), name="terrace-dev-receipts")
    made = client(first).create(
        bodies.create_body(spec, envelope(Wanted.ACTIVE).first(), secrets={}, registry=None)
    )
    first.advance(timedelta(minutes=10))
    (worker,) = client(first).workers(made.id)
    assert worker.status.value == "IDLE"
    url = first.url
    first.stop()

    second = KeptRunPod(tmp_path / "runpod", port=int(url.rpartition(":")[2]))
    second.start()
    try:
        assert second.url == url
        (found,) = client(second).named("terrace-dev-receipts")
        assert found.id == made.id
        assert [each.id for each in client(second).workers(made.id)] == [worker.id]
        (endpoint,) = second.server.double.endpoints
        billed = second.server.double.world.billed_seconds(endpoint, 0, 4e9)
        second.advance(timedelta(hours=1))
        later = second.server.double.world.billed_seconds(endpoint, 0, 4e9)
        assert later - billed == pytest.approx(3600, abs=60)
    finally:
        second.stop()


def test_a_memory_that_cannot_be_read_is_said_and_the_double_begins_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runpod").write_bytes(b"half a file")
    kept = KeptRunPod(tmp_path / "runpod")
    kept.start()
    try:
        assert client(kept).endpoints() == []
        assert "cannot be understood" in caplog.text
    finally:
        kept.stop()


def test_a_port_that_is_taken_is_an_error_that_lets_the_cloud_choose_another(tmp_path: Path) -> None:
    one = KeptRunPod(tmp_path / "one")
    one.start()
    try:
        with pytest.raises(RuntimeError, match="is taken"):
            KeptRunPod(tmp_path / "other", port=int(one.url.rpartition(":")[2])).start()
    finally:
        one.stop()
