"""What a person meets who gives `scripts/deploy.py` what cannot be; no cloud is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.core.release import MANIFEST
from tests.deploy.test_release import laid_out

ROOT = Path(__file__).parents[2]


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/deploy.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_directory_is_packed_and_what_is_no_release_is_refused_with_the_remedy(tmp_path: Path) -> None:
    directory, archive = laid_out(tmp_path / "one"), tmp_path / "v7.tar.gz"
    packed = script("pack", str(directory), str(archive), "--version", "v7")
    assert (packed.returncode, packed.stdout) == (0, "")
    assert "v7: backend and frontend, with migrations" in packed.stderr
    assert MANIFEST not in packed.stderr
    archive.write_bytes(b"no archive")
    refused = script("publish", str(archive))
    assert refused.returncode == 1
    assert "is no release" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_stack_without_a_file_is_named_beside_those_there_are() -> None:
    refused = script("status", "--stack", "nowhere")
    assert refused.returncode == 1
    assert "'nowhere' has no file" in refused.stderr
    assert "dev, prod" in refused.stderr


def test_a_strategy_that_is_none_is_a_fault_of_usage() -> None:
    assert script("release", "v1", "--strategy", "sideways").returncode == 2
