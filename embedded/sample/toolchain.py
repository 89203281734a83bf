"""The only place where there is a JDK: a layer over the boxes' root file system, made once, kept in the user's cache.

    ${XDG_CACHE_HOME:-~/.cache}/terrace/toolchain/KEY/        what installing `PACKAGES` changed in the tree of boxes
    ${XDG_CACHE_HOME:-~/.cache}/terrace/toolchain/KEY.log     what apt-get said

So what compiles the sample is the JDK of the Debian that runs it, and none has to be on the machine. It needs what
boxes need (root, mount namespaces, overlayfs), and Debian's mirror once: 86 MB are fetched.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from embedded.boxes import rootfs
from embedded.boxes.needs import available
from embedded.boxes.process import environment

PACKAGES = ("openjdk-21-jdk-headless", "libpostgresql-jdbc-java", "libscram-java")
"""The driver asks for SCRAM's classes when the server does, and Debian keeps them in a package of their own."""

JAVA_JARS = "/usr/share/java"

_INSTALL = (
    "apt-get install --yes --no-install-recommends {packages} || "
    "{{ apt-get update && apt-get install --yes --no-install-recommends {packages}; }}"
)
"""Lists as old as the tree may name files that the mirror has replaced since."""

_ENTER = r"""
set -e
lower=$1 upper=$2 work=$3 root=$4 shared=$5
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
rm -f "$root/etc/resolv.conf"
cat /etc/resolv.conf > "$root/etc/resolv.conf"
mkdir -p "$root/build"
mount --bind "$shared" "$root/build"
exec chroot "$root" /bin/sh -ec "$6"
"""


class BuildError(Exception):
    """The sample could not be built: what was wrong, and what to do."""


def jdk(cache: Path, progress: Callable[[str], None] = lambda _: None) -> tuple[Path, ...]:
    """The layers that hold the JDK, topmost first; made first if they are not there.

    Raises:
        BuildError: this machine cannot have boxes, or the packages cannot be had.
    """
    if (missing := available()) is not None:
        raise BuildError(f"the sample's backend is compiled in a box's file system, and {missing}")
    tree = rootfs.ensure(progress, cache=cache / "rootfs")
    key = hashlib.sha256(json.dumps([rootfs.key(), PACKAGES, _INSTALL]).encode()).hexdigest()[:16]
    folder = cache / "toolchain"
    folder.mkdir(parents=True, exist_ok=True)
    layer = folder / key
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layer.is_dir():
            progress("installing the JDK that the sample is compiled with, half a minute, once")
            part = folder / f"{key}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            script = _INSTALL.format(packages=" ".join(PACKAGES))
            done = _enter((tree,), part, part, script)
            (folder / f"{key}.log").write_text(done.stdout, encoding="utf-8")
            if done.returncode:
                raise BuildError(
                    f"installing {', '.join(PACKAGES)} ended with {done.returncode}. Debian's mirror has to be "
                    f"reachable once; all that was said is in {folder / f'{key}.log'}"
                )
            part.rename(layer)
    return layer, tree


def run(layers: tuple[Path, ...], shared: Path, script: str) -> str:
    """Runs a script over the layers, with `shared` as /build; what it printed. What it writes elsewhere is dropped.

    Raises:
        BuildError: it failed; the end of what it printed is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="terrace-build-", dir=layers[0].parent) as scratch:
        done = _enter(layers, Path(scratch), shared, script)
    if done.returncode:
        raise BuildError(f"compiling the sample ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def _enter(
    lower: tuple[Path, ...], upper: Path, shared: Path, script: str
) -> subprocess.CompletedProcess[str]:
    """Mounts die with the namespace, however the script ends."""
    with tempfile.TemporaryDirectory(prefix="terrace-mount-", dir=upper.parent) as scratch:
        places = [Path(scratch, name) for name in ("work", "root")]
        for place in places:
            place.mkdir()
        upper.chmod(0o755)
        layers = ":".join(str(each) for each in lower)
        arguments = [layers, str(upper), str(places[0]), str(places[1]), str(shared), script]
        return subprocess.run(
            [
                "unshare",
                "--mount",
                "--propagation=private",
                "--pid",
                "--fork",
                "--kill-child",
                "--",
                "/bin/sh",
                "-c",
                _ENTER,
                "sh",
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment() | {"DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        )
