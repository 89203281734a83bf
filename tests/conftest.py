"""What every test process needs, whoever started it."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from bench.figures import noted
from tests.shards import Shards, passed

# No verdict depends on how busy the machine is.
settings.register_profile("terrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("terrace")

# A shell starts background jobs (`.ci/run &`) with Ctrl-C ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """`make matrix` runs in parts, and goes on where it ended."""
    if (said := os.environ.get("SHARD")) is not None:
        config.pluginmanager.register(Shards(said, passed()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures of tests that passed, whose output pytest keeps to itself: who reads CI's log finds them at its end."""
    passes = terminalreporter.stats.get("passed", [])
    if found := [line for each in passes for line in noted(each.capstdout)]:
        terminalreporter.section("measured")
        for line in found:
            terminalreporter.write_line(line)
