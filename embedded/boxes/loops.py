"""The only place for loop devices: an image file as a block device that goes away by itself.

Made with one ioctl (LOOP_CONFIGURE, Linux 5.8) and the flag AUTOCLEAR: the kernel takes the device back when its
last user closes it. This process is one user, a mounted file system in a box another; when both are gone, by
whatever death, so is the device. Constants from include/uapi/linux/loop.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from embedded.boxes.errors import HostError

MAJOR = 7
CONTROL = Path("/dev/loop-control")
_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_SET_CAPACITY = 0x4C07
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II QQQQQ IIII 64s64s32s QQ 64s")
"""fd, block size; device, inode, rdevice, offset, size limit; number, two of encryption, flags; names; reserved."""
_TRIES = 64


class Loop:
    """An image file attached to `device`, until `close` and until no box has it open any more."""

    def __init__(self, image: Path) -> None:
        backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.number, self._handle = _attach(backing, image)
        finally:
            os.close(backing)

    @property
    def device(self) -> Path:
        """The device node on this machine, which has the same name in a box."""
        return Path(f"/dev/loop{self.number}")

    def grow(self) -> None:
        """Take over the image's new size; whoever has the device open sees it at once."""
        fcntl.ioctl(self._handle, _SET_CAPACITY, 0)

    def flush(self) -> None:
        """Write what was written to the device through to the image."""
        os.fsync(self._handle)

    def in_use(self) -> bool:
        """Whether a mounted file system (or another exclusive user) has the device."""
        try:
            os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
            raise
        return False

    def close(self) -> None:
        """Give the device back, as soon as nobody else has it open. Idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _attach(backing: int, image: Path) -> tuple[int, int]:
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{CONTROL}: {error.strerror}", "Load the kernel module `loop`.") from error
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            handle = _open(number)
            name = str(image).encode()[-63:]
            config = _CONFIG.pack(backing, 0, *(0,) * 8, _AUTOCLEAR, name, b"", b"", 0, 0, b"")
            try:
                fcntl.ioctl(handle, _CONFIGURE, config)
            except OSError as error:
                os.close(handle)
                if error.errno == errno.EBUSY:
                    continue  # another process was quicker with this number
                raise HostError(f"{image} cannot become a loop device: {error.strerror}") from error
            return number, handle
    finally:
        os.close(control)
    raise HostError(
        f"no loop device is free for {image} after {_TRIES} tries", "Detach some (`losetup --list`)."
    )


def _open(number: int) -> int:
    device = Path(f"/dev/loop{number}")
    if not device.exists():
        # Without devtmpfs (a container) nobody makes the node of a new device.
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(MAJOR, number))
    return os.open(device, os.O_RDWR | os.O_CLOEXEC)
