"""What goes wrong in a deploy on a real box, under load: what served before serves on."""

from __future__ import annotations

import json
import time

import pytest

from bench.figures import note
from bench.served import Served
from embedded.sample import Fault, FaultKind
from infra.core.release import archive_key

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine]

QUICK = ("--soak-seconds", "8", "--health-seconds", "10", "--drain-seconds", "2")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(FaultKind.NEVER_HEALTHY), "was not healthy within 10 s"),
        (Fault(FaultKind.EXITS), "ended by itself"),
        (Fault(FaultKind.EXITS, "frontend"), "frontend on 3001 ended by itself"),
    ],
    ids=["never-healthy", "exits", "frontend-exits"],
)
def test_a_release_that_does_not_come_up_costs_no_request(box: Served, fault: Fault, why: str) -> None:
    version = box.publish(f"{fault.kind}-{fault.part}", fault=fault)
    with box.under_load() as load:
        code, outcome = box.release(version, *QUICK)
    assert (code, outcome["result"]) == (1, "rolled back")
    assert why in outcome["reason"]
    assert load.report is not None
    assert (load.report.failed, load.report.sockets.faults) == (0, ()), load.report.errors
    assert box.serves() == {"v1"}


def test_a_release_that_dies_under_traffic_loses_only_what_it_was_answering(box: Served) -> None:
    version = box.publish("dies", fault=Fault(FaultKind.DIES, after_seconds=6))
    with box.under_load() as load:
        code, outcome = box.release(version, *QUICK)
    report = load.report
    assert report is not None
    note(f"dies under traffic: {report.sentence()} {report.errors}")
    assert (code, outcome["result"]) == (1, "rolled back")
    assert (report.dark_seconds < 1, report.sockets.faults) == (True, ())
    assert report.failed <= 10
    assert box.serves() == {"v1"}


def test_an_archive_with_another_checksum_is_not_unpacked(box: Served) -> None:
    version = box.publish("spoilt")
    box.artifacts().write(archive_key(version), b"something else")
    code, said = box.tried(f"terrace-deploy release {version}")
    assert code == 1
    assert "checksum" in said
    assert box.sh("ls /data/releases").split() == sorted(box.status()["releases"])
    assert version not in box.status()["releases"]
    assert box.serves() == {"v1"}


def test_a_deploy_killed_half_way_again_and_again_is_repaired_and_gone_on_with(box: Served) -> None:
    version = box.publish("v2")
    command = f"terrace-deploy release {version} {' '.join(QUICK)}"
    with box.under_load() as load:
        for seconds in (1.5, 4.0, 9.0, 14.0):
            box.sh(f"systemd-run --quiet --collect --unit=half -- {command}")
            time.sleep(seconds)
            box.tried("systemctl kill --signal=KILL half.service; systemctl stop half.service")
        code, outcome = box.release(version, *QUICK)
        load.until(load.sent() + 50)
    assert (code, outcome["result"]) == (0, "released"), outcome
    assert load.report is not None
    assert (load.report.failed, load.report.sockets.faults) == (0, ()), load.report.errors
    assert box.serves() == {version}
    ended = [each["result"] for each in _history(box) if each["version"] == version]
    assert ended.count("released") == 1
    assert ended.count("interrupted") >= 3


def test_a_deploy_that_is_told_to_end_brings_the_box_back_and_says_so(box: Served) -> None:
    before = box.status()["version"]
    version = box.publish("told")
    box.sh(f"systemd-run --quiet --unit=told -- terrace-deploy release {version} {' '.join(QUICK)}")
    time.sleep(6)
    with box.under_load() as load:
        box.tried("systemctl stop told.service")
    assert box.sh("systemctl show --property=ExecMainStatus --value told.service") == "5"
    box.tried("systemctl reset-failed told.service")
    assert load.report is not None
    assert load.report.failed == 0, load.report.errors
    assert (_history(box)[0]["version"], _history(box)[0]["result"]) == (version, "interrupted")
    assert box.serves() == {before}


def test_a_second_deploy_is_refused_with_who_holds_the_lock_and_why(box: Served) -> None:
    version = box.publish("v3")
    box.sh(
        f"systemd-run --quiet --collect --unit=first -- terrace-deploy release {version} --by kim {' '.join(QUICK)}"
    )
    time.sleep(1)
    code, said = box.tried(f"terrace-deploy release {version}")
    assert code == 4
    assert f"release {version} by kim" in said
    code, _ = box.release(version, "--wait", "120")
    assert code == 0
    assert box.serves() == {version}


def test_after_a_power_cut_in_the_middle_of_a_deploy_what_was_written_down_serves(box: Served) -> None:
    before = box.status()["version"]
    box.publish("v4")
    box.sh(f"systemd-run --quiet --collect --unit=half -- terrace-deploy release v4 {' '.join(QUICK)}")
    time.sleep(6)
    box.power_cut()
    box.prepare()
    _until(lambda: all(each["healthy"] for each in box.status()["parts"].values()))
    assert box.serves() == {before}
    code, _ = box.release("v4", *QUICK)
    assert code == 0
    assert box.serves() == {"v4"}


def _history(box: Served) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(box.sh("terrace-deploy history --json --limit 100"))
    return found


def _until(check: object, *, seconds: float = 60.0) -> None:
    assert callable(check)
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(0.5)
