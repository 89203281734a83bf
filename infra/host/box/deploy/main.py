"""The only place for the command line of terrace-deploy. Data to stdout, talk to stderr.

Exit codes: 0 done or nothing to do, 1 failed (what served before serves again), 2 usage, 4 refused, 5 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.core.release import ROLE_PARTS, Part, ReleaseError, Strategy, check_version
from infra.host.box.metrics.deploying import announced

from . import lock, talk
from .engine import Engine
from .errors import DeployError, Interrupted, RefusedError
from .health import HttpHealth
from .journal import FileJournal
from .memory import BoxMemory
from .migrate import Migrations
from .model import KEEP_RELEASES, Outcome, Patience, Result, Verb
from .place import NGINX, RUN, Place
from .plan import plan
from .ports import Box
from .proxy import Nginx
from .store import S3Bucket, Store
from .units import Systemd

LOCK = RUN / "deploy.lock"
EVENTS = RUN / "deploy.events"
MOST_HISTORY = 1000


class WallClock:
    """The time of this machine."""

    now = staticmethod(lambda: datetime.now(UTC))
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class Program:
    """The verbs, on the real box."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._given = arguments
        self._place = Place.of_box()
        self._journal = FileJournal(self._place.state)
        self._memory = BoxMemory(self._place.role, worker=self._place.worker)
        self._patience = Patience(
            healthy_seconds=arguments.health_seconds,
            soak_seconds=arguments.soak_seconds,
            drain_seconds=arguments.drain_seconds,
        )

    def _units(self) -> Systemd:
        return Systemd(RUN, worker=self._place.worker)

    def release(self) -> int:
        """Takes up a release."""
        given = self._given
        return self._at_work(
            f"release {given.version}",
            lambda engine: engine.release(
                given.version, Strategy(given.strategy), by=given.by, reason=given.reason
            ),
        )

    def rollback(self) -> int:
        """Goes back to the release before."""
        given = self._given
        return self._at_work(
            "rollback",
            lambda engine: engine.rollback(Strategy(given.strategy), by=given.by, reason=given.reason),
        )

    def boot(self) -> int:
        """Starts what served before the power went, or a host was installed anew."""
        self._place.check()
        say = talk.Talk(EVENTS, self._given.run)
        with lock.held(LOCK, by="boot", reason="boot", wait_seconds=self._given.wait):
            self._engine(say).boot()
        return 0

    def plan(self) -> int:
        """Says what a release or a rollback would do."""
        given, state = self._given, self._journal.state()
        verb = Verb.RELEASE if given.version else Verb.ROLLBACK
        version = given.version or state.way_back
        if not version:
            raise RefusedError(
                "there is no earlier release to go back to", "Release one: terrace-deploy release"
            )
        made = plan(
            self._store(_quiet).about(version),
            Strategy(given.strategy),
            verb,
            role=self._place.role,
            state=state,
            memory=self._memory,
            patience=self._patience,
        )
        lines = [f"{verb} {version} over {made['from'] or 'nothing'}, {given.strategy}"]
        lines += [f"  {number}. {step}" for number, step in enumerate(made["steps"], 1)] or [
            "  nothing to do"
        ]
        lines.append(
            f"  memory: needs {made['need_mib']} MiB, {made['free_mib']} of {made['total_mib']} MiB free"
        )
        self._show(made, [*lines, *([f"  refused: {made['refused']}"] if made["refused"] else [])])
        return RefusedError.exit_code if made["refused"] else 0

    def status(self) -> int:
        """What serves, what is under way, where a rollback goes."""
        state, units, health = self._journal.state(), self._units(), HttpHealth()
        parts: dict[str, Any] = {}
        for part in ROLE_PARTS[self._place.role]:
            instance, serves = state.instance(part), state.parts.get(part)
            if instance is not None and serves is not None:
                ailment = health.ailment(instance)
                parts[part.value] = {
                    "version": serves.version,
                    "port": serves.port,
                    "runs": units.running(instance),
                    "healthy": not ailment,
                    "ailment": ailment,
                }
        intent, room = self._journal.intent(), self._memory.room()
        found = {
            "role": self._place.role,
            "version": state.current,
            "rollback_to": state.way_back,
            "parts": parts,
            "under_way": lock.holder(LOCK),
            "cut_short": intent.to_json() if intent is not None and lock.holder(LOCK) is None else None,
            "releases": sorted(each.name for each in self._place.releases.glob("*") if each.is_dir()),
            "memory": {"total_mib": room.total_mib, "free_mib": room.free_mib},
            "last": next(iter(self._journal.history(1)), None),
        }
        lines = [
            f"{self._place.role}: {state.current or 'no release'}, rollback to {state.way_back or 'nothing'}"
        ]
        lines += [
            f"  {name:<9} {each['version']} on {each['port']}  {each['ailment'] or 'healthy'}"
            for name, each in parts.items()
        ]
        if found["under_way"]:
            lines.append(f"  under way: {found['under_way']}")
        if found["cut_short"]:
            lines.append(f"  cut short: {found['cut_short']}; run it again, or any other deploy")
        self._show(found, lines)
        return 0

    def history(self) -> int:
        """What was done, the newest first."""
        found = self._journal.history(self._given.limit)
        lines = [
            f"{each['started_at']}  {each['verb']:<8} {each['version']:<20} {each['strategy']:<10} "
            f"{each['result']:<11} {each['seconds']:>7.1f} s  {each['by']}  {each['reason'] or each['outcome']}"
            for each in found
        ]
        self._show(found, lines or ["no deploy yet"])
        return 0

    def events(self) -> int:
        """What a run has said since, as JSON lines."""
        given = self._given
        for line in talk.follow(EVENTS, given.run, after=given.after, wait_seconds=given.wait):
            sys.stdout.write(json.dumps(line) + "\n")
        return 0

    def _at_work(self, reason: str, work: Callable[[Engine], Outcome]) -> int:
        given = self._given
        self._place.check()
        with lock.held(
            LOCK,
            by=given.by,
            reason=reason,
            wait_seconds=given.wait,
            waits=_waits,
        ):
            if server := Nginx(NGINX).elsewhere(Part.BACKEND):
                raise RefusedError(
                    f"what asks for the backend is sent to {server}: the rows of this box are at RDS, or on the way",
                    "Release to the new boxes, once requests reach them; or move the rows back: docs/data.md",
                )
            say = talk.Talk(EVENTS, given.run)
            with _Signals(), announced():
                outcome = work(self._engine(say))
            _tell(say, outcome)
        self._show(_json(outcome), [])
        return 0 if outcome.result is Result.RELEASED else 1

    def _engine(self, say: talk.Talk) -> Engine:
        box = Box(
            role=self._place.role,
            units=self._units(),
            proxy=Nginx(NGINX),
            health=HttpHealth(),
            releases=self._store(say),
            database=Migrations(RUN / "app.env"),
            memory=self._memory,
            clock=WallClock(),
        )
        return Engine(box, self._journal, self._patience, say)

    def _store(self, say: Callable[[str, str], None]) -> Store:
        return Store(self._place.releases, S3Bucket(self._place.bucket, self._place.region), say)

    def _show(self, data: Any, lines: Sequence[str]) -> None:
        if self._given.json:
            sys.stdout.write(json.dumps(data, indent=2) + "\n")
        elif lines:
            sys.stdout.write("\n".join(lines) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if getattr(given, "version", ""):
            check_version(given.version)
        return int(getattr(Program(given), given.verb)())
    except (DeployError, ReleaseError) as error:
        sys.stderr.write(f"{error}\n")
        return getattr(error, "exit_code", 1)
    except Interrupted:
        sys.stderr.write("Interrupted; what served before serves. The same command goes on.\n")
        return Interrupted.exit_code
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="terrace-deploy", description="Take up releases on this box, and go back.", allow_abbrev=False
    )
    patience = Patience()
    parser.set_defaults(
        health_seconds=patience.healthy_seconds,
        soak_seconds=patience.soak_seconds,
        drain_seconds=patience.drain_seconds,
        run="",
        json=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help_, description=help_, allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="data as JSON")
        return made

    release = verb("release", f"take up a published release; the newest {KEEP_RELEASES} stay on the disk")
    release.add_argument("version", metavar="VERSION")
    changing = [release, verb("rollback", "go back to the release before; the database stays as it is")]
    planning = verb("plan", "say what a release would do; without VERSION, what a rollback would")
    planning.add_argument("version", nargs="?", default="", metavar="VERSION")
    for each in (*changing, planning):
        each.add_argument(
            "--strategy",
            choices=[strategy.value for strategy in Strategy],
            default=Strategy.ROLLING.value,
            help="how: one service beside its predecessor at a time, all of them, or none (downtime)",
        )
        for name, what in (
            ("health", "a new service gets to become healthy"),
            ("soak", "it is watched under traffic before its predecessor goes"),
            ("drain", "open connections get to end by themselves"),
        ):
            each.add_argument(f"--{name}-seconds", type=_seconds, metavar="S", help=f"how long {what}")
            each.set_defaults(**{f"{name}_seconds": parser.get_default(f"{name}_seconds")})
    for each in changing:
        each.add_argument(
            "--by", default=os.environ.get("SUDO_USER") or "root", help="who asks, for the history"
        )
        each.add_argument("--reason", default="", help="why, for the history")
        each.add_argument(
            "--wait", type=_seconds, default=0.0, metavar="S", help="wait for another deploy to end"
        )
        each.add_argument("--run", default=os.urandom(6).hex(), help="a name for `events`")
    verb("status", "what serves, what is under way")
    verb("history", "what was done").add_argument("--limit", type=_count, default=20, help="at most so many")
    watching = verb("events", "what a run has said, as JSON lines")
    watching.add_argument("--run", required=True)
    watching.add_argument("--after", type=int, default=0, metavar="N", help="only lines after that number")
    watching.add_argument("--wait", type=_seconds, default=0.0, metavar="S", help="wait for a line so long")
    verb("boot", "start what served before; run at boot").set_defaults(wait=30.0, run="boot")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError("0 to 3600 seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_HISTORY:
        raise argparse.ArgumentTypeError(f"1 to {MOST_HISTORY}")
    return value


class _Signals:
    """While a deploy is at work, the first signal that asks it to end makes it go back; further ones are ignored."""

    _HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __enter__(self) -> None:
        self._before = {each: signal.signal(each, self._interrupt) for each in self._HEARD}

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _interrupt(self, number: int, _: object) -> None:
        for each in self._HEARD:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)


def _tell(say: talk.Talk, outcome: Outcome) -> None:
    if not outcome.changed:
        say("done", f"{outcome.version} serves already")
        return
    dark = f", {outcome.downtime_seconds:.1f} s without service" if outcome.downtime_seconds else ""
    why = f": {outcome.reason}" if outcome.reason else ""
    say("done", f"{outcome.version} {outcome.result} after {outcome.seconds:.1f} s{dark}{why}")


def _json(outcome: Outcome) -> dict[str, Any]:
    return {
        "result": outcome.result.value,
        "version": outcome.version,
        "previous": outcome.previous,
        "seconds": round(outcome.seconds, 1),
        "downtime_seconds": round(outcome.downtime_seconds, 1),
        "reason": outcome.reason,
        "changed": outcome.changed,
    }


def _waits(what: str) -> None:
    sys.stderr.write(f"  waits {what}\n")


def _quiet(step: str, what: str) -> None:
    del step, what
