"""The only place that reads a resource as the engine writes it, and a state as `pulumi stack export` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.core.cost import Resource, masked
from infra.core.errors import Fault, TerraceError

VERSIONS = (3, 4)
"""The deployment's versions whose resources look like this (engine 3.259 writes 4, older ones 3)."""


def parsed(text: str, *, where: str, made_by: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        TerraceError: it is empty, cut off, no JSON, or no object; `made_by` is the command that writes it.
    """
    again = f"Make it again: {made_by}"
    if not text.strip():
        raise TerraceError(Fault(where, "is empty", again))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg:
            raise TerraceError(
                Fault(where, f"is cut off after {len(text):,} characters ({error.msg})", again)
            ) from error
        if error.msg == "Extra data":
            what = "holds several JSON texts: a stream of events, as PULUMI_ENABLE_STREAMING_JSON_PREVIEW makes it"
            raise TerraceError(Fault(where, what, f"Unset that. {again}")) from error
        raise TerraceError(Fault(where, f"is no JSON: {error}", again)) from error
    if not isinstance(found, dict):
        raise TerraceError(
            Fault(where, f"holds a {type(found).__name__} where an object was expected", again)
        )
    return found


def resource(raw: Mapping[str, Any], *, outputs: Mapping[str, Any] | None = None) -> Resource:
    """One resource of a state or a step, its secrets masked; `outputs` in place of its own.

    Raises:
        KeyError, TypeError, AttributeError: it has not the form that the engine writes.
    """
    inputs, seen = raw.get("inputs") or {}, raw.get("outputs") or outputs or {}
    return Resource(
        raw["urn"],
        raw["type"],
        masked(inputs),
        masked(seen),
        custom=bool(raw.get("custom")) and not raw.get("external"),
        protect=bool(raw.get("protect")),
        retain=bool(raw.get("retainOnDelete")),
    )


def read_state(text: str, *, where: str) -> list[Resource]:
    """What stands, without what is only read and what waits for its deletion.

    Raises:
        TerraceError: no whole export, or one of a version whose form is not known.
    """
    raw = parsed(text, where=where, made_by="pulumi stack export")
    deployment = raw.get("deployment")
    if raw.get("version") not in VERSIONS or not isinstance(deployment, dict):
        raise TerraceError(
            Fault(
                where,
                f"is no export of version {' or '.join(map(str, VERSIONS))} (version {raw.get('version')!r})",
                "Make it with the engine that set-up chose: pulumi stack export",
            )
        )
    try:
        return [resource(each) for each in deployment.get("resources") or [] if not each.get("delete")]
    except (KeyError, TypeError, AttributeError) as error:
        raise TerraceError(
            Fault(where, f"has a resource of another form ({error!r})", "Make it again: pulumi stack export")
        ) from error
