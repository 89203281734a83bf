"""What a deploy keeps on the box's disk: releases, the journal, the lock, Nginx's upstreams, the room for memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.core.release import CURRENT_KEY, Part, Strategy, about_key, archive_key
from infra.host.box.deploy import lock, proxy, units
from infra.host.box.deploy import main as deploys
from infra.host.box.deploy.errors import DeployError, RefusedError
from infra.host.box.deploy.journal import FileJournal
from infra.host.box.deploy.main import main
from infra.host.box.deploy.memory import BoxMemory
from infra.host.box.deploy.model import Intent, Outcome, Result, Serving, State, Unpacked, Verb
from infra.host.box.deploy.place import Place
from infra.host.box.deploy.proxy import Nginx, render
from infra.host.box.deploy.store import Store
from ops import deploy, release
from tests.deploy.pretended import manifest
from tests.deploy.test_release import Bucket, laid_out


class ReadBucket:
    """The same bucket, as a box reads it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, key: str) -> bytes | None:
        return self._bucket.read(key)

    def chunks(self, key: str) -> Iterator[bytes]:
        content = self._bucket.objects[key]
        yield from (content[at : at + 100] for at in range(0, len(content), 100))


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    made = Bucket()
    deploy.publish(made, release.pack(laid_out(tmp_path / "one"), tmp_path / "one.tar.gz"))
    return made


def store(bucket: Bucket, directory: Path) -> Store:
    return Store(directory, ReadBucket(bucket), lambda *_: None)


def test_a_published_release_is_fetched_checked_and_then_had_without_the_bucket(
    bucket: Bucket, tmp_path: Path
) -> None:
    disk = tmp_path / "releases"
    taken = store(bucket, disk).take("v1")
    assert (taken.directory / "backend" / "app.jar").read_text() == "jar"
    assert [each.name for each in disk.iterdir()] == ["v1"]
    bucket.objects.clear()
    assert store(bucket, disk).take("v1").manifest == taken.manifest
    assert store(bucket, disk).about("v1").parts == tuple(taken.manifest.parts)


