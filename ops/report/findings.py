"""The only place that reads what the policy pack found: a JSON list, one object for each broken rule and resource.

[{"rule": "...", "control": "...", "severity": "...", "urn": "...", "message": "...", "remedy": "...",
  "enforcement": "mandatory"}]
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from infra.core.errors import Fault, TerraceError

MANDATORY = "mandatory"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken; a mandatory one blocks."""

    rule: str
    control: str
    severity: str
    urn: str
    message: str
    remedy: str
    enforcement: str

    @property
    def blocks(self) -> bool:
        """Whether nothing may be applied while it stands."""
        return self.enforcement == MANDATORY


def read_findings(text: str, *, where: str) -> list[Finding]:
    """Every finding, the blocking ones first.

    Raises:
        TerraceError: an empty file, no list, or a finding that lacks something: a pack that crashed is no clean bill.
    """
    try:
        raw = json.loads(text)
        if not isinstance(raw, list):
            raise TypeError(f"a {type(raw).__name__} where a list was expected")
        found = [Finding(**{each.name: str(one[each.name]) for each in fields(Finding)}) for one in raw]
    except (ValueError, TypeError, KeyError) as error:
        raise TerraceError(
            Fault(
                where,
                f"holds no findings of the policy pack ({error!r})",
                "Did it crash? Run it again, and look at what it prints",
            )
        ) from error
    return sorted(found, key=lambda each: (not each.blocks, each.rule, each.urn))
