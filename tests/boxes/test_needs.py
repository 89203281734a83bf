"""Where boxes cannot be had, one line says why and what to do, and nothing else breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.boxes import needs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs, "_effective_capabilities", lambda: -1)


def _as_nobody(program: str, *arguments: str) -> str:
    become = (
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if os.geteuid() == 0 else []
    )
    done = subprocess.run(
        [*become, sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_root_the_reason_and_the_way_on_are_said_in_one_line() -> None:
    said = _as_nobody("from embedded.boxes import available; print(available())")
    user = os.geteuid() or 65534
    assert (
        said
        == f"boxes need root, this runs as user {user}. Run as root, or go on without boxes (--no-boxes)."
    )


def test_without_root_opening_is_refused_with_the_same_line_and_makes_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from embedded.boxes import BoxesError, Host\n"
        "try: Host.open(Path(sys.argv[1]))\n"
        "except BoxesError as error: print(error)"
    )
    assert _as_nobody(program, str(tmp_path / "cloud")).startswith("boxes need root, this runs as user ")
    assert not (tmp_path / "cloud").exists()


def test_a_root_without_the_needed_capabilities_is_told_which(
    monkeypatch: pytest.MonkeyPatch, as_root: None
) -> None:
    monkeypatch.setattr(needs, "_effective_capabilities", lambda: 1 << needs.CAPABILITIES["CAP_MKNOD"])
    assert str(needs.available()).startswith(
        "boxes need CAP_NET_ADMIN, CAP_SYS_ADMIN, which this root user does not"
    )


def test_missing_programs_are_named_with_the_packages_that_have_them(
    monkeypatch: pytest.MonkeyPatch, as_root: None
) -> None:
    monkeypatch.setattr(needs, "PROGRAMS", {"no-such-program": "its-package", "sh": "dash"})
    assert str(needs.available()) == (
        "boxes need no-such-program, not found on this machine. apt-get install its-package, or go on without boxes "
        "(--no-boxes)."
    )


def test_a_directory_that_cannot_hold_roots_is_refused(
    monkeypatch: pytest.MonkeyPatch, as_root: None, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "PROGRAMS", {})
    monkeypatch.setattr(needs, "_kernel", lambda: None)
    monkeypatch.setattr(needs, "command", lambda argv: "overlayfs\n")
    assert str(needs.available(tmp_path / "not" / "yet")) == (
        f"{tmp_path} is on overlayfs, which cannot hold the roots of boxes. Take a directory on ext4, XFS or btrfs."
    )


@pytest.mark.parametrize(("setting", "outcome"), [("required", "error"), ("", "skipped")])
def test_tests_of_boxes_are_skipped_where_there_are_none_and_fail_where_they_are_required(
    setting: str, outcome: str
) -> None:
    program = (
        "import os, pytest; os.geteuid = lambda: 65534; "
        "pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/boxes/test_wire.py', '-k', 'clouds_own', '-x'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERRACE_BOXES": setting},
        check=False,
    )
    assert f" {outcome}" in done.stdout.splitlines()[-1]
    assert "boxes need root" in done.stdout
