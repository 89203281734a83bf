"""Which backup a wish means, what is refused before anything changes, and what the programs on the box read."""

from __future__ import annotations

import configparser
import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.errors import TerraceError
from infra.host import kit
from infra.host.box.backup import census, config
from infra.host.box.backup.census import Census
from infra.host.box.backup.gaps import Gap, stamp
from infra.host.box.backup.repository import Backup
from infra.host.box.restore import work
from infra.host.box.restore.choice import Wish, choose

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
NOW = START + timedelta(days=3)


def backup(days: int, kind: str = "full") -> Backup:
    at = START + timedelta(days=days)
    return Backup(f"L{days}", kind, at - timedelta(minutes=2), at, "", "", 10, 3)


BACKUPS = [backup(1, "diff"), backup(0), backup(2, "incr")]


def test_the_newest_state_comes_from_the_newest_backup() -> None:
    choice = choose(Wish(), BACKUPS, [], now=NOW)
    assert (choice.label, choice.warning) == ("L2", "")
    assert "--type=default" in choice.arguments


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=3)))
def test_a_time_comes_from_the_last_backup_before_it(after: timedelta) -> None:
    choice = choose(Wish(START + after), BACKUPS, [], now=NOW)
    taken = next(each for each in BACKUPS if each.label == choice.label)
    assert taken.stopped_at < START + after
    assert not [each for each in BACKUPS if taken.stopped_at < each.stopped_at < START + after]
    assert "--target-action=promote" in choice.arguments


def test_what_cannot_be_had_is_refused_with_its_bound() -> None:
    gap = Gap("000000010000000000000007", "000000010000000000000009", START + timedelta(hours=30))
    refused = {
        "no backup": (Wish(), [], []),
        "still to come": (Wish(NOW + timedelta(hours=1)), BACKUPS, []),
        stamp(START): (Wish(START), BACKUPS, []),
        "L0, L1, L2": (Wish(label="L9"), BACKUPS, []),
        stamp(gap.since): (Wish(START + timedelta(hours=40)), BACKUPS, [gap]),
    }
    for bound, (wish, backups, known) in refused.items():
        with pytest.raises(TerraceError) as error:
            choose(wish, backups, known, now=NOW)
        assert bound in str(error.value)


def test_the_newest_state_before_an_open_gap_says_what_it_lacks() -> None:
    gap = Gap("000000010000000000000007", "000000010000000000000009", START)
    assert stamp(START) in choose(Wish(), BACKUPS, [gap], now=NOW).warning
    closed = replace(gap, until=START + timedelta(hours=1))
    assert choose(Wish(), BACKUPS, [closed], now=NOW).warning == ""


def test_a_target_with_something_in_it_has_to_be_named(tmp_path: Path) -> None:
    target = tmp_path / "pgdata"
    work.check_target(target, empty=None)
    target.mkdir()
    work.check_target(target, empty=None)
    (target / "PG_VERSION").write_text("17")
    with pytest.raises(TerraceError, match="--empty"):
        work.check_target(target, empty=None)
    with pytest.raises(TerraceError, match="not empty"):
        work.check_target(target, empty=tmp_path)
    work.check_target(target, empty=target)
    work.journal(target).write_text("{}")
    work.check_target(target, empty=None)
    with pytest.raises(TerraceError, match="absolute"):
        work.check_target(Path("pgdata"), empty=None)


def test_the_repository_is_encrypted_and_its_credentials_are_the_roles() -> None:
    where = config.Repository("a-bucket", "ap-northeast-2")
    text = config.pgbackrest(where, pass_phrase="PHRASE", data_directory="/data/pgdata", queue_bytes=2**28)
    parser = configparser.ConfigParser()
    parser.read_string(text)
    told = parser["global"]
    assert told["repo1-cipher-type"] == "aes-256-cbc"
    assert told["repo1-cipher-pass"] == "PHRASE"
    assert told["repo1-s3-key-type"] == "auto"
    assert told["archive-push-queue-max"] == str(2**28)
    assert not [key for key in told if "verify-tls" in key or "s3-key-secret" in key]
    assert parser["main"]["pg1-path"] == "/data/pgdata"


def test_a_configuration_for_restores_alone_expires_and_archives_nothing() -> None:
    where = config.Repository("a-bucket", "ap-northeast-2")
    text = config.pgbackrest(where, pass_phrase="PHRASE", data_directory="/x", queue_bytes=None)
    assert "retention" not in text
    assert "archive-push" not in text


def test_every_timer_has_its_service_and_every_service_a_verb_that_is_known() -> None:
    from infra.host.box.backup.command import VERBS

    units = config.units()
    for name in config.timers():
        assert name.replace(".timer", ".service") in units
    for name, text in units.items():
        if name.endswith(".service"):
            (line,) = [each for each in text.splitlines() if each.startswith("ExecStart=")]
            assert line.split()[-1] in VERBS


NOTHING = Census({}, {}, {}, (), None)


def test_a_restored_database_is_held_against_what_its_backup_held() -> None:
    before = {"tables": {"public.a": [3, "1"], "public.b": [0, "0"]}, "extensions": {"vector": "0.8.0"}}
    well = Census(
        {"public.a": (5, "9"), "public.b": (0, "0")}, {"vector": "0.8.0"}, {"public.a.v": 3}, (), None
    )
    assert census.faults(before, well) == []
    assert census.faults(None, well) == []
    assert len(census.faults(before, NOTHING)) == 4
    empty = replace(well, tables={"public.a": (0, "0"), "public.b": (0, "0")})
    assert census.faults(before, empty) == ["table public.a is empty; it held 3 rows at the backup"]
    blind = replace(well, alike={"public.a.v": 0})
    assert census.faults(before, blind) == ["a nearest-neighbour query over public.a.v finds nothing"]


def test_the_kit_is_the_same_bytes_each_time_and_imports_by_itself(tmp_path: Path) -> None:
    import subprocess
    import sys

    built = kit.build()
    assert kit.build() == built
    with tarfile.open(fileobj=io.BytesIO(built.content)) as packed:
        packed.extractall(tmp_path, filter="data")
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import infra.host.box.restore.command, infra.host.box.backup.command"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_scratch_boxs_user_data_is_small_and_names_the_kit_by_its_digest() -> None:
    text = kit.user_data({"region": "ap-northeast-2"}, bucket="b", key="k", sha256="f" * 64)
    assert "f" * 64 in text
    assert len(text.encode()) < kit.MOST_BYTES / 4
    assert "{" + "region" not in text
