"""The life of boxes on a real machine: user data, stop and start, reboot, power, memory, commands."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.boxes import BoxSpec, Host, NotRunningError, Power, State, UnknownError, World
from embedded.boxes.model import MEBIBYTE
from tests.boxes.support import WEB_SERVER, Cloud, eventually, fetch

pytestmark = pytest.mark.box

HOG = "python3 -c 'x = bytearray(400 << 20); print(len(x))'"


def test_user_data_runs_once_and_the_box_serves_again_after_stop_and_start(cloud: Cloud) -> None:
    spec = cloud.spec(
        public_ip=cloud.public(),
        user_data=WEB_SERVER,
    )
    cloud.put(spec)
    cloud.booted(spec)
    assert fetch(f"http://{spec.public_ip}/").strip() == spec.hostname
    assert cloud.host.box(spec.instance_id).cloud_init == "done"

    cloud.put(replace(spec, power=Power.STOPPED))
    cloud.until(spec, State.STOPPED)
    with pytest.raises(NotRunningError, match="stopped"):
        cloud.host.run(spec.instance_id, ["true"])

    cloud.put(spec)
    status = cloud.booted(spec, boots=2)
    assert status.failed_units == ()
    assert fetch(f"http://{spec.public_ip}/").strip() == spec.hostname
    assert cloud.sh(spec, "cat /root/ran") == "ran"
    cloud.drop(spec.instance_id)


def test_a_new_instance_in_the_place_of_an_old_one_starts_from_a_clean_root(
    cloud: Cloud, box: BoxSpec
) -> None:
    cloud.sh(box, "touch /root/mark")
    machine_id = cloud.sh(box, "cat /etc/machine-id")
    directory, namespaces = cloud.host.directory / "boxes" / box.instance_id, cloud.host.directory / "net"
    # By its own token: other hosts on this machine may have a box of that id.
    group = f"terrace-{cloud.host._journal.token}-{box.instance_id}"
    assert directory.exists()
    assert list(namespaces.glob(f"{box.instance_id}*"))
    assert list(Path("/sys/fs/cgroup").rglob(group))
    cloud.drop(box.instance_id)
    cloud.host.wait(box.instance_id, lambda s: s.state is State.TERMINATED)
    assert not directory.exists()
    assert not list(namespaces.glob(f"{box.instance_id}*"))
    assert not list(Path("/sys/fs/cgroup").rglob(group))
    successor = replace(box, instance_id="i-0000000000000beef")
    cloud.put(successor)
    cloud.booted(successor)
    assert cloud.sh(successor, "ls /root") == ""
    assert cloud.sh(successor, "cat /etc/machine-id") != machine_id
    cloud.drop(successor.instance_id)


def test_a_reboot_keeps_the_root_and_loses_what_was_in_memory(cloud: Cloud, box: BoxSpec) -> None:
    cloud.sh(box, "touch /root/kept /run/lost")
    cloud.host.reboot(box.instance_id)
    cloud.booted(box, boots=2)
    assert cloud.sh(box, "ls /root/kept") == "/root/kept"
    assert cloud.sh(box, "ls /run | grep -c lost || true") == "0"


def test_a_box_that_powers_itself_off_stays_off_until_it_is_switched_on(cloud: Cloud, box: BoxSpec) -> None:
    cloud.sh(box, "systemctl poweroff")
    status = cloud.until(box, State.STOPPED)
    assert status.reason == "it powered itself off"
    cloud.apply()
    time.sleep(1)
    assert cloud.host.box(box.instance_id).state is State.STOPPED
    cloud.put(replace(box, power=Power.STOPPED))
    cloud.put(box)
    cloud.booted(box, boots=2)


def test_memory_is_what_the_instance_type_has_and_a_resize_changes_it(cloud: Cloud) -> None:
    small = cloud.spec(memory_bytes=256 * MEBIBYTE)
    cloud.put(small)
    cloud.booted(small)
    assert cloud.host.run(small.instance_id, HOG).returncode == 137
    used = cloud.host.box(small.instance_id).memory_used_bytes
    assert used is not None
    assert 0 < used < small.memory_bytes
    spent = cloud.host.box(small.instance_id).cpu_used_seconds
    assert spent is None or spent > 0.1

    cloud.put(replace(small, power=Power.STOPPED, memory_bytes=768 * MEBIBYTE))
    cloud.until(small, State.STOPPED)
    cloud.put(replace(small, memory_bytes=768 * MEBIBYTE))
    cloud.booted(small, boots=2)
    assert cloud.sh(small, HOG) == str(400 * MEBIBYTE)
    cloud.drop(small.instance_id)


def test_two_boxes_that_boot_at_once_do_not_disturb_each_other(cloud: Cloud) -> None:
    pair = (cloud.spec(), cloud.spec())
    cloud.put(*pair)
    statuses = [cloud.booted(spec) for spec in pair]
    assert [status.failed_units for status in statuses] == [(), ()]
    assert [cloud.sh(spec, "hostname") for spec in pair] == [spec.hostname for spec in pair]
    assert (
        len({cloud.sh(spec, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") for spec in pair}) == 2
    )
    cloud.drop(*(spec.instance_id for spec in pair))


def test_a_power_cut_takes_a_box_down_at_once_and_it_comes_back_only_when_switched_on(
    cloud: Cloud, box: BoxSpec
) -> None:
    cloud.host.power_cut(box.instance_id)
    status = cloud.host.box(box.instance_id)
    assert (status.state, status.reason) == (State.FAILED, "its power was cut")
    cloud.apply()
    time.sleep(0.5)
    assert cloud.host.box(box.instance_id).state is State.FAILED
    cloud.host.power_on(box.instance_id)
    cloud.booted(box, boots=2)


def test_the_console_shows_the_boot_and_the_login(cloud: Cloud, box: BoxSpec) -> None:
    eventually(lambda: "login:" in cloud.host.console(box.instance_id))
    assert "Debian GNU/Linux 13" in cloud.host.console(box.instance_id)
    assert len(cloud.host.console(box.instance_id, last_bytes=10)) == 10


def test_a_command_gets_its_input_and_gives_its_output_error_and_code(cloud: Cloud, web: BoxSpec) -> None:
    done = cloud.host.run(web.instance_id, ["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"x" * 1_000_000)
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 1_000_000, "no\n")
    assert not done.truncated


def test_of_endless_output_the_start_is_kept_and_said_so(cloud: Cloud, web: BoxSpec) -> None:
    done = cloud.host.run(web.instance_id, "head -c 5000000 /dev/zero | tr '\\0' x", most_output_bytes=1000)
    assert (len(done.stdout), done.truncated, done.returncode) == (1000, True, 0)


def test_a_timeout_kills_all_that_the_command_started(cloud: Cloud, web: BoxSpec) -> None:
    began = time.monotonic()
    done = cloud.host.run(web.instance_id, "setsid sleep 987 & sleep 987", timeout_seconds=1)
    assert (done.returncode, done.timed_out) == (137, True)
    assert time.monotonic() - began < 10
    assert cloud.host.run(web.instance_id, ["pgrep", "-f", "sleep 987"]).returncode == 1


def test_a_daemon_that_a_command_leaves_behind_lives_on(cloud: Cloud, web: BoxSpec) -> None:
    cloud.sh(web, "setsid sleep 876 > /dev/null 2>&1 & echo started")
    assert cloud.sh(web, "pgrep -cf '^sleep 876'") == "1"
    cloud.sh(web, "pkill -f '^sleep 876'")


def test_commands_and_services_know_the_way_to_aws(cloud: Cloud, web: BoxSpec) -> None:
    assert cloud.sh(web, "echo $AWS_ENDPOINT_URL") == "http://169.254.169.250"
    assert "AWS_ENDPOINT_URL=http://169.254.169.250" in cloud.sh(web, "systemctl show --property=Environment")
    assert "endpoint_url = http://169.254.169.250" in cloud.sh(web, "cat /root/.aws/config")


def test_a_root_that_cannot_boot_is_reported_with_the_reason(cloud: Cloud, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with Host.open(tmp_path / "cloud", tree=tmp_path / "empty") as host:
        spec = cloud.spec()
        host.apply(World((spec,)))
        status = host.wait(spec.instance_id, lambda s: s.state is State.FAILED)
        assert "systemd-nspawn gave up" in status.reason
        host.apply(World())
        host.wait(spec.instance_id, lambda s: s.state is State.TERMINATED)


def test_a_box_that_nobody_knows_is_refused_with_those_that_are_known(cloud: Cloud, web: BoxSpec) -> None:
    with pytest.raises(UnknownError, match=rf"no box i-none\. Those here: .*{web.instance_id}"):
        cloud.host.box("i-none")
