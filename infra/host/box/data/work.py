"""The only place for the steps of a move and their order: each is idempotent, and begins from what is marked.

    writer open, target absent -> (copy) writer fenced, target copying -> target copied -> (switch) recorded, opened
    writer open, target absent -> (follow) target copying -> target following -> (switch) writer fenced, target
                                  copied -> recorded, opened

At no moment do both take the application's writes: the target is opened after the source was fenced and after the
record names it; `back` opens the source again only while the record still names it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.box import POSTGRES
from infra.host.box.data import compare
from infra.host.box.data.compare import Census
from infra.host.box.data.ends import DATABASE, ROLE, End, Mark, State
from infra.host.box.data.follow import Following, Listener
from infra.host.box.data.record import RDS, Record, Writer
from infra.host.box.data.requests import Requests

JOBS = "2"
SPARE_BYTES = 1024**3
GROWTH = 1.3
"""What a restored database and its write-ahead log may need beside its size on the source."""

LEAST_KEPT_MIB = 512
"""Of the write-ahead log for a follower; more where half of the free disk is more."""

_KEY = re.compile(r"^\d+; \d+ \d+ CONSTRAINT ")
_FOREIGN_KEY = re.compile(r"^\d+; \d+ \d+ FK CONSTRAINT ")
_ANY_KEY = re.compile(r"^\d+; \d+ \d+ (FK )?CONSTRAINT ")
_EXTENSION = re.compile(r"^\d+; .* (EXTENSION|COMMENT - EXTENSION) ")

OnStep = Callable[[str], Any]


class DifferentError(TerraceError):
    """The copy is not the source, or the move is not where the step needs it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Move:
    """Both ends, the record, and the room: free bytes for a dump, most bytes of each end (None: not known).

    `requests` of this box are led to who can answer by the writer's database.
    """

    ends: Mapping[str, End]
    where: Mapping[str, Writer]
    record: Record
    scratch: Path
    room: Mapping[str, int]
    listener: Listener | None = None
    requests: Requests | None = None

    def _lead(self, end: str) -> dict[str, Any]:
        led = self.requests.lead(end) if self.requests is not None else ""
        return {"requests_go_to": led} if led else {}

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
            "cannot_follow": self._follows(source, target).refusals() if self.listener else ["not from here"],
            "kept_for_follower": self._follows(source, target).slot() if source.is_ours else "",
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

    def password(self, on_step: OnStep) -> dict[str, Any]:
        """Makes a new password of the application: SSM has it first, then the writer. Cut between: the same again.

        Raises:
            DifferentError: rows are being moved, or the writer is no RDS.
        """
        writer = self.record.read()
        end = self.ends[writer.end]
        if writer.end != RDS or (state := end.mark().state) is not State.OPEN:
            where = f"{end.name} writes" if writer.end != RDS else f"{end.name} is {state.value}"
            raise DifferentError(
                Fault(
                    "database/password",
                    f"is not changed: {where}",
                    "After the climb; for a box: docs/runbook.md",
                )
            )
        on_step(f"giving SSM and {end.name} a new password of {ROLE}")
        end.sql(f"alter role {ROLE} password '{self.record.verifier(new=True)}'")
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
        self._end_following(source, target)
        kept = target.empty(epoch, self.record.verifier())
        if kept:
            on_step(f"{target.name} keeps its earlier database as {kept}")
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="terrace-copy-") as directory:
            dump = Path(directory) / "dump"
            shutil.chown(directory, POSTGRES)
            on_step(f"dumping {source.name}")
            source.run(["pg_dump", "-Fd", "-j", JOBS, *compare.UNMOVED, "-f", str(dump), "-d", DATABASE])
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

    def follow(self, on_step: OnStep) -> dict[str, Any]:
        """Copies while the application goes on, and lets the copy follow; returns when it has nearly caught up.

        Raises:
            DifferentError: a reason of `plan` stands against it, or the source cannot be followed.
            TerraceError: a step failed; the same command begins anew, `back` gives the copy up.
        """
        writer, source, target = self._sides()
        following = self._follows(source, target)
        began = time.monotonic()
        if target.mark().state is State.FOLLOWING and following.stands():
            following.wait(on_step)
            return self._followed(following, began, kept="")
        self._refuse([*self._refusals(source, target), *following.refusals()])
        if source.mark().state is State.FENCED:
            raise DifferentError(Fault(source.name, "is fenced already", "Go on: copy, or back"))
        following.end()
        epoch = writer.epoch + 1
        kept = target.empty(epoch, self.record.verifier())
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="terrace-copy-") as directory:
            dump = Path(directory) / "dump"
            shutil.chown(directory, POSTGRES)
            on_step(f"making the tables of {source.name} on {target.name}")
            source.run(["pg_dump", "-Fc", "--schema-only", *compare.UNMOVED, "-f", str(dump), "-d", DATABASE])
            for name in compare.extensions(source):
                target.sql(f'create extension if not exists "{name}"', database=DATABASE)
            self._restore_part(target, dump, "pre-data", lambda line: not _EXTENSION.match(line))
            # Without its key a table cannot take up changed rows; the other indexes wait for the rows.
            self._restore_part(target, dump, "post-data", lambda line: bool(_KEY.match(line)))
            following.begin(on_step)
            following.wait(on_step)
            on_step("making the other indexes")
            self._restore_part(target, dump, "post-data", lambda line: not _ANY_KEY.match(line))
            # It locks two tables, and a follower at work has locked them in the order of the application: a deadlock.
            with following.paused():
                self._restore_part(target, dump, "post-data", lambda line: bool(_FOREIGN_KEY.match(line)))
        target.sql("analyze", database=DATABASE)
        following.wait(on_step)
        target.follow(epoch)
        return self._followed(following, began, kept=kept)

    def verify(self) -> dict[str, Any]:
        """Every difference between writer and copy, none when they are the same.

        Raises:
            DifferentError: there is no whole copy, or the application still writes.
        """
        _, source, target = self._sides()
        self._need(source, target)
        return self._compared(source, target)

    def _compared(self, source: End, target: End) -> dict[str, Any]:
        with ThreadPoolExecutor(1) as pool:
            one = pool.submit(compare.census, source)
            return _told(compare.census(target), one.result())

    def switch(self, on_step: OnStep) -> dict[str, Any]:
        """Verifies, writes down the new writer, opens it. Cut short after the record, the same command opens it.

        Where the target follows, every row of both is read first, while the application writes; then the writer is
        fenced, what changed is read again, and the writer is opened again if anything goes wrong.

        Raises:
            DifferentError: the copy differs, or there is none.
        """
        writer, source, target = self._sides()
        if target.mark().state is State.FOLLOWING:
            return self._switch_following(writer, source, target, on_step)
        if source.mark().state is State.COPIED:
            on_step(f"{source.name} was recorded as the writer; opening it")
            source.open(writer.epoch)
            led = self._lead(source.name)
            self._end_following(target, source)
            return {"writer": asdict(writer), "changed": True, **led}
        if source.mark().state is State.OPEN and target.mark().state is State.FENCED:
            led = self._lead(source.name)
            self._end_following(target, source)
            return {"writer": asdict(writer), "changed": False, **led}
        found = self.verify()
        self._refuse(found["differences"])
        on_step("both are the same; writing down who writes")
        new = self.where[target.name]
        new = Writer(writer.epoch + 1, new.end, new.host, new.port)
        self.record.write(new)
        on_step(f"opening {target.name}")
        target.open(new.epoch)
        led = self._lead(target.name)
        self._end_following(source, target)
        return {"writer": asdict(new), "changed": True, **led, **found}

    def _switch_following(self, writer: Writer, source: End, target: End, on_step: OnStep) -> dict[str, Any]:
        following = self._follows(source, target)
        following.wait(on_step)
        on_step("reading every row of both; the application goes on")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(compare.learn, source)
            target_learnt, source_learnt = compare.learn(target), reading.result()
        following.wait(on_step)
        new = self.where[target.name]
        new = Writer(writer.epoch + 1, new.end, new.host, new.port)
        laps = _Laps()
        is_fenced = is_named = False
        try:
            if self.requests is not None:
                self.requests.prepare()
                laps = _Laps()
                self.requests.hold()
                laps.note("what was begun")
            on_step(f"fencing {source.name}: the application writes no more")
            is_fenced = True
            source.fence(writer.epoch)
            laps.note("fence")
            following.set_sequences()
            with ThreadPoolExecutor(1) as pool:
                reading_source = pool.submit(compare.census, source, source_learnt)
                following.drain()
                laps.note("last rows")
                found = _told(compare.census(target, target_learnt), reading_source.result())
            laps.note("compared")
            self._refuse(found["differences"])
            target.close(new.epoch)
            is_named = True
            self.record.write(new)
        except BaseException:
            # Whatever it was, who waits is not left behind a fence; and it alone is what is said of the command.
            if not is_named or _is_done("reading who writes", lambda: self._need_writer(source), on_step):
                self._undo_switch(writer, source, target, new.epoch, on_step, is_fenced=is_fenced)
            raise
        target.open(new.epoch)
        laps.note("written down and opened")
        led = self._lead(target.name)
        if led:
            laps.note("led to the new backend")
        on_step(f"{target.name} is the writer; the application could not write for {laps.seconds():.2f} s")
        following.end()
        return {
            "writer": asdict(new),
            "changed": True,
            **led,
            "pause_seconds": round(laps.seconds(), 2),
            "pause": laps.parts(),
            **found,
        }

    def _undo_switch(
        self, writer: Writer, source: End, target: End, epoch: int, on_step: OnStep, *, is_fenced: bool
    ) -> None:
        """The recorded writer writes again, the target goes on following, requests go on; each is tried."""
        may_write = True
        if is_fenced:
            may_write = _is_done(f"opening {source.name} again", lambda: source.open(writer.epoch), on_step)
            _is_done(f"letting {target.name} follow again", lambda: target.unlisten(epoch), on_step)
        if may_write:
            _is_done("requests go on", lambda: self._lead(source.name), on_step)

    def _need_writer(self, source: End) -> None:
        """Refuses where the record does not name that end any more."""
        if self.record.read().end != source.name:
            raise DifferentError(
                Fault(source.name, "is not recorded as the writer any more", "Finish it: switch")
            )

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
        self._lead(source.name)
        self._end_following(source, target)
        if found.state in (State.COPIED, State.COPYING, State.FOLLOWING):
            on_step(f"{target.name} is emptied")
            target.empty(writer.epoch, self.record.verifier())
        return {"writer": asdict(writer), "changed": True}

    def _follows(self, source: End, target: End) -> Following:
        if self.listener is None:
            raise DifferentError(Fault("data", "cannot be followed from this box", "Use copy"))
        keep = max(shutil.disk_usage(_existing(self.scratch)).free // 2 // 1024**2, LEAST_KEPT_MIB)
        return Following(source, target, self.listener, keep)

    def _followed(self, following: Following, began: float, *, kept: str) -> dict[str, Any]:
        return {
            "source": following.source.name,
            "target": following.target.name,
            "kept": kept,
            "bytes": following.target.bytes(),
            "lag_bytes": following.lag_bytes(),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _end_following(self, source: End, target: End) -> None:
        """Takes away what replication left behind on either side."""
        if self.listener is not None and source.is_ours:
            self._follows(source, target).end()

    def _restore_part(self, target: End, dump: Path, section: str, wanted: Callable[[str], bool]) -> None:
        lines = target.run(["pg_restore", "-l", f"--section={section}", str(dump)]).splitlines()
        contents = dump.parent / "contents"
        chosen = [line for line in lines if line and not line.startswith(";") and wanted(line)]
        if not chosen:
            return
        contents.write_text("".join(f"{line}\n" for line in chosen))
        contents.chmod(0o644)
        target.run(
            [
                "pg_restore", "--no-owner", "--no-privileges", f"--role={ROLE}", "--exit-on-error", "-L",
                str(contents), "-d", DATABASE, str(dump),
            ]
        )  # fmt: skip

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
        if target.state is State.FOLLOWING:
            return "switch; or back"
        if target.state is State.COPIED:
            return "verify, then switch; or back"
        if source.state is State.FENCED or target.state is State.COPYING:
            return "copy; or back"
        return "follow, or copy"

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


def _is_done(what: str, step: Callable[[], object], on_step: OnStep) -> bool:
    """Takes a step of the way back; whether it was. A fault is said and hides no earlier one."""
    with suppress(OSError):
        on_step(what)  # Nobody may listen any more.
    try:
        step()
    except Exception as error:  # noqa: BLE001 the first error is raised, by who asks
        with suppress(OSError):
            on_step(f"{what}: not done: {error}. The same command, or back, does it")
        return False
    return True


class _Laps:
    """What the seconds of an interruption went to."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._laps: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        self._laps.append((what, time.monotonic()))

    def seconds(self) -> float:
        """From the first to the last."""
        return self._laps[-1][1] - self._began

    def parts(self) -> dict[str, float]:
        """Seconds of each."""
        times = [self._began, *(at for _, at in self._laps)]
        return {what: round(at - before, 2) for (what, at), before in zip(self._laps, times, strict=False)}


def _told(target: Census, source: Census) -> dict[str, Any]:
    return {
        "tables": len(source.tables),
        "rows": sum(count for count, _ in source.tables.values()),
        "sequences": len(source.sequences),
        "vector_queries": len(source.vectors),
        "differences": compare.differences(source, target),
    }


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _mib(count: int) -> int:
    return count // 1024**2
