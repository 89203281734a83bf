"""What a box takes over by itself: whole changes, a password that opens the database, and no deploy's services."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.naming import DATABASE_PASSWORD, UNSET
from infra.host.box import following, settings
from infra.host.box.deploy import lock

OLD, HALF, NEW = {"KEY": "1"}, {"KEY": "2"}, {"KEY": "2", "URL": "b"}


class Box:
    """A box whose parameters say one thing after another."""

    def __init__(self, role: str = "frontend", password: str = "secret") -> None:  # noqa: S107 a word of a test
        self.facts = {"role": role, "parameters": "/terrace/dev", "region": "ap-northeast-2"}
        self.says: list[Mapping[str, str]] = [OLD]
        self.password, self.done, self.pauses = password, list[str](), list[float]()
        self.server = password

    def gather(self, _: object) -> Mapping[str, str]:
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    def provide(self, _: object) -> None:
        """What the server does of it: it has the password that SSM has, and SSM has one."""
        self.password = "made" if self.password == UNSET else self.password
        self.server = self.password
        self.done.append("provided")

    def follow(self) -> bool:
        return following.follow(self.facts, nullcontext, pause=self.pauses.append)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box()
    monkeypatch.setattr(settings, "RUN", tmp_path)
    monkeypatch.setattr(settings, "APP_ENV", tmp_path / "app.env")
    monkeypatch.setattr(settings, "write", lambda path, text, **_: path.write_text(text) > 0)
    monkeypatch.setattr(settings, "gather", made.gather)
    monkeypatch.setattr(settings, "DUE", tmp_path / "restart-due")
    monkeypatch.setattr(settings, "run", lambda _: made.done.append("restarted"))
    monkeypatch.setattr(following, "DEPLOYING", tmp_path / "deploy.lock")
    monkeypatch.setattr(
        following,
        "parameter",
        lambda _, name: made.password if name == DATABASE_PASSWORD else "db.example.com:5432",
    )
    monkeypatch.setattr(following.postgresql, "provide", made.provide)
    monkeypatch.setattr(following.postgresql, "knows", lambda _: made.server == made.password)
    settings.put(OLD)
    settings.restart()
    made.done.clear()
    return made


def test_what_did_not_change_restarts_nothing_and_waits_for_nothing(box: Box) -> None:
    assert not box.follow()
    assert (box.done, box.pauses) == ([], [])


def test_a_change_is_taken_over_when_two_answers_agree(box: Box) -> None:
    box.says = [HALF, NEW, NEW]
    assert box.follow()
    assert (box.done, len(box.pauses)) == (["restarted"], 2)
    assert settings.stands(NEW)
    assert not box.follow()


def test_parameters_that_go_on_changing_are_left_for_the_next_time(box: Box) -> None:
    box.says = [{"KEY": str(number)} for number in range(100, 200)]
    with pytest.raises(TerraceError, match="changed at each of 15 looks"):
        box.follow()
    assert settings.stands(OLD)


@pytest.mark.parametrize(("role", "password"), [("frontend", "secret"), ("single", "new"), ("single", UNSET)])
def test_a_deploy_under_way_keeps_its_services_and_its_server(box: Box, role: str, password: str) -> None:
    box.facts["role"], box.password = role, password
    box.says = [NEW]
    with lock.held(following.DEPLOYING, by="kim", reason="release v2", wait_seconds=0):
        with pytest.raises(TerraceError, match="release v2 by kim"):
            box.follow()
        assert (settings.stands(OLD), box.done, box.password) == (True, [], password)
    assert box.follow()


@pytest.mark.parametrize("password", ["new", UNSET])
def test_the_boxs_own_server_is_given_a_password_before_the_services_are(box: Box, password: str) -> None:
    box.facts["role"], box.password = "single", password
    box.says = [NEW]
    assert box.follow()
    assert box.done == ["provided", "restarted"]


def test_a_server_that_a_reboot_left_behind_is_given_the_password_that_the_services_have(box: Box) -> None:
    box.facts["role"], box.password = "single", "new"
    assert not box.follow()
    assert (box.done, box.server) == (["provided"], "new")


def test_a_kill_between_the_file_and_the_restart_is_made_good(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    box.says = [NEW]
    with monkeypatch.context() as patch:
        patch.setattr(settings, "restart", killed)
        with pytest.raises(KeyboardInterrupt):
            box.follow()
    assert box.done == []
    assert box.follow()
    assert box.done == ["restarted"]
    assert not box.follow()


def test_a_password_that_does_not_open_rds_is_not_taken_over(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    def psql(*argv: str, **more: Any) -> str:
        told.append({"argv": argv, **more})
        raise TerraceError

    monkeypatch.setattr(following, "program", psql)
    box.facts["role"] = "backend"
    box.says = [{"SPRING_DATASOURCE_USERNAME": "app", "SPRING_DATASOURCE_PASSWORD": "new one"}]
    with pytest.raises(TerraceError, match="does not let the application in"):
        box.follow()
    assert (settings.stands(OLD), box.done) == (True, [])
    assert "new one" not in " ".join(told[0]["argv"])
    assert told[0]["environment"]["PGPASSWORD"] == "new one"
    assert "db.example.com" in told[0]["argv"]


def test_a_backend_beside_rds_makes_up_no_password_of_its_own(box: Box) -> None:
    box.facts["role"], box.password = "backend", UNSET
    box.says = [NEW]
    with pytest.raises(TerraceError, match=r"scripts/data\.py password"):
        box.follow()
    assert settings.stands(OLD)


def test_what_ssm_does_not_answer_is_said_without_a_traceback(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: object) -> None:
        raise OSError

    monkeypatch.setattr(settings, "gather", unreachable)
    with pytest.raises(TerraceError, match="cannot be read: OSError"):
        box.follow()
