"""scripts/watch.py as a person runs it: data to stdout, sentences to stderr, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "watch.py"), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_price_of_every_stage_is_printed_as_json() -> None:
    done = run("cost", "--output", "json")
    assert done.returncode == 0, done.stderr
    prices = {each["stage"]: float(each["usd_a_month"]) for each in json.loads(done.stdout)}
    assert prices["single-8g"] <= 5
    assert len(prices) == 6


def test_an_unknown_alarm_ends_with_a_sentence_and_no_traceback() -> None:
    done = run("explain", "memry")
    assert done.returncode == 1
    assert "scripts/watch.py status lists them" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
