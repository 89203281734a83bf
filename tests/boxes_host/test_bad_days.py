"""Bad days of a box: what breaks while it is installed and afterwards, and that it comes back. In this order.

One box for all of them: its power is cut in its first installation, then it serves, then this and that is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from bench.served import REGION, ROOT, Served
from embedded.sample import Fault, FaultKind
from ops import deploy, release
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_host.support import (
    bootstrap,
    cut_at,
    ends_well,
    enforced,
    page,
    plant,
    published,
    reached,
    said_in,
    sql,
    tells,
    until,
    up,
    wish,
    without_a_bundle,
)

pytestmark = [pytest.mark.box, pytest.mark.drill]

POINTS = [("packages", 3), ("data", 3), ("database-up", 4), ("nginx", 5)]
CUT_OFF = 52
"""curl's exit code for a connection that was closed without an answer."""
PG = "postgresql@17-main"
RUNBOOK = ROOT / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A box whose bundle's bucket does not answer."""
    with without_a_bundle(tmp_path_factory.mktemp("bad")) as made:
        yield made


def serves(box: Served) -> bool:
    """Whether frontend, backend and database answer, and the row is there."""
    return (
        page(box) == "200"
        and page(box, "/api/receipts?limit=1") == "200"
        and sql(box, "select n from kept") == "7"
    )


def test_a_bucket_that_does_not_answer_is_tried_again_and_the_failure_is_told(box: Served) -> None:
    box.sh(
        "mkdir -p /etc/systemd/system/terrace-host.service.d;"
        " printf '[Service]\\nEnvironment=TERRACE_PATIENCE_SECONDS=2\\nRestartSec=1\\n'"
        " > /etc/systemd/system/terrace-host.service.d/short.conf;"
        " systemctl daemon-reload; systemctl restart --no-block terrace-host"
    )
    until(lambda: tells(box, "GetObject"), box=box)
    until(lambda: "bootstrap_failed" in published(box), box=box)


def test_a_bundle_with_another_checksum_is_not_unpacked_and_the_right_one_is_taken_when_it_comes(
    box: Served,
) -> None:
    s3, bucket = boto3.client("s3"), box.outputs["buckets"]["artifacts"]
    (key,) = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="host/")["Contents"]]
    box.cloud.api.faults.clear()
    right = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=right + b"\0")
    until(lambda: tells(box, "has SHA-256"), box=box)
    assert box.tried("ls /opt/terrace/host /opt/terrace/current")[0] != 0
    plant(box)
    wish(box, *POINTS[0])
    s3.put_object(Bucket=bucket, Key=key, Body=right)
    until(lambda: reached(box), box=box)


def test_a_first_installation_whose_power_is_cut_again_and_again_ends_well(box: Served) -> None:
    for point in POINTS[1:]:
        cut_at(box, *point)
    ends_well(box)


def test_the_box_serves_a_release_and_the_frontend_has_a_cache_that_it_may_write(box: Served) -> None:
    directory = box.lay_out("v1", migrations=2, fault=Fault(FaultKind.GROWS))
    (directory / "frontend" / "fault").write_text("grows 0\n", encoding="utf-8")
    (directory / "frontend" / ".next").mkdir()
    (directory / "frontend" / ".next" / "BUILD_ID").write_text("1\n", encoding="utf-8")
    packed = release.pack(directory, directory.with_suffix(".tar.gz"))
    deploy.publish(box.artifacts(), packed)
    code, said = box.release("v1", "--soak-seconds", "1")
    assert code == 0, said
    sql(box, "create table kept (n int); insert into kept values (7); grant select on kept to app")
    assert serves(box)
    inside = (
        "nsenter -t $(systemctl show -P MainPID terrace-frontend@3000) -m setpriv --reuid=terrace --regid=terrace"
        " --clear-groups touch /data/releases/v1/frontend/.next"
    )
    assert box.tried(f"{inside}/cache/x")[0] == 0
    assert "Read-only file system" in box.tried(f"{inside}/x")[1]
    assert box.sh("stat -c %U /var/cache/terrace/frontend/v1/x") == "terrace"
    # The release on the disk is still what its manifest says, so that it can be gone back to.
    assert box.status()["parts"]["frontend"]["healthy"]
    assert box.sh("ls -A /data/releases/v1/frontend/.next/cache") == ""


