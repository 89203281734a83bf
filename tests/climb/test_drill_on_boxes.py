"""From one box to two on machines, as `scale_up.py drill` rehearses it: rows under load, a kill, the way back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.box, pytest.mark.matrix]  # five to eleven minutes: `make matrix`


def test_every_acknowledged_row_moves_after_a_kill_behind_the_fence_and_comes_back() -> None:
    words = ("drill", "--stack", "dev", "--to", "split", "--boxes", "--kill", "copy", "--output", "json")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "scale_up.py"), *words],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = found["rows"]
    assert rows["written_under_load"] > 0
    assert (rows["missing"], rows["after_the_way_back"]) == (0, rows["in_the_new_database"] + 1)
    assert (found["killed_behind"], found["resumed"], found["way_back"]) == ("copy", 1, "taken back")
    assert [each["step"] for each in found["steps"] if each["event"] == "after"] == [
        "backup", "expand", "verify", "rehearse", "copy", "switch", "shift", "thresholds", "load-test",
    ]  # fmt: skip
