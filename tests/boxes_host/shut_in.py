"""The only place for how a box's own units are judged: they hold, and none is less shut in than it was."""

from __future__ import annotations

import re
from collections.abc import Callable

# Measured on systemd 257 in a box; 0 is shut in wholly, 10 not at all. A worse one is a decision, not an accident.
EXPOSURE = {
    **{f"terrace-{name}": 1.4 for name in ("backend@8080", "frontend@3000", "worker")},
    "terrace-metrics": 4.5,
    **{f"terrace-backup-{name}": 8.2 for name in ("diff", "dump", "full", "ready", "watch")},
    "terrace-gpu": 8.3,
    "terrace-agent": 8.7,
    # They install packages, mount, write units: root's own work, seconds long.
    **{
        f"terrace-{name}": 9.6
        for name in (
            "agents", "certificate", "data", "follow", "grow", "host", "release", "settings", "size",
            "upstream",
        )
    },
}  # fmt: skip


def complaints(sh: Callable[[str], str]) -> str:
    """What systemd says of the units and timers that terrace wrote; empty where they hold."""
    return sh(
        "systemd-analyze verify /etc/systemd/system/terrace-*.service /etc/systemd/system/terrace-*.timer"
    )


def worse(sh: Callable[[str], str]) -> dict[str, float]:
    """Every service of terrace on that box that is less shut in than `EXPOSURE` says, or that it does not name."""
    listed = sh("systemctl list-unit-files 'terrace-*.service' --no-legend | cut -d' ' -f1").split()
    units = [
        each.replace("backend@", "backend@8080").replace("frontend@", "frontend@3000") for each in listed
    ]
    assert units
    found = {
        unit.removesuffix(".service"): float(re.findall(r"Overall exposure level for \S+ (\d+\.\d)", said)[0])
        for unit in units
        for said in [sh(f"systemd-analyze security --no-pager {unit} | tail -2")]
    }
    return {unit: score for unit, score in found.items() if score > EXPOSURE.get(unit, 0.0)}
