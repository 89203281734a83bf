"""The only place where a cloud takes its directory, and where what dead clouds left elsewhere is undone."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import IO

from embedded.boxes import enclosure, uplink
from embedded.boxes.cgroups import remove_tree
from embedded.boxes.errors import BoxesError, BusyError
from embedded.boxes.journal import Journal, Kind, abandoned

_log = logging.getLogger(__name__)


def take(directory: Path) -> IO[str]:
    """Lock the directory for this process, until the returned file is closed or the process ends.

    Raises BusyError with the number of the process that has it.
    """
    file = (directory / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise BusyError(
            f"{directory} is in use by process {holder}", "Stop it, or take another directory."
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def sweep() -> None:
    """Undo what clouds whose supervisors are dead left; what cannot be undone now is for the next time."""
    for journal in abandoned():
        try:
            for line in undo(journal):
                _log.info("undone, left by a cloud that was killed: %s", line)
        except (BoxesError, OSError) as error:
            _log.warning("something that a killed cloud left cannot be undone yet: %s", error)


def undo(journal: Journal) -> tuple[str, ...]:
    """Unmake everything on the list: the enclosure before all else, then newest first. In words, what was there.

    Idempotent; what fails stays on the list for the next time, and HostError says why.
    """
    done: list[str] = []
    for entry in sorted(journal.left(), key=lambda entry: entry.kind is not Kind.ENCLOSURE):
        match entry.kind:
            case Kind.ENCLOSURE:
                if enclosure.end(entry.facts):
                    done.append(f"the processes of the cloud (process {entry.facts['pid']})")
            case Kind.CGROUP:
                path = Path(entry.facts["path"])
                if path.exists():
                    remove_tree(path)
                    done.append(f"the control group {path}")
            case Kind.UPLINK:
                if uplink.disconnect(entry.facts["token"]):
                    done.append(f"the packet rules and link {uplink.link_name(entry.facts['token'])}")
        journal.unmade(entry.number)
    return tuple(done)
