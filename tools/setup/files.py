"""The one place that writes set-up's files: whole or not at all, and by one set-up at a time."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a kill at any moment, finds the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    _sync_directory(path.parent)


def publish(staging: Path, final: Path) -> None:
    """Give a finished directory its name. What stood there and was not whole is taken away first."""
    for folder, _, names in os.walk(staging):
        for name in names:
            with (Path(folder) / name).open("rb") as stream:
                os.fsync(stream.fileno())
        _sync_directory(Path(folder))
    discard(final, into=staging.parent)
    staging.rename(final)
    _sync_directory(final.parent)


def discard(path: Path, *, into: Path) -> None:
    """Take a file, link or directory away: renamed into `into` first, so that no half of it keeps its name."""
    if not path.is_symlink() and not path.exists():
        return
    if path.is_symlink():
        path.unlink()
        return
    into.mkdir(parents=True, exist_ok=True)
    trash = into / f"discarded.{path.name.lstrip('.')}.{os.getpid()}"
    try:
        path.rename(trash)
    except OSError:  # another file system, or a mount point
        trash = path
    if trash.is_dir():
        shutil.rmtree(trash)
    else:
        trash.unlink()


def discard_leftovers(folder: Path) -> None:
    """Finish what a killed set-up was about to take away. Call it only under the lock."""
    for path in folder.glob("discarded.*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def held(path: Path, on_wait: Callable[[str], None]) -> Generator[None]:
    """Hold a lock file; the system lets it go when the process ends, however it ends.

    While another process holds it, `on_wait` is called with what that one wrote about itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait(os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process")
                time.sleep(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> tuple[int, int]:
    """Return (file system id, bytes free for this user) where `path` is, or would be made."""
    while not path.exists():
        path = path.parent
    stat = os.statvfs(path)
    return path.stat().st_dev, stat.f_bavail * stat.f_frsize


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