def test_a_frontend_that_outgrows_its_limit_is_killed_by_the_kernel_and_the_others_serve_on(
    box: Served,
) -> None:
    before, unit = pids(box), "terrace-frontend@3000"
    limit = int(box.sh(f"systemctl show -P MemoryMax {unit}"))
    with enforced(box, before[unit], limit) as kills:
        code, _ = box.tried("curl -s -m 60 http://127.0.0.1:3000/grow")
        assert code == CUT_OFF
        assert (page(box, "/healthz"), page(box, "/api/receipts?limit=1")) == ("200", "200")
        assert sql(box, "select n from kept") == "7"
        assert kills() in (None, 1)
    until(lambda: serves(box), box=box)
    assert {name for name, pid in pids(box).items() if pid != before[name]} == {unit}
    assert "status=9/KILL" in box.sh(f"journalctl -b -u {unit} --no-pager")
    # Who is to go first: not the database. (A box may not lower the score itself: it lacks CAP_SYS_RESOURCE.)
    assert box.sh(f"systemctl show -P OOMScoreAdjust {PG}") == "-800"


def test_a_backend_that_outgrows_its_heap_ends_at_once_and_the_others_serve_on(box: Served) -> None:
    before, unit = pids(box), "terrace-backend@8080"
    code, _ = box.tried("curl -s -m 60 http://127.0.0.1:8080/grow")
    assert code == CUT_OFF
    assert (page(box, "/_health"), sql(box, "select n from kept")) == ("200", "7")
    until(lambda: serves(box), box=box)
    assert {name for name, pid in pids(box).items() if pid != before[name]} == {unit}
    assert "OutOfMemoryError" in box.sh("tail -n 200 /var/log/terrace/backend.log")
    assert "status=3/" in box.sh(f"journalctl -b -u {unit} --no-pager")


def pids(box: Served) -> dict[str, str]:
    """The main processes of what serves."""
    names = ("terrace-backend@8080", "terrace-frontend@3000", PG, "nginx")
    return dict(zip(names, box.sh(f"systemctl show -P MainPID {' '.join(names)}").split(), strict=True))


def test_a_full_data_volume_stops_no_page_and_what_was_written_is_there_when_there_is_room_again(
    box: Served,
) -> None:
    # The root user's reserve stays free: PostgreSQL has none of it.
    box.sh("fallocate -l $(df --output=avail -B1 /data | tail -1) /data/filler")
    assert box.sh("df --output=avail -B1 /data | tail -1").strip() == "0"
    assert (page(box), page(box, "/healthz")) == ("200", "200")
    code, said = box.tried(f"terrace-deploy release {box.publish('v2')} --soak-seconds 1")
    assert (code, "have to stay free" in said) == (4, True), said
    box.tried(
        "runuser -u postgres -- psql -d app -c 'create table more as select generate_series(1, 1000000)'"
    )
    box.sh("rm /data/filler")
    until(lambda: box.tried("terrace-host install")[0] == 0 and serves(box), box=box)


def test_a_password_that_is_forgotten_is_made_anew_and_reaches_server_and_services(box: Served) -> None:
    name, before = "/terrace/dev/database/password", pids(box)
    (forget,) = said_in(RUNBOOK, "Rotate the database password", "aws ssm")
    box.sh(f"{forget.replace('STACK', 'dev')} --region {REGION}")
    box.sh("terrace-host install")
    after = pids(box)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"terrace-backend@8080", "terrace-frontend@3000"}
    until(lambda: serves(box), box=box)
    wanted = [{"Key": "Name", "Values": [name]}]
    (kept,) = boto3.client("ssm", region_name=REGION).describe_parameters(ParameterFilters=wanted)[
        "Parameters"
    ]
    assert kept["KeyId"] == box.outputs["key_arn"]


