"""The only place that reads a preview as `pulumi preview --json` prints it (engine 3.259, tried).

The text bears no version. So what is not known by name is refused, and the steps are counted against the engine's own
summary: a preview of another form is never read as "no change". A replacement comes as one step, or with
`--show-replacement-steps` as three that are one change here; only then does every one say what forces it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.core.cost import Resource
from infra.core.errors import Fault, TerraceError
from ops.report.plan import Change, Op, Plan, Refusal, differing
from ops.report.state import parsed, resource

COMMAND = "pulumi preview --json --show-sames --show-replacement-steps"

OPS: Mapping[str, Op] = {
    "create": Op.CREATE,
    "import": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "same": Op.SAME,
    "refresh": Op.SAME,
    "read": Op.SAME,
    "read-discard": Op.SAME,
    "discard": Op.SAME,
    "remove-pending-replace": Op.SAME,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
    "import-replacement": Op.REPLACE,
    "delete-replaced": Op.REPLACE,
    "read-replacement": Op.REPLACE,
    "discard-replaced": Op.REPLACE,
}
"""The engine's own words for its steps (pulumi, sdk/go/common/apitype: `OpType`)."""

COUNTED = (Op.CREATE, Op.UPDATE, Op.DELETE, Op.REPLACE)


@dataclass
class _Steps:
    """The steps of one URN."""

    op: Op
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reasons: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


def read_preview(
    text: str, *, where: str, state: Sequence[Resource] | None = None, packs: bool = False
) -> Plan:
    """The plan in a preview; with the `state`, one that left unchanged resources out is whole again.

    With policy `packs`, an error that names no resource and stands beside steps is theirs: the engine judges the
    stack when every step is known, and says no more than "preview failed" (tried). It is `stopped` then, and all else
    is read as ever.

    Raises:
        TerraceError: empty, cut off, of another form than engine 3.259 writes, or steps that its summary does not
            count.
    """
    raw = parsed(text, where=where, made_by=COMMAND)
    try:
        steps = _by_urn(raw.get("steps") or [])
        refusals, warnings = _said(raw.get("diagnostics") or [])
        stopped: tuple[str, ...] = ()
        if packs and steps and refusals and not any(each.urn for each in refusals):
            stopped = tuple(refusal.message for refusal in refusals)
            refusals = ()
        if not refusals:
            _counted(raw, steps)
        changes = [_change(each) for each in steps.values()]
        config = dict(raw.get("config") or {})
        same = sum(1 for each in changes if each.op is Op.SAME)
        whole = same >= (raw.get("changeSummary") or {}).get("same", 0) and not refusals
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise TerraceError(
            Fault(
                where,
                f"has not the form of engine 3.259: {why}",
                f"Make it with the engine that set-up chose: {COMMAND}",
            )
        ) from error
    if not whole and state is not None and not refusals:
        known = {each.urn for each in changes}
        changes += [Change(Op.SAME, each, each) for each in state if each.urn not in known]
        whole = True
    stack = next((each.split("::")[0].removeprefix("urn:pulumi:") for each in steps), "")
    return Plan(where, tuple(changes), config, refusals, warnings, whole=whole, stack=stack, stopped=stopped)


def _by_urn(raw: Iterable[Mapping[str, Any]]) -> dict[str, _Steps]:
    found: dict[str, _Steps] = {}
    for step in raw:
        word, urn = step["op"], step["urn"]
        if word not in OPS:
            raise ValueError(f"step {word!r} of {urn} is not known")
        steps = found.setdefault(urn, _Steps(OPS[word]))
        if OPS[word] is Op.REPLACE:
            steps.op = Op.REPLACE
        steps.before = step.get("oldState") or steps.before
        steps.after = step.get("newState") or steps.after
        steps.reasons += step.get("replaceReasons") or []
        details = step.get("detailedDiff") or {}
        steps.reasons += [path for path, each in details.items() if each["kind"].endswith("-replace")]
        steps.properties += [*(step.get("diffReasons") or []), *details]
        steps.order.append(word)
    return found


def _change(steps: _Steps) -> Change:
    """One resource's change. What an unchanged resource read stays known; of another its new outputs alone."""
    before = resource(steps.before) if steps.before else None
    known = before.outputs if before and steps.op is Op.SAME else None
    after = resource(steps.after, outputs=known) if steps.after and steps.op is not Op.DELETE else None
    if (before is None) and (after is None or steps.op is not Op.CREATE) and steps.op is not Op.SAME:
        raise ValueError(f"a step {steps.op.value!r} has no old state")
    if after is None and steps.op in (Op.CREATE, Op.UPDATE):
        raise ValueError(f"a step {steps.op.value!r} has no new state")
    if after is None and before is None:
        raise ValueError("a step has neither old nor new state")
    properties = steps.properties
    if not properties and before and after and steps.op is Op.UPDATE:
        properties = list(differing(before.inputs, after.inputs))
    return Change(
        steps.op,
        before if steps.op is not Op.CREATE else None,
        after,
        _innermost(properties),
        _innermost(steps.reasons),
        _old_first(steps.order),
    )


def _innermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Each path once, the exact one where both it and its property are named."""
    listed = list(dict.fromkeys(paths))
    return tuple(
        each
        for each in listed
        if not any(other != each and other.startswith((f"{each}.", f"{each}[")) for other in listed)
    )


def _old_first(order: Sequence[str]) -> bool | None:
    if "delete-replaced" in order and "create-replacement" in order:
        return order.index("delete-replaced") < order.index("create-replacement")
    return None


def _said(diagnostics: Iterable[Mapping[str, Any]]) -> tuple[tuple[Refusal, ...], tuple[str, ...]]:
    refusals, warnings = [], []
    for each in diagnostics:
        message = str(each["message"]).strip()
        if each.get("severity") == "error":
            refusals.append(Refusal(each.get("urn", ""), message.removeprefix("error: ")))
        elif each.get("severity") == "warning":
            warnings.append(message.removeprefix("warning: "))
    return tuple(refusals), tuple(warnings)


def _counted(raw: Mapping[str, Any], steps: Mapping[str, _Steps]) -> None:
    """Holds the steps against the engine's summary."""
    summary = raw["changeSummary"]
    ours = Counter(each.op for each in steps.values())
    theirs: Counter[Op] = Counter()
    for word, count in summary.items():
        if word not in OPS:
            raise ValueError(f"its summary counts {word!r}, which is not known")
        theirs[OPS[word]] += count
    for op in COUNTED:
        if ours[op] != theirs[op]:
            raise ValueError(f"it holds {ours[op]} of {theirs[op]} resources to {op.value}")
