"""The only place for volumes and snapshots: sparse image files of the true size, which outlive boxes.

    volumes/VOLUME.img      snapshots/SNAPSHOT.img

A file with its final name is whole: it is made under another name and renamed. File systems are made by the box,
never here. Where the directory's file system can share blocks (XFS with reflink, btrfs), copies take no time and no
space; elsewhere holes stay holes, and the data is copied.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded.boxes.errors import BoxesError, BusyError, HostError, SpecError, UnknownError
from embedded.boxes.loops import Loop
from embedded.boxes.model import VolumeSpec
from embedded.boxes.process import command
from embedded.boxes.status import Attachment, VolumeStatus

_log = logging.getLogger(__name__)

_COPY_SECONDS = 3600.0
_BLOCK_BYTES = 512


class Disks:
    """The images of one cloud, and which of them are devices now. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._volumes = directory / "volumes"
        self._snapshots = directory / "snapshots"
        for folder in (self._volumes, self._snapshots):
            folder.mkdir(parents=True, exist_ok=True)
            for unfinished in folder.glob("*.part"):
                unfinished.unlink()
        self._lock = threading.RLock()
        self._copier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="boxes-copy")
        self._copying = threading.Lock()
        self._coming: set[str] = set()
        self._loops: dict[str, tuple[str, Loop]] = {}

    def ensure(self, volumes: Iterable[VolumeSpec]) -> None:
        """Make images that are missing (from a snapshot: in the background) and grow those that are smaller.

        Raises SpecError for a volume smaller than its image or its snapshot, or of an unknown snapshot, before
        any of them is touched.
        """
        wanted = list(volumes)
        with self._lock:
            for spec in wanted:
                self._check(spec)
            for spec in wanted:
                if self._image(spec.volume_id).exists():
                    self._grow(spec)
                elif spec.snapshot_id is None:
                    self._make(spec)
                elif spec.volume_id not in self._coming:
                    self._coming.add(spec.volume_id)
                    self._copier.submit(self._make_from_snapshot, spec)

    def attach(self, volume_id: str, instance_id: str) -> Loop:
        """The volume as a device for that box, the same one when it already is.

        Raises BusyError while another box still has it, or while it is still being copied from its snapshot.
        """
        with self._lock:
            if not self.free_for(volume_id, instance_id):
                owner = self.owner(volume_id)
                why = f"is still attached to {owner}" if owner else "is still being made"
                raise BusyError(f"{volume_id} {why}", "Wait a little and try again.")
            if volume_id in self._loops:
                return self._loops[volume_id][1]
            loop = Loop(self._image(volume_id))
            self._loops[volume_id] = (instance_id, loop)
            return loop

    def free_for(self, volume_id: str, instance_id: str) -> bool:
        """Whether `attach` would succeed."""
        with self._lock:
            return self.owner(volume_id) in (None, instance_id) and self._image(volume_id).exists()

    def detach(self, volume_id: str, instance_id: str) -> bool:
        """Take the device back; False while the box has it open. What is not attached there is no error."""
        with self._lock:
            owner, loop = self._loops.get(volume_id, ("", None))
            if loop is None or owner != instance_id:
                return True
            if loop.in_use():
                return False
            loop.close()
            del self._loops[volume_id]
            return True

    def attached(self, instance_id: str) -> dict[str, Loop]:
        """The devices that the box has, by volume."""
        with self._lock:
            return {volume: loop for volume, (owner, loop) in self._loops.items() if owner == instance_id}

    def owner(self, volume_id: str) -> str | None:
        """The box that has the volume as a device now."""
        with self._lock:
            return self._loops[volume_id][0] if volume_id in self._loops else None

    def copy_to_snapshot(self, volume_id: str, snapshot_id: str) -> bool:
        """Copy in no time by sharing blocks; False where the file system cannot. Nobody has to hold still for it."""
        return self._copy(self._known(volume_id), self._snapshots / f"{snapshot_id}.img", "always")

    def copy_all_to_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Copy the data itself; the caller sees to it that nobody writes meanwhile."""
        with self._lock:
            if volume_id in self._loops:
                self._loops[volume_id][1].flush()
        self._copy(self._known(volume_id), self._snapshots / f"{snapshot_id}.img", "never")

    def has_snapshot(self, snapshot_id: str) -> bool:
        """Whether the snapshot is there, whole."""
        return (self._snapshots / f"{snapshot_id}.img").exists()

    def delete_volume(self, volume_id: str) -> None:
        """Delete the image; one that is not there is no error. Raises BusyError while a box has it."""
        with self._lock:
            if volume_id in self._loops:
                raise BusyError(f"{volume_id} is attached to {self._loops[volume_id][0]}", "Detach it first.")
            self._image(volume_id).unlink(missing_ok=True)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete the image; one that is not there is no error. Volumes made from it stay."""
        (self._snapshots / f"{snapshot_id}.img").unlink(missing_ok=True)

    def volumes(self) -> tuple[str, ...]:
        """The volumes whose data is in this directory, described or not."""
        return tuple(sorted(path.stem for path in self._volumes.glob("*.img")))

    def snapshots(self) -> tuple[str, ...]:
        """The snapshots whose data is in this directory."""
        return tuple(sorted(path.stem for path in self._snapshots.glob("*.img")))

    def status(self, specs: Iterable[VolumeSpec]) -> tuple[VolumeStatus, ...]:
        """Where each described volume stands."""
        return tuple(self._status(spec) for spec in specs)

    def close(self) -> None:
        """Give every device back."""
        self._copier.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for _, loop in self._loops.values():
                loop.close()
            self._loops.clear()

    def _status(self, spec: VolumeSpec) -> VolumeStatus:
        image = self._image(spec.volume_id)
        with self._lock:
            owner = self.owner(spec.volume_id)
            if not image.exists():
                state = Attachment.CREATING
            elif owner is None:
                state = Attachment.AVAILABLE if spec.attached_to is None else Attachment.ATTACHING
            else:
                state = Attachment.ATTACHED if owner == spec.attached_to else Attachment.DETACHING
            used = image.stat().st_blocks * _BLOCK_BYTES if image.exists() else 0
        return VolumeStatus(
            volume_id=spec.volume_id,
            state=state,
            size_bytes=spec.size_bytes,
            used_bytes=used,
            attached_to=owner,
        )

    def _check(self, spec: VolumeSpec) -> None:
        image = self._image(spec.volume_id)
        if image.exists():
            if image.stat().st_size > spec.size_bytes:
                raise SpecError(
                    f"{spec.volume_id} has {image.stat().st_size} bytes and is asked to have {spec.size_bytes}",
                    "An EBS volume never shrinks: ask for at least what it has.",
                )
        elif spec.snapshot_id is not None:
            source = self._snapshots / f"{spec.snapshot_id}.img"
            if not source.exists():
                raise SpecError(
                    f"{spec.volume_id} is to be made from {spec.snapshot_id}, which is not here",
                    f"The snapshots here: {', '.join(self.snapshots()) or 'none'}.",
                )
            if source.stat().st_size > spec.size_bytes:
                raise SpecError(
                    f"{spec.volume_id} is asked to have {spec.size_bytes} bytes, its snapshot {spec.snapshot_id} "
                    f"has {source.stat().st_size}",
                    "A volume is at least as large as its snapshot.",
                )

    def _grow(self, spec: VolumeSpec) -> None:
        image = self._image(spec.volume_id)
        if image.stat().st_size < spec.size_bytes:
            os.truncate(image, spec.size_bytes)
            if spec.volume_id in self._loops:
                self._loops[spec.volume_id][1].grow()

    def _make(self, spec: VolumeSpec) -> None:
        image = self._image(spec.volume_id)
        part = image.with_suffix(".part")
        part.touch(mode=0o600)
        os.truncate(part, spec.size_bytes)
        part.replace(image)

    def _make_from_snapshot(self, spec: VolumeSpec) -> None:
        source, image = self._snapshots / f"{spec.snapshot_id}.img", self._image(spec.volume_id)
        try:
            self._copy(source, image, "auto", spec.size_bytes)
        except (BoxesError, OSError) as error:
            _log.warning("%s could not be made from %s: %s", spec.volume_id, spec.snapshot_id, error)
        finally:
            with self._lock:
                self._coming.discard(spec.volume_id)  # the next `ensure` tries again if need be

    def _copy(self, source: Path, target: Path, reflink: str, size_bytes: int | None = None) -> bool:
        with self._copying:
            return self._copy_alone(source, target, reflink, size_bytes)

    def _copy_alone(self, source: Path, target: Path, reflink: str, size_bytes: int | None) -> bool:
        part = target.with_suffix(".part")
        try:
            command(
                ["cp", f"--reflink={reflink}", "--sparse=always" if reflink == "never" else "--sparse=auto",
                 "--", str(source), str(part)],
                timeout_seconds=_COPY_SECONDS,
            )  # fmt: skip
        except HostError:
            part.unlink(missing_ok=True)
            if reflink == "always":
                return False
            raise
        if size_bytes is not None:
            os.truncate(part, size_bytes)
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        part.replace(target)
        return True

    def _known(self, volume_id: str) -> Path:
        image = self._image(volume_id)
        if not image.exists():
            raise UnknownError(
                f"there is no volume {volume_id}", f"Those here: {', '.join(self.volumes()) or 'none'}."
            )
        return image

    def _image(self, volume_id: str) -> Path:
        return self._volumes / f"{volume_id}.img"
