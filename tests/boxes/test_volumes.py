"""Volumes on real boxes: data that outlives machines, devices as on Nitro, growing, snapshots, power cuts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.boxes import (
    Attachment,
    BoxSpec,
    BusyError,
    Host,
    SpecError,
    State,
    UnknownError,
    VolumeSpec,
    World,
)
from embedded.boxes.disks import Disks
from embedded.boxes.model import GIBIBYTE, MEBIBYTE
from tests.boxes.support import Cloud, eventually

pytestmark = pytest.mark.box

SIZE = 300 * MEBIBYTE
CAP_SYS_RESOURCE = 24
BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol"


@pytest.fixture
def volume(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[VolumeSpec]:
    spec = VolumeSpec(volume_id=f"vol-{abs(hash(request.node.name)) % 16**8:08x}", size_bytes=SIZE)
    cloud.put(spec)
    yield spec
    cloud.drop(spec.volume_id)
    eventually(lambda: _deleted(cloud, spec.volume_id))


def _deleted(cloud: Cloud, volume_id: str) -> bool:
    try:
        cloud.host.delete_volume(volume_id)
    except BusyError:
        return False
    return True


def _state(cloud: Cloud, volume: VolumeSpec) -> Attachment:
    return next(v.state for v in cloud.host.volumes() if v.volume_id == volume.volume_id)


def _is(cloud: Cloud, volume: VolumeSpec, state: Attachment) -> None:
    eventually(lambda: _state(cloud, volume) is state)


def test_data_outlives_the_box_and_is_found_by_volume_id_by_label_and_by_device_name(
    cloud: Cloud, box: BoxSpec, volume: VolumeSpec
) -> None:
    held = replace(volume, attached_to=box.instance_id, device="/dev/sdf")
    cloud.put(held)
    _is(cloud, volume, Attachment.ATTACHED)
    by_id = f"{BY_ID}{volume.volume_id.removeprefix('vol-')}"
    cloud.sh(box, f"blkid {by_id} && exit 1; mkfs.ext4 -q -L data {by_id}")
    cloud.sh(box, "mount LABEL=data /mnt && echo precious > /mnt/row && umount /mnt")
    assert cloud.sh(box, "blockdev --getsize64 /dev/sdf") == str(SIZE)
    assert cloud.sh(box, "readlink -f /dev/nvme1n1") == cloud.sh(box, f"readlink -f {by_id}")

    cloud.boxes.pop(box.instance_id)
    successor = cloud.spec()
    cloud.put(successor, replace(held, attached_to=successor.instance_id, device="/dev/sdg"))
    cloud.booted(successor)
    assert cloud.sh(successor, "mount /dev/sdg /mnt && cat /mnt/row") == "precious"
    cloud.drop(successor.instance_id, volume.volume_id)
    eventually(lambda: cloud.host.box(successor.instance_id).state is State.TERMINATED)
    assert volume.volume_id in cloud.host.kept_volumes()


def test_a_mounted_volume_is_detached_only_when_the_box_lets_go(
    cloud: Cloud, box: BoxSpec, volume: VolumeSpec
) -> None:
    cloud.put(replace(volume, attached_to=box.instance_id, device="/dev/sdf"))
    _is(cloud, volume, Attachment.ATTACHED)
    cloud.sh(box, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt")
    cloud.put(volume)
    time.sleep(1)
    assert _state(cloud, volume) is Attachment.DETACHING
    with pytest.raises(BusyError, match="in the world"):
        cloud.host.delete_volume(volume.volume_id)
    cloud.sh(box, "echo still here > /mnt/x; umount /mnt")
    _is(cloud, volume, Attachment.AVAILABLE)
    assert cloud.sh(box, "ls /dev/sdf /dev/nvme1n1 /dev/disk/by-id 2>/dev/null || true") == "/dev/disk/by-id:"


def test_a_volume_grows_while_it_is_mounted_and_never_shrinks(
    cloud: Cloud, box: BoxSpec, volume: VolumeSpec
) -> None:
    held = replace(volume, attached_to=box.instance_id, device="/dev/sdf")
    cloud.put(held)
    _is(cloud, volume, Attachment.ATTACHED)
    cloud.sh(box, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt")
    cloud.put(replace(held, size_bytes=2 * SIZE))
    assert cloud.sh(box, "blockdev --getsize64 /dev/sdf") == str(2 * SIZE)
    capabilities = int(cloud.sh(box, "sed -n 's/CapEff:.//p' /proc/self/status"), 16)
    if capabilities >> CAP_SYS_RESOURCE & 1:
        cloud.sh(box, "resize2fs /dev/sdf")
    else:  # where not even this machine's root may grow a mounted ext4
        cloud.sh(box, "umount /mnt && e2fsck -fp /dev/sdf && resize2fs /dev/sdf && mount /dev/sdf /mnt")
    assert int(cloud.sh(box, "df --output=size -B1 /mnt | tail -1")) > SIZE
    with pytest.raises(SpecError, match="never shrinks"):
        cloud.put(held)
    cloud.put(replace(held, size_bytes=2 * SIZE))
    cloud.sh(box, "umount /mnt")
    cloud.put(replace(volume, size_bytes=2 * SIZE))
    _is(cloud, volume, Attachment.AVAILABLE)


def test_a_reboot_brings_the_devices_back(cloud: Cloud, box: BoxSpec, volume: VolumeSpec) -> None:
    cloud.put(replace(volume, attached_to=box.instance_id, device="/dev/sdf"))
    _is(cloud, volume, Attachment.ATTACHED)
    cloud.host.reboot(box.instance_id)
    cloud.booted(box, boots=2)
    assert cloud.sh(box, "blockdev --getsize64 /dev/sdf") == str(SIZE)


def test_a_snapshot_of_a_volume_in_use_is_of_one_moment_and_becomes_a_larger_volume(
    cloud: Cloud, box: BoxSpec, volume: VolumeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put(replace(volume, attached_to=box.instance_id, device="/dev/sdf"))
    _is(cloud, volume, Attachment.ATTACHED)
    cloud.sh(box, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt")
    cloud.sh(box, "head -c 50000000 /dev/urandom > /mnt/bulk; sha256sum /mnt/bulk > /mnt/sum; touch /run/go")
    # The same number goes into two files in turn: in a snapshot of one moment they differ by one at most.
    turns = "n=$((n+1)); echo $n > new; mv new a; echo $n > new; mv new b"
    cloud.sh(box, f"cd /mnt; n=0; {turns}; (while [ -e /run/go ]; do {turns}; done) > /dev/null 2>&1 &")
    copy, turn = (
        Disks.copy_all_to_snapshot,
        f"/proc/{cloud.host._box(box.instance_id).leader()[0]}/root/mnt/a",
    )
    turns_during: list[str] = []

    def watched(disks: Disks, volume_id: str, snapshot_id: str) -> None:
        turns_during.append(Path(turn).read_text())
        copy(disks, volume_id, snapshot_id)
        turns_during.append(Path(turn).read_text())

    monkeypatch.setattr(Disks, "copy_all_to_snapshot", watched)
    for _ in range(2):
        cloud.host.snapshot(volume.volume_id, "snap-1")
    assert len(turns_during) in (0, 2)  # 0 where blocks are shared, in no time
    assert len(set(turns_during)) <= 1
    eventually(lambda: Path(turn).read_text() not in turns_during)  # and it goes on
    assert cloud.sh(box, "rm /run/go; sleep 0.2; cat /mnt/a") == cloud.sh(box, "cat /mnt/b")
    larger = VolumeSpec(
        volume_id="vol-copy",
        size_bytes=2 * SIZE,
        snapshot_id="snap-1",
        attached_to=box.instance_id,
        device="/dev/sdg",
    )
    cloud.put(larger)
    _is(cloud, larger, Attachment.ATTACHED)
    eventually(lambda: cloud.host.run(box.instance_id, "test -b /dev/sdg").returncode == 0)
    assert cloud.sh(box, "blockdev --getsize64 /dev/sdg") == str(2 * SIZE)
    cloud.sh(box, "mkdir /copy; mount /dev/sdg /copy; cd /copy; sed -i s,/mnt/,/copy/, sum; sha256sum -c sum")
    first, second = int(cloud.sh(box, "cat /copy/a")), int(cloud.sh(box, "cat /copy/b"))
    assert first - second in (0, 1)
    cloud.sh(box, "umount /copy /mnt")
    cloud.drop(larger.volume_id)
    eventually(lambda: _deleted(cloud, larger.volume_id))
    cloud.host.delete_snapshot("snap-1")
    assert cloud.host.snapshots() == ()


def test_a_power_cut_keeps_what_was_synced_and_loses_what_was_not(
    cloud: Cloud, box: BoxSpec, volume: VolumeSpec
) -> None:
    cloud.put(replace(volume, attached_to=box.instance_id, device="/dev/sdf"))
    _is(cloud, volume, Attachment.ATTACHED)
    cloud.sh(box, "mkfs.ext4 -q /dev/sdf && mount /dev/sdf /mnt && echo yes > /mnt/synced && sync -f /mnt")
    cloud.sh(box, "echo no > /mnt/unsynced; cat /mnt/unsynced")
    cloud.host.power_cut(box.instance_id)
    cloud.host.power_on(box.instance_id)
    cloud.booted(box, boots=2)
    assert cloud.sh(box, "mount /dev/sdf /mnt; cd /mnt; ls -d *synced") == "synced"
    assert cloud.sh(box, "cat /mnt/synced; umount /mnt") == "yes"


def test_what_cannot_be_made_is_refused_and_nothing_is_changed(cloud: Cloud, volume: VolumeSpec) -> None:
    before = cloud.host.kept_volumes()
    with pytest.raises(SpecError, match="vol-x is to be made from snap-none, which is not here"):
        cloud.put(VolumeSpec(volume_id="vol-x", size_bytes=SIZE, snapshot_id="snap-none"))
    cloud.volumes.pop("vol-x")
    with pytest.raises(UnknownError, match="no volume vol-none"):
        cloud.host.snapshot("vol-none", "snap-x")
    assert cloud.host.kept_volumes() == before
    assert cloud.host.snapshots() == ()


def test_a_volume_takes_only_the_room_that_is_written(tmp_path: Path) -> None:
    with Host.open(tmp_path) as host:
        host.apply(World(volumes=(VolumeSpec(volume_id="vol-1", size_bytes=100 * GIBIBYTE),)))
        (status,) = host.volumes()
        assert (status.state, status.size_bytes) == (Attachment.AVAILABLE, 100 * GIBIBYTE)
        assert status.used_bytes < MEBIBYTE
