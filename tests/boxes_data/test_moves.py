"""terrace-data on machines: rows move from the box to RDS and back, and at no moment do both take writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import note
from bench.moved import PARAMETERS, Cloud, Mover, move_a_gigabyte, ready, until
from infra.core.naming import DATABASE_WRITER

pytestmark = [pytest.mark.box, pytest.mark.drill]

WRITER = """
cat > /root/write.sql <<'SQL'
do $$ begin loop insert into receipts (merchant) values ('live'); commit; perform pg_sleep(0.02); end loop; end $$;
SQL
nohup psql -Xq 'host=127.0.0.1 dbname=app user=app' -f /root/write.sql > /root/written 2> /root/refused &
"""


@pytest.fixture(scope="module")
def mover(cloud: Cloud) -> Mover:
    """The box with 2 000 receipts, the parameters as Pulumi leaves them, and the program."""
    return ready(cloud)


def test_rows_move_to_rds_and_back_and_one_database_writes_at_a_time(mover: Mover) -> None:
    plan = mover.run("plan", code=10)
    assert (plan["source"], plan["target"], plan["tables"], plan["refused"]) == ("box", "rds", 2, [])
    assert "holds no whole copy" in mover.run("switch", code=4)

    rehearsed = mover.run("copy", "--rehearse")
    assert rehearsed["rehearsed"]
    assert mover.application("box", "select count(*) from receipts") == "2000"
    assert "holds no whole copy" in mover.run("switch", code=4)

    mover.run("copy")
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert mover.application("rds", "select count(*) from receipts") == "2000"
    assert "read-only transaction" in mover.application(
        "rds", "insert into receipts (merchant) values ('x')", fails=True
    )

    found = mover.run("verify")
    assert (found["differences"], found["tables"], found["rows"]) == ([], 2, 4000)
    assert (found["sequences"], found["vector_queries"]) == (2, 1)

    assert mover.run("switch")["changed"]
    assert mover.writer() == {"epoch": 1, "end": "rds", "host": mover.cloud.endpoint, "port": 5432}
    assert mover.application("rds", "insert into receipts (merchant) values ('new') returning id") == "2001"
    assert mover.application("rds", "select nextval('billing.numbers')") == "1001"
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert not mover.run("switch")["changed"]
    assert "Move back the same way" in mover.run("back", code=4)

    assert mover.run("copy")["kept"] == "app_before_2"
    assert mover.run("switch")["writer"]["end"] == "box"
    assert mover.application("box", "select merchant from receipts where id = 2001") == "new"
    assert "not permitted to log in" in mover.application("rds", "select 1", fails=True)


def test_a_change_of_one_row_of_the_copy_is_found_and_refuses_the_switch(mover: Mover) -> None:
    before = mover.run("copy")
    assert before["target"] == "rds"
    mover.master("update receipts set amount = 0 where id = 77")
    (difference,) = mover.run("verify", code=4)["differences"]
    assert difference.startswith("table public.receipts: 2001 rows, checksum")
    assert "checksum" in mover.run("switch", code=4)
    mover.run("back")
    assert mover.application("box", "insert into receipts (merchant) values ('on') returning 1") == "1"


def test_sessions_that_keep_writing_end_with_the_fence_and_lose_nothing_that_was_acknowledged(
    mover: Mover,
) -> None:
    mover.cloud.sh("app", f"export PGPASSWORD='{mover.password()}'\n{WRITER}")
    until(lambda: int(mover.box("select count(*) from receipts where merchant = 'live'")) > 5)
    mover.run("copy")
    assert "terminating connection" in mover.cloud.sh("app", "sleep 1; cat /root/refused")
    live = mover.box("select count(*) from receipts where merchant = 'live'")
    assert mover.application("rds", "select count(*) from receipts where merchant = 'live'") == live
    assert mover.run("verify")["differences"] == []
    mover.run("back")


def test_a_checksum_that_rests_on_an_earlier_reading_is_that_of_a_whole_one_after_any_change(
    mover: Mover,
) -> None:
    script = Path(__file__).with_name("changing.py").read_text(encoding="utf-8")
    found = json.loads(
        mover.cloud.sh("app", f"PYTHONPATH=/opt/terrace/current/lib python3 - <<'PY'\n{script}\nPY")
    )
    # Two changes leave the rows as they were: none, and one that was taken back.
    assert found == {"wrong": [], "different": 8}


LEFT_BEHIND = "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)"
DOOR = "find /etc/postgresql/17/main /etc/systemd/system -name '*replication*' | wc -l"


@pytest.mark.matrix
def test_a_copy_that_follows_loses_no_acknowledged_write_and_leaves_nothing_behind(mover: Mover) -> None:
    mover.cloud.sh("app", f"export PGPASSWORD='{mover.password()}'\n{WRITER}")
    mover.run("follow")
    assert "terrace_move" not in json.dumps(mover.run("plan", code=10))
    before = int(mover.box("select count(*) from receipts"))
    until(lambda: int(mover.box("select count(*) from receipts")) > before)
    switched = mover.run("switch")
    note(f"followed {switched['rows']} rows: {switched['pause']} s without a writer")
    assert (switched["differences"], switched["writer"]["end"]) == ([], "rds")
    rows = mover.box("select count(*) from receipts")
    assert mover.application("rds", "select count(*) from receipts") == rows
    assert mover.application("rds", "insert into receipts (merchant) values ('on') returning 1") == "1"
    assert "not permitted to log in" in mover.application("box", "select 1", fails=True)
    assert mover.box(LEFT_BEHIND) == "0"
    assert mover.cloud.sh("app", DOOR) == "0"
    mover.run("copy")
    assert mover.run("switch")["writer"]["end"] == "box"


@pytest.mark.matrix
def test_a_gigabyte_is_followed_and_a_client_that_writes_fifty_times_a_second_waits_for_seconds(
    mover: Mover,
) -> None:
    moved = move_a_gigabyte(mover)
    note(moved.said())
    assert (moved.lost, moved.twice, moved.astray) == (0, 0, 0)
    mover.application("rds", "drop table heavy")
    mover.run("copy")
    mover.run("switch")
    mover.box(
        "select format('drop database %I', datname) from pg_database where datname like 'app_before_%' \\gexec",
        "postgres",
    )


@pytest.mark.matrix
def test_a_copy_that_followed_is_given_up_and_no_slot_keeps_the_log(mover: Mover) -> None:
    mover.run("follow")
    assert mover.run("plan", code=10)["kept_for_follower"]
    mover.run("back")
    assert mover.box(LEFT_BEHIND) == "0"
    assert mover.application("box", "insert into receipts (merchant) values ('on') returning 1") == "1"


@pytest.mark.matrix
def test_a_table_without_a_key_is_refused_before_its_updates_would_fail(mover: Mover) -> None:
    mover.box("set role app; create table bare (n int)")
    assert "without a primary key cannot be followed: public.bare" in mover.run("follow", code=4)
    mover.box("drop table bare")


def test_a_copy_that_is_killed_begins_anew_or_is_taken_back(mover: Mover) -> None:
    # Seen and killed in the box: a restore of so few rows is over before anybody outside it has looked twice.
    mover.cloud.sh(
        "app",
        f"nohup terrace-data copy {mover.arguments} > /root/killed 2>&1 & pid=$!\n"
        "timeout 60 sh -c 'until grep -q restoring /root/killed; do sleep 0.02; done'\n"
        "kill -9 $pid; sleep 1; pkill pg_restore; true",
    )
    assert mover.run("plan", code=10)["next"] == "copy; or back"
    assert "holds no whole copy" in mover.run("switch", code=4)
    mover.run("back")
    assert mover.application("box", "select 1") == "1"
    mover.run("copy")
    assert mover.run("verify")["differences"] == []
    mover.run("back")


def test_a_target_with_tables_that_no_move_left_there_is_refused_before_anything_changes(
    mover: Mover,
) -> None:
    mover.master("comment on database app is null; create table theirs (x int)")
    assert "not empty: it has 1 tables" in mover.run("copy", code=4)
    assert mover.application("box", "select 1") == "1"


def test_a_stack_that_began_with_rds_gets_the_applications_role_and_an_empty_database(mover: Mover) -> None:
    mover.master("comment on database app is null; drop table if exists theirs")
    record = {"epoch": 9, "end": "rds", "host": mover.cloud.endpoint, "port": 5432}
    mover.cloud.client("ssm").put_parameter(
        Name=f"{PARAMETERS}/{DATABASE_WRITER}", Value=json.dumps(record), Type="String", Overwrite=True
    )
    assert mover.run("provide")["changed"]
    mover.application("rds", "create table t (v vector(3)); insert into t values ('[1,2,3]')")
    assert not mover.run("provide")["changed"]
    assert mover.application("rds", "select v from t") == "[1,2,3]"


def test_no_secret_stands_on_a_command_line_or_in_what_is_said(mover: Mover) -> None:
    login = json.loads(
        mover.cloud.client("secretsmanager").get_secret_value(SecretId=mover.cloud.master_secret)[
            "SecretString"
        ]
    )
    said = mover.cloud.sh("app", "cat /root/killed; journalctl -b --no-pager -t terrace-data; ps -ef")
    assert login["password"] not in said
