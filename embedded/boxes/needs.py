"""The only place that says whether this machine can have boxes, and if not, why and what to do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from embedded.boxes.errors import HostError
from embedded.boxes.process import command, search_path

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
"""What boxes call, and the Debian package that has it."""

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}
"""Numbers from include/uapi/linux/capability.h; a root user in an ordinary container lacks them."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why there are no boxes, and what would change that; one line each."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}"


def available(directory: Path | None = None) -> Unavailable | None:
    """None when boxes can be had; with `directory`, also whether their roots can lie there."""
    if os.geteuid() != 0:
        return Unavailable(
            f"boxes need root, this runs as user {os.geteuid()}",
            "Run as root, or go on without boxes (--no-boxes).",
        )
    effective = _effective_capabilities()
    lacking = [name for name, number in CAPABILITIES.items() if not effective >> number & 1]
    if lacking:
        return Unavailable(
            f"boxes need {', '.join(lacking)}, which this root user does not have",
            "Run outside of a container or in a privileged one, or go on without boxes (--no-boxes).",
        )
    missing = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    if missing:
        wanted = sorted({PROGRAMS[program] for program in missing})
        return Unavailable(
            f"boxes need {', '.join(missing)}, not found on this machine",
            f"apt-get install {' '.join(wanted)}, or go on without boxes (--no-boxes).",
        )
    return _kernel() or (_place(directory) if directory is not None else None)


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _kernel() -> Unavailable | None:
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        try:
            command(["modprobe", "overlay"])
        except HostError:
            return Unavailable(
                "boxes need overlayfs, which this kernel does not have", "Load the module `overlay`."
            )
    if not Path("/dev/loop-control").exists():
        try:
            command(["modprobe", "loop"])
        except HostError:
            return Unavailable(
                "boxes need loop devices, which this kernel does not have", "Load the module `loop`."
            )
    return None


def _place(directory: Path) -> Unavailable | None:
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    kind = command(["stat", "--file-system", "--format=%T", str(there)]).strip()
    if kind in ("overlayfs", "nfs", "fuseblk", "vboxsf", "v9fs", "msdos"):
        return Unavailable(
            f"{there} is on {kind}, which cannot hold the roots of boxes",
            "Take a directory on ext4, XFS or btrfs.",
        )
    return None
