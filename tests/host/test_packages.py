"""An archive of packages: what is packed, what is refused, and what apt is told of it on a box."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.core import packages as names
from infra.core.errors import TerraceError
from infra.host.box import fetch
from infra.host.box.data import application
from ops import packages
from ops.adapters.apt import Apt, repositories
from ops.packages import Deb
from tools import debian

ROOT = Path(__file__).parents[2]
CERTIFICATES = "-----BEGIN CERTIFICATE-----\n"


@dataclass
class Distribution:
    """Each package that is asked for, with its own name as its content."""

    leaves_out: tuple[str, ...] = ()
    breaks: str = ""

    def fetch(self, directory: Path, names: Sequence[str]) -> list[Deb]:
        made = []
        for name in names:
            if name in self.leaves_out:
                continue
            path = directory / f"{name}_1%3a2.0_arm64.deb"
            path.write_text(name, encoding="ascii")
            digest = hashlib.sha256(b"other" if name == self.breaks else name.encode()).hexdigest()
            made.append(
                Deb(
                    path,
                    f"Package: {name}\nVersion: 1:2.0\nArchitecture: arm64\nFilename: pool/n/{name}.deb\n"
                    f"SHA256: {digest}\nDescription: a\n b\n",
                )
            )
        return made[::-1]


@dataclass
class Bucket:
    """A bucket in memory."""

    held: dict[str, int] = field(default_factory=dict)

    def size_of(self, key: str) -> int | None:
        return self.held.get(key)

    def upload_file(self, key: str, path: Path, sha256: str) -> None:
        assert key == names.key(sha256)
        self.held[key] = path.stat().st_size


def build(directory: Path, distribution: Distribution | None = None) -> packages.Archive:
    directory.mkdir(parents=True, exist_ok=True)
    return packages.build(distribution or Distribution(), CERTIFICATES, directory, directory / "a.tar")


def test_the_same_packages_give_the_same_bytes_and_the_index_leads_to_each_file(tmp_path: Path) -> None:
    made = build(tmp_path / "one")
    assert made.sha256 == build(tmp_path / "two").sha256
    assert made.packages == len(names.archived())
    with tarfile.open(made.path) as tar:
        index = tar.extractfile(names.INDEX)
        assert index is not None
        told = index.read().decode()
        files = {
            line.removeprefix("Filename: ./") for line in told.splitlines() if line.startswith("Filename")
        }
        assert files == {name for name in tar.getnames() if name.endswith(".deb")}
        assert "nginx_2.0_arm64.deb" in files, "a colon would have to be escaped in a file: address"
    assert "Description: a\n b\n\nPackage: " in told


def test_what_a_box_of_two_installs_is_in_the_archive() -> None:
    assert {"python3-boto3", "nginx", "nodejs", "openjdk-21-jre-headless", "postgresql-client-17"} <= set(
        names.archived()
    )


def test_a_package_that_is_not_what_the_signed_index_says_is_packed_nowhere(tmp_path: Path) -> None:
    with pytest.raises(TerraceError, match=r"nginx_.*is not what the signed index says"):
        build(tmp_path, Distribution(breaks="nginx"))
    with pytest.raises(TerraceError, match=r"chrony +was not fetched"):
        build(tmp_path, Distribution(leaves_out=("chrony",)))
    assert not list(tmp_path.glob("a.tar*"))


URIS = """\
Reading package lists...
'http://mirror/debian/pool/a/adduser/adduser_3.152_all.deb' adduser_3.152_all.deb 190000 SHA256:00
'http://mirror/debian/pool/p/perl/perl_1%3a2.0%2bb_arm64.deb' perl_1%3a2.0+b_arm64.deb 5 SHA256:01
"""


def test_each_file_that_apt_fetched_gets_its_own_paragraph_of_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def said(_: Apt, __: Path, tool: str, *words: str) -> str:
        asked.append((tool, *words))
        if tool == "apt-cache":
            return (
                "Package: perl\nVersion: 1:2.0+b\nArchitecture: arm64\nDescription: a\n .\n b\n\n"
                "Package: adduser\nVersion: 3.152\nArchitecture: all\n\n"
            )
        return URIS if "--print-uris" in words else ""

    monkeypatch.setattr(Apt, "_apt", said)
    monkeypatch.setattr(Apt, "_check", lambda _: None)
    found = Apt(repositories("http://mirror")).fetch(tmp_path, ("perl",))
    assert [each.file for each in found] == ["adduser_3.152_all.deb", "perl_2.0+b_arm64.deb"]
    assert found[1].path.name == "perl_1%3a2.0+b_arm64.deb"
    assert asked[-1] == ("apt-cache", "show", "adduser=3.152", "perl=1:2.0+b")
    sources = (tmp_path / "mirror.sources").read_text(encoding="utf-8")
    assert "URIs: http://mirror/debian-security\nSuites: trixie-security\n" in sources
    assert sources.count("Signed-By: ") == 2


def test_without_a_mirror_this_machines_own_is_asked_and_where_it_has_none_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = "Types: deb\nURIs: http://near/debian\nSuites: trixie\nComponents: main\n"
    monkeypatch.setattr(debian, "repositories", lambda _: own)
    assert repositories("") == own
    monkeypatch.setattr(debian, "repositories", lambda _: "")
    with pytest.raises(TerraceError, match=r"--mirror.*Name a mirror of Debian"):
        repositories("")


@pytest.mark.parametrize("given", ["", CERTIFICATES + "-----BEGIN EC PRIVATE KEY-----\n"])
def test_what_is_no_certificate_or_holds_a_key_goes_into_no_archive(tmp_path: Path, given: str) -> None:
    with pytest.raises(TerraceError, match="RDS's authorities"):
        packages.build(Distribution(), given, tmp_path, tmp_path / "a.tar")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_text("hello", encoding="ascii")
    with pytest.raises(TerraceError, match="is no archive of packages"):
        packages.read(path)


def test_publishing_twice_changes_nothing_and_half_of_an_archive_is_no_archive(tmp_path: Path) -> None:
    made, bucket = build(tmp_path), Bucket()
    assert packages.publish(bucket, made)
    assert not packages.publish(bucket, made)
    bucket.held[made.key] -= 1
    assert packages.publish(bucket, made)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[packages.Archive | None], Any]:
    """fetch.packages on a box whose bucket is that archive; what was run is in `ran`."""
    monkeypatch.setattr(fetch, "ARCHIVE", tmp_path / "opt")
    monkeypatch.setattr(fetch, "APT", tmp_path / "apt")
    ran: list[str] = []

    def told(archive: packages.Archive | None, sha256: str = "") -> tuple[bool, list[str]]:
        def run(*line: str) -> str:
            ran.append(line[0])
            if line[0] == "aws":
                assert archive is not None
                assert line[-2] == f"s3://bucket/{archive.key}"
                shutil.copy(archive.path, line[-1])
            return ""

        monkeypatch.setattr(fetch, "_run", run)
        ran.clear()
        named = {"key": archive.key, "sha256": sha256 or archive.sha256} if archive else {}
        facts = {"packages": named, "artifacts_bucket": "bucket", "region": "r"}
        return fetch.packages(facts), list(ran)

    return told


def test_a_box_asks_the_archive_alone_fetches_it_once_and_goes_back_to_the_mirrors(
    tmp_path: Path, box: Callable[..., Any]
) -> None:
    first = build(tmp_path / "one")
    other = tmp_path / "three.tar"
    shutil.copy(first.path, other)
    with tarfile.open(other, "a") as tar:
        tar.add(first.path, "newer.deb")
    newer = packages.read(other)
    assert first.sha256 != newer.sha256

    assert box(first) == (True, ["aws", "apt-get"])
    only = (tmp_path / "apt/apt.conf.d/90terrace-packages").read_text(encoding="ascii")
    assert 'sourceparts "/dev/null"' in only
    assert f"file:{tmp_path}/opt/{names.version(first.sha256)} " in (tmp_path / "apt/terrace.list").read_text(
        encoding="ascii"
    )
    assert box(first) == (False, [])
    assert box(newer) == (True, ["aws", "apt-get"])
    assert {each.name for each in (tmp_path / "opt").iterdir()} == {
        "current", names.version(newer.sha256),
    }  # fmt: skip
    assert box(None) == (True, [])
    assert not list((tmp_path / "apt").rglob("*terrace*"))
    assert box(None) == (False, [])


def test_an_archive_that_is_not_what_was_told_is_not_unpacked(
    tmp_path: Path, box: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"has SHA-256 .* and 0{64} was told"):
        box(build(tmp_path / "one"), "0" * 64)
    assert not (tmp_path / "apt").exists()
    assert not list((tmp_path / "opt").rglob("*.deb"))


def test_a_box_that_was_cut_off_before_the_index_was_read_reads_it_again(
    tmp_path: Path, box: Callable[..., Any]
) -> None:
    made = build(tmp_path / "one")
    box(made)
    (tmp_path / "opt/current").unlink()
    assert box(made) == (True, ["apt-get"])


def test_the_authorities_of_the_archive_spare_a_box_the_way_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held.pem"
    held.write_text(CERTIFICATES, encoding="ascii")
    monkeypatch.setattr(application, "ARCHIVED", held)
    monkeypatch.setattr(application, "program", lambda *_, **__: pytest.fail("asked the world"))
    assert application.authorities(tmp_path / "etc/a.pem").read_text(encoding="ascii") == CERTIFICATES


def test_the_command_writes_the_digest_beside_what_the_stack_file_says_of_its_edge(tmp_path: Path) -> None:
    made = build(tmp_path / "one")
    script = f"""
import sys, pathlib
sys.path.insert(0, {str(ROOT / "scripts")!r})
import packages
packages.ROOT = pathlib.Path({str(tmp_path)!r})
packages.app(["use", {str(made.path)!r}, "--stack", "dev", "--yes"])
"""
    stack = tmp_path / "Pulumi.dev.yaml"
    stack.write_text("config:\n  terrace:stage: private\n  terrace:edge: {nat: none}\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert made.sha256 in done.stdout
    assert f"terrace:edge: {{nat: none, packages: {made.sha256}}}" in stack.read_text(encoding="utf-8")
