"""The one place for how set-up speaks: one line for each step on standard error, and what it waits for meanwhile."""

import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from tools.setup.errors import SetupError

QUIET_SECONDS = 1.0  # a step below this shows neither progress nor its run time
LIVE_SECONDS = 0.2  # between two redraws on a terminal
PLAIN_SECONDS = 30.0  # between two lines where there is no terminal
COLUMNS = 100


class Step:
    """One step under way. `waits_for` may be called as often as one likes; `done` gives the line that stays."""

    def __init__(self, talk: "Talk", name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.result = ""
        self._talk = talk
        self._shown_at = self.started - PLAIN_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def waits_for(self, text: str, *, at_once: bool = False) -> None:
        """Show what the step waits for, once it has taken a second, redrawn or repeated at a calm pace.

        `at_once` is for a wait that cannot come back here before it ends.
        """
        pause_seconds = LIVE_SECONDS if self._talk.live else PLAIN_SECONDS
        too_early = self.seconds < QUIET_SECONDS or time.monotonic() - self._shown_at < pause_seconds
        if too_early and not at_once:
            return
        self._shown_at = time.monotonic()
        self._talk.show_wait(self.name, f"{text} ({clock(self.seconds)})")

    def note(self, text: str) -> None:
        """Show lines that stay, such as why a way was left."""
        for line in text.splitlines():
            self._talk.write_line(self.name, line)

    def done(self, text: str) -> None:
        """Set the line that stays when the step ends well."""
        self.result = text


class Talk:
    """Standard error as a place for lines; a terminal gets one that is redrawn, anything else plain lines."""

    def __init__(self, stream: TextIO) -> None:
        self.live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.step_name = ""
        self._stream = stream
        self._headed = False
        self._redrawn = False

    @contextmanager
    def step(self, name: str) -> Generator[Step]:
        """Run a step: its line is written when it ends, its name is put into what it raises."""
        step = Step(self, name)
        self.step_name = name
        try:
            yield step
        except SetupError as error:
            error.step = error.step or name
            raise
        finally:
            self.end_wait()
        if step.result:
            self.write_line(name, step.result, step.seconds)

    def write_line(self, name: str, text: str, seconds: float = 0.0) -> None:
        """Write a line that stays, with the run time at its right edge when that is over a second."""
        self.end_wait()
        if not self._headed:
            self._headed = True
            self.say("terrace set-up")
        line = f"  {name:<10}  {text}"
        self.say(f"{line:<{COLUMNS - 9}} {seconds:6.1f} s" if seconds > QUIET_SECONDS else line)

    def show_wait(self, name: str, text: str) -> None:
        """Show a passing line."""
        if not self.live:
            self.write_line(name, text)
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[K" + f"  {name:<10}  {text}"[:width])
        self._stream.flush()
        self._redrawn = True

    def end_wait(self) -> None:
        """Take the passing line away."""
        if self._redrawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._redrawn = False

    def say(self, text: str) -> None:
        """Write text as it is. A reader who has gone away does not stop the work."""
        self.end_wait()
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lives as long as the program


def clock(seconds: float) -> str:
    """Seconds as a person says them: `48 s`, `3 min 5 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
