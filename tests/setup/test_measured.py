"""What a test has measured is read at the end of a run, without `-s`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.figures import note
from tests.conftest import pytest_terminal_summary


class Terminal:
    """As much of pytest's reporter as is asked of it."""

    def __init__(self, *outputs: str) -> None:
        self.stats: dict[str, Any] = {"passed": [SimpleNamespace(capstdout=each) for each in outputs]}
        self.lines: list[str] = []
        self.section = self.write_line = self.lines.append


def test_what_a_test_has_noted_stands_at_the_end_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    note("big-bang: 3 s")
    terminal = Terminal("", f"chatter\n{capsys.readouterr().out}more of it\n")
    pytest_terminal_summary(cast("Any", terminal))
    assert terminal.lines == ["measured", "big-bang: 3 s"]


def test_a_run_that_measured_nothing_says_nothing_of_it() -> None:
    terminal = Terminal("", "chatter\n")
    pytest_terminal_summary(cast("Any", terminal))
    assert terminal.lines == []
