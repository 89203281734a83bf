"""The only place for what controllers share: one document with the lease, the state and a person's override.

It is written only by whoever read its last version (compare and swap), so two boxes never both lead, and a person's
override is never lost to a controller that writes at the same time.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from infra.core.gpu.decide import Override, State
from infra.core.gpu.modes import Mode


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads, and until when (seconds of the epoch)."""

    holder: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Money:
    """What the month has cost so far (infra/host/box/gpu/money.py)."""

    month: str = ""
    worker_seconds: float = 0.0
    """Counted, of days that have no bill yet."""
    usd: float = 0.0
    alive: dict[str, float] = field(default_factory=dict)
    """Until when each living worker is counted."""
    since: float = 0.0
    """When the month's count began (seconds of the epoch); 0 where nobody wrote it down."""
    days: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Worker seconds of days that wait for their bill: as counted, and how many of them were surely lived."""
    settled_usd: float = 0.0
    """What was billed for days that wait no longer."""


@dataclass(frozen=True, slots=True)
class Document:
    """All of it."""

    lease: Lease = Lease()
    state: State = field(default_factory=State)
    money: Money = field(default_factory=Money)
    override: Override | None = None
    failed: int = -1
    """Failed jobs of the endpoint that figures have told of; -1 before the first round."""
    not_before: float = 0.0
    """RunPod has asked to be left alone until then (seconds of the epoch)."""
    why: str = ""
    """The reason of the last decision, for whoever asks how things stand."""
    findings: tuple[str, ...] = ()
    """What was out of the ordinary then."""

    def dumps(self) -> str:
        """As JSON."""
        chosen = self.override
        data = {
            "format": 1,
            "lease": {"holder": self.lease.holder, "until": self.lease.until},
            "state": self.state.as_data(),
            "money": {
                "month": self.money.month,
                "worker_seconds": self.money.worker_seconds,
                "usd": self.money.usd,
                "alive": self.money.alive,
                "since": self.money.since,
                "days": self.money.days,
                "settled_usd": self.money.settled_usd,
            },
            "failed": self.failed,
            "not_before": self.not_before,
            "why": self.why,
            "findings": list(self.findings),
            "override": None
            if chosen is None
            else {
                "mode": chosen.mode.value,
                "until": chosen.until,
                "who": chosen.who,
                "reason": chosen.reason,
            },
        }
        return json.dumps(data, sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Document:
        """From JSON."""
        data: dict[str, Any] = json.loads(text)
        chosen = data.get("override")
        spent: dict[str, Any] = dict(data["money"])
        days = {day: (counts, lived) for day, (counts, lived) in spent.pop("days", {}).items()}
        return cls(
            Lease(**data["lease"]),
            State.from_data(data["state"]),
            Money(**spent, days=days),
            None
            if chosen is None
            else Override(Mode(chosen["mode"]), chosen["until"], chosen["who"], chosen["reason"]),
            int(data.get("failed", -1)),
            float(data.get("not_before", 0.0)),
            str(data.get("why", "")),
            tuple(data.get("findings", ())),
        )


class ConflictError(Exception):
    """Somebody else wrote in between."""


class Store(Protocol):
    """Keeps the document."""

    def load(self) -> tuple[Document, str]:
        """The document and its version; a new one with an empty version where there is none."""

    def save(self, document: Document, version: str) -> str:
        """Writes it if `version` is still the last one; the new version.

        Raises:
            ConflictError: it is not.
        """


@dataclass(slots=True)
class FileStore:
    """The document in a file: for one machine, and for tests."""

    path: Path

    def load(self) -> tuple[Document, str]:
        """See `Store`."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Document(), ""
        return Document.loads(text), text

    def save(self, document: Document, version: str) -> str:
        """See `Store`."""
        if self.load()[1] != version:
            raise ConflictError
        text = document.dumps()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self.path)
        return text


@dataclass(slots=True)
class Journal:
    """Lines of JSON that outlive a kill; the last one may be half written and is then skipped."""

    path: Path
    most_bytes: int = 5_000_000

    def write(self, entry: dict[str, Any]) -> None:
        """Adds a line, down to the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > self.most_bytes:
            self.path.replace(self.path.with_suffix(".1.jsonl"))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Every whole line."""
        found = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found


def take_override(store: Store, chosen: Override | None, *, attempts: int = 5) -> Document:
    """Writes a person's choice, beside controllers that write too.

    None takes it away and ends a rest after failures: whoever says `auto` has looked into them.

    Raises:
        ConflictError: others wrote each time.
    """

    def how(document: Document) -> Document:
        state = document.state
        if chosen is None:
            state = replace(state, closed_until=0.0, bounces=())
        return replace(document, override=chosen, state=state)

    return change(store, how, attempts=attempts)


def change(store: Store, how: Callable[[Document], Document], *, attempts: int = 5) -> Document:
    """Changes the document beside others who do so.

    Raises:
        ConflictError: others wrote each time.
    """
    for left in range(attempts - 1, -1, -1):
        document, version = store.load()
        try:
            store.save(how(document), version)
        except ConflictError:
            if not left:
                raise
        else:
            return how(document)
    raise ConflictError
