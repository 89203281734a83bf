"""Runs scripts/scale_up.py as it is, and dies by SIGKILL, with its whole process group, at a point that is named.

python tests/climb/child.py POINT ARGUMENT...       POINT is one of POINTS, with `:step` or `:number`; `never`: not

Without boxes nothing answers terrace-data: TERRACE_ROWS names a file that holds both databases (tests/climb/rows.py).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def die(*_: object) -> None:
    """What a power cut does to everything that was started here."""
    os.killpg(0, signal.SIGKILL)


def at_moment(what: str) -> Callable[[str], None]:
    def arm(step: str) -> None:
        from ops.climb import page

        original = page.Lines.moment

        def moment(self: Any, at: Any, now: str) -> None:
            if (at.name, now) == (step, what):
                die()
            original(self, at, now)

        setattr(page.Lines, "moment", moment)  # noqa: B010 another signature on purpose

    return arm


def after(cls: Callable[[], Any], name: str) -> Callable[[str], None]:
    def arm(_: str) -> None:
        owner = cls()
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            die()

        setattr(owner, name, call)

    return arm


def engine_event(number: str) -> None:
    """At the so-many-th resource that an `up` reports as changed."""
    from ops.adapters.engine import Engine

    original, seen = Engine.up, [0]

    def hear(event: Any) -> None:
        told = event.res_outputs_event
        if told is not None and str(getattr(told.metadata.op, "value", told.metadata.op)) != "same":
            seen[0] += 1
            if seen[0] > int(number):
                die()

    def up(self: Any, **kwargs: Any) -> Any:
        return original(self, on_event=hear, refresh=kwargs.get("refresh", False))

    Engine.up = up  # type: ignore[method-assign]


def _stack() -> Any:
    from ops.adapters.climb_stack import StackOfClimb

    return StackOfClimb


def _git() -> Any:
    from ops.adapters.git import Git

    return Git


def _cloud() -> Any:
    from ops.adapters.climb_cloud import CloudOfClimb

    return CloudOfClimb


POINTS: dict[str, Callable[[str], None]] = {
    **{what: at_moment(what) for what in ("before", "doing", "done", "recorded", "before-undo", "undone")},
    "snapshot-made": after(_cloud, "_new_snapshot"),
    "word-written": after(_stack, "write"),
    "word-committed": after(_git, "commit_file"),
    "engine": engine_event,
    "never": lambda _: None,
}


def pretend(path: Path) -> None:
    """The databases of a file answer, and what they answer is in the file before anybody hears it."""
    from ops.adapters import climb_data
    from tests.climb.rows import Rows

    def asking(*_: object, **__: object) -> Any:
        def ask(verb: Any, *options: str) -> Any:
            rows = Rows.read(path)
            try:
                return rows(verb, *options)
            finally:
                rows.save(path)

        return ask

    setattr(climb_data, "asking", asking)  # noqa: B010 another signature on purpose


def main() -> None:
    """Arms the point, and is scale_up."""
    point, *arguments = sys.argv[1:]
    name, _, which = point.partition(":")
    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]
    if rows := os.environ.get("TERRACE_ROWS"):
        pretend(Path(rows))
    POINTS[name](which)
    sys.argv = [str(ROOT / "scripts" / "scale_up.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
