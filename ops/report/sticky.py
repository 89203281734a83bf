"""One comment for each stack under a pull request: found by its marker, changed in place, silent without a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from infra.core.errors import Fault, TerraceError
from ops.report.markdown import MARKER, MOST_CHARACTERS

GONE = "No change any more."
"""What stands in it when a later push takes the change back: without it, its readers would guess."""


class Did(StrEnum):
    """What became of the comment."""

    NOTHING = "nothing to say"
    STANDS = "stands as it is"
    WRITTEN = "written"
    CHANGED = "changed in place"


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment under a pull request."""

    id: int
    author: str
    body: str

    @property
    def first_line(self) -> str:
        """Where a marker stands, if it has one."""
        return self.body.partition("\n")[0].strip()


class Comments(Protocol):
    """The comments of one pull request, the oldest first."""

    def all(self) -> Sequence[Comment]:
        """Every one."""
        ...

    def write(self, body: str) -> None:
        """A new one."""
        ...

    def change(self, identity: int, body: str) -> None:
        """Another text in the place of one's own."""
        ...


def place(text: str, stack: str, comments: Comments, *, author: str) -> Did:
    """Brings the comment of that stack to that text; repeating it changes nothing.

    Only a comment by `author` counts: anybody may write a marker.

    Raises:
        TerraceError: the text is no report (it is data of an unreviewed branch), or one of another stack.
    """
    marker = MARKER.format(stack=stack)
    if text and (first := text.partition("\n")[0]) != marker:
        raise TerraceError(
            Fault(
                "comment",
                f"begins with {first[:60]!r}, not with {marker}",
                "Give a file of `--comment`, and its --stack",
            )
        )
    if len(text) > MOST_CHARACTERS:
        raise TerraceError(
            Fault(
                "comment", f"has {len(text):,} characters; {MOST_CHARACTERS:,} are the most", "Report again"
            )
        )
    mine = next(
        (each for each in comments.all() if each.author == author and each.first_line == marker), None
    )
    if mine is None:
        if not text:
            return Did.NOTHING
        comments.write(text)
        return Did.WRITTEN
    wanted = text or f"{marker}\n{GONE}\n"
    if mine.body.replace("\r\n", "\n").strip() == wanted.strip():
        return Did.STANDS
    comments.change(mine.id, wanted)
    return Did.CHANGED
