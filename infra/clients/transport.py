"""The only place for how a client sends a request: the seam between typed clients and whatever carries HTTP.

`over_httpx` carries it here, `over_urllib` on a box, where only the standard library is at hand, and a
function of the double in simulations. What a key is stays in `Key`: it has no readable form but `reveal`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol


class NotSentError(Exception):
    """The request has not reached the other side: sending it again does no harm."""


class NoAnswerError(Exception):
    """The request may have been carried out: no answer came, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `body` is sent as JSON where there is one."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    timeout_seconds: float = 30.0

    @property
    def content(self) -> bytes | None:
        """The body as it goes over the wire."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The content as JSON; ValueError where it is none."""
        return json.loads(self.content)


class Transport(Protocol):
    """Carries requests."""

    def send(self, request: Request) -> Reply:
        """The answer, whatever its status.

        Raises:
            NotSentError, NoAnswerError: there is none.
        """


class Key:
    """An API key that does not show: not in `repr`, not in an error, not in a pickle."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The key itself, for a header."""
        return self.__value

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a key is never pickled")
