"""What is left behind: nothing after a close, and after a kill only what recovery undoes by its list."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from embedded.boxes import BusyError, Host, VolumeSpec, World
from embedded.boxes.journal import SHARED, Kind, entries, token_of
from embedded.boxes.model import MEBIBYTE
from embedded.boxes.process import command
from embedded.boxes.uplink import link_name, table_name
from tests.boxes.support import Cloud, eventually, fetch

pytestmark = pytest.mark.box

ROOT = Path(__file__).parents[2]

SUPERVISOR = """
    import sys, time
    from ipaddress import IPv4Network
    from pathlib import Path
    from embedded.boxes import BoxSpec, Host, VolumeSpec, World
    host = Host.open(Path(sys.argv[1]))
    cidr = IPv4Network("10.20.0.0/16")
    box = BoxSpec(instance_id="i-1", vpc_id="vpc-1", vpc_cidr=cidr, private_ip=cidr[5],
                  public_ip=host.assignable()[0], mac="0a:00:00:00:00:05", memory_bytes=512 << 20, vcpus=1)
    disk = VolumeSpec(volume_id="vol-1", size_bytes=64 << 20, attached_to="i-1", device="/dev/sdf")
    host.apply(World((box,), (disk,)))
    if sys.argv[2] == "booted":
        host.wait("i-1", lambda status: status.booted)
        print(host.run("i-1", "mkfs.ext4 -q /dev/sdf; mount /dev/sdf /mnt; echo kept > /mnt/x; sync -f /mnt; "
                              "echo root > /root/x").returncode, flush=True)
    else:
        while host.box("i-1").state != sys.argv[2]:
            time.sleep(0.01)
        print(0, flush=True)
    time.sleep(600)
"""


class Traces:
    """What the cloud in a directory has on this machine, read from its journal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = SHARED / f"{token_of(directory)}.jsonl"
        self.entries = entries(self.journal)
        self.token = token_of(directory)
        self.groups = [Path(e.facts["path"]) for e in self.entries if e.kind is Kind.CGROUP]

    def left(self) -> list[str]:
        """Every trace that is there now."""
        found = [str(path) for path in self.groups if path.exists()]
        if table_name(self.token) in command(["nft", "list", "tables"]).split():
            found.append(table_name(self.token))
        if Path("/sys/class/net", link_name(self.token)).exists():
            found.append(link_name(self.token))
        loops = json.loads(
            command(["losetup", "--json", "--list", "--output", "NAME,BACK-FILE"]) or '{"loopdevices": []}'
        )
        found += [f"{row['name']} on {row['back-file']}" for row in loops["loopdevices"]
                  if str(self.directory) in (row["back-file"] or "")]  # fmt: skip
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.directory) in (process / "mountinfo").read_text():
                    found.append(f"mounts of {process.name}")
                elif str(self.directory).encode() in (
                    process / "cmdline"
                ).read_bytes() and process.name != str(os.getpid()):
                    found.append(f"process {process.name}")
            except OSError:
                continue
        found += [line for line in command(["ip", "route"]).splitlines() if link_name(self.token) in line]
        return found


def _supervise(directory: Path, until: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(directory), until],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "0"
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("moment", ["pending", "running", "booted"])
def test_after_a_kill_of_the_supervisor_machines_end_by_themselves_and_recovery_undoes_the_rest(
    tmp_path: Path, moment: str
) -> None:
    process = _supervise(tmp_path, moment)
    traces = Traces(tmp_path)
    assert len(traces.left()) > 3
    with pytest.raises(BusyError, match=f"in use by process {process.pid}"):
        Host.recover(tmp_path)
    _kill(process)
    # Machines, mounts, links and devices are gone without anybody doing anything.
    own = {str(path) for path in traces.groups} | {table_name(traces.token)}
    eventually(lambda: set(traces.left()) <= own)
    undone = Host.recover(tmp_path)
    assert any(link_name(traces.token) in line for line in undone)
    assert traces.left() == []
    assert Host.recover(tmp_path) == ()
    assert not traces.journal.exists()


