"""What a release is: packed by its content, refused where it is none, published once."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from infra.core.errors import TerraceError
from infra.core.release import Manifest, Part, ReleaseError, about_key, archive_key, check_version
from ops import deploy, release

MIGRATE = ["java", "-jar", "backend/app.jar", "--migrate"]


class Bucket:
    """An artifacts bucket in memory; `order` is what was written, one after the other."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.order: list[str] = []

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def write(self, key: str, content: bytes) -> None:
        self.objects[key] = content
        self.order.append(key)

    def upload(self, key: str, archive: release.Packed) -> None:
        self.write(key, archive.archive.read_bytes())


def laid_out(directory: Path, **description: object) -> Path:
    """A release's directory with both parts and one migration."""
    for name, text in (
        ("backend/app.jar", "jar"),
        ("frontend/server.js", "js"),
        ("frontend/node_modules/x/index.js", "x"),
        ("migrations/V1__receipts.sql", "create table receipts ();"),
        ("release.json", json.dumps({"version": "v1", "migrate": MIGRATE, **description})),
    ):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return directory


def test_the_same_content_gives_the_same_bytes_whenever_it_is_packed(tmp_path: Path) -> None:
    one = release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz")
    other = release.pack(laid_out(tmp_path / "elsewhere" / "two"), tmp_path / "other.tar.gz")
    assert one.archive.read_bytes() == other.archive.read_bytes()
    (tmp_path / "one" / "frontend" / "server.js").write_text("other", encoding="utf-8")
    changed = release.pack(tmp_path / "one", tmp_path / "changed.tar.gz")
    assert changed.published.sha256 != one.published.sha256


def test_what_was_packed_is_read_back_as_it_was(tmp_path: Path) -> None:
    packed = release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz", git="abc")
    read = release.read(packed.archive)
    assert (read.manifest, read.published) == (packed.manifest, packed.published)
    assert set(read.manifest.parts) == {Part.BACKEND, Part.FRONTEND}
    assert read.manifest.migrations is not None
    assert (read.manifest.migrations.command, read.manifest.git) == (tuple(MIGRATE), "abc")


def test_only_what_the_manifest_names_is_packed(tmp_path: Path) -> None:
    directory = laid_out(tmp_path / "one")
    (directory / "notes.txt").write_text("mine", encoding="utf-8")
    packed = release.pack(directory, tmp_path / "one.tar.gz")
    with tarfile.open(packed.archive) as tar:
        assert tar.getnames() == [
            "manifest.json",
            "backend/app.jar",
            "frontend/node_modules/x/index.js",
            "frontend/server.js",
            "migrations/V1__receipts.sql",
        ]
        assert {(each.uid, each.mtime) for each in tar.getmembers()} == {(0, 0)}


def test_a_directory_that_is_no_release_is_refused_with_every_reason_at_once(tmp_path: Path) -> None:
    directory = laid_out(tmp_path / "one", version="V 1", entry="index.js")
    (directory / "frontend" / ".env.production").write_text("KEY=1", encoding="utf-8")
    with pytest.raises(TerraceError) as refused:
        release.pack(directory, tmp_path / "one.tar.gz")
    said = str(refused.value)
    assert all(each in said for each in ("'V 1' cannot name", "frontend/index.js", ".env.production"))
    assert not (tmp_path / "one.tar.gz").exists()


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"migrate": None}, "nothing applies them"),
        ({"migrate": "java"}, "list of words"),
        ({"backend": "../app.jar"}, "below the release"),
        ({"colour": "blue"}, "unknown colour"),
    ],
)
def test_a_description_that_cannot_be_is_refused(
    tmp_path: Path, description: dict[str, object], said: str
) -> None:
    directory = laid_out(tmp_path / "one", **description)
    with pytest.raises(TerraceError, match=said):
        release.pack(directory, tmp_path / "one.tar.gz")


def test_an_archive_whose_content_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    packed = release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz")
    tree = tmp_path / "tree"
    with tarfile.open(packed.archive) as tar:
        tar.extractall(tree, filter="data")
    (tree / "backend" / "app.jar").write_text("another", encoding="utf-8")
    with tarfile.open(packed.archive, "w:gz") as tar:
        tar.add(tree, arcname="")
    with pytest.raises(TerraceError, match="its manifest says"):
        release.read(packed.archive)


@pytest.mark.parametrize("version", ["", "current", "../v1", "V1", "v..1", "a" * 64, "-v"])
def test_a_version_that_could_be_a_path_or_another_key_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match="cannot name a release"):
        check_version(version)


def test_a_manifest_that_leads_out_of_the_release_is_refused(tmp_path: Path) -> None:
    packed = release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz")
    text = json.dumps(packed.manifest.to_json()).replace("backend/app.jar", "../../etc/passwd", 1)
    with pytest.raises(ReleaseError, match="leads out of the release"):
        Manifest.parse(text)


def test_a_release_is_published_archive_first_and_twice_changes_nothing(tmp_path: Path) -> None:
    bucket, packed = Bucket(), release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz")
    assert deploy.publish(bucket, packed)
    assert not deploy.publish(bucket, packed)
    assert bucket.order == [archive_key("v1"), about_key("v1")]
    assert deploy.published(bucket, "v1") == packed.published


def test_what_is_published_is_never_changed_under_its_name(tmp_path: Path) -> None:
    bucket = Bucket()
    deploy.publish(bucket, release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz"))
    (tmp_path / "one" / "backend" / "app.jar").write_text("another", encoding="utf-8")
    with pytest.raises(deploy.RefusedError, match="another content"):
        deploy.publish(bucket, release.pack(tmp_path / "one", tmp_path / "one.tar.gz"))
    with pytest.raises(deploy.RefusedError, match="is not published"):
        deploy.published(bucket, "v2")
