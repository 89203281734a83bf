"""Both services at once, on a real box of 16 GB under load."""

from __future__ import annotations

import pytest

from bench.figures import note
from bench.served import Served

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.engine]

STAGE = "single-16g"
SETTINGS = {"app": {"settings": {"LOG_LEVEL": "info"}, "secrets": [], "worker": True}}


def test_blue_green_answers_every_request_and_every_pending_question(box: Served) -> None:
    box.publish("v2")
    with box.under_load() as load:
        code, outcome = box.release("v2", "--strategy", "blue-green")
        assert (code, outcome["downtime_seconds"]) == (0, 0)
        load.until(5_000)
    report = load.report
    assert report is not None
    note(f"blue-green, {outcome['seconds']} s: {report.sentence()}; peak {box.peak_mib:.0f} MiB")
    assert (report.failed, report.sockets.faults) == (0, ()), report.errors
    assert report.sockets.clients == report.sockets.closed_by_server == report.sockets.reconnected == 20
    assert report.sockets.pending_at_close > 0
    assert report.sockets.asked == report.sockets.answered
    assert box.serves() == {"v2"}


def test_the_worker_runs_the_release_that_serves_on_a_port_of_its_own(box: Served) -> None:
    assert box.sh("systemctl is-active terrace-worker") == "active"
    pid = box.sh("systemctl show -P MainPID terrace-worker")
    assert "TERRACE_VERSION=v2" in box.sh(f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
    assert "--spring.profiles.active=worker" in box.sh(f"tr '\\0' ' ' < /proc/{pid}/cmdline")
    assert box.sh("systemctl show -P NRestarts terrace-worker") == "0"
    assert ["worker", "768", "MiB"] in [
        line.split()[:3] for line in box.sh("terrace-host status").splitlines()
    ]
    box.sh("systemctl stop terrace-worker; systemctl restart terrace-release")
    assert box.sh("systemctl is-active terrace-worker") == "active"