def test_a_parameter_that_changed_reaches_the_services_by_itself_and_once(box: Served) -> None:
    ssm, name = boto3.client("ssm", region_name=REGION), "/terrace/dev/app/CURRENCY"
    assert "terrace-follow.timer" in box.sh("systemctl list-timers --no-pager terrace-follow.timer")
    before = pids(box)
    ssm.put_parameter(Name=name, Value="KRW", Type="String", Overwrite=True)
    try:
        box.sh("systemctl start terrace-follow.service")
        after = pids(box)
        assert {each for each in before if before[each] != after[each]} == {
            "terrace-backend@8080", "terrace-frontend@3000",
        }  # fmt: skip
        assert "CURRENCY=KRW" in box.sh(f"tr '\\0' '\\n' < /proc/{after['terrace-backend@8080']}/environ")
        until(lambda: serves(box), box=box)
        box.sh("systemctl start terrace-follow.service")
        assert pids(box) == after
    finally:
        ssm.delete_parameter(Name=name)
        box.sh("terrace-host follow --now")
    until(lambda: serves(box), box=box)


def aside(box: Served) -> None:
    """Takes /data away from everything that uses it."""
    box.sh(
        f"systemctl stop 'terrace-backend@*' 'terrace-frontend@*' terrace-release {PG} terrace-data"
        " terrace-backup.timer 'terrace-backup*.timer'; umount /data"
    )


def refusal(box: Served) -> str:
    """What terrace-host says on such a volume; Nginx answers all the same, and PostgreSQL is not started."""
    code, said = box.tried("timeout 60 terrace-host install")
    assert code == 4, said
    assert "Traceback" not in said
    assert page(box, "/healthz") == "200"
    assert box.tried(f"systemctl is-active {PG}")[1] != "active"
    return said


def back(box: Served) -> None:
    """What a person does once the volume is right again."""
    box.sh("terrace-host install")
    until(lambda: serves(box), box=box)
    assert box.sh("systemctl --failed --no-legend") == ""


def test_a_volume_that_is_read_only_is_said_and_nothing_is_started_on_it(box: Served) -> None:
    aside(box)
    box.sh("mount -o ro LABEL=terrace-data /data")
    assert "is mounted read-only" in refusal(box)
    box.sh("mount -o remount,rw /data")
    back(box)


def test_a_volume_with_another_file_system_is_left_as_it_is(box: Served) -> None:
    device = box.sh("findmnt -no SOURCE /data")
    aside(box)
    box.sh(f"dd if={device} of=/root/head bs=64K count=1; mkswap -f -L other {device}; sync")
    before = box.sh(f"dd if={device} bs=1M count=16 status=none | sha256sum")
    assert "holds swap and not ext4" in refusal(box)
    assert box.sh(f"dd if={device} bs=1M count=16 status=none | sha256sum") == before
    box.sh(f"dd if=/root/head of={device} bs=64K count=1; sync")
    back(box)


def test_a_volume_with_another_stacks_data_is_refused_by_name_and_not_mounted(box: Served) -> None:
    device = box.sh("findmnt -no SOURCE /data")
    box.sh('cp -p /data/identity.json /root; sed -i \'s/"dev"/"theirs"/\' /data/identity.json')
    aside(box)
    assert "holds the data of terrace/theirs, and this box is terrace/dev" in refusal(box)
    assert box.tried("mountpoint -q /data")[0] != 0
    box.sh(f"mount {device} /mnt; cp -p /root/identity.json /mnt/; umount /mnt")
    back(box)