def test_what_a_killed_cloud_left_is_undone_by_the_next_cloud_even_of_another_and_after_its_directory_is_gone(
    tmp_path: Path,
) -> None:
    process = _supervise(tmp_path / "killed", "booted")
    traces = Traces(tmp_path / "killed")
    _kill(process)
    eventually(lambda: not any(line.startswith(("mounts", "process ")) for line in traces.left()))
    assert traces.left()
    shutil.rmtree(tmp_path / "killed")
    with Host.open(tmp_path / "another"):
        assert traces.left() == []


def test_after_a_kill_the_next_start_goes_on_with_the_same_roots_and_volumes(
    cloud: Cloud, tmp_path: Path
) -> None:
    process = _supervise(tmp_path, "booted")
    _kill(process)
    with Host.open(tmp_path) as host:
        spec = cloud.spec(instance_id="i-1", memory_bytes=512 * MEBIBYTE)
        disk = VolumeSpec(volume_id="vol-1", size_bytes=64 * MEBIBYTE, attached_to="i-1", device="/dev/sdf")
        host.apply(World((spec,), (disk,)))
        host.wait("i-1", lambda status: status.booted)
        done = host.run("i-1", "mount /dev/sdf /mnt; cat /mnt/x /root/x")
        assert done.stdout.split() == ["kept", "root"]


def test_closing_takes_five_seconds_at_most_and_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    nspawn_was_there = Path("/run/systemd/nspawn").exists()
    spec = cloud.spec()
    disk = VolumeSpec(volume_id="vol-1", size_bytes=MEBIBYTE, attached_to=spec.instance_id, device="/dev/sdf")
    host = Host.open(tmp_path)
    host.apply(World((spec,), (disk,)))
    host.wait(spec.instance_id, lambda status: status.booted)
    # A unit that does not want to stop.
    host.run(
        spec.instance_id,
        "systemd-run --property=TimeoutStopSec=60 sh -c 'trap : TERM; while :; do sleep 1; done'",
    )
    traces = Traces(tmp_path)
    began = time.monotonic()
    host.close()
    assert time.monotonic() - began < 5
    assert traces.left() == []
    assert not traces.journal.exists()
    assert Path("/run/systemd/nspawn").exists() is nspawn_was_there
    host.close()


def test_closing_in_the_middle_of_a_boot_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    spec = cloud.spec()
    host = Host.open(tmp_path)
    host.apply(World((spec,)))
    eventually(lambda: entries(SHARED / f"{token_of(tmp_path)}.jsonl")[-1].kind is Kind.CGROUP)
    traces = Traces(tmp_path)
    host.close()
    assert traces.left() == []


def test_one_directory_has_one_supervisor(tmp_path: Path) -> None:
    with Host.open(tmp_path), pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
        Host.open(tmp_path)


def test_two_clouds_with_the_same_addresses_serve_side_by_side(cloud: Cloud, web, tmp_path: Path) -> None:
    with Host.open(tmp_path) as other:
        twin = cloud.spec(
            instance_id=web.instance_id,
            private_ip=web.private_ip,
            mac=web.mac,
            public_ip=other.assignable()[0],
            user_data=b"#!/bin/sh\napt-get install -y nginx\necho twin > /var/www/html/index.html\n",
        )
        other.apply(World((twin,)))
        other.wait(twin.instance_id, lambda status: status.booted)
        assert fetch(f"http://{twin.public_ip}/") == "twin\n"
        assert fetch(f"http://{web.public_ip}/").strip() == web.hostname
        assert twin.public_ip != web.public_ip


def test_the_public_block_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with Host.open(tmp_path / "first") as first, Host.open(tmp_path / "second") as second:
        lower, block = first.public_network, second.public_network
    with Host.open(tmp_path / "second") as again:
        assert again.public_network == block != lower


def test_a_supervisor_that_is_asked_to_end_leaves_nothing_either(tmp_path: Path) -> None:
    process = _supervise(tmp_path, "running")
    traces = Traces(tmp_path)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    Host.recover(tmp_path)
    assert traces.left() == []
