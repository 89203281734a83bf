"""Which way to the engine is taken, and what is said when one is closed: PATH, release, build, the cache between."""

import fcntl
import json
import os
import re
from pathlib import Path

import pytest

BUILT = "v3.259.0-build-linux-"
# No network in these tests: the release is closed unless a test opens it.
NO_RELEASE = """
    from tools.setup import from_release
    from_release.ADDRESSES = from_release.Addresses("http://127.0.0.1:9/{archive}", ("http://127.0.0.1:9/{version}",))
"""


def test_a_pulumi_on_path_with_its_language_host_is_used(clone):
    clone.put_pulumi("3.260.1")
    done = clone.run()
    engine = clone.engine()
    assert done.returncode == 0, done.stderr
    assert (engine["way"], engine["version"]) == ("path", "3.260.1")
    assert sorted(path.name for path in Path(engine["bin"]).iterdir()) == ["pulumi", "pulumi-language-python"]
    assert (Path(engine["bin"]) / "pulumi").resolve() == clone.path / "pulumi"
    assert (clone.root / ".local" / "pulumi-home" / "touched").exists()
    assert clone.cached() == []


def test_a_language_host_elsewhere_on_path_serves_too(clone):
    clone.put_pulumi(host=False)
    other = clone.root.parent / "other"
    other.mkdir()
    (other / "pulumi-language-python").write_text("#!/bin/sh\n")
    (other / "pulumi-language-python").chmod(0o755)
    clone.more["PATH"] = f"{clone.path}:{other}"
    assert clone.run().returncode == 0
    assert (
        Path(clone.engine()["bin"]) / "pulumi-language-python"
    ).resolve() == other / "pulumi-language-python"


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (lambda clone: clone.put_pulumi("3.199.9"), "is v3.199.9, older than v3.200.0"),
        (lambda clone: clone.put_pulumi(host=False), "has no pulumi-language-python"),
        (
            lambda clone: (
                clone.put_pulumi(),
                (clone.path / "pulumi").write_text("#!/bin/sh\necho v3.300.0 is not there\nexit 126\n"),
            ),
            "ended with 126 and said: v3.300.0 is not there",
        ),
        (
            lambda clone: (
                clone.put_pulumi(),
                (clone.path / "pulumi").write_text("#!/no/such/interpreter\n"),
            ),
            "cannot be started",
        ),
    ],
    ids=["too old", "no language host", "a shim that fails", "cannot be started"],
)
def test_a_pulumi_on_path_that_does_not_serve_is_left_for_the_next_way_with_the_reason(clone, put, said):
    put(clone)
    clone.put_go()
    done = clone.run(NO_RELEASE)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert clone.engine()["way"] == "build"


def test_a_build_gives_an_engine_with_its_scripts_in_the_cache(clone):
    clone.put_go()
    done = clone.run(NO_RELEASE)
    assert done.returncode == 0, done.stderr
    engine = clone.engine()
    folder = Path(engine["bin"])
    assert (engine["way"], engine["version"], engine["language_host_version"]) == (
        "build",
        "3.259.0",
        "3.78.0",
    )
    assert clone.cached() == [folder.parent.name]
    assert folder.parent.name.startswith(BUILT)
    assert [path.name for path in folder.parent.iterdir()] == ["bin"]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == dict.fromkeys(
        ["pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python"],
        "0o755",
    )


def test_a_build_is_by_the_pinned_modules_alone_whatever_the_user_has_set_for_go(clone):
    clone.put_go()
    clone.more |= {
        "GOFLAGS": "-mod=mod",
        "GOOS": "windows",
        "GOWORK": "/elsewhere/go.work",
        "CGO_ENABLED": "1",
    }
    assert clone.run(NO_RELEASE).returncode == 0
    builds = [call for call in clone.go_calls() if call["arguments"][0] == "build"]
    assert [Path(call["cwd"]).name for call in builds] == ["language", "cli"]
    for call, version in zip(builds, ["v3.78.0", "v3.259.0"], strict=True):
        assert call["environment"] | {"GOARCH": "", "GOTMPDIR": ""} == {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly -buildvcs=false",
            "GOWORK": "off",
            "GOOS": None,
            "GOARCH": "",
            "GOTMPDIR": "",
        }
        work = Path(call["environment"]["GOTMPDIR"])
        assert work.is_relative_to(clone.cache), "so that what a kill leaves is taken away"
        flags = call["arguments"][call["arguments"].index("-ldflags") + 1]
        assert flags == f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version}"


