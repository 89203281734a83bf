"""The only place for what `terrace-backup` does: install, ready, full, diff, incr, check, dump, watch, status."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from infra.core import metrics as m
from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from infra.host.box.backup import box, census, config, gaps, repository, telling, watch
from infra.host.box.backup.bounds import CENSUS_PREFIX, DUMPS_PREFIX, queue_bound_bytes
from infra.host.box.backup.repository import Backup, Bucket, Kind, PgBackRest
from infra.host.box.backup.segments import Segment, logs, parse

WATCH_FILE, RESULTS_FILE, STARTED_FILE, TOLD_FILE = "watch.json", "results.json", "started.json", "told.json"
SPARE_DAYS = 8
"""A newest full backup older than this, a day more than a week, is made good by `ready`."""


@dataclass(frozen=True, slots=True)
class Backups:
    """The backups of this box's database."""

    facts: box.Facts
    pgbackrest: PgBackRest
    bucket: Bucket
    state: Path = box.STATE
    say: Any = field(default=print)

    def install(self) -> list[str]:
        """Writes the configuration and the units; which of them changed. Restarts nothing but timers."""
        phrase = repository.pass_phrase(self.facts, self.bucket, may_make=True)
        volume = shutil.disk_usage(box.DATA).total
        where = config.Repository(self.bucket.name, self.facts.region)
        text = config.pgbackrest(
            where,
            pass_phrase=phrase,
            data_directory=str(box.PGDATA),
            queue_bytes=queue_bound_bytes(volume),
        )
        changed = []
        if box.write(Path(config.PGBACKREST_CONF), text, mode=0o640, group=box.POSTGRES):
            changed.append(config.PGBACKREST_CONF)
        if box.write(Path(config.ARCHIVE_CONF), config.archive()):
            changed.append(config.ARCHIVE_CONF)
        units = [name for name, unit in config.units().items() if box.write(Path(config.UNITS) / name, unit)]
        changed += units
        if units:
            box.program("systemctl", "daemon-reload", timeout_seconds=60)
        box.program("systemctl", "enable", "--now", *config.timers(), timeout_seconds=60)
        return changed

    def ready(self) -> Backup | None:
        """Makes the stanza and checks the archive; makes a first full backup where the newest is too old."""
        if box.psql("select pg_is_in_recovery()") != "f":
            raise TerraceError(Fault("PostgreSQL", "is still recovering", "Run it again when it is through"))
        if box.psql("show archive_mode") == "off":
            box.program("systemctl", "restart", "postgresql@17-main", timeout_seconds=300)
        self.pgbackrest.prepare()
        fulls = [each for each in self.pgbackrest.backups() if each.kind == "full"]
        timeline = box.psql("select timeline_id from pg_control_checkpoint()")
        fresh = datetime.now(UTC) - timedelta(days=SPARE_DAYS)
        if any(each.stopped_at > fresh and int(each.last[:8] or "0", 16) == int(timeline) for each in fulls):
            return None
        return self.backup("full")

    def backup(self, kind: Kind) -> Backup:
        """Makes a backup and counts what it holds; the result is noted for the metrics whatever it is."""
        with box.lock(f"{kind} backup"):
            try:
                made = self.pgbackrest.backup(kind)
                self._census(made)
            except TerraceError as error:
                self._note(kind, str(error))
                raise
            self._note(kind, "")
        if made.kind == "full":
            self._close_gap(made)
        return made

    def dump(self) -> list[str]:
        """A dump of each database in custom format, streamed to the bucket, its SHA-256 beside it; the keys.

        A dump without its `.sha256` was not finished. Passwords of roles are not in it.
        """
        keys = []
        with box.lock("logical dump"):
            try:
                at = datetime.now(UTC).strftime("%Y-%m-%dT%H%MZ")
                databases: list[str] = json.loads(
                    box.psql(
                        "select coalesce(json_agg(datname), '[]') from pg_database "
                        "where not datistemplate and datname <> 'postgres'"
                    )
                )
                for database in databases:
                    argv = ["pg_dump", "--format=custom", "--no-password", f"--dbname={database}"]
                    keys.append(self._stream(argv, f"{DUMPS_PREFIX}{at}/{database}.dump"))
                argv = ["pg_dumpall", "--globals-only", "--no-role-passwords"]
                keys.append(self._stream(argv, f"{DUMPS_PREFIX}{at}/globals.sql"))
            except TerraceError as error:
                self._note("dump", str(error))
                raise
            self._note("dump", "")
        return keys

    def look_after(self) -> watch.Judged | None:
        """Looks at the archive, records a gap, ends one by a full backup, publishes; None when PostgreSQL is down."""
        judged = self._look()
        self._publish(judged)
        known = judged.known if judged else self._known()
        if known and known.gap and self._reaches_bucket():
            self.say(f"full backup: the archive has a gap since {gaps.stamp(known.gap.since)}")
            self.backup("full")
            self._publish(judged)
        return judged

    def status(self) -> dict[str, Any]:
        """Everything that one wants to know, as plain values."""
        waiting = box.queue()
        known = self._known()
        told: dict[str, Any] = {
            "queue": {"segments": len(waiting.waiting), "oldest_at": waiting.oldest_at},
            "archived_through": str(known.through) if known else None,
            "behind_since": known.behind_since if known else None,
            "results": box.json_file(self.state / RESULTS_FILE) or {},
            "backups": [],
            "gaps": [],
            "unreachable": "",
        }
        try:
            told["backups"] = [asdict(each) for each in self.pgbackrest.backups()]
            told["gaps"] = [asdict(each) for each in self.bucket.gaps()]
        except TerraceError as error:
            told["unreachable"] = str(error)
        return told

    def _look(self) -> watch.Judged | None:
        now = datetime.now(UTC)  # before PostgreSQL is asked: a later commit may lie in a later segment
        try:
            in_recovery = box.psql("select pg_is_in_recovery()") == "t"
            if not in_recovery:
                self._close_segment_of_last_run()
            current = None if in_recovery else parse(box.psql("select pg_walfile_name(pg_current_wal_lsn())"))
        except TerraceError as error:
            self.say(str(error))
            current = None
        if current is None:
            return None
        queue = box.queue()
        judged = watch.judge(
            self._known(),
            current=current,
            waiting=queue.waiting,
            waiting_since=queue.oldest_at,
            held=self._held,
            now=now,
        )
        if judged.news is not None:
            self.bucket.record(judged.news)
            self.say(f"gap: WAL from {judged.news.first} to {judged.news.last} was dropped")
        self._remember(judged.known)
        return judged

    def _close_segment_of_last_run(self) -> None:
        """Hands over the segment that the server was killed in, once for each of its starts.

        `archive_timeout` closes a segment only when something of weight was written to it since the start: rows
        acknowledged before a power cut would stay out of the bucket for as long as nobody writes after it. The
        checkpoint wakes the process that closes segments: after a recovery PostgreSQL 17 lets it sleep for
        `checkpoint_timeout`, 5 min, without a look at `archive_timeout` (at 5 s none was closed in 70 s).
        """
        started = box.psql("select pg_postmaster_start_time()")
        if box.json_file(self.state / STARTED_FILE) != started:
            box.psql("checkpoint")
            box.psql("select pg_switch_wal()")
            box.write(self.state / STARTED_FILE, json.dumps(started) + "\n")

    def _held(self, first: Segment, last: Segment) -> Collection[Segment] | None:
        try:
            return self.pgbackrest.held(logs(first, last))
        except TerraceError as error:
            self.say(str(error))
            return None

    def _reaches_bucket(self) -> bool:
        try:
            self.bucket.gaps()
        except TerraceError:
            return False
        return True

    def _close_gap(self, made: Backup) -> None:
        known = self._known()
        if known is None or known.gap is None:
            return
        self.bucket.record(known.gap.closed(made.stopped_at, made.label))
        self._remember(replace(known, gap=None))

    def _census(self, made: Backup) -> None:
        exists = box.psql("select count(*) from pg_database where datname = 'app'") == "1"
        if exists:
            counted = census.take(lambda query: box.psql(query, database="app"))
            self.bucket.put(f"{CENSUS_PREFIX}{made.label}.json", counted.dumps())

    def _publish(self, judged: watch.Judged | None) -> None:
        results = box.json_file(self.state / RESULTS_FILE) or {}
        values: dict[Metric, float] = {
            m.BACKUP_FAILED: float(any(each["error"] for each in results.values()))
        }
        whole = [
            gaps.read_stamp(each["at"])
            for kind, each in results.items()
            if kind != "dump" and not each["error"]
        ]
        if whole:
            values[m.BACKUP_AGE] = (datetime.now(UTC) - max(whole)).total_seconds()
        if judged is not None:
            values |= {
                m.ARCHIVE_LAG: judged.lag_seconds,
                m.ARCHIVE_QUEUE: float(judged.queue_bytes),
                m.ARCHIVE_GAP: float(judged.known.gap is not None),
            }
        now, told = datetime.now(UTC), box.json_file(self.state / TOLD_FILE) or {}
        worth = telling.worth(values, told, now)
        if not worth:
            return
        try:
            repository.publish(self.facts, worth)
        except TerraceError as error:
            self.say(str(error))
            return
        box.write(self.state / TOLD_FILE, json.dumps(telling.noted(told, worth, now)) + "\n")

    def _stream(self, argv: list[str], key: str) -> str:
        line = ["runuser", "-u", box.POSTGRES, "--", *argv]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/") as process:
            if process.stdout is None or process.stderr is None:
                raise TerraceError(Fault(argv[0], "was started without pipes", "This is a bug"))
            hashed = _Hashed(process.stdout)
            try:
                self.bucket.stream(key, hashed)
            except BaseException:
                process.kill()
                raise
            said = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            raise TerraceError(
                Fault(argv[0], f"ended with {process.returncode}: {said[-500:]}", "Nothing was published")
            )
        self.bucket.put(f"{key}.sha256", f"{hashed.digest.hexdigest()}  {key.rpartition('/')[2]}\n")
        return key

    def _note(self, kind: str, error: str) -> None:
        results = box.json_file(self.state / RESULTS_FILE) or {}
        results[kind] = {"at": gaps.stamp(datetime.now(UTC)), "error": error}
        box.write(self.state / RESULTS_FILE, json.dumps(results, indent=2) + "\n")

    def _known(self) -> watch.Known | None:
        return watch.from_json(box.json_file(self.state / WATCH_FILE))

    def _remember(self, known: watch.Known) -> None:
        box.write(self.state / WATCH_FILE, json.dumps(watch.to_json(known)) + "\n")


class _Hashed:
    """A stream whose SHA-256 is taken as it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        chunk = self._stream.read(size)
        self.digest.update(chunk)
        return chunk


def open_backups() -> Backups:
    """The backups of this box, by its facts.

    Raises:
        TerraceError: the facts are not there.
    """
    facts = box.facts()
    return Backups(facts, PgBackRest(), Bucket(facts.backups_bucket, facts.region))
