"""A box made by `pulumi up` installs itself, stays as it is, and comes back after a power cut."""

from __future__ import annotations

import json
import shlex
import ssl
import time
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from bench.projects import option_a
from bench.served import CACHE, Served
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips

pytestmark = [pytest.mark.box, pytest.mark.drill]

SNAPSHOT = (
    "find /etc /opt/terrace /usr/local/sbin /data/identity.json /var/lib/terrace/pages -xdev -type f"
    " -printf '%p %T@ %m %u\\n' | grep -v /etc/mtab | sort;"
    " systemctl show -p MainPID -p ActiveState nginx postgresql@17-main terrace-release terrace-data"
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Option A standing, its box installed by its own user data."""
    directory = tmp_path_factory.mktemp("host")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        project = option_a(directory / "project", cloud, "single-8g")
        project.stand()
        made = Served(directory, cloud, project, project.outputs())
        assert cloud.machines is not None
        cloud.machines.host.wait(made.box.instance_id, lambda each: each.booted, timeout_seconds=120)
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


def test_user_data_is_valid_by_cloud_inits_own_schema(box: Served) -> None:
    assert "Valid schema user-data" in box.sh("cloud-init schema --system")


def test_a_second_install_changes_nothing(box: Served) -> None:
    before = box.sh(SNAPSHOT)
    box.sh("terrace-host install")
    assert box.sh(SNAPSHOT) == before


def test_the_units_hold_and_are_shut_in(box: Served) -> None:
    assert box.sh("systemd-analyze verify /etc/systemd/system/terrace-*.service") == ""
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
