"""Two databases and terrace-data between them, as far as a climb sees them; what they are can stand in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from ops.data import BusyError, RefusedError, Verb

OTHER = {"box": "rds", "rds": "box"}


@dataclass
class Rows:
    """What both ends hold. `writer` is what the record says; `busy` how often another command is at it yet."""

    writer: str = "box"
    states: dict[str, str] = field(default_factory=lambda: {"box": "open", "rds": "absent"})
    held: dict[str, list[str]] = field(default_factory=lambda: {"box": ["first"], "rds": []})
    busy: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    """By verb: what it fails with, once."""
    damaged: bool = False
    """The next copy is not the same as its source."""
    follows: bool = False
    """Whether the box can be followed, and hands requests on once RDS writes."""
    asked: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, end: str) -> Rows:
        """Rows that are where a stage has them."""
        return (
            cls()
            if end == "box"
            else cls("rds", {"box": "absent", "rds": "open"}, {"box": [], "rds": ["first"]})
        )

    @classmethod
    def read(cls, path: Path) -> Rows:
        """From a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        """Into a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    def writers(self) -> list[str]:
        """Which ends take the application's writes."""
        return [end for end, state in self.states.items() if state == "open"]

    def insert(self, row: str) -> bool:
        """Whether a row was acknowledged."""
        open_ = self.writers()
        if open_:
            self.held[open_[0]].append(row)
        return bool(open_)

    def __call__(self, verb: Verb, *options: str) -> Mapping[str, Any]:
        """As terrace-data answers."""
        self.asked.append(" ".join((verb, *options)))
        if verb != "plan" and self.busy:
            self.busy -= 1
            raise BusyError(Fault("data", "another move is under way on this box", ""))
        home, to = self.writer, OTHER[self.writer]
        if why := self.faults.pop(verb, ""):
            raise TerraceError(Fault(verb, why, "again"))
        match verb:
            case "plan":
                cannot = [] if self.follows and home == "box" else [f"{home} cannot be followed"]
                return {
                    "writer": {"end": home}, "source": home, "target": to, "states": dict(self.states),
                    "cannot_follow": cannot,
                }  # fmt: skip
            case "follow":
                return self._follow(home, to)
            case "copy":
                return self._copy(home, to, rehearse="--rehearse" in options)
            case "switch":
                return self._switch(home, to)
            case _:
                return self._back(home, to)

    def _copy(self, home: str, to: str, *, rehearse: bool) -> Mapping[str, Any]:
        if self.states[to] == "open":
            raise RefusedError(Fault("data", f"{to} is not empty", ""))
        if not rehearse:
            self.states[home] = "fenced"
        self.states[to] = "copying"
        self.held[to] = list(self.held[home])
        if self.damaged:
            self.held[to] = self.held[to][1:]
            self.damaged = rehearse
        if not rehearse:
            self.states[to] = "copied"
        return {"source": home, "target": to, "seconds": 2.0, "bytes": 1024}

    def _follow(self, home: str, to: str) -> Mapping[str, Any]:
        if (self.states[home], self.states[to]) == ("open", "open"):
            raise RefusedError(Fault("data", f"{to} is not empty", ""))
        assert self.states[home] == "open"
        self.states[to], self.held[to] = "following", list(self.held[home])
        return {"source": home, "target": to, "seconds": 2.0, "bytes": 1024}

    def _switch_following(self, home: str, to: str) -> Mapping[str, Any]:
        """Fences, takes the last rows, compares; opens the old side again where they differ."""
        self.held[to] = list(self.held[home])[1 if self.damaged else 0 :]
        if self.damaged:
            self.damaged = False
            raise RefusedError(Fault("data", "table receipts: 2 rows, checksum differs", ""))
        self.states[home], self.states[to] = "fenced", "copied"
        self.writer = to
        if why := self.faults.pop("open", ""):
            raise TerraceError(Fault(to, why, "switch again"))
        self.states[to] = "open"
        return {
            "writer": {"end": to},
            "changed": True,
            "pause_seconds": 2.5,
            "requests_go_to": "10.0.0.9:8090",
        }

    def _switch(self, home: str, to: str) -> Mapping[str, Any]:
        if self.states[to] == "following":
            return self._switch_following(home, to)
        if self.states[home] == "copied":
            self.states[home] = "open"
            return {"writer": {"end": home}, "changed": True}
        if (self.states[home], self.states[to]) == ("open", "fenced"):
            return {"writer": {"end": home}, "changed": False}
        if (self.states[home], self.states[to]) != ("fenced", "copied"):
            raise RefusedError(Fault(to, "holds no whole copy", "Make one: copy"))
        if self.held[home] != self.held[to]:
            raise RefusedError(Fault("data", "table receipts: 2 rows, checksum differs", ""))
        self.writer = to
        if why := self.faults.pop("open", ""):
            raise TerraceError(Fault(to, why, "switch again"))
        self.states[to] = "open"
        return {"writer": {"end": to}, "changed": True, "tables": 1, "rows": len(self.held[to])}

    def _back(self, home: str, to: str) -> Mapping[str, Any]:
        if self.states[to] == "fenced" and self.states[home] == "open":
            raise RefusedError(Fault(home, "is the writer since", "Move back the same way"))
        if self.states[home] == "copied":
            raise RefusedError(Fault(home, "is recorded as the writer already", "Finish it: switch"))
        self.states[home] = "open"
        if self.states[to] in ("copied", "copying", "following"):
            self.states[to], self.held[to] = "copying", []
        return {"writer": {"end": home}, "changed": True}
