"""Requests that come while the writer changes: they wait, none is refused, and then somebody who can answers them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from infra.core.errors import TerraceError
from infra.core.naming import HOST_BACKENDS
from infra.core.release import Part
from infra.host.box.data import requests as held
from infra.host.box.data.record import BOX, RDS
from infra.host.box.data.requests import BoxRequests, Holder
from infra.host.box.deploy import lock
from infra.host.box.deploy.errors import DeployError, RefusedError
from infra.host.box.deploy.journal import FileJournal
from infra.host.box.deploy.model import Serving, State
from infra.host.box.deploy.place import Place
from infra.host.box.deploy.proxy import Nginx
from infra.host.box.upstream import PORT

OTHER = "10.20.0.9"


@contextmanager
def answering(text: bytes) -> Generator[tuple[str, int]]:
    """A server that answers each connection with what it was sent, after `text`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    met, _ = listening.accept()
                except OSError:
                    return
                with met:
                    met.sendall(text + met.recv(1024))

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[:2]
        listening.shutdown(socket.SHUT_RDWR)


def sent(port: int, text: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    made.sendall(text)
    return made


def whole(asked: socket.socket) -> bytes:
    with asked, asked.makefile("rb") as answer:
        return answer.read()


def test_what_waits_is_answered_by_who_it_is_passed_to_and_so_is_what_comes_later() -> None:
    holder = Holder(0)
    with answering(b"new ") as new:
        waiting = [sent(holder.port, b"%d" % number) for number in range(50)]
        holder.to(new)
        assert [whole(each) for each in waiting] == [b"new %d" % number for number in range(50)]
        assert whole(sent(holder.port, b"late")) == b"new late"
        holder.close()
    with pytest.raises(OSError, match="refused"):
        sent(holder.port, b"after the end")


def test_what_waits_too_long_is_told_so_by_a_closed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_SECONDS", 0.0)
    holder = Holder(0)
    assert whole(sent(holder.port, b"x")) == b""
    holder.close()


class Proxy:
    """Nginx, as far as requests see it: where the backend's go."""

    def __init__(self) -> None:
        self.to, self.refuses, self.is_stuck = "127.0.0.1:8081", False, False

    def lead(self, _: Part, server: str) -> None:
        if self.refuses:
            raise DeployError("Nginx refuses the switch", "Look at its log")
        self.to = server
        if self.is_stuck:
            raise DeployError("Nginx did not take its new configuration", "Look at its log")

    def targets(self, _: Part) -> tuple[int, ...]:
        host, port = self.to.split(":")
        return (int(port),) if host == "127.0.0.1" else ()

    def switch(self, targets: dict[Part, tuple[int, ...]]) -> None:
        self.to = f"127.0.0.1:{targets[Part.BACKEND][0]}"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The stack's parameters; the other backend is healthy."""
    values = {HOST_BACKENDS: json.dumps([OTHER])}

    def parameter(_: Any, name: str) -> str:
        return values[name]

    monkeypatch.setattr(held, "parameter", parameter)
    monkeypatch.setattr(held, "_is_up", lambda _: True)
    return values


def of(directory: Path, *, role: str = "single", serves: bool = True) -> tuple[BoxRequests, Proxy]:
    place = Place(role, "ap-northeast-2", "artifacts", directory / "releases", directory / "state")
    (directory / "state").mkdir()
    if serves:
        FileJournal(place.state).save(State({Part.BACKEND: Serving("v1", 8081)}, ("v1",)))
    nginx = Proxy()
    return BoxRequests({}, place, cast("Nginx", nginx), deploys=directory / "deploy.lock"), nginx


def deploy(made: BoxRequests) -> None:
    """Begins one, and ends it at once."""
    with lock.held(made.deploys, by="a person", reason="release v2", wait_seconds=0):
        pass


def test_while_a_deploy_is_under_way_nothing_waits(
    tmp_path: Path, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "DEPLOY_SECONDS", 0.0)
    made, nginx = of(tmp_path)
    with (
        lock.held(made.deploys, by="a person", reason="release v2", wait_seconds=0),
        pytest.raises(TerraceError, match="release v2 by a person"),
    ):
        made.hold()
    assert nginx.to == "127.0.0.1:8081"
    made.hold()
    assert made.lead(BOX) == "127.0.0.1:8081"


def test_a_deploy_that_is_under_way_is_not_led_past_for_its_end_would_undo_it(
    tmp_path: Path, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "DEPLOY_SECONDS", 0.0)
    made, nginx = of(tmp_path)
    with lock.held(made.deploys, by="a person", reason="release v2", wait_seconds=0):
        with pytest.raises(TerraceError, match="release v2 by a person"):
            made.lead(RDS)
        assert made.lead(BOX) == nginx.to == "127.0.0.1:8081"
    assert made.lead(RDS) == nginx.to == f"{OTHER}:{PORT}"
    deploy(made)


def test_requests_wait_at_a_port_of_the_box_and_go_to_the_new_backend_then(
    tmp_path: Path, stack: dict[str, str]
) -> None:
    made, nginx = of(tmp_path)
    made.hold()
    assert nginx.to == f"127.0.0.1:{held.HOLD_PORT}"
    with pytest.raises(RefusedError, match="the switch of the writer by terrace-data"):
        deploy(made)
    assert made.lead(RDS) == f"{OTHER}:{PORT}" == nginx.to
    deploy(made)
    assert made.lead(RDS) == nginx.to, "asked again, the same"
    assert made.lead(BOX) == nginx.to == "127.0.0.1:8081"


@pytest.mark.parametrize(
    ("role", "serves", "backends"),
    [("backend", True, [OTHER]), ("single", False, [OTHER]), ("single", True, [])],
)
def test_where_nobody_is_served_or_nobody_else_can_serve_nothing_is_held(
    tmp_path: Path, stack: dict[str, str], role: str, serves: bool, backends: list[str]
) -> None:
    stack[HOST_BACKENDS] = json.dumps(backends)
    made, nginx = of(tmp_path, role=role, serves=serves)
    made.hold()
    assert made.lead(RDS) == ""
    assert nginx.to == "127.0.0.1:8081"


def test_what_nginx_refuses_is_a_fault_before_anything_waits(tmp_path: Path, stack: dict[str, str]) -> None:
    made, nginx = of(tmp_path)
    nginx.refuses = True
    with pytest.raises(TerraceError, match="refuses the switch"):
        made.hold()
    assert nginx.to == "127.0.0.1:8081"
    deploy(made)
    nginx.refuses = False
    assert made.lead(RDS) == f"{OTHER}:{PORT}"


def test_where_the_reload_fails_behind_the_written_file_nginx_asks_the_own_backend_again(
    tmp_path: Path, stack: dict[str, str]
) -> None:
    made, nginx = of(tmp_path)
    nginx.is_stuck = True
    with pytest.raises(TerraceError, match="did not take"):
        made.hold()
    assert nginx.to == "127.0.0.1:8081"
    with pytest.raises(OSError, match="refused"):
        sent(held.HOLD_PORT, b"nobody waits any more")