def test_an_archive_with_another_checksum_leaves_nothing_on_the_disk(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects[archive_key("v1")] += b"x"
    with pytest.raises(DeployError, match="has checksum"):
        store(bucket, tmp_path / "releases").take("v1")
    assert list((tmp_path / "releases").iterdir()) == []


def test_a_release_damaged_on_the_disk_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    disk = tmp_path / "releases"
    taken = store(bucket, disk).take("v1")
    (taken.directory / "backend" / "app.jar").write_text("rot")
    assert store(bucket, disk).take("v1").manifest == taken.manifest
    assert (taken.directory / "backend" / "app.jar").read_text() == "jar"


def test_what_is_not_published_is_refused_though_its_archive_is_there(bucket: Bucket, tmp_path: Path) -> None:
    del bucket.objects[about_key("v1")]
    with pytest.raises(RefusedError, match="is not published"):
        store(bucket, tmp_path / "releases").take("v1")


def test_a_full_disk_is_refused_with_the_numbers(bucket: Bucket, tmp_path: Path) -> None:
    about = json.loads(bucket.objects[about_key("v1")])
    bucket.objects[about_key("v1")] = json.dumps({**about, "unpacked_bytes": 2**60}).encode()
    with pytest.raises(RefusedError, match=r"needs 1099511627776\.0 MiB"):
        store(bucket, tmp_path / "releases").take("v1")


def test_releases_that_are_not_kept_and_halves_of_fetches_go(bucket: Bucket, tmp_path: Path) -> None:
    disk = tmp_path / "releases"
    store(bucket, disk).take("v1")
    (disk / "v0").mkdir()
    (disk / "v2.part").mkdir()
    assert store(bucket, disk).prune(frozenset({"v1"})) == ("v0", "v2.part")
    assert [each.name for each in disk.iterdir()] == ["v1"]


def test_a_box_without_data_reads_what_it_should_start(bucket: Bucket, tmp_path: Path) -> None:
    assert store(bucket, tmp_path).wanted() == ""
    bucket.write(CURRENT_KEY, b'{"version": "v1"}')
    assert store(bucket, tmp_path).wanted() == "v1"


HOLD = """
import pathlib, sys, time
from infra.host.box.deploy import lock
with lock.held(pathlib.Path(sys.argv[1]), by="kim", reason="release v2", wait_seconds=0):
    time.sleep(60)
"""

STATE = State({Part.BACKEND: Serving("v2", 8081), Part.FRONTEND: Serving("v1", 3000)}, ("v1", "v2"))
INTENT = Intent(
    "id-1", Verb.RELEASE, "v3", "v2", Strategy.ROLLING, "kim", "why", datetime(2026, 11, 20, 9, tzinfo=UTC)
)


def test_what_serves_and_what_is_under_way_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    assert (journal.state(), journal.intent(), journal.history(9)) == (State(), None, [])
    journal.save(STATE)
    journal.begin(INTENT)
    assert (FileJournal(tmp_path).state(), FileJournal(tmp_path).intent()) == (STATE, INTENT)


def test_a_deploy_is_in_the_history_once_however_often_its_end_is_written(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    for _ in range(2):
        journal.begin(INTENT)
        journal.end(INTENT, Outcome(Result.RELEASED, "v3", "v2", 12.0))
    (line,) = journal.history(9)
    assert (line["by"], line["version"], line["seconds"], journal.intent()) == ("kim", "v3", 12.0, None)


def test_half_a_line_in_the_history_hides_none_and_swallows_none(tmp_path: Path) -> None:
    (tmp_path / "deploys.jsonl").write_text('{"id": "a"}\n{"id": "b", "ver')
    journal = FileJournal(tmp_path)
    journal.end(INTENT, Outcome(Result.RELEASED, "v3", "v2", 12.0))
    assert [each["id"] for each in journal.history(9)] == ["id-1", "a"]


def test_a_damaged_state_is_said_and_nothing_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "current.json").write_text('{"parts": {"backend"')
    with pytest.raises(DeployError, match="is damaged"):
        FileJournal(tmp_path).state()


def test_a_second_deploy_is_refused_with_holder_and_reason_and_a_dead_holder_holds_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)])
    try:
        deadline = time.monotonic() + 30
        while not lock.holder(path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with (
            pytest.raises(RefusedError, match="release v2 by kim"),
            lock.held(path, by="lee", reason="release v3", wait_seconds=0),
        ):
            pass
        holder.kill()
        holder.wait()
        with lock.held(path, by="lee", reason="release v3", wait_seconds=5):
            found = lock.holder(path)
        assert found is not None
        assert found["by"] == "lee"
        assert lock.holder(path) is None
    finally:
        holder.kill()
        holder.wait()


def test_an_upstream_asks_its_second_port_only_where_the_first_refuses(tmp_path: Path) -> None:
    text = render(Part.BACKEND, (8081, 8080))
    assert "server 127.0.0.1:8081;\n    server 127.0.0.1:8080 backup;" in text
    proxy = Nginx(tmp_path, tmp_path / "no-such.pid")
    proxy.prepare({Part.BACKEND: (8081, 8080)})
    assert proxy.targets(Part.BACKEND) == (8081, 8080)
    assert proxy.targets(Part.FRONTEND) == ()


NEW_BOX = "10.20.0.9:8090"


@pytest.fixture
def led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """A box whose backend's requests go to another box."""
    monkeypatch.setattr(proxy, "run", lambda _: "")
    made = Nginx(tmp_path, tmp_path / "no-such.pid")
    made.lead(Part.BACKEND, NEW_BOX)
    return made


def test_what_is_led_to_another_box_stays_so_at_a_boot_and_no_longer_than_a_switch(led: Nginx) -> None:
    led.prepare({Part.BACKEND: (8081,), Part.FRONTEND: (3001,)})
    assert (led.elsewhere(Part.BACKEND), led.targets(Part.FRONTEND)) == (NEW_BOX, (3001,))
    led.switch({Part.BACKEND: (8081,)})
    assert (led.elsewhere(Part.BACKEND), led.targets(Part.BACKEND)) == ("", (8081,))


def test_what_waited_at_a_port_of_the_box_as_the_power_went_goes_to_its_own_backend(led: Nginx) -> None:
    led.lead(Part.BACKEND, "127.0.0.1:8091")
    led.prepare({Part.BACKEND: (8081,)})
    assert led.targets(Part.BACKEND) == (8081,)


@pytest.mark.parametrize("asked", [["release", "v2"], ["rollback"]])
def test_a_box_whose_requests_are_led_to_another_takes_no_release(
    led: Nginx,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = Place("backend", "ap-northeast-2", "artifacts", tmp_path / "releases", tmp_path / "state")
    monkeypatch.setattr(deploys.Place, "of_box", lambda: place)
    monkeypatch.setattr(deploys, "NGINX", tmp_path)
    monkeypatch.setattr(deploys, "LOCK", tmp_path / "deploy.lock")
    assert main(asked) == RefusedError.exit_code
    assert f"is sent to {NEW_BOX}" in capsys.readouterr().err
    assert led.elsewhere(Part.BACKEND) == NEW_BOX


@pytest.mark.parametrize(("limit_mib", "free_mib"), [(8192, 2201), (16384, 6297)], ids=["8 GB", "16 GB"])
def test_memory_is_counted_by_the_boxs_own_limit_and_by_what_its_parts_may_take(
    tmp_path: Path, limit_mib: int, free_mib: int
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  24684096 kB\nMemAvailable:  20000000 kB\n")
    (tmp_path / "limit").write_text(f"{limit_mib * 1024**2}\n")
    room = BoxMemory("single", tmp_path / "meminfo", (tmp_path / "limit", tmp_path / "none")).room()
    assert (room.total_mib, room.free_mib) == (limit_mib, free_mib)


def test_less_memory_than_budgeted_is_no_room(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemAvailable:  512000 kB\n")
    assert BoxMemory("single", tmp_path / "meminfo", ()).room().free_mib == 500


def test_arguments_that_cannot_be_end_with_the_usage_code(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["release"], ["release", "v1", "--strategy", "sideways"], ["sing"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert main(["release", "../v1"]) == 1
    assert "cannot name a release" in capsys.readouterr().err


def test_a_box_that_was_never_told_what_it_is_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert "/etc/terrace/box.json" in capsys.readouterr().err


def test_a_worker_keeps_its_share_from_a_second_backend(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemAvailable:  8000000 kB\n")
    alone = BoxMemory("single", tmp_path / "meminfo", ())
    beside = BoxMemory("single", tmp_path / "meminfo", (), worker=True)
    assert alone.room().free_mib - beside.room().free_mib == 768
    assert alone.need_mib(Part.BACKEND) <= alone.room().free_mib
    assert beside.need_mib(Part.BACKEND) > beside.room().free_mib, "rolling is refused by its own rule"


def test_a_worker_runs_the_backends_jar_on_nobodys_port_and_is_restarted_only_by_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(units, "run", lambda argv, **_: called.append(tuple(argv)) or "")
    monkeypatch.setattr(units.os, "geteuid", lambda: 1000)
    systemd = units.Systemd(tmp_path, worker=True)
    systemd.follow(Unpacked(manifest("v1"), tmp_path))
    assert "SERVER_PORT=0" in (tmp_path / "worker.env").read_text().splitlines()
    systemd.follow(Unpacked(manifest("v1"), tmp_path), wait=False)
    systemd.follow(Unpacked(manifest("v2"), tmp_path))
    verbs = [each[1:3] if "--no-block" in each else each[1:2] for each in called]
    assert verbs == [("restart",), ("start", "--no-block"), ("restart",)]
    units.Systemd(tmp_path).follow(Unpacked(manifest("v3"), tmp_path))
    assert len(called) == 3
