"""The data volume: what is taken for empty, and that it grows. Image files stand for devices; no root is needed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from infra.core.errors import TerraceError
from infra.host.box import mount

MIB = 1024 * 1024


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
    return path


def tool(*argv: str) -> None:
    found = shutil.which(argv[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert found, f"{argv[0]} is missing (e2fsprogs, util-linux)"
    subprocess.run([found, *argv[1:]], check=True, capture_output=True)


def test_only_a_device_without_any_signature_is_empty(image: Path) -> None:
    assert mount._probe(image) == ""
    tool("mkfs.ext4", "-q", "-F", str(image))
    assert mount._probe(image) == "ext4"


def test_two_signatures_on_one_device_are_not_taken_for_nothing(image: Path) -> None:
    """Where blkid finds an ext4 with the header of a swap area left over it prints nothing, and ends with 8."""
    tool("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^metadata_csum", "-L", mount.LABEL, str(image))
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(struct.pack("<III", 1, 2000, 0))  # swap's version, last page, bad pages
        file.seek(4096 - 10)
        file.write(b"SWAPSPACE2")
    assert mount._probe(image) == "several signatures"


@pytest.mark.parametrize(("code", "said"), [(8, ""), (4, "usage"), (1, "")])
def test_a_probe_that_does_not_say_nothing_found_never_lets_anything_be_formatted(
    image: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    done = subprocess.CompletedProcess(["blkid"], code, "", said)
    monkeypatch.setattr(mount, "ended", lambda *_, **__: done)
    if code == mount.AMBIVALENT:
        assert mount._probe(image) == "several signatures"
        return
    with pytest.raises(TerraceError, match="cannot be probed"):
        mount._probe(image)


def test_a_device_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(TerraceError, match="cannot be"):
        mount._probe(tmp_path / "nowhere")


def test_a_volume_that_grew_is_taken_while_it_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    sizes = iter([20 * 1024 * MIB, 40 * 1024 * MIB])

    def run(argv: list[str], **_: object) -> str:
        called.append(argv)
        return "/dev/nvme1n1\n" if argv[0] == "findmnt" else ""

    monkeypatch.setattr(mount, "run", run)
    monkeypatch.setattr(mount, "_blocks", lambda: next(sizes))
    assert mount.grow() == "grew from 20.0 to 40.0 GiB"
    assert called[-1] == ["resize2fs", "/dev/nvme1n1"]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
def test_a_wait_that_is_no_time_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["terrace-mount", "--wait-seconds", text])
    with pytest.raises(SystemExit) as ended:
        mount.main()
    assert ended.value.code == 2