def test_a_second_clone_takes_the_engine_from_the_cache_without_go_and_without_a_network(clone):
    clone.put_go()
    assert clone.run(NO_RELEASE).returncode == 0
    first = clone.engine()
    (clone.path / "go").unlink()
    (clone.root / ".local" / "engine.json").unlink()
    done = clone.run(NO_RELEASE)
    assert done.returncode == 0, done.stderr
    assert clone.engine() == first


def test_an_engine_that_is_in_the_cache_is_had_while_another_set_up_fills_the_cache(clone):
    clone.put_go()
    assert clone.run(NO_RELEASE).returncode == 0
    (clone.root / ".local" / "engine.json").unlink()
    with (clone.cache / "terrace" / "engine" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = clone.run(NO_RELEASE)
    assert done.returncode == 0, done.stderr
    assert "waits" not in done.stderr


def test_the_cached_engine_on_path_is_not_taken_for_one_of_the_user(clone):
    clone.put_go()
    assert clone.run(NO_RELEASE).returncode == 0
    clone.more["PATH"] = f"{clone.engine()['bin']}:{clone.path}"
    done = clone.run(NO_RELEASE)
    assert "nothing to do" in done.stderr
    assert clone.engine()["way"] == "build"


def test_what_set_up_itself_put_onto_path_is_not_taken_for_a_pulumi_of_the_user(clone):
    clone.put_pulumi("3.260.1")
    assert clone.run().returncode == 0
    first = clone.engine()
    clone.more["PATH"] = f"{first['bin']}:{clone.path}"
    assert "nothing to do" in clone.run().stderr
    (clone.root / ".local" / "engine.json").unlink()
    assert clone.run().returncode == 0
    assert clone.engine() == first
    assert (Path(first["bin"]) / "pulumi").resolve() == clone.path / "pulumi"


def test_an_engine_that_has_gone_from_the_cache_is_made_again(clone):
    clone.put_go()
    assert clone.run(NO_RELEASE).returncode == 0
    (Path(clone.engine()["bin"]) / "pulumi").unlink()
    assert clone.run(NO_RELEASE).returncode == 0
    assert clone.builds() == 2
    assert (Path(clone.engine()["bin"]) / "pulumi").exists()


def test_a_pulumi_that_comes_onto_path_later_is_used_from_then_on(clone):
    clone.put_go()
    assert clone.run(NO_RELEASE).returncode == 0
    clone.put_pulumi("3.270.0")
    assert clone.run(NO_RELEASE).returncode == 0
    assert clone.engine()["version"] == "3.270.0"


def test_a_forced_way_is_the_only_one_that_is_tried(clone):
    clone.put_pulumi()
    clone.put_go()
    clone.more["TERRACE_ENGINE"] = "build"
    assert clone.run(NO_RELEASE).returncode == 0
    assert clone.engine()["way"] == "build"


def test_a_forced_way_that_is_closed_fails_with_its_own_remedy(clone):
    clone.put_go()
    clone.more["TERRACE_ENGINE"] = "path"
    done = clone.run(NO_RELEASE)
    assert done.returncode == 1
    assert "no `pulumi` on PATH" in done.stderr
    assert "install Pulumi 3.200.0 or newer" in done.stderr
    assert clone.builds() == 0


def test_a_way_that_does_not_exist_is_a_usage_error_that_names_those_that_do(clone):
    clone.more["TERRACE_ENGINE"] = "magic"
    done = clone.run()
    assert done.returncode == 2
    assert "TERRACE_ENGINE=magic" in done.stderr
    assert "path, release, build" in done.stderr


def test_when_every_way_is_closed_each_is_named_with_its_reason_and_its_remedy(clone):
    done = clone.run(NO_RELEASE)
    assert done.returncode == 1
    assert "stopped at engine" in done.stderr
    for words in (
        "path: no `pulumi`",
        "release: no published checksum",
        "Connection refused",
        "build: no `go` on PATH",
        "install Go 1.25.11 or newer",
    ):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("version", "toolchain", "said"),
    [
        ("go1.20.14", "", "is Go 1.20.14; 1.25.11 is the oldest that serves"),
        ("go1.25.10", "local", "is Go 1.25.10; 1.25.11 is the oldest that serves, and GOTOOLCHAIN=local"),
        ("nonsense", "local", "does not say its version"),
    ],
)
def test_a_go_that_is_too_old_is_named_with_the_oldest_that_serves(clone, version, toolchain, said):
    clone.put_go(version, toolchain=toolchain)
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run()
    assert done.returncode == 1
    assert said in done.stderr
    assert "install Go 1.25.11 or newer" in done.stderr


