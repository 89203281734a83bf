"""A box made by `pulumi up` installs itself, stays as it is, and comes back after a power cut."""

from __future__ import annotations

import base64
import json
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from bench.projects import ROOT, option_a
from bench.served import CACHE, REGION, Served
from embedded.cloud import Cloud
from infra.clients.runpod_key import KEY_PARAMETER
from infra.core.naming import Naming
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_host.shut_in import complaints, worse
from tests.boxes_host.support import until

pytestmark = [pytest.mark.box, pytest.mark.drill]

RUNPOD_KEY = "double-key"
SNAPSHOT = (
    "find /etc /opt/terrace /usr/local/sbin /data/identity.json /var/lib/terrace/pages -xdev -type f"
    " -printf '%p %T@ %m %u\\n' | grep -v /etc/mtab | sort;"
    " systemctl show -p MainPID -p ActiveState nginx postgresql@17-main terrace-release terrace-data"
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Option A with an endpoint on RunPod standing, its box installed by its own user data."""
    directory = tmp_path_factory.mktemp("host")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        project = option_a(directory / "project", cloud, "single-8g", gpu={"mode": "auto"})
        with pytest.MonkeyPatch.context() as person:
            person.setenv("RUNPOD_API_KEY", RUNPOD_KEY)
            project.stand()
        made = Served(directory, cloud, project, project.outputs())
        assert cloud.machines is not None
        cloud.machines.host.wait(made.box.instance_id, lambda each: each.booted, timeout_seconds=300)
        made.prepare()
        yield made


def sql(box: Served, query: str) -> str:
    """The answer of the application's database."""
    return box.sh(f"runuser -u postgres -- psql -XAtq -d app -c {shlex.quote(query)}")


def answers(box: Served, *, seconds: float = 60.0) -> str:
    """What /healthz says over HTTPS, by the box's own certificate."""
    url, deadline = f"https://{box.outputs['eip']}/healthz", time.monotonic() + seconds
    while True:
        try:
            return (
                httpx.get(url, verify=ssl.create_default_context(cafile=str(box.certificate)), timeout=2)
                .raise_for_status()
                .text
            )
        except httpx.HTTPError:
            assert time.monotonic() < deadline, f"{url} did not answer within {seconds:g} s"
            time.sleep(0.3)


def test_a_new_box_answers_over_https_with_its_database_on_the_data_volume(box: Served) -> None:
    assert answers(box) == "ok\n"
    assert "on /data type ext4" in box.sh("mount")
    assert sql(box, "show data_directory") == "/data/pgdata"
    assert {"vector", "pg_stat_statements"} <= set(sql(box, "select extname from pg_extension").split())
    assert sql(box, "show data_checksums") == "on"
    assert box.sh("stat -c '%a %U:%G' /run/terrace/app.env") == "640 root:terrace"


def test_nginx_refuses_what_is_too_old_too_large_or_too_much_and_speaks_of_an_outage(box: Served) -> None:
    head = box.sh("curl -skI --http2 https://127.0.0.1/healthz")
    assert head.startswith("HTTP/2 200")
    assert "strict-transport-security: max-age=" in head
    refused, _ = box.tried("curl -sk --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://127.0.0.1/healthz")
    assert refused != 0
    asked = "curl -sk -o /dev/null -w '%{http_code}\\n'"
    large = "head -c 60000000 /dev/zero | " + asked + " --data-binary @- https://127.0.0.1/api/receipts"
    assert box.sh(large) == "413"
    # Nothing is released here: the way to the backend ends in the page for that.
    assert "<html" in box.sh("curl -sk https://127.0.0.1/api/receipts").lower()
    # By the box's own address: what comes from loopback is not counted.
    url = "https://$(hostname -I | cut -d' ' -f1)/api/x?[1-1500]"
    codes = box.sh(
        f"curl -sk --parallel --parallel-max 100 -o /dev/null -w '%{{http_code}}\\n' \"{url}\""
    ).split()
    assert len(codes) == 1500
    assert set(codes) == {"429", "502"}


def test_user_data_is_valid_by_cloud_inits_own_schema(box: Served) -> None:
    assert "Valid schema user-data" in box.sh("cloud-init schema --system")


def test_a_second_install_changes_nothing(box: Served) -> None:
    before = box.sh(SNAPSHOT)
    box.sh("terrace-host install")
    assert box.sh(SNAPSHOT) == before


def test_the_units_hold_and_are_shut_in(box: Served) -> None:
    assert complaints(box.sh) == ""
    scores = box.sh("systemd-analyze security --no-pager terrace-backend@8080 terrace-frontend@3000")
    assert scores.count("OK :-)") == 2, scores


def test_after_a_power_cut_everything_comes_back_by_itself(box: Served) -> None:
    sql(box, "create table kept (n int); insert into kept values (7)")
    box.power_cut()
    assert answers(box) == "ok\n"
    assert sql(box, "select n from kept") == "7"
    assert box.sh("systemctl --failed --no-legend") == ""


def test_the_application_enters_by_its_password_which_no_log_and_no_statistics_hold(box: Served) -> None:
    password = box.sh(
        "PYTHONPATH=/opt/terrace/current/lib python3 -c 'from infra.host.box import settings, system; "
        "print(settings.password(system.facts()))'"
    )
    entered = box.sh(
        f"PGPASSWORD={shlex.quote(password)} psql -XAtq -h 127.0.0.1 -U app -d app -c 'select current_user'"
    )
    assert entered == "app"
    assert box.tried("PGPASSWORD=wrong psql -XAtq -h 127.0.0.1 -U app -d app -c 'select 1'")[0] != 0
    held = f"grep -rlF -e {shlex.quote(password)} /var/log /etc /opt/terrace /var/lib/terrace /data/pgdata"
    assert box.tried(held) == (1, "")
    assert password not in sql(box, "select query from pg_stat_statements")


ROTATE = """
PYTHONPATH=/opt/terrace/current/lib python3 - <<'EOF'
from infra.host.box import system
found = system.facts()
name = found["parameters"] + "/database/password"
system.client("ssm", found).put_parameter(Name=name, Value="turned-in-a-test", Type="SecureString", Overwrite=True)
EOF
"""


def test_a_new_password_is_taken_over_by_the_next_install_and_the_same_one_is_left_alone(box: Served) -> None:
    kept = "select rolpassword from pg_authid where rolname = 'app'"
    before = sql(box, kept)
    box.sh("terrace-host install")
    assert sql(box, kept) == before
    box.sh(ROTATE)
    box.sh("terrace-host install")
    assert sql(box, kept) != before
    enter = "PGPASSWORD=turned-in-a-test psql -XAtq -h 127.0.0.1 -U app -d app -c 'select 1'"
    assert box.sh(enter) == "1"
    assert "turned-in-a-test" in box.sh("cat /run/terrace/app.env")


def test_the_first_backup_comes_by_itself_and_the_archive_stands(box: Served) -> None:
    deadline = time.monotonic() + 180
    while not (told := json.loads(box.sh("terrace-backup status --json")))["backups"]:
        assert time.monotonic() < deadline, told
        time.sleep(2)
    assert told["backups"][0]["kind"] == "full"
    assert told["gaps"] == []
    assert told["unreachable"] == ""


def client(box: Served, service: str) -> Any:
    """boto3 in the box's own cloud."""
    variables = box.cloud.variables()
    make: Any = boto3.client
    return make(
        service, endpoint_url=variables["AWS_ENDPOINT_URL"], region_name=variables["AWS_REGION"],
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # fmt: skip


def test_the_box_publishes_what_its_alarms_read(box: Served) -> None:
    box.sh("terrace-metrics agent --once; systemctl start terrace-metrics.service")
    assert box.sh("systemctl is-active terrace-metrics.timer terrace-agent.service") == "active\nactive"
    cloudwatch, logs = client(box, "cloudwatch"), client(box, "logs")

    def published(space: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for each in cloudwatch.list_metrics(Namespace=space)["Metrics"]:
            found.setdefault(each["MetricName"], set()).update(one["Name"] for one in each["Dimensions"])
        return found

    assert published("CWAgent") == {
        "mem_used_percent": {"InstanceId"},
        "disk_used_percent": {"InstanceId", "path", "fstype"},
    }
    own = published("terrace")
    assert {"database_connections_percent", "certificate_days_left", "restore_drill_age_seconds"} <= set(own)
    httpx.get(
        f"https://{box.outputs['eip']}/nowhere",
        verify=ssl.create_default_context(cafile=str(box.certificate)),
    )
    box.sh("terrace-metrics agent --once")
    group = "/terrace/dev/logs/nginx/access"
    lines = logs.filter_log_events(logGroupName=group)["events"]
    assert any('"path":"/nowhere"' in each["message"] for each in lines)


def test_the_gpus_controller_leads_from_the_box_and_publishes_what_its_alarms_read(box: Served) -> None:
    name = Naming("terrace", "dev").parameter(*KEY_PARAMETER)
    client(box, "ssm").put_parameter(Name=name, Value=RUNPOD_KEY, Type="SecureString", Overwrite=True)
    assert box.sh("systemctl is-active terrace-gpu.timer") == "active"
    box.sh("systemctl start terrace-gpu.service")
    said = box.sh("journalctl -u terrace-gpu.service -o cat --no-pager")
    assert "leader: " in said, said
    assert RUNPOD_KEY not in said
    told = client(box, "cloudwatch").list_metrics(Namespace="terrace", MetricName="gpu_spend_percent")
    assert [each["Dimensions"] for each in told["Metrics"]] == [[{"Name": "Stack", "Value": "dev"}]]

    # A person's choice, made on a laptop, is carried out by the box.
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "gpu.py"),
         "mode", "active", "--reason", "a week of validation", "--yes"],
        env={**box.project.environment, "TERRACE_WORK_DIR": str(box.project.directory)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    box.sh("systemctl start terrace-gpu.service")
    (endpoint,) = box.cloud.runpod.server.double.endpoints
    assert endpoint.body["workers"]["min"] == 1
    assert "will set" in box.sh("cat /var/lib/terrace/gpu/journal.jsonl")


PACKED = """
set -e
d=$(mktemp -d); mkdir -p $d/DEBIAN $d/etc/systemd/system
printf 'Package: amazon-ssm-agent\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: a stand-in\\n' \\
  > $d/DEBIAN/control
printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \\
  > $d/etc/systemd/system/amazon-ssm-agent.service
dpkg-deb -b $d /tmp/agent.deb >/dev/null; base64 -w0 /tmp/agent.deb; rm -r $d /tmp/agent.deb
"""


def test_the_ssm_agent_is_installed_from_amazons_bucket_as_soon_as_it_lies_there(box: Served) -> None:
    assert "amazon-ssm-agent is not at" in box.sh("journalctl -u terrace-host --no-pager")
    s3, bucket = client(box, "s3"), f"amazon-ssm-{REGION}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    arch = box.sh("dpkg --print-architecture")
    content = base64.b64decode(box.sh(PACKED))
    s3.put_object(Bucket=bucket, Key=f"latest/debian_{arch}/amazon-ssm-agent.deb", Body=content)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
    ]}))  # fmt: skip
    box.sh("terrace-agents")
    assert box.sh("systemctl is-active amazon-ssm-agent") == "active"
    assert "none that was not there" in box.sh("terrace-agents 2>&1")


