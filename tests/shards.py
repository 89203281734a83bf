"""The only place for how `make matrix` is taken in parts, SHARD=3/12; what passed on this commit is not run again.

A part is a stretch of the cases in their order, so that cases of one climb share what is made once for it. What
passed is written to .local/matrix/, a line each, under the commit; over changes that are not committed nothing is.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[1]
T = TypeVar("T")


def part(cases: Sequence[T], said: str) -> Sequence[T]:
    """The cases of that part, `3/12` the third of twelve; all of them where nothing is said.

    Raises:
        pytest.UsageError: it is no part.
    """
    if not said:
        return cases
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", said)
    number, of = (int(each) for each in found.groups()) if found else (1, 0)
    if number > of:
        raise pytest.UsageError(f"SHARD is {said!r}: write 3/12 for the third part of twelve")
    return cases[len(cases) * (number - 1) // of : len(cases) * number // of]


class Passed:
    """The cases that passed on a commit, in a file that is only ever appended to."""

    def __init__(self, file: Path | None) -> None:
        """`file`: None remembers nothing."""
        self._file = file

    def names(self) -> frozenset[str]:
        """Of all that passed; a last line that is half written names no case."""
        known = self._file is not None and self._file.exists()
        return frozenset(self._file.read_text(encoding="utf-8").splitlines() if known and self._file else ())

    def note(self, name: str) -> None:
        """Writes one down."""
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")


def passed(root: Path = ROOT) -> Passed:
    """What passed on the commit that is checked out at `root`."""
    commit, changed = (
        subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
    )
    return Passed(root / ".local" / "matrix" / commit if commit and not changed else None)


class Shards:
    """Takes out of a run what is of another part, or passed already."""

    def __init__(self, said: str, known: Passed) -> None:
        self._said, self._known = said, known
        self._cases: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """After -m and -k have chosen."""
        mine, done = part(items, self._said), self._known.names()
        left = [each for each in mine if each.nodeid not in done]
        config.hook.pytest_deselected(items=[each for each in items if each not in set(left)])
        items[:] = left

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """With test processes of its own it is the first process that hears, of all of them."""
        if report.when == "call" and report.passed and not os.environ.get("PYTEST_XDIST_WORKER"):
            self._known.note(report.nodeid)
