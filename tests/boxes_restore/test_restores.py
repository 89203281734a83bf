"""Backups and restores on real machines: PostgreSQL, pgBackRest, the bucket over TLS."""

from __future__ import annotations

import json
import random
import time

import pytest

from infra.host.box.backup.bounds import ARCHIVE_TIMEOUT_SECONDS, RECOVERY_POINT_SECONDS, queue_bound_bytes
from tests.boxes_restore.support import (
    ARCHIVE_SECONDS,
    BACKUPS,
    PARAMETER,
    UPLOADS,
    WRITER,
    Machine,
    World,
    restored,
    say,
    until,
)

pytestmark = pytest.mark.box

PUSH_SECONDS = 40
"""How long a finished segment may be on its way to the bucket here; 180 s on a real box."""


def test_the_newest_state_is_restored_on_another_box_and_proved(
    source: Machine, scratch: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    source.add_receipts(50)
    expected = source.counts()
    source.archive()
    with restored(scratch, "--prove") as done:
        assert scratch.counts(port=5433) == expected
    proof = done["proof"]
    assert proof["faults"] == []
    assert proof["extensions"]["vector"]
    assert proof["alike"] == {"public.receipts.embedding": 5}
    assert proof["uploads"] == len({each for each in range(250) if each % 10 == 0})
    say(
        capsys,
        f"restored in {done['seconds']:.1f} s: files {done['files_seconds']:.1f} s, recovery "
        f"{done['recovery_seconds']:.1f} s; newest row {proof['newest_row_age_seconds']:.1f} s old",
    )


def test_the_proof_finds_an_upload_that_a_row_names_and_that_is_gone(
    world: World, source: Machine, scratch: Machine
) -> None:
    source.archive()
    s3 = world.client("s3")
    s3.delete_object(Bucket=UPLOADS, Key="receipts/10")
    try:
        done = scratch.restore("--prove", "--target /data/drill", check=False)
    finally:
        s3.put_object(Bucket=UPLOADS, Key="receipts/10", Body=b"receipt")
        scratch.forget_drill()
    assert done.returncode == 1
    assert "1 of " in done.stdout
    assert "receipts/10" in done.stdout


def test_a_given_moment_is_restored_and_nothing_later(source: Machine, scratch: Machine) -> None:
    source.add_receipts(3)
    wanted, moment = source.counts(), source.now()
    time.sleep(1.2)
    source.add_receipts(7)
    source.archive()
    with restored(scratch, f"--time {moment}"):
        assert scratch.counts(port=5433) == wanted


def test_a_named_backup_is_restored_as_it_was_at_its_end(source: Machine, scratch: Machine) -> None:
    wanted = source.counts()
    made = json.loads(source.sh("terrace-backup incr --json"))
    source.add_receipts(4)
    source.archive()
    with restored(scratch, f"--backup {made['label']}") as done:
        assert done["backup"] == made["label"]
        assert scratch.counts(port=5433) == wanted


def test_a_time_to_come_and_one_before_the_first_backup_are_refused_with_the_bound(scratch: Machine) -> None:
    late = scratch.restore("--time 2199-01-01T00:00Z", "--target /data/drill", check=False)
    early = scratch.restore("--time 2020-01-01T00:00Z", "--target /data/drill", check=False)
    assert (late.returncode, early.returncode) == (1, 1)
    assert "still to come" in late.stderr
    assert "before the oldest backup" in early.stderr
    assert scratch.sh("ls -A /data/drill 2>/dev/null || true") == ""


def test_a_running_database_and_a_directory_with_something_in_it_are_refused(
    source: Machine, scratch: Machine
) -> None:
    running = source.restore("--empty /data/pgdata", check=False)
    assert running.returncode == 1
    assert "running PostgreSQL" in running.stderr
    scratch.run("mkdir -p /data/filled && echo mine > /data/filled/file")
    filled = scratch.restore("--target /data/filled", check=False)
    assert filled.returncode == 1
    assert "--empty /data/filled" in filled.stderr
    assert scratch.sh("cat /data/filled/file") == "mine"


def test_a_restore_that_was_killed_is_taken_up_by_the_same_command(source: Machine, scratch: Machine) -> None:
    source.archive()
    wanted = source.counts()
    scratch.run(
        "terrace-restore --target /data/drill > /dev/null 2>&1 & pid=$!; "
        "until [ -e /data/drill/PG_VERSION ] || [ -e /data/drill/base ]; do sleep 0.05; done; "
        "kill -9 $pid; pkill -9 -x pgbackrest; true"
    )
    assert scratch.sh("ls /data/drill.restore.json")
    with restored(scratch):
        assert scratch.counts(port=5433) == wanted
    assert scratch.sh("ls /data/drill.restore.json 2>/dev/null || true") == ""


def test_the_pass_phrase_is_made_once_kept_in_ssm_and_shown_nowhere(world: World, source: Machine) -> None:
    ssm = world.client("ssm")
    found = ssm.get_parameter(Name=PARAMETER, WithDecryption=True)["Parameter"]
    phrase = found["Value"]
    assert len(phrase) > 40
    assert source.sh("terrace-backup install") == "install: nothing to do"
    assert ssm.get_parameter(Name=PARAMETER)["Parameter"]["Version"] == found["Version"]
    assert source.sh("stat -c '%a %U:%G' /etc/pgbackrest.conf") == "640 root:postgres"
    said = source.sh("cat /var/log/pgbackrest/*.log; journalctl --no-pager -o cat; cat /data/state/backup/*")
    assert phrase not in said
    ssm.put_parameter(Name=PARAMETER, Value="unset", Type="SecureString", Overwrite=True)
    try:
        lost = source.run("terrace-backup install", check=False)
    finally:
        ssm.put_parameter(Name=PARAMETER, Value=phrase, Type="SecureString", Overwrite=True)
    assert lost.returncode == 1
    assert "history" in lost.stderr


def test_a_dump_lies_in_the_bucket_with_its_digest_and_can_be_read(world: World, source: Machine) -> None:
    keys = json.loads(source.sh("terrace-backup dump --json"))
    (dump,) = [key for key in keys if key.endswith("/app.dump")]
    s3 = world.client("s3")
    body = s3.get_object(Bucket=BACKUPS, Key=dump)["Body"].read()
    told = s3.get_object(Bucket=BACKUPS, Key=f"{dump}.sha256")["Body"].read().decode().split()[0]
    source.run("cat > /tmp/app.dump", stdin=body)
    assert source.sh("sha256sum /tmp/app.dump").split()[0] == told
    assert "TABLE DATA public receipts" in source.sh("pg_restore --list /tmp/app.dump")


def test_the_units_are_sound_and_their_timers_wait(source: Machine) -> None:
    source.run("systemd-analyze verify /etc/systemd/system/terrace-backup-*")
    listed = source.sh("systemctl list-timers --all --no-legend 'terrace-backup-*'")
    assert {word for word in listed.split() if word.endswith(".timer")} >= {
        "terrace-backup-full.timer",
        "terrace-backup-diff.timer",
        "terrace-backup-dump.timer",
    }
    source.run("systemctl start terrace-backup-watch.service terrace-backup-diff.service")
    assert source.told("backup_failed") is False  # told while one fails, and no hour besides
    assert source.metric("backup_age_seconds") >= 0


def moment_that_was_looked_at(source: Machine) -> tuple[str, str] | None:
    """A moment and what the database held, with a look after it and before the segment was closed."""
    written_to = "select pg_walfile_name(pg_current_wal_insert_lsn())"
    source.add_receipts(1)
    segment = source.sql(written_to)
    found = source.now(), source.counts()
    source.run("terrace-backup watch")
    return found if source.sql(written_to) == segment else None


def test_an_unreachable_bucket_fills_no_disk_and_leaves_a_gap_that_is_said(
    world: World, source: Machine, scratch: Machine
) -> None:
    before, before_counts = until(lambda: moment_that_was_looked_at(source))
    # PostgreSQL ends a recovery at a time only where a later commit shows that the time has come.
    source.sql("create table later (n int)")
    source.archive()
    bound = queue_bound_bytes(int(source.sh("stat -f -c '%b*%S' /data | sed 's/*/ /' | awk '{print $1*$2}'")))
    with world.bucket_unreachable():
        segments = bound // (16 * 1024**2) + 2
        source.fill_segments(segments)
        source.run("terrace-backup watch")
        assert source.metric("archive_queue_bytes") >= bound
        until(lambda: source.waiting() == 0, seconds=150)
        inside = source.now()
        source.fill_segments(1)
        source.run("terrace-backup watch")
        assert source.metric("archive_lag_seconds") > 0
        wal_bytes = int(source.sh("du -sb /data/pgdata/pg_wal").split()[0])
        assert wal_bytes < bound + 32 * 16 * 1024**2
    source.archive()
    source.run("terrace-backup watch")
    (gap,) = source.status()["gaps"]
    assert gap["until"] is not None
    assert source.metric("archive_gap_open") == 1
    source.run("terrace-backup watch")
    after_counts = source.counts()
    refused = scratch.restore(f"--time {inside}", "--target /data/drill", check=False)
    assert refused.returncode == 1
    assert "gap" in refused.stderr
    for end in ("since", "until"):
        assert gap[end].replace(" ", "T")[:19] in refused.stderr
    with restored(scratch, f"--time {before}"):
        assert scratch.counts(port=5433) == before_counts
    source.archive()
    with restored(scratch):
        assert scratch.counts(port=5433) == after_counts


def test_after_a_power_cut_under_load_every_row_older_than_the_recovery_point_is_in_the_bucket(
    source: Machine, scratch: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive closes segments every 5 s here instead of every 120 s; their way out has 40 s instead of 180 s.
    It begins with a cut: after a recovery the server itself would close none for five minutes."""
    bound_seconds = ARCHIVE_SECONDS + PUSH_SECONDS
    source.power_cut()
    source.run("systemctl restart postgresql@17-main && terrace-backup watch")
    source.run(WRITER)
    time.sleep(bound_seconds + random.uniform(1, ARCHIVE_SECONDS))  # noqa: S311 no secret
    cut = time.time()
    source.power_cut()
    told = source.acknowledged()
    older = {number for number, at in told.items() if cut - at > bound_seconds}
    assert older, "the writer wrote long enough"
    try:
        with restored(scratch):
            held = set(map(int, scratch.sql("select n from acknowledged", port=5433).split()))
    finally:
        source.run(
            "systemctl restart postgresql@17-main"
        )  # not before: it would hand over what the cut had left
    newest = max(at for number, at in told.items() if number in held)
    say(capsys, f"power cut: {len(told)} rows acknowledged, newest restored {cut - newest:.1f} s old")
    assert older <= held
    source.run("terrace-backup watch")
    until(lambda: source.waiting() == 0, seconds=RECOVERY_POINT_SECONDS - ARCHIVE_TIMEOUT_SECONDS)
    alive = int(source.sql("select count(*) from acknowledged"))
    assert alive >= len(told), "nothing acknowledged is lost on the box itself"


def test_rows_of_the_segment_that_a_power_cut_left_open_are_in_the_bucket_though_nobody_writes_after_it(
    source: Machine, scratch: Machine
) -> None:
    source.archive()
    source.add_receipts(3)
    wanted = source.counts()
    source.power_cut()
    source.run("systemctl restart postgresql@17-main")
    assert not source.waiting(), "nothing is on its way by itself"
    source.run("terrace-backup watch")
    until(lambda: source.waiting() == 0, seconds=90)
    with restored(scratch):
        assert scratch.counts(port=5433) == wanted


def test_the_boxs_own_database_goes_back_to_a_minute_and_is_backed_up_anew(source: Machine) -> None:
    source.run("systemctl is-active postgresql@17-main")
    wanted, moment = source.counts(), source.now()
    time.sleep(1.2)
    source.add_receipts(5)
    source.archive()
    source.run("systemctl stop postgresql@17-main")
    unnamed = source.restore(f"--time {moment}", check=False)
    assert unnamed.returncode == 1
    assert "--empty /data/pgdata" in unnamed.stderr
    source.restore(f"--time {moment}", "--empty /data/pgdata")
    assert source.counts() == wanted
    assert source.sh("systemctl is-active postgresql@17-main") == "active"
    made = json.loads(source.sh("terrace-backup ready --json"))
    assert made["kind"] == "full"
    assert made["first"].startswith("00000002"), "on a timeline of its own"
    assert json.loads(source.sh("terrace-backup ready --json")) is None
    source.add_receipts(2)
    source.archive()
    source.run("terrace-backup watch")
    assert not [each for each in source.status()["gaps"] if each["until"] is None]
