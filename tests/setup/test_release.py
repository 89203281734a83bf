"""The official release: used only with its published checksum, unpacked without trust, given up without a trace."""

import hashlib
import io
import platform
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = b'#!/bin/sh\n: > "${PULUMI_HOME:-$HOME/.pulumi}/touched"\necho v3.259.0\n'
PROGRAMS = {
    "pulumi/pulumi": SCRIPT,
    "pulumi/pulumi-language-python": b"#!/bin/sh\n",
    "pulumi/pulumi-language-python-exec": b"#!/bin/sh\n",
    "pulumi/pulumi-resource-pulumi-python": b"#!/bin/sh\n",
    "pulumi/pulumi-language-nodejs": b"not needed",
}


class Release:
    """A server of one release, on a free port of the loopback."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_bytes: dict[str, int] = {}
        self.asked: list[str] = []
        release = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                release.asked.append(name)
                if name not in release.files:
                    self.send_error(404)
                    return
                body = release.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: release.cut_bytes.get(name, len(body))])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def publish(
        self, members: dict[str, bytes], machine: str, *, links: dict[str, str] | None = None
    ) -> None:
        """Publish an archive and the checksum file that `sha256sum` makes of it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
            for name, target in (links or {}).items():
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)
        self.archive = f"pulumi-v3.259.0-linux-{machine}.tar.gz"
        self.files[self.archive] = packed.getvalue()
        digest = hashlib.sha256(packed.getvalue()).hexdigest()
        self.files["pulumi-3.259.0-checksums.txt"] = (
            f"{'0' * 64}  other.zip\n{digest}  {self.archive}\n".encode()
        )

    @property
    def patch(self) -> str:
        address = f"http://127.0.0.1:{self._server.server_port}"
        return (
            "from tools.setup import from_release\n"
            f"from_release.ADDRESSES = from_release.Addresses('{address}/{{archive}}', "
            f"('{address}/nothing', '{address}/pulumi-{{version}}-checksums.txt'))\n"
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def machine() -> str:
    return {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture
def release(machine):
    server = Release()
    server.publish(PROGRAMS, machine)
    yield server
    server.stop()


def test_a_release_with_a_true_checksum_is_unpacked_with_what_python_programs_need(clone, release, machine):
    done = clone.run(release.patch)
    assert done.returncode == 0, done.stderr
    engine = clone.engine()
    assert (engine["way"], engine["version"], engine["language_host_version"]) == (
        "release",
        "3.259.0",
        "3.259.0",
    )
    assert clone.cached() == [f"v3.259.0-release-linux-{machine}"]
    names = {path.name for path in Path(engine["bin"]).iterdir()}
    assert names == {name.partition("/")[2] for name in PROGRAMS} - {"pulumi-language-nodejs"}
    assert (Path(engine["bin"]) / "pulumi").read_bytes() == SCRIPT
    assert [path.name for path in Path(engine["bin"]).parent.iterdir()] == ["bin"]


def test_a_release_whose_checksum_differs_is_thrown_away_and_ends_set_up(clone, release):
    clone.put_go()
    release.files[release.archive] += b"altered"
    done = clone.run(release.patch)
    assert done.returncode == 1
    assert hashlib.sha256(release.files[release.archive]).hexdigest() in done.stderr
    assert release.files["pulumi-3.259.0-checksums.txt"].split()[2].decode() in done.stderr
    assert "TERRACE_ENGINE=build" in done.stderr
    assert clone.cached() == []
    assert clone.builds() == 0


@pytest.mark.parametrize("checksums", [None, b"", b"0" * 64 + b"  pulumi-v3.258.0-linux-x64.tar.gz\n"])
def test_a_release_without_a_published_checksum_is_not_even_fetched(clone, release, checksums):
    clone.put_go()
    del release.files["pulumi-3.259.0-checksums.txt"]
    if checksums is not None:
        release.files["pulumi-3.259.0-checksums.txt"] = checksums
    done = clone.run(release.patch)
    assert done.returncode == 0, done.stderr
    assert "no published checksum of the Pulumi release can be had, so it is not used" in done.stderr
    assert release.archive not in release.asked
    assert clone.engine()["way"] == "build"


def test_a_download_that_breaks_off_is_tried_again_and_then_left_for_the_next_way(clone, release):
    clone.put_go()
    release.cut_bytes[release.archive] = 20
    done = clone.run(release.patch)
    assert done.returncode == 0, done.stderr
    assert release.asked.count(release.archive) == 3
    assert "20 of" in done.stderr or "IncompleteRead" in done.stderr
    assert clone.engine()["way"] == "build"


def test_an_archive_cannot_write_outside_its_folder(clone, release, machine):
    evil = {"pulumi/../../python-escaped": b"x", "/python-absolute": b"x", "pulumi/sub/python-deep": b"x"}
    release.publish(PROGRAMS | evil, machine, links={"pulumi/pulumi-python-link": "/etc/passwd"})
    done = clone.run(release.patch)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in Path(clone.engine()["bin"]).iterdir()}
    assert names == {name.partition("/")[2] for name in PROGRAMS} - {"pulumi-language-nodejs"}
    assert not list(clone.root.parent.rglob("python-escaped"))


def test_an_archive_that_lacks_the_language_host_is_left_for_the_next_way(clone, release, machine):
    clone.put_go()
    release.publish({"pulumi/pulumi": SCRIPT}, machine)
    done = clone.run(release.patch)
    assert done.returncode == 0, done.stderr
    assert "lacks pulumi-language-python" in done.stderr
    assert clone.engine()["way"] == "build"


def test_a_full_disk_while_the_release_is_fetched_is_named_and_leaves_nothing_behind(clone, release, machine):
    release.publish(PROGRAMS | {"pulumi/pulumi-language-python": bytes(range(256)) * 20_000}, machine)
    release.files[release.archive] += bytes(3_000_000)
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    done = clone.run(limit + release.patch)
    assert done.returncode == 1
    assert "no space is left on the disk" in done.stderr
    assert str(clone.cache) in done.stderr
    assert "free some space" in done.stderr
    assert clone.cached() == []
