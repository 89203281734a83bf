"""pgBackRest's lock: what the box does while the archiver holds it."""

from __future__ import annotations

import pytest

from infra.core.errors import Fault
from infra.host.box.backup import repository
from infra.host.box.backup.box import EndedError
from infra.host.box.backup.repository import LOCKED, PgBackRest


class Program:
    """pgBackRest that ends with these codes in turn, then well."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.called: list[str] = []

    def __call__(self, *argv: str, **_: object) -> str:
        self.called.append(argv[-1])
        if self.codes:
            raise EndedError(self.codes.pop(0), Fault("pgbackrest", "failed", "See above"))
        return ""


@pytest.fixture(autouse=True)
def _nobody_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository.time, "sleep", lambda _: None)


def test_a_stanza_waits_for_the_archiver_that_holds_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(LOCKED, LOCKED)
    monkeypatch.setattr(repository, "program", program)
    PgBackRest().prepare()
    assert program.called == ["stanza-create"] * 3 + ["check"]


def test_another_failure_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(LOCKED, 82)
    monkeypatch.setattr(repository, "program", program)
    with pytest.raises(EndedError) as refused:
        PgBackRest().prepare()
    assert refused.value.code == 82
    assert program.called == ["stanza-create"] * 2


def test_a_lock_that_is_never_given_back_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "LOCK_PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(repository, "program", Program(LOCKED))
    with pytest.raises(EndedError, match="pgbackrest"):
        PgBackRest().prepare()
