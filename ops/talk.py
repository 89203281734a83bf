"""The only place for how commands talk: data to stdout, talk to stderr, progress, faults, exit codes.

Colour only on a terminal; a step that takes longer than a second says how long it took.
"""

from __future__ import annotations

import functools
import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from infra.core.errors import TerraceError

P = ParamSpec("P")
R = TypeVar("R")

WIDTH = 100

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


class Exit(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    OVER_BUDGET = 3
    BLOCKED = 4
    INTERRUPTED = 5
    CHANGE = 10


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class Step:
    """A line of progress: what goes on, what it came to, how long it took."""

    def __init__(self, name: str) -> None:
        self.name, self.said = name, ""
        self._status = err.status("", spinner="dots") if err.is_terminal else None

    def says(self, what: str) -> None:
        """What is going on, or what it came to."""
        self.said = what
        if self._status is not None:
            self._status.update(f"{self.name:<11} {what}")

    def _begin(self) -> None:
        if self._status is not None:
            self._status.start()

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()


@contextmanager
def step(name: str, waits_for: str = "") -> Generator[Step]:
    """A step of a longer work; its line is printed when it ends.

    Without a terminal, a line says first what is waited for, if anything.
    """
    started = time.monotonic()
    line = Step(name)
    line.says(waits_for)
    if waits_for and not err.is_terminal:
        err.print(f"  {name:<11} {waits_for} …", markup=False)
    line._begin()
    try:
        yield line
    finally:
        line._end()
    seconds = time.monotonic() - started
    took = f"{seconds:>8.1f} s" if seconds >= 1 else ""
    err.print(f"  {name:<11} {line.said:<70}{took}".rstrip(), markup=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> Table:
    """A plain table that fits 100 columns; `right` are the columns aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        made.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def show(data: Any, rendered: Any, output: Output) -> None:
    """Data to stdout, as JSON or as it is meant for people."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
    else:
        out.print(rendered)


def fail(error: TerraceError, code: Exit = Exit.FAILED) -> NoReturn:
    """Says what was wrong, the bound and the remedy, and ends."""
    err.print(str(error), markup=False, style="red" if err.is_terminal else "")
    raise typer.Exit(code)


def shell(*, unset: Sequence[str], export: Mapping[str, str], first: Sequence[Path]) -> None:
    """Lines for `eval` in a shell: variables taken away and set, and folders put first on PATH."""
    for name in unset:
        sys.stdout.write(f"unset {name}\n")
    for name, value in export.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    folders = ":".join(map(str, first))
    sys.stdout.write(f"export PATH={shlex.quote(folders)}:$PATH\n")


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something changes; no is the default, and the answer where nobody can be asked.

    Raises:
        typer.Exit: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty() or not typer.confirm(question, default=False, err=True):
        err.print("Nothing was changed. Say yes, or give --yes.", markup=False)
        raise typer.Exit(Exit.FAILED)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a function a command: faults become sentences, Ctrl-C an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        signal.signal(signal.SIGINT, _interrupt)
        try:
            return function(*args, **kwargs)
        except TerraceError as error:
            fail(error)
        except (
            KeyboardInterrupt,
            typer.Abort,
        ):  # a prompt turns Ctrl-C, and the end of its input, into the second
            err.print("\nInterrupted. Run the same again to go on.", markup=False)
            raise typer.Exit(Exit.INTERRUPTED) from None

    return run


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Threads of the Automation API die of the same interruption; one sentence is enough.
    threading.excepthook = lambda _: None
    signal.default_int_handler(number, frame)
