"""`make matrix` in parts: every case is in one part, and what passed on this commit is not run again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.shards import Passed, part, passed


@pytest.mark.parametrize(("count", "of"), [(738, 12), (5, 7), (1, 1), (0, 3)])
def test_every_case_is_in_one_part(count: int, of: int) -> None:
    cases = list(range(count))
    parts = [part(cases, f"{number}/{of}") for number in range(1, of + 1)]
    assert [each for one in parts for each in one] == cases
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("said", ["0/12", "13/12", "3", "a/b", "3/0"])
def test_what_is_no_part_is_refused(said: str) -> None:
    with pytest.raises(pytest.UsageError, match="write 3/12"):
        part([1], said)


def git(directory: Path, *words: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True)


def test_what_passed_is_remembered_for_its_commit_and_never_over_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("/.local/\n", encoding="utf-8")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "one")
    passed(tmp_path).note("a case")
    passed(tmp_path).note("another")
    assert passed(tmp_path).names() == {"a case", "another"}
    (tmp_path / "changed").touch()
    assert passed(tmp_path).names() == frozenset()
    passed(tmp_path).note("over changes")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "two")
    assert passed(tmp_path).names() == frozenset()
    assert Passed(None).names() == frozenset()