@pytest.mark.parametrize("version", ["go1.25.11", "go1.24.0", "devel go1.27-abcdef", "go1.26.8 X:nodwarf5"])
def test_a_go_that_is_new_enough_or_may_fetch_its_toolchain_builds(clone, version):
    clone.put_go(version, toolchain="auto")
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("said_by_go", "cause", "remedy"),
    [
        (
            "link: writing b1.a: no space left on device",
            "no space is left on the disk",
            "free some space",
        ),
        (
            'go: x@v1: Get "https://proxy": dial tcp: lookup proxy: no such host',
            "no route to the Go module proxy",
            "HTTPS_PROXY",
        ),
        (
            "verifying x@v1: checksum mismatch\nSECURITY ERROR",
            "whose checksum is not the locked one",
            "proxy or mirror",
        ),
        (
            "go: download go1.25.11 for linux/amd64: toolchain not available",
            "this Go is too old",
            "go.dev/doc/install",
        ),
        ("x/link: signal: killed", "want of memory", "free memory"),
        ("pkg/x.go:1:1: something new", "go build failed with exit code 1", "mend what it says"),
    ],
    ids=["disk full", "no route", "checksum", "toolchain", "memory", "unknown"],
)
def test_a_build_that_fails_says_what_the_output_of_go_means(clone, said_by_go, cause, remedy):
    clone.put_go(fails_with=said_by_go)
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run()
    assert done.returncode == 1
    assert "stopped at engine" in done.stderr
    assert cause in done.stderr
    assert said_by_go.splitlines()[-1] in done.stderr
    assert remedy in done.stderr
    assert clone.cached() == []
    assert not (clone.root / ".local" / "engine.json").exists()


def test_a_build_is_refused_before_it_starts_when_the_disk_is_too_small_for_it(clone):
    clone.put_go()
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run("from tools.setup import from_source\nfrom_source.NEEDED_BYTES['GOCACHE'] = 10**18\n")
    assert done.returncode == 1
    assert "the build needs 1000000003." in done.stderr
    assert str(clone.home / "go-build") in done.stderr
    assert "move a cache by GOMODCACHE, GOCACHE" in done.stderr
    assert clone.builds() == 0


def test_what_a_build_gives_is_asked_for_its_version_before_it_is_kept(clone):
    clone.put_go(engine="3.258.0")
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run()
    assert done.returncode == 1
    assert "what came is v3.258.0, not v3.259.0" in done.stderr
    assert clone.cached() == []


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(clone):
    clone.put_go()
    clone.cache.write_text("a file where the folder should be")
    done = clone.run(NO_RELEASE)
    assert done.returncode == 1
    assert f"the engine's cache {clone.cache}/terrace/engine cannot be written" in done.stderr
    assert "XDG_CACHE_HOME" in done.stderr


def test_a_record_of_the_engine_that_is_broken_is_written_again(clone):
    clone.put_pulumi()
    assert clone.run().returncode == 0
    (clone.root / ".local" / "engine.json").write_text('{"way": ')
    assert clone.run().returncode == 0
    assert json.loads((clone.root / ".local" / "engine.json").read_text())["way"] == "path"


def test_broken_pins_are_named_and_not_built_from(clone):
    clone.put_go()
    (clone.root / "tools" / "engine" / "cli" / "go.mod").write_text("module nothing\n")
    done = clone.run(NO_RELEASE)
    assert done.returncode == 1
    assert "git restore tools/engine" in done.stderr


def test_a_step_of_more_than_a_second_shows_what_it_waits_for_and_its_run_time(clone):
    clone.put_go(sleep_seconds=1.2)
    clone.more["TERRACE_ENGINE"] = "build"
    done = clone.run()
    assert done.returncode == 0
    assert re.search(
        # A busy machine may spend its first second in the step before.
        r"^  engine      (compiles and links pulumi\S* v[\d.]+: 0 of at most 7 packages|fetches the source of .*)"
        r" \(1 s\)$",
        done.stderr,
        re.MULTILINE,
    )
    assert re.search(r"^  engine      v3\.259\.0 by build, .* [\d.]+ s$", done.stderr, re.MULTILINE)


def test_on_a_terminal_the_line_of_what_is_waited_for_is_redrawn_and_taken_away(clone):
    clone.put_go(sleep_seconds=1.2)
    clone.more["TERRACE_ENGINE"] = "build"
    ours, theirs = os.openpty()
    with clone.start(stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while chunk := read_terminal(ours):
            seen += chunk
    os.close(ours)
    assert process.returncode == 0
    assert seen.count(b"\r\x1b[K") > 3
    stays = [line.rpartition("\x1b[K")[2].rstrip() for line in seen.decode().split("\n")]
    assert stays[0] == "terrace set-up"
    assert not [line for line in stays if "compiles" in line]
    assert [line for line in stays if re.match(r"  engine      v3\.259\.0 by build", line)]


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: the other side has closed it
        return b""
