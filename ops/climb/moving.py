"""The only place for how a climb moves the rows: it asks both databases where the move stands, and goes on there.

The box answers (ops/data.py), and believes its own marks alone; so a step that was cut short is asked for again, from
whichever clone, and what was done by hand meanwhile is found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from infra.core.errors import Fault
from infra.core.stages import Option, Stage
from ops.data import SECONDS, BusyError, RefusedError, Verb

FOLLOWING, COPYING = "following", "copying"
"""A copy that follows the writer, and one that is not whole (infra/host/box/data/ends.py)."""

BOX, RDS = "box", "rds"
"""The two ends, as the box names them (infra/host/box/data/record.py)."""

LED = "requests_go_to"
"""Where the old side sends what still comes to it, once the new side writes; nothing where it cannot."""

BUSY_POLL_SECONDS = 5.0
FOLLOWED_AWAY_SECONDS = 10.0
"""How long a writer that is followed cannot write, with a gigabyte behind it: 2 s were measured (docs/adr/0073). An
assumption; what a climb measured stands in the history."""

VERIFIES = 2
"""A rehearsal reads every row once to copy it; behind the fence both ends are read once more, to compare them."""


class Ask(Protocol):
    """A verb of terrace-data, and what the box answers."""

    def __call__(self, verb: Verb, *options: str) -> Mapping[str, Any]:
        """Raises RefusedError where nothing was changed, BusyError while another command is at it."""
        ...


def end_of(stage: Stage) -> str:
    """Where the rows of a stage are."""
    return BOX if stage.option is Option.SINGLE else RDS


@dataclass(frozen=True, slots=True)
class Moving:
    """One move from the end `home` to the end `to`. Every method may be repeated."""

    ask: Ask
    home: str
    to: str
    says: Callable[[str], object] = lambda _: None
    sleep: Callable[[float], object] = time.sleep

    def rehearse(self) -> dict[str, Any]:
        """Copies while the application goes on writing; the seconds tell how long it will be without its database.

        Raises:
            RefusedError: a reason against the move; nothing was interrupted.
        """
        plan = self._plan()
        if plan["writer"]["end"] == self.to or self._is_copy(self.home, self.to):
            return {"left_out": "the rows were moved already"}
        if self._may_follow(plan):
            # It copies while the application writes: nothing has to be practised, what is against it is said then.
            return {
                "left_out": "the copy follows the writer", "follows": True,
                "forecast_away_seconds": FOLLOWED_AWAY_SECONDS,
            }  # fmt: skip
        began = time.monotonic()
        found = self._asked("copy", "--rehearse")
        # As it is seen from here: asking the box takes its seconds as well.
        seconds = max(float(found["seconds"]), round(time.monotonic() - began, 1))
        return {**_told(found, "bytes", "seconds"), "rows_away_seconds": seconds * VERIFIES}

    def copy(self) -> dict[str, Any]:
        """Copies, by following the writer where that can be: then nothing is interrupted yet.

        Elsewhere it takes the old side's right to write first: from here on the application has no database.
        """
        if self.switched():
            return {"found": f"{self.to} writes already"}
        if self._is_copy(self.home, self.to):
            return {"found": "the copy was whole already"}
        if self._may_follow(self._plan()):
            return {**_told(self._asked("follow"), "bytes", "seconds", "kept"), "follows": True}
        return _told(self._asked("copy"), "bytes", "seconds", "kept")

    def switch(self) -> dict[str, Any]:
        """Compares both, writes down the new writer, opens it; who is followed writes until then.

        Raises:
            RefusedError: the copy differs, or there is none; the old side is fenced until `bring_back`.
        """
        return self._switched(self.to)

    def bring_back(self) -> dict[str, Any]:
        """Makes the old side the writer: by opening it where nothing was switched, else by a move back."""
        plan = self._plan()
        if plan["writer"]["end"] == self.home:
            return self._open_again(plan)
        if plan["states"].get(self.to) == "copied":
            # Recorded and not opened: `back` is refused, and nothing but the new side may be opened now.
            self._asked("switch")
        if not self._is_copy(self.to, self.home):
            self._asked("copy")
        return self._switched(self.home)

    def copied(self) -> bool:
        """Whether a whole copy waits behind the fence, or follows the writer."""
        plan = self._plan()
        return self._is_copy(self.home, self.to) or bool(
            (plan["writer"]["end"], plan["states"].get(self.to)) == (self.home, FOLLOWING)
        )

    def switched(self) -> bool:
        """Whether the new side is the writer, and open."""
        plan = self._plan()
        return bool((plan["writer"]["end"], plan["states"].get(self.to)) == (self.to, "open"))

    def writer(self) -> str:
        """Who writes, by the record."""
        return str(self._plan()["writer"]["end"])

    def _open_again(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        state = plan["states"].get(self.home)
        if state == "open" and plan["states"].get(self.to) not in (FOLLOWING, COPYING):
            return {"found": f"{self.home} never stopped writing"}
        if state == "copied":
            return self._switched(self.home)
        return _told(self._asked("back"), "changed")

    def _may_follow(self, plan: Mapping[str, Any]) -> bool:
        """Whether the copy can follow `home`, which writes (docs/adr/0049)."""
        writes = plan["writer"]["end"] == self.home and plan["states"].get(self.home) == "open"
        return bool(writes and plan.get("cannot_follow", ["nobody has said"]) == [])

    def _is_copy(self, writer: str, copy: str) -> bool:
        plan = self._plan()
        states = plan["states"]
        found = (plan["writer"]["end"], states.get(writer), states.get(copy))
        return bool(found == (writer, "fenced", "copied"))

    def _switched(self, to: str) -> dict[str, Any]:
        found = self._asked("switch")
        if (writer := found["writer"]["end"]) != to:
            raise RefusedError(
                Fault("data", f"{writer} is the writer, not {to}", "See who writes: scripts/data.py plan")
            )
        return _told(
            found, "changed", "tables", "rows", "sequences", "vector_queries", "pause_seconds", "pause", LED
        )

    def _plan(self) -> Mapping[str, Any]:
        return self.ask("plan")

    def _asked(self, verb: Verb, *options: str) -> Mapping[str, Any]:
        """Asks once the command of an earlier run has ended: it goes on without the one who sent it."""
        waited = 0.0
        while True:
            try:
                return self.ask(verb, *options)
            except BusyError:
                if waited >= SECONDS:
                    raise
                if not waited:
                    self.says("the box is still at an earlier command; waiting for its end")
                self.sleep(BUSY_POLL_SECONDS)
                waited += BUSY_POLL_SECONDS


def _told(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}
