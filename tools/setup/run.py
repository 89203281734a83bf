"""The one place for set-up's command line: what it does in which order, and its exit codes.

0 done or nothing to do, 1 failed (step, cause, remedy on standard error), 2 usage, 5 interrupted: run it again.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tools.setup.engine import Engine, Way
from tools.setup.errors import EXIT_FAILED, EXIT_INTERRUPTED, SetupError, explain_os
from tools.setup.files import discard_leftovers, held
from tools.setup.locks import make_locks
from tools.setup.obtain import Chooser, forced_way
from tools.setup.packages import Packages
from tools.setup.talk import Talk, clock

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Run set-up for the clone that this file is in; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make setup",
        description="Make .venv from the locked requirements and get the Pulumi engine.",
        epilog="TERRACE_ENGINE=path, release or build forces the way to the engine. "
        "Exit codes: 0 done, 1 failed, 2 usage, 5 interrupted.",
    )
    parser.add_argument("command", nargs="?", choices=["setup", "lock"], default="setup")
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="with `lock`: take the newest versions that pyproject.toml allows",
    )
    options = parser.parse_args(arguments)
    try:
        forced = forced_way(os.environ)
    except ValueError as error:
        parser.error(str(error))  # exits with 2
    talk = Talk(sys.stderr)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        local = ROOT / ".local"
        with held(local / "setup.lock", lambda holder: _wait(talk, holder)):
            discard_leftovers(local)
            if options.command == "lock":
                make_locks(ROOT, os.environ, talk, upgrade=options.upgrade)
            else:
                _set_up(talk, forced)
    except SetupError as error:
        _show(talk, error)
        return EXIT_FAILED
    except OSError as error:
        _show(talk, explain_os(error, "set-up cannot write its files"))
        return EXIT_FAILED
    except KeyboardInterrupt:
        talk.say(f"set-up interrupted at {talk.step_name or 'its start'}; run `make setup` to go on")
        return EXIT_INTERRUPTED
    return 0


def _set_up(talk: Talk, forced: Way | None) -> None:
    started = time.monotonic()
    packages = Packages(ROOT, os.environ)
    chooser = Chooser(ROOT, os.environ, forced)
    packages_stand, engine = packages.current(), chooser.current()
    if packages_stand and engine is not None:
        talk.say(f"set-up: nothing to do ({packages.count()} packages, engine {_described(engine)})")
        return
    if not packages_stand:
        packages.bring(talk)
    if engine is None:
        with talk.step("engine") as step:
            step.done(_described(chooser.choose(step)))
    talk.say(f"  done in {clock(time.monotonic() - started)}")


def _described(engine: Engine) -> str:
    return f"v{engine.version} by {engine.way}, {engine.bin}"


def _wait(talk: Talk, holder: str) -> None:
    if talk.step_name != "wait":
        talk.step_name = "wait"
        talk.say(f"set-up: waits for the set-up that is under way in this folder ({holder})")


def _show(talk: Talk, error: SetupError) -> None:
    def indented(text: str) -> str:
        return "\n          ".join(text.splitlines())

    talk.say(f"set-up stopped at {error.step or talk.step_name or 'its start'}")
    talk.say(f"  cause   {indented(error.cause)}")
    talk.say(f"  remedy  {indented(error.remedy)}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