def test_time_upgrades_and_the_journals_bounds_are_as_they_should_be(box: Served) -> None:
    assert "169.254.169.123" in box.sh("cat /etc/chrony/sources.d/terrace.sources")
    assert box.sh("grep -c '^sourcedir /etc/chrony/sources.d' /etc/chrony/chrony.conf") == "1"
    assert (
        box.sh("systemctl is-enabled chrony apt-daily.timer apt-daily-upgrade.timer").split()
        == ["enabled"] * 3
    )
    periodic = box.sh("apt-config dump APT::Periodic")
    assert 'APT::Periodic::Unattended-Upgrade "1"' in periodic
    assert "Debian-Security" in box.sh("apt-config dump Unattended-Upgrade::Origins-Pattern")
    journal = box.sh("systemd-analyze cat-config systemd/journald.conf | grep -v '^#'")
    assert "SystemMaxUse=500M" in journal
    assert "MaxRetentionSec=1month" in journal
    looks = box.sh("systemctl show -p TimersCalendar logrotate.timer")
    assert ("*-*-* *:00:00" in looks, looks.count("OnCalendar=")) == (True, 1), looks


def test_no_unit_is_less_shut_in_than_it_was(box: Served) -> None:
    assert worse(box.sh) == {}


def test_a_resized_box_shares_its_memory_anew_before_anything_starts_that_has_a_share(box: Served) -> None:
    """What `pulumi up` does for another rung: stop, another type, start."""
    shares = (
        "runuser -u postgres -- psql -XAtc 'show shared_buffers'; "
        "systemctl show -P MemoryMax terrace-backend@8080; grep -o 'Xmx[0-9]*m' "
        "/etc/systemd/system/terrace-backend@.service"
    )
    before = box.sh(shares).split()
    assert before[0] == "512MB"
    ec2, machine = client(box, "ec2"), box.box.instance_id
    machines = box.cloud.machines
    assert machines is not None
    boots = machines.host.box(machine).boots
    ec2.stop_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine], WaiterConfig={"Delay": 1})
    ec2.modify_instance_attribute(InstanceId=machine, InstanceType={"Value": "t4g.xlarge"})
    ec2.start_instances(InstanceIds=[machine])
    machines.host.wait(machine, lambda each: each.booted and each.boots > boots, timeout_seconds=180)
    until(lambda: box.tried("systemctl is-active postgresql@17-main")[1].strip() == "active", box=box)
    after = box.sh(shares).split()
    assert after[0] == "1GB" or 900 <= int(after[0].removesuffix("MB")) <= 1024, after
    assert int(after[1]) > 1.5 * int(before[1])
    assert int(after[2][4:-1]) > 1.5 * int(before[2][4:-1])
    changed = box.sh("terrace-host install 2>&1; runuser -u postgres -- psql -XAtc 'show shared_buffers'")
    assert changed.split()[-1] == after[0]
