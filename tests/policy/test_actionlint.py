"""actionlint of `make audit` finds nothing in the workflows, and does find what is wrong in a wrong one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.drill  # it is compiled where Go has no cache of it: half a minute of one core

ROOT = Path(__file__).parents[2]
RIGHT = """
name: example
on: {push: {branches: [main]}}
permissions: {contents: read}
jobs:
  one:
    runs-on: ubuntu-24.04
    outputs: {word: "${{ steps.say.outputs.word }}"}
    steps:
      - id: say
        run: echo word=1 >> "$GITHUB_OUTPUT"
  two:
    needs: one
    runs-on: ubuntu-24.04
    steps:
      - run: echo "$WORD"
        env: {WORD: "${{ needs.one.outputs.word }}"}
"""
WRONG = {
    "a job that is not there": ("needs: one", "needs: three", 'needs job "three"'),
    "a step that is not there": ("steps.say.outputs", "steps.ask.outputs", 'property "ask" is not defined'),
    "an output that no job gives": (
        "needs.one.outputs.word",
        "needs.one.outputs.letter",
        '"letter" is not defined',
    ),
    "a machine that GitHub does not have": (
        "runs-on: ubuntu-24.04",
        "runs-on: ubuntu-42.04",
        '"ubuntu-42.04" is unknown',
    ),
    "a key that means nothing": ("permissions:", "permission:", 'unexpected key "permission"'),
    "an expression that does not end": ('outputs.word }}"}', 'outputs.word"}', "unexpected EOF"),
}


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """The program as `make audit` builds it."""
    if shutil.which("go") is None:
        pytest.skip("actionlint is built with Go, and no `go` is on PATH")
    subprocess.run(["make", "-s", ".local/bin/actionlint"], cwd=ROOT, check=True, timeout=600)
    return ROOT / ".local" / "bin" / "actionlint"


def said(actionlint: Path, *files: Path) -> tuple[int, str]:
    given = [str(actionlint), "-no-color", "-shellcheck", "", "-pyflakes", "", *map(str, files)]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


def test_every_workflow_is_one_that_github_takes(actionlint: Path) -> None:
    assert said(actionlint) == (0, "")


def test_a_right_workflow_passes_and_each_wrong_one_is_named(actionlint: Path, tmp_path: Path) -> None:
    path = tmp_path / "workflow.yml"
    path.write_text(RIGHT, encoding="utf-8")
    assert said(actionlint, path) == (0, "")
    for what, (right, wrong, words) in WRONG.items():
        assert right in RIGHT
        path.write_text(RIGHT.replace(right, wrong), encoding="utf-8")
        code, found = said(actionlint, path)
        assert code == 1, what
        assert words in found, (what, found)
