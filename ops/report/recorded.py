"""The only place for the file of a recorded program: what it would register, without an engine or a cloud.

Nobody but the engine and the provider knows what a change would replace, so a plan of two recordings says what
differs and what it costs, and no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from infra.core.cost import Resource
from infra.core.errors import Fault, TerraceError
from ops.report.plan import Plan, of_states
from ops.report.state import parsed, resource

FORMAT = 1
COMMAND = "scripts/preview.py record"


def written(stack: str, config: Mapping[str, Any], resources: Iterable[Resource]) -> str:
    """The file's text; secrets are masked before they come here."""
    listed = [
        {
            "urn": each.urn,
            "type": each.token,
            "inputs": each.inputs,
            "custom": each.custom,
            "protect": each.protect,
            "retainOnDelete": each.retain,
        }
        for each in resources
    ]
    raw = {"terraceRecording": FORMAT, "stack": stack, "config": config, "resources": listed}
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"


def read_recorded(text: str, *, where: str) -> tuple[str, dict[str, Any], list[Resource]]:
    """Stack, settings and resources of a recording.

    Raises:
        TerraceError: empty, cut off, or no recording of this format.
    """
    raw = parsed(text, where=where, made_by=COMMAND)
    if raw.get("terraceRecording") != FORMAT:
        raise TerraceError(
            Fault(where, f"is no recording of format {FORMAT}", f"Make it by the same revision: {COMMAND}")
        )
    try:
        return raw["stack"], dict(raw["config"]), [resource(each) for each in raw["resources"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TerraceError(
            Fault(where, f"has a resource of another form ({error!r})", f"Make it again: {COMMAND}")
        ) from error


def compared(
    base: Sequence[Resource], head: Sequence[Resource], stack: str, config: Mapping[str, Any]
) -> Plan:
    """The plan from what one revision of the program registers to what another does."""
    plan = of_states(base, head, source="the recorded program, base against head")
    return replace(plan, stack=stack, config=config)
