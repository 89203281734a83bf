"""terrace-mount: the only place that finds, makes, grows and mounts the data volume.

It formats only a device on which blkid finds nothing at all, and mounts only what is ext4 and belongs to this stack.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import stat
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from infra.core.errors import Fault, TerraceError

from .system import DATA, Facts, command, ended, facts, run, say, write

LABEL = "terrace-data"
IDENTITY = "identity.json"
WAIT_SECONDS = 90.0
NOTHING_FOUND, AMBIVALENT = 2, 8
READ_BYTES = 1 << 20
NAMES = ("/dev/sdf", "/dev/xvdf", "/dev/nvme1n1")
"""What /dev/sdf is called where no by-id link stands (EBS User Guide, "Device names")."""


def find(volume_id: str) -> Path | None:
    """The device: by its label, else by the volume's serial number, else by the name it was attached as."""
    labelled = run(["blkid", "-t", f"LABEL={LABEL}", "-o", "device"], check=False).split()
    serial = volume_id.replace("-", "")
    by_id = Path("/dev/disk/by-id") / f"nvme-Amazon_Elastic_Block_Store_{serial}"
    # Without the id's own link a root disk could be meant by nvme1n1: a device with partitions is never taken.
    for path in [*map(Path, labelled), by_id, *map(Path, NAMES)]:
        if path.exists() and stat.S_ISBLK(path.stat().st_mode) and not _has_partitions(path.resolve()):
            return path.resolve()
    return None


def mount(found: Facts, *, wait_seconds: float = WAIT_SECONDS) -> str:
    """Brings the volume to /data; what was done, in a few words.

    Raises:
        TerraceError: no device, another file system, another stack's data, or a file system that is read-only.
    """
    done = []
    if not DATA.is_mount():
        device = _wait(found["data_volume_id"], wait_seconds)
        kind = _probe(device)
        if not kind:
            run(["mkfs.ext4", "-q", "-L", LABEL, "-E", "lazy_itable_init=1", str(device)])
            done.append(f"formatted {device}")
        elif kind != "ext4":
            raise TerraceError(
                Fault(str(device), f"holds {kind} and not ext4", "Nothing was written to it; look what it is")
            )
        DATA.mkdir(exist_ok=True)
        _check_foreign(device, found)
        run(["mount", "-o", "noatime,nodev,nosuid", str(device), str(DATA)])
        done.append(f"mounted {device}")
    _check_writable()
    try:
        done.append(grow())
    except TerraceError as error:
        # What is there serves; terrace-grow.timer tries again and is seen to fail.
        say(f"/data does not grow: {error}")
    own = {"project": found["project"], "stack": found["stack"]}
    path = DATA / IDENTITY
    if not path.exists():
        made = {**own, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
        write(path, json.dumps(made) + "\n")
    _check_identity(path, found)
    return ", ".join(each for each in done if each) or "stands"


def grow() -> str:
    """Lets the mounted file system take the whole of a volume that grew; what was done, or nothing.

    Raises:
        TerraceError: /data is not mounted, or the kernel refuses.
    """
    device = run(["findmnt", "--noheadings", "--output", "SOURCE", str(DATA)], check=False).strip()
    if not device:
        raise TerraceError(Fault(str(DATA), "is not mounted", "systemctl restart terrace-data"))
    before = _blocks()
    run(["resize2fs", device])
    after = _blocks()
    return f"grew from {before / 2**30:.1f} to {after / 2**30:.1f} GiB" if after > before else ""


def _blocks() -> int:
    """Bytes of the file system."""
    found = os.statvfs(DATA)
    return found.f_blocks * found.f_frsize


def _wait(volume_id: str, wait_seconds: float) -> Path:
    deadline = time.monotonic() + wait_seconds
    while (device := find(volume_id)) is None:
        if time.monotonic() > deadline:
            raise TerraceError(
                Fault(
                    "data volume",
                    f"{volume_id} did not appear within {wait_seconds:g} s",
                    "Is it attached? `pulumi up` attaches it; then: systemctl restart terrace-data",
                )
            )
        time.sleep(1)
    return device


def _probe(device: Path) -> str:
    """What is on it: a file system's type, another signature, or "" for nothing at all.

    Raises:
        TerraceError: blkid could not tell; only "nothing found" (2) is nothing, and "ambivalent" (8) is not
            (util-linux, blkid(8)).
    """
    probed = ended(["blkid", "-p", "-o", "export", str(device)], timeout_seconds=60)
    values = dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)
    found = values.get("TYPE") or values.get("PTTYPE") or ("something unknown" if len(values) > 1 else "")
    if found:
        return found
    if probed.returncode == AMBIVALENT:
        return "several signatures"
    if probed.returncode != NOTHING_FOUND:
        said = probed.stderr.strip() or f"blkid ended with {probed.returncode}"
        raise TerraceError(Fault(str(device), f"cannot be probed: {said}", "Nothing was written; look at it"))
    try:
        with device.open("rb") as file:
            file.read(READ_BYTES)
    except OSError as error:
        # blkid ends with 2 there as well.
        raise TerraceError(
            Fault(str(device), f"cannot be read: {error.strerror}", "Nothing was written; look at `dmesg`")
        ) from error
    return ""


def _check_foreign(device: Path, found: Facts) -> None:
    """Looks at the identity before anything can be written: a mount of another stack's data replays its journal."""
    text = run(["debugfs", "-R", f"cat /{IDENTITY}", str(device)], check=False).strip()
    if text.startswith("{"):
        _compare(json.loads(text), found)


def _check_identity(path: Path, found: Facts) -> None:
    try:
        _compare(json.loads(path.read_text(encoding="utf-8")), found)
    except ValueError as error:
        raise TerraceError(Fault(str(path), f"is not readable: {error}", "Restore it by hand")) from error


def _compare(seen: dict[str, str], found: Facts) -> None:
    theirs, ours = f"{seen.get('project')}/{seen.get('stack')}", f"{found['project']}/{found['stack']}"
    if theirs != ours:
        raise TerraceError(
            Fault(str(DATA), f"holds the data of {theirs}, and this box is {ours}", "Attach the right volume")
        )


def _check_writable() -> None:
    if os.statvfs(DATA).f_flag & os.ST_RDONLY:
        raise TerraceError(
            Fault(
                str(DATA),
                "is mounted read-only",
                "Look at `dmesg`; after a repair: mount -o remount,rw /data",
            )
        )


def _has_partitions(device: Path) -> bool:
    return any(Path("/sys/class/block").glob(f"{device.name}/{device.name}*"))


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 on")
    return value


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="terrace-mount", description=__doc__.split("\n")[0])
    parser.add_argument("--wait-seconds", type=_seconds, default=WAIT_SECONDS, help="how long to wait for it")
    parser.add_argument(
        "--grow", action="store_true", help="only let the mounted file system take a grown volume"
    )
    given = parser.parse_args()

    def work() -> int:
        if not given.grow:
            say(f"/data: {mount(facts(), wait_seconds=given.wait_seconds)}")
        elif grown := grow():
            say(f"/data {grown}")
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
