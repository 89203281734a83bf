"""The only place for faults by name: what the API is told to do wrong, to which calls, after how many, how often."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from embedded.aws.errors import FaultError
from embedded.aws.operations import Operation


class FaultKind(StrEnum):
    """What goes wrong."""

    API_FAILS = "api-fails"
    """The call is not carried out; the answer is ``error_code`` with ``http_status``."""
    API_THROTTLES = "api-throttles"
    """The call is not carried out; the answer is the service's own throttling error."""
    API_HANGS = "api-hangs"
    """The call is not carried out; nothing is said for ``seconds``, then the connection is closed."""
    API_SLOW = "api-slow"
    """The call is carried out after ``seconds``."""
    ANSWER_LOST = "answer-lost"
    """The call is carried out, then the connection is closed without an answer."""


MOST_SECONDS = 3600.0

# What each service says when it throttles; the others say "Throttling" with 400. Sources: the errors pages of the
# EC2, S3 and SSM API references.
_THROTTLING = {
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "ssm": ("ThrottlingException", 400),
    "kms": ("ThrottlingException", 400),
    "logs": ("ThrottlingException", 400),
}
_THROTTLING_OTHERWISE = ("Throttling", 400)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``service`` and ``action`` are shell patterns over botocore's names (``ec2``, ``Run*``).

    ``after`` matching calls pass unharmed, the next ``times`` are hit (``None``: every one from then on).
    ``seconds``, 0 to 3600, is for ``api-hangs`` and ``api-slow``; ``error_code`` and ``http_status`` are for
    ``api-fails``. Raises ``FaultError`` for a value out of its bounds.
    """

    kind: FaultKind
    service: str = "*"
    action: str = "*"
    after: int = 0
    times: int | None = 1
    seconds: float = 0.0
    error_code: str = "InternalFailure"
    http_status: int = 500
    id: str = ""

    def __post_init__(self) -> None:
        if troubles := tuple(_troubles(self)):
            raise FaultError("; ".join(troubles))

    def matches(self, operation: Operation) -> bool:
        """Whether the fault is meant for calls like this one."""
        return fnmatchcase(operation.service, self.service) and fnmatchcase(operation.action, self.action)

    def error_for(self, operation: Operation) -> tuple[str, int]:
        """Error code and HTTP status to answer with."""
        if self.kind is FaultKind.API_THROTTLES:
            return _THROTTLING.get(operation.service, _THROTTLING_OTHERWISE)
        return self.error_code, self.http_status


@dataclass(frozen=True, slots=True)
class FaultReport:
    """A fault that stands, how many calls matched it and how many it hit."""

    fault: Fault
    seen: int
    hit: int

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return asdict(self.fault) | {"kind": str(self.fault.kind), "seen": self.seen, "hit": self.hit}


def fault_from(values: Mapping[str, Any]) -> Fault:
    """A fault from JSON values. Raises ``FaultError`` naming every unknown key and every value out of its bounds."""
    known = {field.name for field in fields(Fault)} - {"id"}
    if unknown := sorted(values.keys() - known):
        parts = ", ".join(sorted(known))
        raise FaultError(f"{', '.join(map(repr, unknown))} is no part of a fault. Parts: {parts}")
    try:
        kind = FaultKind(values.get("kind", ""))
    except ValueError:
        raise FaultError(
            f"{values.get('kind')!r} is no kind of fault. Kinds: {', '.join(FaultKind)}"
        ) from None
    given: dict[str, Any] = {**values, "kind": kind}
    return Fault(**given)


def _troubles(fault: Fault) -> Iterator[str]:
    """What cannot be about a fault, each with value and bound."""
    whole: tuple[tuple[str, Any, int], ...]
    whole = (("after", fault.after, 0), ("times", fault.times, 1), ("http_status", fault.http_status, 400))
    for name, value, low in whole:
        if name == "times" and value is None:
            continue
        if type(value) is not int or value < low or (name == "http_status" and value > 599):
            high = " to 599" if name == "http_status" else ""
            yield f"{name} is {value!r}, must be a whole number from {low}{high}"
    seconds: Any = fault.seconds
    if type(seconds) not in (int, float) or not 0 <= seconds <= MOST_SECONDS:
        yield f"seconds is {seconds!r}, must be a number from 0 to {MOST_SECONDS:g}"
    elif fault.kind in (FaultKind.API_HANGS, FaultKind.API_SLOW) and seconds == 0:
        yield f"{fault.kind} needs seconds greater than 0"
    for name in ("service", "action", "error_code"):
        text: Any = getattr(fault, name)
        if not isinstance(text, str):
            yield f"{name} is {text!r}, must be text"


class Faults:
    """The faults that stand, matched in the order of their adding. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._reports: dict[str, FaultReport] = {}
        self._cleared = threading.Event()

    def add(self, fault: Fault) -> Fault:
        """Let a fault stand; returns it with its id."""
        with self._lock:
            named = replace(fault, id=f"fault-{next(self._ids)}")
            self._reports[named.id] = FaultReport(named, seen=0, hit=0)
            return named

    def standing(self) -> tuple[FaultReport, ...]:
        """Every fault that stands, also those whose times are used up."""
        with self._lock:
            return tuple(self._reports.values())

    def clear(self, fault_id: str | None = None) -> int:
        """Take one fault away, or all; calls that hang or wait because of any are let go. Returns how many went."""
        with self._lock:
            gone = [fault_id] if fault_id in self._reports else [] if fault_id else list(self._reports)
            for one in gone:
                del self._reports[one]
            self._cleared.set()
            self._cleared = threading.Event()
            return len(gone)

    def strike(self, operation: Operation) -> Fault | None:
        """The fault that hits this call, if any. Counts the call for every fault that it matches."""
        struck: Fault | None = None
        with self._lock:
            for report in list(self._reports.values()):
                fault = report.fault
                if not fault.matches(operation):
                    continue
                live = report.seen >= fault.after and (fault.times is None or report.hit < fault.times)
                hits = live and struck is None
                if hits:
                    struck = fault
                self._reports[fault.id] = FaultReport(fault, report.seen + 1, report.hit + int(hits))
        return struck

    def wait(self, seconds: float) -> bool:
        """Sleep, at most ``seconds``; true when ``clear`` ended it early."""
        return self._cleared.wait(seconds)
