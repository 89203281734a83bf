"""The only place that reads the kernel's table of TCP sockets (proc_net_tcp of the kernel's documentation)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ESTABLISHED, LISTEN = "01", "0A"
"""States of include/net/tcp_states.h, in hexadecimal."""

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""A JVM listens on an IPv6 socket and is found in the second table."""


def connections(port: int) -> int:
    """How many connections to that local port are established."""
    return sum(1 for local, state, _ in _rows() if local == port and state == ESTABLISHED)


def listener(port: int) -> str:
    """Which process listens on the port: its number and when it started, or empty."""
    inodes = {inode for local, state, inode in _rows() if local == port and state == LISTEN}
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir() if links else ():
        if process.name.isdecimal() and _holds(process, links):
            return f"{process.name} {_started(process)}"
    return ""


def _rows() -> Iterator[tuple[int, str, str]]:
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            yield int(fields[1].rpartition(":")[2], 16), fields[3], fields[9]


def _holds(process: Path, links: set[str]) -> bool:
    try:
        return any(str(each.readlink()) in links for each in (process / "fd").iterdir())
    except OSError:
        return False  # it ended, or a file was closed while we looked


def _started(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
