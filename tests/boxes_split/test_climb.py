"""From two boxes to private ones on machines, under a load by the name, as `scale_up.py drill` rehearses it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.figures import note
from bench.served import ROOT
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine, pytest.mark.matrix]


def test_no_request_fails_on_the_way_from_two_boxes_to_private_ones_and_back() -> None:
    words = ("drill", "--stack", "dev", "--from", "split", "--to", "private", "--boxes", "--output", "json")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "scale_up.py"), *words],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    there, back = found["load"]["there"], found["load"]["back"]
    for way, load in (("B to C", there), ("back", back)):
        note(f"{way}: {load}")
        assert (load["failed"], load["errors"]) == (0, {})
        assert load["sent"] > 2_000
        assert len(load["by_address"]) == 2, "the load never turned"
    assert there["ended_at"] != back["ended_at"]
    assert [each["step"] for each in found["steps"] if each["event"] == "after"] == [
        "backup", "expand", "verify", "shift", "thresholds", "load-test",
    ]  # fmt: skip
    assert found["way_back"] == "taken back"
