"""Making the root file system: once, whole or not at all, with errors that say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedded.boxes import RootfsError, packages, rootfs

ROOT = Path(__file__).parents[2]

WORKS = """\
#!/bin/sh
for target do :; done
case $target in *.sources) shift $(($# - 2)); target=$1;; esac
echo "I: installing packages"
mkdir -p "$target/etc/cloud/cloud.cfg.d"
echo once >> "$COUNT"
sleep "${SLOW:-0}"
echo "I: success"
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "mmdebstrap"
    program.write_text(WORKS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(
        rootfs, "environment", lambda: {"PATH": f"{folder}:/usr/bin:/bin", "COUNT": str(tmp_path / "n")}
    )
    return program


def _fails(program: Path, says: str) -> None:
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit 25\n")


def test_it_is_made_once_and_then_found(stand_in: Path, tmp_path: Path) -> None:
    told: list[str] = []
    tree = rootfs.ensure(told.append, cache=tmp_path / "cache")
    assert tree == rootfs.ensure(told.append, cache=tmp_path / "cache")
    assert (tmp_path / "n").read_text() == "once\n"
    assert "NoCloud" in (tree / "etc/cloud/cloud.cfg.d/90_embedded.cfg").read_text()
    assert "installing packages" in told
    assert sum("made the root file system" in line for line in told) == 1


def test_two_that_want_it_at_once_make_it_once_and_the_second_says_what_it_waits_for(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.write_text(WORKS.replace("${SLOW:-0}", "1"))
    told: list[str] = []
    results: list[Path] = []
    threads = [
        threading.Thread(target=lambda: results.append(rootfs.ensure(told.append, cache=tmp_path / "cache")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert (tmp_path / "n").read_text() == "once\n"
    assert "waiting for another process that is making the root file system of boxes" in told


def test_what_a_killed_set_up_left_is_swept_and_made_again(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text(WORKS.replace("${SLOW:-0}", "60"))
    program = "import sys, pathlib, embedded.boxes.rootfs as r; r.ensure(cache=pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "cache")],
        env={
            "PATH": f"{stand_in.parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "COUNT": str(tmp_path / "n"),
        },
    )
    while not list((tmp_path / "cache").glob("*.part/etc")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    if os.geteuid() == 0:  # where builds mount something
        (inside,) = (tmp_path / "cache").glob("*.part/etc")
        subprocess.run(["mount", "-t", "tmpfs", "none", str(inside)], check=True)
    stand_in.write_text(WORKS)
    told: list[str] = []
    tree = rootfs.ensure(told.append, cache=tmp_path / "cache")
    assert "removing what an interrupted set-up left" in told
    assert sorted(path.name for path in tree.parent.iterdir() if path.is_dir()) == [tree.name]


def test_a_disk_that_becomes_full_is_said_so_and_nothing_half_made_stays(
    stand_in: Path, tmp_path: Path
) -> None:
    _fails(stand_in, "E: cannot write: No space left on device")
    with pytest.raises(RootfsError, match=r"became full .* Make room there, or set XDG_CACHE_HOME"):
        rootfs.ensure(cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_too_little_room_is_refused_before_anything_is_begun(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootfs, "NEEDED_BYTES", 2**60)
    with pytest.raises(RootfsError, match=r"GiB free, the root file system of boxes needs 1073741824 GiB"):
        rootfs.ensure(cache=tmp_path / "cache")
    assert not (tmp_path / "n").exists()


def test_a_mirror_that_does_not_answer_is_told_in_its_own_words(stand_in: Path, tmp_path: Path) -> None:
    _fails(stand_in, "E: Failed to fetch http://mirror.test/debian")
    with pytest.raises(RootfsError, match=r"mmdebstrap ended with 25: E: Failed to fetch .* reachable once"):
        rootfs.ensure(cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_refused_with_the_remedy(stand_in: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RootfsError, match=r"File exists\. Make room or give the right to write there"):
        rootfs.ensure(cache=tmp_path / "file")


def test_the_name_changes_with_every_package(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs.key()
    assert rootfs.key() == before
    monkeypatch.setattr(packages, "CACHED", (*packages.CACHED, "one-more"))
    assert rootfs.key() != before


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert rootfs.cache_directory() == tmp_path / "terrace/rootfs"
