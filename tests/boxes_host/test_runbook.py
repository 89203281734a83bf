"""The runbook walked through on a box, by the commands as they stand there; what a box of its own is needed for.

Elsewhere, by the same words: `scripts/deploy.py` (tests/boxes_deploy), `scripts/restore.py` (tests/boxes_restore/
test_drill.py), the password (test_bad_days.py), a lost region (tests/boxes_restore/test_offsite.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import boto3
import pytest
import yaml

from bench.projects import option_a
from bench.served import CACHE, ROOT, Served, environment
from embedded.cloud import Cloud
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_host.support import page, said_in, sql, until

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.matrix]

DOMAIN = "app.example.com"
RUNBOOK, RESTORE = ROOT / "docs" / "runbook.md", ROOT / "docs" / "restore.md"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Option A with a domain, its certificate from staging, on which v1 and then v2 were released."""
    directory = tmp_path_factory.mktemp("runbook")
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud, environment(cloud):
        zone = boto3.client("route53").create_hosted_zone(Name="example.com", CallerReference="a")
        dns = {"zoneId": zone["HostedZone"]["Id"].rpartition("/")[2]}
        project = option_a(
            directory / "project", cloud, "single-8g", domain=DOMAIN, dns=dns, certificate="staging"
        )
        project.stand()
        made = Served(directory, cloud, project, project.outputs())
        assert cloud.machines is not None
        cloud.machines.host.wait(made.box.instance_id, lambda each: each.booted, timeout_seconds=300)
        made.prepare()
        for version in ("v1", "v2"):
            code, said = made.release(made.publish(version), "--soak-seconds", "1")
            assert code == 0, said
        yield made


def test_deploy_and_roll_back_on_the_box(box: Served) -> None:
    status, rollback = said_in(RUNBOOK, "Deploy and roll back", "terrace-deploy")
    assert "v2" in box.sh(status)
    box.sh(rollback)
    assert box.serves() == {"v1"}
    code, said = box.tried(rollback)
    assert (code, "no earlier release" in said) == (4, True)


def test_renew_a_certificate_from_staging_to_production_and_after_its_key_leaked(box: Served) -> None:
    status, renew = said_in(RUNBOOK, "Renew a certificate", "terrace-certificate")
    (update,) = said_in(RUNBOOK, "Renew a certificate", "terrace-host")
    until(lambda: "terrace embedded certificates" in box.sh(status), box=box)
    assert re.search(r"^authority +staging$", box.sh(status), re.M)
    file = box.project.directory / "Pulumi.dev.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["config"]["terrace:certificate"] = "production"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    box.project.pulumi("up", "--yes", "--skip-preview")
    staged = _serial(box)
    box.sh(update)
    until(lambda: _serial(box) != staged, box=box)
    assert re.search(r"^authority +production$", box.sh(status), re.M)
    leaked = _serial(box)
    box.sh(renew)
    assert _serial(box) == leaked
    (directory,) = said_in(RUNBOOK, "Renew a certificate", "/var/lib/terrace/")
    bucket = box.outputs["buckets"]["backups"]
    assert "below `certificates/` in the backups bucket" in RUNBOOK.read_text(encoding="utf-8")
    s3 = boto3.client("s3")
    for each in s3.list_objects_v2(Bucket=bucket, Prefix="certificates/")["Contents"]:
        s3.delete_object(Bucket=bucket, Key=each["Key"])
    box.sh(f"rm -r {directory}")
    box.sh(renew)
    assert _serial(box) != leaked
    assert page(box) == "200"


def _serial(box: Served) -> str:
    return box.sh(
        "openssl s_client -connect 127.0.0.1:443 -servername app.example.com < /dev/null 2>/dev/null"
        " | openssl x509 -noout -serial"
    )


def test_break_glass(box: Served) -> None:
    (status, agents) = said_in(RUNBOOK, "Break glass", "terrace-")
    assert box.sh(status).startswith("done")
    failed, journal = (said_in(RUNBOOK, "Break glass", each)[0] for each in ("systemctl", "journalctl"))
    assert box.sh(f"{failed} --no-legend") == ""
    assert "installed in" in box.sh(f"{journal} --no-pager")
    (database,) = said_in(RUNBOOK, "Break glass", "runuser")
    assert "receipts" in box.sh(f"echo '\\dt' | {database}")
    (console,) = said_in(RUNBOOK, "Break glass", "aws ec2")
    assert console == "aws ec2 get-console-output --instance-id INSTANCE"
    told = boto3.client("ec2").get_console_output(InstanceId=box.box.instance_id)
    assert "systemd" in told["Output"]
    assert "amazon-ssm-agent" in box.tried(agents)[1]


def archived(box: Served) -> None:
    """Waits until there is a backup, and all that was written is in the bucket."""
    until(lambda: json.loads(box.sh("terrace-backup status"))["backups"], box=box)
    sql(box, "select pg_switch_wal()")
    waits = "ls /data/pgdata/pg_wal/archive_status | grep -c ready || true"
    until(lambda: box.sh(waits) == "0", box=box)


def test_look_at_a_restored_copy_beside_the_live_database(box: Served) -> None:
    sql(box, "create table seen (n int); insert into seen values (1)")
    time.sleep(1.2)
    moment = box.sh("date -u +%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.2)
    sql(box, "insert into seen values (2)")
    archived(box)
    restore, look, stop = (
        line.replace("sudo ", "").replace("2026-11-21T10:15Z", moment)
        for line in re.findall(r"^    (sudo .*(?:look|5433).*)$", RESTORE.read_text(encoding="utf-8"), re.M)
    )
    box.sh(restore)
    assert box.sh(f"echo 'table seen' | {look} -Atq") == "1"
    box.sh(stop)
    assert box.sh("ls /data | grep look || true") == ""
    assert sql(box, "select count(*) from seen") == "2"
