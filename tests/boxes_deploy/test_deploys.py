"""Deploys on a real box of 8 GB under load: what serves, what fails, what a person sees. In the order of the file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import boto3
import pytest

from bench.figures import note
from bench.served import ROOT, Served

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine]

LIMIT_MIB = 8192


def test_rolling_answers_every_request_and_every_pending_question(box: Served) -> None:
    box.publish("v2")
    with box.under_load() as load:
        code, outcome = box.release("v2")
        assert (code, outcome["downtime_seconds"]) == (0, 0)
        load.until(5_000)
    report = load.report
    assert report is not None
    note(f"rolling, {outcome['seconds']} s: {report.sentence()}; peak {box.peak_mib:.0f} MiB")
    assert (report.failed, report.sockets.faults) == (0, ()), report.errors
    assert set(report.versions) == {"v1", "v2"}
    assert report.sockets.clients == report.sockets.closed_by_server == report.sockets.reconnected == 20
    assert report.sockets.pending_at_close > 0
    assert report.sockets.asked == report.sockets.answered
    assert 0 < box.peak_mib < LIMIT_MIB
    assert box.serves() == {"v2"}


def test_what_was_written_before_a_deploy_is_read_after_it(box: Served) -> None:
    found = box.sh("curl -skf 'https://127.0.0.1/api/receipts?limit=1'")
    receipt = json.loads(found)["receipts"][0]
    nearest = json.loads(box.sh(f"curl -skf https://127.0.0.1/api/receipts/{receipt['id']}/nearest"))
    assert nearest["receipts"]


def test_a_users_hash_is_logged_and_counted_and_leaves_the_box_in_no_answer(box: Served) -> None:
    """The sample hashes `X-User` into `X-Terrace-User`, which Nginx keeps for itself."""
    head = box.sh("curl -skf -D - -o /dev/null -H 'X-User: kim' https://127.0.0.1/api/totals").lower()
    assert "x-terrace-version:" in head, "what else the service says of itself gets through"
    assert "x-terrace-user" not in head
    user = hashlib.sha256(b"kim").hexdigest()[:16]
    # Nginx writes the line after the answer.
    looks = f'grep \'"user":"{user}"\' /var/log/nginx/access.json'
    line = box.sh(f"for _ in $(seq 100); do {looks} && exit; sleep 0.1; done; exit 1")
    logged = json.loads(line)
    assert (logged["path"], logged["status"]) == ("/api/totals", 200)
    # Anew, in case the minute's own run is past the line's place already.
    box.sh("systemctl restart terrace-metrics.service")
    counted = box.sh(f"cat /data/state/metrics/users/{logged['time'][:10]}.users").split()
    assert counted.count(user) == 1


def test_an_upload_goes_to_the_bucket_by_a_link_and_not_through_the_service(box: Served) -> None:
    link = json.loads(box.sh("curl -skf -X POST https://127.0.0.1/api/uploads"))
    assert "X-Amz-Signature=" in link["url"]
    box.sh(f"curl -sf -X PUT --data-binary 'a picture' '{link['url']}'")
    s3 = boto3.client("s3", region_name="ap-northeast-2")
    kept = s3.get_object(Bucket=box.outputs["buckets"]["uploads"], Key=link["key"])
    assert kept["Body"].read() == b"a picture"


def test_both_services_at_once_do_not_fit_beside_themselves_in_8_gb_and_are_refused_with_the_numbers(
    box: Served,
) -> None:
    code, said = box.tried(f"terrace-deploy release {box.publish('v3')} --strategy blue-green")
    assert code == 4
    assert "needs 2253 MiB" in said
    assert "8192 MiB are free" in said
    assert box.serves() == {"v2"}


def test_a_person_publishes_plans_releases_and_goes_back_by_the_script(box: Served) -> None:
    before = box.status()["version"]
    directory = box.lay_out("v5")
    assert _script(box, "publish", str(directory)).returncode == 0
    planned = _script(box, "plan", "v5", "--output", "json")
    assert planned.returncode == 10
    assert json.loads(planned.stdout)[0]["from"] == before
    done = _script(
        box,
        "release",
        "v5",
        "--yes",
        "--output",
        "json",
        "--soak-seconds",
        "2",
        "--reason",
        "a test",
        "--by",
        "kim",
    )
    assert done.returncode == 0, done.stderr
    assert "is healthy after" in done.stderr
    assert json.loads(done.stdout)[0]["version"] == "v5"
    again = _script(box, "release", "v5", "--yes")
    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)
    assert _script(box, "release", "v9", "--yes").returncode == 4
    back = _script(box, "rollback", "--yes", "--soak-seconds", "2")
    assert back.returncode == 0, back.stderr
    (line, *_) = [
        each for each in json.loads(_script(box, "history", "--output", "json").stdout) if each["by"] == "kim"
    ]
    assert (line["version"], line["reason"], line["result"]) == ("v5", "a test", "released")
    assert box.serves() == {before}


def test_big_bang_says_how_long_nothing_served_and_the_load_saw_no_more(box: Served) -> None:
    with box.under_load(sockets=0) as load:
        code, outcome = box.release(box.publish("v4"), "--strategy", "big-bang", "--soak-seconds", "2")
        load.until(load.sent() + 100)
    report = load.report
    assert report is not None
    note(f"big-bang: {outcome['downtime_seconds']} s by the box, {report.dark_seconds:.1f} s by the load")
    assert code == 0
    assert report.failed > 0
    assert 0 < report.dark_seconds <= outcome["downtime_seconds"] + 2
    assert box.serves() == {"v4"}


def _script(box: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    verb, *rest = arguments
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/deploy.py"), verb, "--stack", "dev", *rest],
        env=box.project.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
