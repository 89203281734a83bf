"""The only place for the steps of a move and their order: each is idempotent, and begins from what is marked.

    writer open, target absent -> (copy) writer fenced, target copying -> target copied -> (switch) recorded, opened

At no moment do both take the application's writes: the target is opened after the source was fenced and after the
record names it; `back` opens the source again only while the record still names it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.box import POSTGRES
from infra.host.box.data import compare
from infra.host.box.data.ends import DATABASE, ROLE, End, Mark, State
from infra.host.box.data.record import Record, Writer

JOBS = "2"
SPARE_BYTES = 1024**3
GROWTH = 1.3
"""What a restored database and its write-ahead log may need beside its size on the source."""

_EXTENSION = re.compile(r"^\d+; .* (EXTENSION|COMMENT - EXTENSION) ")

OnStep = Callable[[str], Any]


class DifferentError(TerraceError):
    """The copy is not the source, or the move is not where the step needs it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Move:
    """Both ends, the record, and the room: free bytes for a dump, most bytes of each end (None: not known)."""

    ends: Mapping[str, End]
    where: Mapping[str, Writer]
    record: Record
    scratch: Path
    room: Mapping[str, int]

    def _sides(self) -> tuple[Writer, End, End]:
        writer = self.record.read()
        other = next(name for name in self.ends if name != writer.end)
        return writer, self.ends[writer.end], self.ends[other]

    def plan(self) -> dict[str, Any]:
        """What stands, what would be moved, and every reason against it."""
        writer, source, target = self._sides()
        marks = {end.name: end.mark() for end in (source, target)}
        return {
            "writer": asdict(writer),
            "source": source.name,
            "target": target.name,
            "states": {name: mark.state.value for name, mark in marks.items()},
            "bytes": source.bytes(),
            "tables": source.tables(),
            "next": self._next(marks[source.name], marks[target.name]),
            "refused": self._refusals(source, target),
        }

    def provide(self, on_step: OnStep) -> dict[str, Any]:
        """Makes the application's role and its empty database on the writer, where nothing was ever moved to it."""
        writer = self.record.read()
        end = self.ends[writer.end]
        if end.mark().state is not State.ABSENT:
            return {"writer": asdict(writer), "changed": False}
        on_step(f"making the role and the database {DATABASE} on {end.name}")
        end.empty(writer.epoch, self.record.verifier())
        end.sql("create extension if not exists vector", database=DATABASE)
        end.open(writer.epoch)
        return {"writer": asdict(writer), "changed": True}

    def copy(self, on_step: OnStep, *, rehearse: bool = False) -> dict[str, Any]:
        """Fences the writer and copies it; a rehearsal copies while the application goes on writing.

        Raises:
            DifferentError: a reason of `plan` stands against it.
            TerraceError: a step failed; the same command begins the copy anew, `back` opens the writer again.
        """
        writer, source, target = self._sides()
        self._refuse(self._refusals(source, target))
        epoch = writer.epoch + 1
        began = time.monotonic()
        if not rehearse:
            on_step(f"fencing {source.name}: the application writes no more")
            source.fence(writer.epoch)
        elif source.mark().state is State.FENCED:
            raise DifferentError(
                Fault(source.name, "is fenced, nothing could be rehearsed", "Go on: copy, or back")
            )
        kept = target.empty(epoch, self.record.verifier())
        if kept:
            on_step(f"{target.name} keeps its earlier database as {kept}")
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="terrace-copy-") as directory:
            dump = Path(directory) / "dump"
            shutil.chown(directory, POSTGRES)
            on_step(f"dumping {source.name}")
            source.run(["pg_dump", "-Fd", "-j", JOBS, "-f", str(dump), "-d", DATABASE])
            dumped = time.monotonic()
            on_step(f"restoring into {target.name}")
            self._restore(source, target, dump)
        target.sql("analyze", database=DATABASE)
        if not rehearse:
            target.close(epoch)
        return {
            "source": source.name,
            "target": target.name,
            "rehearsed": rehearse,
            "kept": kept,
            "bytes": target.bytes(),
            "dump_seconds": round(dumped - began, 1),
            "seconds": round(time.monotonic() - began, 1),
        }

    def verify(self) -> dict[str, Any]:
        """Every difference between writer and copy, none when they are the same.

        Raises:
            DifferentError: there is no whole copy, or the application still writes.
        """
        _, source, target = self._sides()
        self._need(source, target)
        one, other = compare.census(source), compare.census(target)
        return {
            "tables": len(one.tables),
            "rows": sum(count for count, _ in one.tables.values()),
            "sequences": len(one.sequences),
            "vector_queries": len(one.vectors),
            "differences": compare.differences(one, other),
        }

    def switch(self, on_step: OnStep) -> dict[str, Any]:
        """Verifies, writes down the new writer, opens it. Cut short after the record, the same command opens it.

        Raises:
            DifferentError: the copy differs, or there is none.
        """
        writer, source, target = self._sides()
        if source.mark().state is State.COPIED:
            on_step(f"{source.name} was recorded as the writer; opening it")
            source.open(writer.epoch)
            return {"writer": asdict(writer), "changed": True}
        if source.mark().state is State.OPEN and target.mark().state is State.FENCED:
            return {"writer": asdict(writer), "changed": False}
        found = self.verify()
        self._refuse(found["differences"])
        on_step("both are the same; writing down who writes")
        new = self.where[target.name]
        new = Writer(writer.epoch + 1, new.end, new.host, new.port)
        self.record.write(new)
        on_step(f"opening {target.name}")
        target.open(new.epoch)
        return {"writer": asdict(new), "changed": True, **found}

    def back(self, on_step: OnStep) -> dict[str, Any]:
        """Opens the writer again before a switch; what was copied is copied anew by the next `copy`.

        Raises:
            DifferentError: the switch was made: the way back is a move in the other direction.
        """
        writer, source, target = self._sides()
        found = target.mark()
        if found.state is State.FENCED and source.mark().state is State.OPEN:
            raise DifferentError(
                Fault(
                    source.name,
                    f"is the writer since epoch {writer.epoch}, and {target.name} lacks what it took since",
                    f"Move back the same way: copy, verify, switch (to {target.name})",
                )
            )
        if source.mark().state is State.COPIED:
            raise DifferentError(
                Fault(source.name, "is recorded as the writer already", "Finish it: switch; then move back")
            )
        on_step(f"opening {source.name}: it never stopped being the writer")
        source.open(writer.epoch)
        if found.state in (State.COPIED, State.COPYING):
            on_step(f"{target.name} is emptied")
            target.empty(writer.epoch, self.record.verifier())
        return {"writer": asdict(writer), "changed": True}

    def _restore(self, source: End, target: End, dump: Path) -> None:
        for name in compare.extensions(source):
            target.sql(f'create extension if not exists "{name}"', database=DATABASE)
        contents = target.run(["pg_restore", "-l", str(dump)])
        wanted = dump.parent / "contents"
        wanted.write_text(
            "".join(f"{line}\n" for line in contents.splitlines() if not _EXTENSION.match(line))
        )
        wanted.chmod(0o644)
        target.run(
            [
                "pg_restore", "--no-owner", "--no-privileges", f"--role={ROLE}", "--exit-on-error", "-j", JOBS,
                "-L", str(wanted), "-d", DATABASE, str(dump),
            ]
        )  # fmt: skip

    def _refusals(self, source: End, target: End) -> list[str]:
        """Why a copy cannot be made."""
        if not source.exists():
            return [f"{source.name} has no database {DATABASE}: there is nothing to move"]
        found = target.mark()
        faults = []
        if found.state is State.OPEN:
            faults.append(
                f"{target.name} is not empty: it has {target.tables()} tables that no move left there"
            )
        can = compare.available(target)
        for name, version in compare.extensions(source).items():
            if compare.version(can.get(name, "")) < compare.version(version):
                faults.append(
                    f"extension {name} is {version} on {source.name}, and {can.get(name, 'not to be had')} on "
                    f"{target.name}"
                )
        size = source.bytes()
        if (free := shutil.disk_usage(_existing(self.scratch)).free) < size + SPARE_BYTES:
            faults.append(
                f"{self.scratch} has {_mib(free)} MiB free, a dump may need {_mib(size + SPARE_BYTES)}"
            )
        if (room := self.room.get(target.name)) is not None and room < size * GROWTH:
            faults.append(
                f"{target.name} has room for {_mib(room)} MiB, {_mib(int(size * GROWTH))} are needed"
            )
        return faults

    def _next(self, source: Mark, target: Mark) -> str:
        if source.state is State.COPIED:
            return "switch"
        if target.state is State.COPIED:
            return "verify, then switch; or back"
        if source.state is State.FENCED or target.state is State.COPYING:
            return "copy; or back"
        return "copy"

    def _need(self, source: End, target: End) -> None:
        if target.mark().state is not State.COPIED:
            raise DifferentError(Fault(target.name, "holds no whole copy", "Make one: copy"))
        if source.mark().state is not State.FENCED:
            raise DifferentError(
                Fault(source.name, "is written to since the copy was made", "Make it again: copy")
            )

    def _refuse(self, reasons: list[str]) -> None:
        if reasons:
            raise DifferentError(*(Fault("data", each, "Nothing was changed") for each in reasons))


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _mib(count: int) -> int:
    return count // 1024**2
