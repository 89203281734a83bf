"""The only place for control groups: a group of one's own round each box, in every hierarchy that matters.

Tried: cgroup v1 with systemd's hybrid layout (memory and cpu as v1 hierarchies, name=systemd, cgroup2 without
controllers), where limits of units inside a box (MemoryMax=) are shown and not enforced; and cgroup v2 alone under
systemd 257 and Linux 6.1 (limit, resize, power cut, limits of units inside a box enforced). Not tried: v1 without
the hybrid layout, and a container whose own control group already has processes in it (no limits then: "No Internal
Process Constraint" of the kernel's cgroup-v2.rst).

The group also is what tells two boxes apart for systemd-nspawn: with --keep-unit it makes `payload` and
`supervisor` beneath the group that it is started in.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedded.boxes.errors import HostError

PERIOD_MICROSECONDS = 100_000
_REMOVE_SECONDS = 5.0
_WANTED_V1 = ("memory", "cpu", "name=systemd")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of control groups: what it controls, where new groups go, and its version."""

    controllers: frozenset[str]
    parent: Path
    v2: bool


def hierarchies() -> tuple[Hierarchy, ...]:
    """The trees of this machine that a box needs a group in.

    A v1 group goes beneath this process's own, so that a limit on us holds for the boxes too. A v2 group goes
    beneath the root: a group with processes in it cannot have controlled children.
    """
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        own[names] = path
    found: list[Hierarchy] = []
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = mount.partition(" - ")
        kind, _, options = after.split(" ", 2)
        point = Path(before.split(" ")[4])
        if kind == "cgroup2":
            controllers = frozenset((point / "cgroup.controllers").read_text().split())
            found.append(Hierarchy(controllers, point, v2=True))
        elif kind == "cgroup":
            controls = frozenset(options.split(" ")[-1].split(","))
            if any(name in controls for name in _WANTED_V1):
                mine = next(
                    (path for key, path in own.items() if key and set(key.split(",")) <= controls), "/"
                )
                inside = point / mine.lstrip("/")
                found.append(Hierarchy(controls, inside if inside.is_dir() else point, v2=False))
    if not found:
        raise HostError("no control groups are mounted", "Mount cgroup2 at /sys/fs/cgroup.")
    return tuple(found)


class Cgroup:
    """The group round one box. Making and removing are idempotent."""

    def __init__(self, name: str, trees: tuple[Hierarchy, ...]) -> None:
        self._trees = trees
        self.paths = tuple(tree.parent / name for tree in trees)
        controls = next((i for i, t in enumerate(trees) if "memory" in t.controllers), 0)
        self._memory = self.paths[controls]
        self._memory_is_v2 = trees[controls].v2

    def make(self, *, memory_bytes: int, vcpus: int) -> tuple[str, ...]:
        """Make the groups and set the limits; returns which limits this machine cannot set (none, as a rule)."""
        missing: list[str] = []
        for path in self.paths:
            path.mkdir(exist_ok=True)
        quota = PERIOD_MICROSECONDS * vcpus
        missing += self._limit(
            "memory",
            {"memory.max": str(memory_bytes), "memory.swap.max": "0"},
            {"memory.limit_in_bytes": str(memory_bytes), "memory.memsw.limit_in_bytes": str(memory_bytes)},
        )
        missing += self._limit(
            "cpu",
            {"cpu.max": f"{quota} {PERIOD_MICROSECONDS}"},
            {"cpu.cfs_period_us": str(PERIOD_MICROSECONDS), "cpu.cfs_quota_us": str(quota)},
        )
        return tuple(missing)

    def joining(self, *argv: str) -> list[str]:
        """The command line that puts itself into the groups and then becomes `argv`."""
        script = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 > "$1/cgroup.procs" || exit 125; n=$((n-1)); shift; done; '  # noqa: E501
        paths = [str(path) for path in self.paths]
        return ["/bin/sh", "-c", script + 'exec "$@"', "sh", str(len(paths)), *paths, *argv]

    def pids(self) -> list[int]:
        """Every process in the box and round it (systemd-nspawn), as this machine counts."""
        found: set[int] = set()
        for path in _tree(self._memory):
            try:
                found.update(int(pid) for pid in (path / "cgroup.procs").read_text().split())
            except (FileNotFoundError, OSError):
                continue
        return sorted(found)

    def memory_used_bytes(self) -> int | None:
        """What the box uses without the page cache that could be dropped; None when it cannot be read."""
        usage = "memory.current" if self._memory_is_v2 else "memory.usage_in_bytes"
        inactive = "inactive_file" if self._memory_is_v2 else "total_inactive_file"
        try:
            used = int((self._memory / usage).read_text())
            for line in (self._memory / "memory.stat").read_text().splitlines():
                name, value = line.split()
                if name == inactive:
                    used -= int(value)
        except (OSError, ValueError):
            return None
        return max(used, 0)

    def cpu_used_seconds(self) -> float | None:
        """Processor time of everything in the box; None when it cannot be read (a machine with cgroup v1 alone)."""
        for tree, path in zip(self._trees, self.paths, strict=True):
            if tree.v2:
                try:
                    for line in (path / "cpu.stat").read_text().splitlines():
                        name, value = line.split()
                        if name == "usage_usec":
                            return int(value) / 1e6
                except (OSError, ValueError):
                    return None
        return None

    def kill(self) -> None:
        """SIGKILL every process in the groups."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def child(self, name: str) -> Cgroup:
        """A group beneath this one, in the tree of the memory limit only."""
        tree = next((t for t in self._trees if "memory" in t.controllers), self._trees[0])
        return Cgroup(name, (Hierarchy(tree.controllers, self._memory, tree.v2),))

    def remove(self) -> None:
        """Remove the groups and all beneath them, once their processes are gone."""
        for path in self.paths:
            remove_tree(path)

    def _limit(self, controller: str, v2: dict[str, str], v1: dict[str, str]) -> list[str]:
        for tree, path in zip(self._trees, self.paths, strict=True):
            if controller not in tree.controllers:
                continue
            try:
                if tree.v2:
                    _enable(tree.parent, controller)
                for name, value in (v2 if tree.v2 else v1).items():
                    # The memsw file is there only when the kernel counts swap.
                    if (path / name).exists() or "memsw" not in name:
                        _set(path / name, value)
            except OSError as error:
                return [f"{controller}: {error}"]
            return []
        return [f"{controller}: no such controller on this machine"]


def _set(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        # v1 refuses a memory limit above memsw's: raising both goes the other way round.
        if path.name != "memory.limit_in_bytes":
            raise
        memsw = path.with_name("memory.memsw.limit_in_bytes")
        if not memsw.exists():
            raise
        try:
            memsw.write_text(value)
            path.write_text(value)
        except OSError:
            raise error from None


def _enable(parent: Path, controller: str) -> None:
    switch = parent / "cgroup.subtree_control"
    if controller not in switch.read_text().split():
        switch.write_text(f"+{controller}")


def _tree(path: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(path):
        yield Path(directory)


def remove_tree(path: Path) -> None:
    """Remove a group and all beneath it; waits for its last processes to be gone. Raises HostError if they stay."""
    until = time.monotonic() + _REMOVE_SECONDS
    while path.exists():
        refused: OSError | None = None
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                Path(directory).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                refused = error
                break
        if refused is None:
            continue
        if time.monotonic() > until:
            raise HostError(
                f"the control group {path} cannot be removed: {refused}", "Something still runs in it."
            )
        time.sleep(0.02)
