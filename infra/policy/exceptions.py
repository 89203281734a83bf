"""The only place for what may differ from a rule: exceptions.yaml, each with a reason and a day on which it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from infra.core.errors import Fault, TerraceError

FILE = Path(__file__).parent / "exceptions.yaml"
SHORTEST_REASON = 20
_KEYS = {"rule", "resource", "reason", "expires"}


@dataclass(frozen=True, slots=True)
class Exemption:
    """`resource` is a pattern of URNs (`*` matches anything), or `stack` for the stack as a whole."""

    rule: str
    resource: str
    reason: str
    expires: date

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires

    def covers(self, rule: str, urn: str) -> bool:
        """Whether it excepts that rule for that resource; an empty URN is the stack as a whole."""
        return self.rule == rule and (fnmatchcase(urn, self.resource) if urn else self.resource == "stack")


def read(path: Path = FILE) -> tuple[Exemption, ...]:
    """The exceptions of that file.

    Raises:
        TerraceError: an entry without rule, resource, a reason of some words, or a day; all of them at once.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError) as error:
        raise TerraceError(Fault(str(path), f"cannot be read: {error}", "See docs/policy.md")) from error
    faults: list[Fault] = []
    found: list[Exemption] = []
    for index, entry in enumerate(entries):
        wrong = list(_faults(f"{path.name}[{index}]", entry))
        faults += wrong
        if not wrong:
            found.append(Exemption(entry["rule"], entry["resource"], entry["reason"], entry["expires"]))
    if faults:
        raise TerraceError(*faults)
    return tuple(found)


def _faults(path: str, entry: Any) -> list[Fault]:
    if not isinstance(entry, Mapping) or set(entry) != _KEYS:
        return [Fault(path, f"has not exactly the keys {', '.join(sorted(_KEYS))}", "See docs/policy.md")]
    found = []
    if not isinstance(entry["expires"], date):
        found.append(Fault(f"{path}.expires", f"{entry['expires']!r} is no day", "Write it as 2027-06-30"))
    if len(str(entry["reason"])) < SHORTEST_REASON:
        found.append(
            Fault(
                f"{path}.reason",
                f"has fewer than {SHORTEST_REASON} characters",
                "Say why it may differ, for who reads it in a year",
            )
        )
    return found
