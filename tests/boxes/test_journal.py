"""The list of what has to be unmade survives kills, in whatever state they leave the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.boxes import BusyError
from embedded.boxes import journal as module
from embedded.boxes.journal import Journal, Kind, abandoned, entries, token_of


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "SHARED", tmp_path / "run")
    return tmp_path / "run"


def test_what_was_made_is_read_back_newest_first_and_what_was_unmade_is_not() -> None:
    journal = Journal("abc123")
    journal.made(Kind.UPLINK, token="abc123")
    journal.unmade(journal.made(Kind.CGROUP, path="/sys/fs/cgroup/a"))
    journal.made(Kind.CGROUP, path="/sys/fs/cgroup/b")
    journal.close()
    again = Journal("abc123")
    assert [(entry.kind, entry.facts) for entry in again.left()] == [
        (Kind.CGROUP, {"path": "/sys/fs/cgroup/b"}),
        (Kind.UPLINK, {"token": "abc123"}),
    ]
    numbers = {entry.number for entry in again.left()}
    assert again.made(Kind.CGROUP, path="/c") not in numbers
    again.close()


def test_the_file_goes_when_nothing_is_left(shared: Path) -> None:
    journal = Journal("abc123")
    journal.unmade(journal.made(Kind.UPLINK, token="abc123"))
    journal.unmade(7)
    journal.close()
    journal.close()
    assert list(shared.iterdir()) == []


def test_a_line_that_a_kill_cut_off_is_ignored_and_the_next_one_stands_for_itself(shared: Path) -> None:
    journal = Journal("abc123")
    journal.made(Kind.UPLINK, token="abc123")
    journal.close()
    with journal.path.open("a") as file:
        file.write('{"made": 1, "kind": "cgr')
    journal = Journal("abc123")
    journal.made(Kind.CGROUP, path="/a")
    journal.close()
    assert [entry.kind for entry in entries(journal.path)] == [Kind.UPLINK, Kind.CGROUP]


def test_a_restart_of_the_machine_unmade_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal("abc123")
    journal.made(Kind.UPLINK, token="abc123")
    journal.close()
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr(module, "BOOT_ID", tmp_path / "boot_id")
    assert entries(journal.path) == []


def test_a_journal_has_one_keeper_and_those_without_are_found() -> None:
    kept, left = Journal("aaaaaa"), Journal("bbbbbb")
    left.made(Kind.UPLINK, token="bbbbbb")
    left.close()
    with pytest.raises(BusyError, match="kept by a process that lives"):
        Journal("aaaaaa")
    assert [journal.token for journal in abandoned()] == ["bbbbbb"]
    kept.close()


def test_a_directory_always_has_the_same_token_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert token_of(tmp_path) == token_of(tmp_path / "link") == token_of(tmp_path / "x" / "..")
    assert token_of(tmp_path) != token_of(tmp_path / "x")