def test_a_boot_without_the_volume_serves_by_itself_once_it_is_attached(box: Served) -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    box.sh(
        "mkdir -p /etc/systemd/system/terrace-data.service.d;"
        " printf '[Service]\nExecStart=\nExecStart=/usr/local/sbin/terrace-mount --wait-seconds 1\nRestartSec=1\n'"
        " > /etc/systemd/system/terrace-data.service.d/short.conf; sync"
    )
    (volume,) = [
        each["Ebs"]["VolumeId"]
        for each in ec2.describe_instances(InstanceIds=[box.box.instance_id])["Reservations"][0]["Instances"][
            0
        ]["BlockDeviceMappings"]
        if each["DeviceName"] == "/dev/sdf"
    ]
    machines = box.cloud.machines
    assert machines is not None
    machines.host.power_cut(box.box.instance_id)
    ec2.detach_volume(VolumeId=volume, InstanceId=box.box.instance_id, Force=True)
    boots = machines.host.box(box.box.instance_id).boots
    machines.host.power_on(box.box.instance_id)
    up(box, boots=boots)
    twice = "test $(journalctl -b -u terrace-data --no-pager | grep -c 'did not appear') -ge 2"
    until(lambda: box.tried(twice)[0] == 0, box=box)
    until(lambda: page(box, "/healthz") == "200", box=box)
    assert box.tried(f"systemctl is-active {PG}")[1] != "active"
    ec2.attach_volume(VolumeId=volume, InstanceId=box.box.instance_id, Device="/dev/sdf")
    until(lambda: serves(box), box=box)
    box.sh("rm -r /etc/systemd/system/terrace-data.service.d; systemctl daemon-reload")


def test_a_database_that_does_not_start_after_an_unclean_stop_is_said_and_never_made_anew(
    box: Served,
) -> None:
    made = box.sh("stat -c '%i %W' /data/pgdata/PG_VERSION")
    box.sh(f"systemctl kill --signal=KILL {PG}; systemctl stop {PG}; mkdir /data/aside")
    box.sh("mv /data/pgdata/pg_wal/0000* /data/aside/")
    assert PG in refusal(box)
    assert bootstrap(box)["state"] == "failed"
    assert page(box, "/_health") == "200"
    assert page(box, "/api/receipts?limit=1") in ("500", "502", "503")
    box.sh("mv /data/aside/* /data/pgdata/pg_wal/; rmdir /data/aside")
    back(box)
    assert box.sh("stat -c '%i %W' /data/pgdata/PG_VERSION") == made


@pytest.mark.parametrize(
    ("name", "verb", "says"),
    [
        ("database/password", "terrace-settings", "is not there"),
        ("host/facts", "terrace-host update", "ParameterNotFound"),
    ],
)
def test_a_parameter_that_is_missing_is_named_and_what_serves_serves_on(
    box: Served, name: str, verb: str, says: str
) -> None:
    ssm, path = boto3.client("ssm", region_name=REGION), f"/terrace/dev/{name}"
    kept = ssm.get_parameter(Name=path, WithDecryption=True)["Parameter"]
    told = box.sh("sha256sum /run/terrace/app.env /etc/terrace/box.json")
    ssm.delete_parameter(Name=path)
    try:
        code, said = box.tried(f"TERRACE_PATIENCE_SECONDS=1 {verb}")
        assert code != 0
        assert says in said
        assert (path in said or name == "host/facts", "Traceback" in said) == (True, False), said
        assert box.sh("sha256sum /run/terrace/app.env /etc/terrace/box.json") == told
        assert serves(box)
    finally:
        ssm.put_parameter(Name=path, Value=kept["Value"], Type=kept["Type"])


def test_an_empty_description_of_the_box_is_refused_by_its_name(box: Served) -> None:
    ssm, path = boto3.client("ssm", region_name=REGION), "/terrace/dev/host/facts"
    kept = ssm.get_parameter(Name=path)["Parameter"]
    ssm.put_parameter(Name=path, Value="{}", Type="String", Overwrite=True)
    try:
        code, said = box.tried("terrace-host update")
        assert (code != 0, f"{path} holds no JSON object" in said) == (True, True), said
        assert serves(box)
    finally:
        ssm.put_parameter(Name=path, Value=kept["Value"], Type="String", Overwrite=True)
