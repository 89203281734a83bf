"""scripts/watch.py as a person runs it: data to stdout, sentences to stderr, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "watch.py"), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, input="", env={**os.environ, **variables},
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["webhook"], "needs one of --set and --test"),
        (["webhook", "--set"], "terrace:notify: {webhook: slack} in Pulumi.dev.yaml"),
        (["during"], "names no command"),
        (["during", "--", "no-such-program"], "no-such-program"),
    ],
)
def test_a_wrong_call_ends_with_a_sentence_that_names_the_remedy(arguments: list[str], said: str) -> None:
    done = run(
        *arguments, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x"
    )
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_command_that_is_run_during_a_deploy_ends_with_its_own_code_also_when_nobody_can_be_told() -> None:
    line = [sys.executable, "-c", "import sys; print('done'); sys.exit(3)"]
    done = run(
        "during", "--", *line,
        AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "done\n")
