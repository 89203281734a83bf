"""The only place where the root file system of boxes is made: once per machine, kept in the user's cache.

    ${XDG_CACHE_HOME:-~/.cache}/terrace/rootfs/KEY/        a Debian 13 tree, never written to again
    ${XDG_CACHE_HOME:-~/.cache}/terrace/rootfs/KEY.log     what mmdebstrap said

KEY is a digest of everything that the tree is made from but the mirror. A tree with its final name is whole; two
processes that want it make it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from embedded.boxes import packages, sources
from embedded.boxes.errors import RootfsError
from embedded.boxes.process import command, environment, piped
from tools import debian

Progress = Callable[[str], None]
"""Told one line each time something that takes a while begins."""

NEEDED_BYTES = 3 * 1024**3
"""Asked to be free before the making begins; the tree takes 785 MB (measured), apt's work on it some more."""

_TOLD = (
    "running apt-get update",
    "downloading packages",
    "extracting",
    "installing",
    "cleaning",
    "running --customize",
)

_CUSTOMIZE = r"""
set -e
root=$1
rm -f "$root"/var/cache/apt/archives/*.deb
chroot "$root" apt-get install --yes --download-only --no-install-recommends CACHED
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/var/lib/dbus/machine-id
: > "$root"/etc/machine-id
rm -f "$root"/var/log/*.log "$root"/var/log/apt/*
"""


def cache_directory() -> Path:
    """Where trees are kept, for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace" / "rootfs"


def key() -> str:
    """What names the tree: changes when anything that it is made from changes."""
    made_from = (
        packages.FORMAT, packages.SUITE, packages.IMAGE, packages.CACHED, packages.CLOUD_CONFIG, _CUSTOMIZE,
        platform.machine(),
    )  # fmt: skip
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def ensure(progress: Progress | None = None, *, cache: Path | None = None) -> Path:
    """The cached tree, made first if it is not there; waits for another process that is making it.

    Raises RootfsError: no room, no mirror, no right to write; what was begun is removed by the next try.
    """
    tell = progress or (lambda _: None)
    cache = cache or cache_directory()
    tree = cache / key()
    if tree.is_dir():
        return tree
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{key()}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                tell("waiting for another process that is making the root file system of boxes")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not tree.is_dir():
                _make(cache, tree, tell)
    except OSError as error:
        raise RootfsError(
            f"the root file system of boxes cannot be made in {cache}: {error.strerror or error}",
            "Make room or give the right to write there, or set XDG_CACHE_HOME.",
        ) from error
    return tree


def _make(cache: Path, tree: Path, tell: Progress) -> None:
    part = cache / f"{tree.name}.part"
    if part.exists():
        tell("removing what an interrupted set-up left")
        _sweep(part)
    free = shutil.disk_usage(cache).free
    if free < NEEDED_BYTES:
        raise RootfsError(
            f"{cache} has {free / 1024**3:.1f} GiB free, the root file system of boxes needs "
            f"{NEEDED_BYTES / 1024**3:.0f} GiB to be made",
            "Make room there, or set XDG_CACHE_HOME to another disk.",
        )
    log = cache / f"{tree.name}.log"
    began = time.monotonic()
    # In the cache: what a killed build leaves of it is found by the next one.
    scratch = cache / f"{tree.name}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        code = _mmdebstrap(scratch, part, log, tell)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if code:
        text = log.read_text(errors="replace")
        _sweep(part)
        _explain(code, text, log, cache)
    config = part / "etc/cloud/cloud.cfg.d/90_embedded.cfg"
    config.write_text(packages.CLOUD_CONFIG)
    part.rename(tree)
    tell(f"made the root file system of boxes in {time.monotonic() - began:.0f} s")


def _mmdebstrap(scratch: Path, part: Path, log: Path, tell: Progress) -> int:
    hook = scratch / "customize"
    hook.write_text("#!/bin/sh" + _CUSTOMIZE.replace("CACHED", " ".join(packages.CACHED)))
    hook.chmod(0o755)
    argv = [
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
        f"--include={','.join(packages.IMAGE)}", "--skip=cleanup/apt/cache,cleanup/apt/lists",
        *(f"--aptopt={option}" for option in sources.apt_options()), f"--customize-hook={hook}",
        packages.SUITE, str(part),
    ]  # fmt: skip
    # Without any, mmdebstrap's own default is right.
    if repositories := debian.repositories(packages.SUITE):
        (scratch / "boxes.sources").write_text(repositories)
        argv.append(str(scratch / "boxes.sources"))
    tell("making the root file system of boxes (Debian 13), about a minute, once")
    with log.open("w") as file:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment() | {"TMPDIR": str(scratch), "DEBIAN_FRONTEND": "noninteractive"},
            start_new_session=True,
        )
        stdout = piped(process.stdout)
        try:
            for line in stdout:
                file.write(line)
                if line.startswith("I: ") and line[3:].startswith(_TOLD):
                    tell(line[3:].strip(" .\n"))
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            stdout.close()
            process.wait()


def _sweep(part: Path) -> None:
    """Takes away what a build left, what it had mounted there included: killed builds leave /proc, /sys and /dev."""
    for point in reversed(_mounts_below(part)):
        command(["umount", "--lazy", str(point)], timeout_seconds=60)
    if left := _mounts_below(part):
        raise RootfsError(f"{left[0]} is mounted and does not let go", "Unmount it, then try again.")
    command(["rm", "-rf", "--one-file-system", "--", str(part)], timeout_seconds=300)


def _mounts_below(part: Path) -> list[Path]:
    """Mount points in that folder, in the order in which they were mounted."""
    points = (Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.is_relative_to(part)]


def _explain(code: int, text: str, log: Path, cache: Path) -> None:
    if "No space left on device" in text:
        raise RootfsError(
            f"the disk of {cache} became full while the root file system of boxes was made",
            "Make room there, or set XDG_CACHE_HOME to another disk.",
        )
    words = [line for line in text.splitlines() if line.startswith(("E:", "W:", "Err:", "mmdebstrap"))][-4:]
    raise RootfsError(
        f"mmdebstrap ended with {code}: {' / '.join(words) or 'no message'}",
        f"Debian's mirror has to be reachable once, and Debian's keys be here (package debian-archive-keyring); all "
        f"that was said is in {log}.",
    )
