"""Set-up stopped at a bad moment, or started twice: nothing half made is left that the next one trips over."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

DEADLINE_SECONDS = 30.0


def wait_until(there: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not there():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for {what}"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 5), (signal.SIGTERM, 5), (signal.SIGHUP, 5), (signal.SIGKILL, -9)],
    ids=["ctrl-c", "term", "hang-up", "kill"],
)
def test_a_build_that_is_stopped_leaves_no_compiler_and_the_next_set_up_builds_whole(clone, number, code):
    clone.more["TERRACE_ENGINE"] = "build"
    clone.put_go(sleep_seconds=60)
    process = clone.start()
    builder, compiler = clone.path / "go.pid", clone.path / "compiler.pid"
    wait_until(lambda: compiler.exists() and compiler.read_text() != "", "the compiler")
    process.send_signal(number)
    _, talk = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == code
    if code == 5:
        assert "interrupted at engine; run `make setup` to go on" in talk
        assert clone.cached() == []
    assert "Traceback" not in talk
    wait_until(lambda: not runs(int(builder.read_text())), "the end of the build")
    if code == 5:
        wait_until(lambda: not runs(int(compiler.read_text())), "the end of what the build had started")
    else:
        os.kill(int(compiler.read_text()), signal.SIGKILL)
    assert not (clone.root / ".local" / "engine.json").exists()

    clone.put_go()
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert clone.cached() == [Path(clone.engine()["bin"]).parent.name]


@pytest.fixture
def half_made(clone):
    """A clone whose set-up is laying packages down, and will be for a minute."""
    clone.put_pulumi()
    slow = clone.root / ".venv" / "bin" / "uv"
    slow.write_text(f"#!/bin/sh\n: > {clone.root}/started\nexec /bin/sleep 60\n")
    with (clone.root / "requirements" / "dev.txt").open("a") as lock:
        lock.write("# another lock\n")
    process = clone.start()
    wait_until((clone.root / "started").exists, "uv")
    (clone.root / ".venv" / "half").write_text("a package that uv had begun")
    return clone, process


def test_ctrl_c_while_packages_are_laid_down_says_where_and_exits_with_5(half_made):
    clone, process = half_made
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 5
    assert talk.splitlines()[-1] == "set-up interrupted at packages; run `make setup` to go on"
    assert json.loads((clone.root / ".venv" / "terrace.json").read_text())["whole"] is False


def test_a_venv_that_a_killed_set_up_left_half_made_is_made_again_from_nothing(half_made):
    clone, process = half_made
    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert ".venv made again: a set-up had not come to its end in it" in done.stderr
    assert not (clone.root / ".venv" / "half").exists()
    assert "nothing to do" in clone.run().stderr


def test_two_clones_set_up_at_once_build_the_engine_once_and_the_second_says_what_it_waits_for(
    clone, tmp_path
):
    clone.more["TERRACE_ENGINE"] = "build"
    clone.put_go(sleep_seconds=2)
    first = clone.start()
    wait_until((clone.path / "go.pid").exists, "the first build")
    twin_root = tmp_path / "twin"
    shutil.copytree(clone.root, twin_root, symlinks=True, ignore=shutil.ignore_patterns(".local"))
    twin = type(clone)(twin_root, clone.home, clone.cache, clone.path, clone.wheels, clone.more)
    second = twin.start()
    talks = [process.communicate(timeout=DEADLINE_SECONDS)[1] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], talks
    assert clone.builds() == 1
    assert clone.engine()["bin"] == twin.engine()["bin"]
    assert f"waits for another set-up (process {first.pid})" in talks[1]


def test_two_set_ups_of_one_clone_take_turns(clone):
    clone.more["TERRACE_ENGINE"] = "build"
    clone.put_go(sleep_seconds=1)
    first = clone.start()
    wait_until((clone.path / "go.pid").exists, "the first build")
    second = clone.run()
    first.communicate(timeout=DEADLINE_SECONDS)
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"waits for the set-up that is under way in this folder (process {first.pid})" in second.stderr
    assert "nothing to do" in second.stderr
    assert clone.builds() == 1


def test_what_a_killed_set_up_was_taking_away_is_gone_after_the_next(clone):
    clone.put_pulumi()
    leftover = clone.root / ".local" / "discarded.venv.1"
    (leftover / "bin").mkdir(parents=True)
    staging = clone.cache / "terrace" / "engine" / "staging.old"
    (staging / "bin").mkdir(parents=True)
    assert clone.run().returncode == 0
    assert not leftover.exists()
    (clone.path / "pulumi").unlink()
    clone.put_go()
    clone.more["TERRACE_ENGINE"] = "build"
    assert clone.run().returncode == 0
    assert not staging.exists()
    standing = {path.name for path in (clone.cache / "terrace" / "engine").iterdir()}
    assert standing == {*clone.cached(), "lock"}
    assert len(standing) == 2
