"""The only place for what can go wrong with boxes.

BoxesError
├── SpecError         a described world cannot exist (nothing was changed)
├── RootfsError       the root file system of boxes could not be made
├── HostError         a program or the kernel of this machine refused
├── BusyError         what was asked for is held by something else now
├── UnknownError      no box, volume or snapshot has that id
└── NotRunningError   the box is there but is not up
"""

from __future__ import annotations


class BoxesError(Exception):
    """Anything that boxes refuse or fail at: what was wrong, and what to do about it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class SpecError(BoxesError):
    """A described world cannot exist; nothing was changed."""


class RootfsError(BoxesError):
    """The root file system of boxes could not be made."""


class HostError(BoxesError):
    """A program or the kernel of this machine refused what boxes need."""


class BusyError(BoxesError):
    """What was asked for is held by something else now."""


class UnknownError(BoxesError):
    """No box, volume or snapshot has that id."""


class NotRunningError(BoxesError):
    """The box is there but is not up."""
