"""From one box to two on machines, as `scale_up.py drill` rehearses it: rows under load, a kill, the way back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.box, pytest.mark.matrix]  # five to eleven minutes: `make matrix`


def drilled(*words: str) -> dict[str, Any]:
    """What the drill says."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "scale_up.py"), "drill", "--stack", "dev", "--boxes", *words,
         "--output", "json"],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_resize_is_away_for_as_long_as_was_forecast_and_tells_each_request_that_it_lost() -> None:
    found = drilled("--to", "single-16g")
    for way in (found, found["back"]):
        # Five requests a second, none sent twice: what is lost and how long it was away are one measurement.
        assert way["requests_lost"] > 0
        assert abs(way["forecast_away_seconds"] - way["away_seconds"]) <= 30
    assert found["forecast_held"]


MOVING = 5
"""Requests that may be under way in the moment in which the address moves: at 50 a second, of 0.1 s."""


def test_hardly_a_request_is_lost_on_the_way_from_one_box_to_two_and_no_row_there_or_back() -> None:
    found = drilled("--to", "split")
    there, rows = found["load"]["there"], found["rows"]
    assert there["sent"] > 2_000
    assert there["failed"] <= MOVING, there["errors"]
    assert found["away_seconds"] < there["seconds"]
    assert rows["missing"] == 0
    for way in ("there", "back"):
        assert rows["receipts"][f"held_{way}"] >= rows["receipts"][f"acknowledged_{way}"] > 0


def test_every_acknowledged_row_moves_after_a_kill_while_the_copy_follows_and_comes_back() -> None:
    found = drilled("--to", "split", "--kill", "copy")
    rows = found["rows"]
    assert rows["written_under_load"] > 0
    assert (rows["missing"], rows["after_the_way_back"]) == (0, rows["in_the_new_database"] + 1)
    assert (found["killed_behind"], found["resumed"], found["way_back"]) == ("copy", 1, "taken back")
    assert [each["step"] for each in found["steps"] if each["event"] == "after"] == [
        "backup", "expand", "verify", "rehearse", "copy", "switch", "shift", "thresholds", "load-test",
    ]  # fmt: skip
