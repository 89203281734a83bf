"""The only place for what can go wrong with a deploy, and for the exit code of each.

DeployError               1   the deploy failed; what served before serves again
├── RefusedError               4   nothing was begun: memory, a lock, a release that does not fit
└── UnhealthyError             1   a new service did not become healthy, or did not stay so
Interrupted               5   a signal ended it; the box was brought back, the same command goes on
"""

from __future__ import annotations


class DeployError(Exception):
    """What was wrong, with the value and the bound, and the remedy."""

    exit_code = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy


class RefusedError(DeployError):
    """Nothing was begun."""

    exit_code = 4


class UnhealthyError(DeployError):
    """A new service did not become healthy, or did not stay so."""


class Interrupted(BaseException):
    """A signal asked us to end. No Exception, so that nothing takes it for a fault of a step."""

    exit_code = 5
