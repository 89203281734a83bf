"""`make demo`, as a person runs it: to the end, twice, two at once, interrupted; and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import ROOT, Clone, end

pytestmark = [pytest.mark.engine, pytest.mark.drill]


@pytest.fixture
def fresh(clone: Clone, tmp_path: Path) -> Iterator[Clone]:
    """A clone that git knows, so that `git status` tells what was written into it."""
    root = tmp_path / "git-clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    for name in subprocess.run(
        ["git", "ls-files", "-mo", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / ".venv").symlink_to(ROOT / ".venv")
    (root / ".local").mkdir()
    shutil.copy(ROOT / ".local" / "engine.json", root / ".local" / "engine.json")
    made = replace(clone, root=root)
    yield made
    end(made)


def status_of(root: Path) -> str:
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


def processes_of(root: Path) -> list[str]:
    found = subprocess.run(["pgrep", "-af", str(root)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if "pgrep" not in line]


@pytest.mark.box
def test_the_demo_deploys_twice_under_load_without_a_failed_request_and_leaves_git_clean(
    fresh: Clone,
) -> None:
    before = status_of(fresh.root)
    done = fresh.script("demo")
    assert "boxes on" in done.stderr
    assert "Nginx answers over HTTPS" in done.stderr
    assert "v2 serves, without a pause" in done.stderr
    assert " 0 failed" in done.stderr
    assert "73.51" in done.stdout
    again = fresh.script("demo")
    assert "nothing to change" in again.stderr
    assert "v1 serves, without a pause" in again.stderr
    assert " 0 failed" in again.stderr
    assert status_of(fresh.root) == before
    fresh.script("local", "stop")
    assert processes_of(fresh.root) == []


def test_without_boxes_the_demo_says_so_in_one_line_and_goes_on(fresh: Clone) -> None:
    done = fresh.script("demo", "--no-boxes")
    assert "no boxes: switched off" in done.stderr
    assert "82 resources changed" in done.stderr or "resources changed" in done.stderr


def test_of_two_demos_at_once_one_goes_on_and_the_other_says_why_not(fresh: Clone) -> None:
    first = fresh.start_script("demo", "--no-boxes")
    while not (fresh.root / ".local" / "demo.lock").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    second = fresh.script("demo", "--no-boxes", check=False)
    assert second.returncode == 1
    assert "another one is under way in this folder" in second.stderr
    _, said = first.communicate(timeout=180)
    assert first.returncode == 0, said


@pytest.mark.parametrize("seconds", [0.5, 6, 9])
def test_ctrl_c_leaves_nothing_locked_and_the_next_demo_goes_on(fresh: Clone, seconds: float) -> None:
    demo = fresh.start_script("demo", "--no-boxes")
    time.sleep(seconds)
    os.killpg(demo.pid, signal.SIGINT)
    _, said = demo.communicate(timeout=120)
    assert demo.returncode in (0, 5), said
    assert "Traceback" not in said
    locks = fresh.cloud.backend / ".pulumi" / "locks"
    assert list(locks.rglob("*.json")) == []
    again = fresh.script("demo", "--no-boxes")
    assert "resources changed" in again.stderr or "nothing to change" in again.stderr


def test_after_a_cloud_that_was_killed_in_the_middle_of_an_update_the_next_demo_goes_on(fresh: Clone) -> None:
    demo = fresh.start_script("demo", "--no-boxes")
    while (running := fresh.cloud.running()) is None:
        time.sleep(0.05)
    while fresh.cloud.ask("GET", "status")["requests"] < 60:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    _, said = demo.communicate(timeout=180)
    assert demo.returncode == 1
    assert "Traceback" not in said
    again = fresh.script("demo", "--no-boxes")
    assert "the cloud was killed before" in again.stderr
    assert "nothing to change" in fresh.script("demo", "--no-boxes").stderr
