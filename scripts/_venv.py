"""The only place that makes a script run in the project's own environment, whichever Python started it."""

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def enter() -> None:
    """Runs the same command again by `.venv`'s Python, unless this is it."""
    python = ROOT / ".venv" / "bin" / "python"
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        return
    if not python.exists():
        sys.stderr.write(f"{ROOT / '.venv'} is missing: set-up has not been run. Run `make setup`\n")
        sys.exit(1)
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 no shell is wanted


def _interrupted(*_: object) -> None:
    """Ctrl-C while modules are still being read: nothing has begun."""
    sys.stderr.write("\nInterrupted; nothing was changed.\n")
    os._exit(5)


signal.signal(signal.SIGINT, _interrupted)  # until a command begins: ops/talk.py
enter()
