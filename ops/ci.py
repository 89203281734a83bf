"""What workflows do to a stack, so that a person can do the same: refuse, save a plan, apply exactly that, see drift.

A saved plan is a directory: `plan.json`, the engine's own (secrets in it are encrypted by the stack's provider), and
`start.json`, which says of which state, program and step it is. The engine's plan does not know the state it starts
from (pulumi 3.259, `--plan`), so the hash of that state is ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from infra.core.transition import Standing
from ops.climb.steps import Words
from ops.report.findings import MANDATORY, Finding
from ops.report.plan import GUARD
from ops.report.plan import Plan as Proposed
from ops.stackfile import write

PLAN, START = "plan.json", "start.json"


class RefusedError(TerraceError):
    """What was asked for does not fit what stands; nothing was changed."""


class Planner(Protocol):
    """What of the engine the use cases need."""

    def deployment(self) -> dict[str, Any]:
        """The state."""

    def save_plan(self, path: Path, *, policy_pack: Path) -> dict[str, int]:
        """Previews, saves, counts."""

    def apply_plan(self, path: Path, *, policy_pack: Path) -> None:
        """Does what was saved."""


class Climbs(Protocol):
    """The climbs' plans, and which of their steps they let pass (ops/climb/carried.py)."""

    def refusals(self, carries: str, before: Words, wanted: Words) -> Sequence[Fault]:
        """Why that step may not be made under the plan that `carries` names; empty where it may."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a plan was made of. `step` is empty where stage and climb stay as they are, `carries` names its climb."""

    stack: str
    revision: str
    state: str
    step: str
    carries: str


def place(standing: Standing | None) -> str:
    """Where a stack stands, in words that a person can write: `single-8g`, `single-8g to split (expanded)`."""
    if standing is None:
        return "nothing"
    climb = f" to {standing.climb_to} ({standing.climb_phase})" if standing.climb_to else ""
    return f"{standing.stage}{climb}"


def standing_of(deployment: Mapping[str, Any]) -> Standing | None:
    """What the guard of that state remembers, None for a stack that never stood."""
    for each in deployment.get("resources") or []:
        if each.get("type") == GUARD:
            return Standing.from_inputs(each.get("outputs") or each.get("inputs") or {})
    return None


def step_between(deployment: Mapping[str, Any], wanted: Standing) -> str:
    """`A -> B` where the file wants another stage or climb than what stands; empty where it does not."""
    before, after = place(standing_of(deployment)), place(wanted)
    return "" if before in ("nothing", after) else f"{before} -> {after}"


def refuse_step(
    deployment: Mapping[str, Any], wanted: Standing, *, climbs: Climbs | None = None, carries: str = ""
) -> str:
    """The step that the file asks for; refused unless the climb's plan that `carries` names lets it pass.

    Where nothing moves on the ladder, whatever is carried is not looked at: the branch of a climb that is done.

    Raises:
        RefusedError: the stack would move on the ladder, and no plan lets it; every reason of the plan's is in it.
    """
    step, before = step_between(deployment, wanted), standing_of(deployment)
    if not step or before is None:
        return ""
    says = f"the stack stands at {place(before)}, its file says {place(wanted)}"
    if climbs is None or not carries.strip():
        raise RefusedError(
            Fault(
                "terrace:stage",
                says,
                "Climb with scripts/scale_up.py, or carry the climb's plan: --carries ID",
            )
        )
    if faults := climbs.refusals(carries, _words(before), _words(wanted)):
        raise RefusedError(
            Fault("terrace:stage", f"{says}, and {carries.strip()} does not let it", "See below"), *faults
        )
    return step


def _words(standing: Standing) -> Words:
    return Words(standing.stage, standing.climb_to, standing.climb_phase, standing.kept)


def step_findings(proposed: Proposed, *, climbs: Climbs | None = None, carries: str = "") -> list[Finding]:
    """The same question of a preview, as a finding beside the others, so that the report still says all else."""
    guard = next((each for each in proposed.changes if each.resource.token == GUARD), None)
    if guard is None or guard.before is None or guard.after is None:
        return []
    before, wanted = (Standing.from_inputs(each.inputs) for each in (guard.before, guard.after))
    try:
        refuse_step(
            {"resources": [{"type": GUARD, "inputs": before.as_inputs()}]},
            wanted,
            climbs=climbs,
            carries=carries,
        )
    except RefusedError as error:
        return [
            Finding("ladder-step", "terrace", "high", guard.urn, each.what, each.remedy, MANDATORY)
            for each in error.faults
        ]
    return []


def digest(deployment: Mapping[str, Any]) -> str:
    """The hash of what a plan starts from: every resource, and what is under way; not when it was written."""
    kept = {name: deployment.get(name) or [] for name in ("resources", "pending_operations")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def save(
    engine: Planner,
    to: Path,
    *,
    stack: str,
    revision: str,
    wanted: Standing,
    policy_pack: Path,
    climbs: Climbs | None = None,
    carries: str = "",
) -> tuple[Start, dict[str, int]]:
    """Saves a plan with the hash of the state it starts from; what it starts from, and how many operations it has.

    Raises:
        RefusedError: an unannounced step on the ladder, or a state that moved meanwhile.
        TerraceError: the engine or a rule refused.
    """
    before = engine.deployment()
    step = refuse_step(before, wanted, climbs=climbs, carries=carries)
    to.mkdir(parents=True, exist_ok=True)
    (to / START).unlink(missing_ok=True)
    counts = engine.save_plan(to / PLAN, policy_pack=policy_pack)
    start = Start(stack, revision, digest(before), step, carries.strip() if step else "")
    if digest(engine.deployment()) != start.state:
        raise RefusedError(_moved(stack))
    write(to / START, json.dumps(asdict(start), indent=2) + "\n")
    return start, counts


def read_start(directory: Path) -> Start:
    """What a saved plan starts from.

    Raises:
        RefusedError: no saved plan, or one that was cut off.
    """
    try:
        content = json.loads((directory / START).read_text(encoding="utf-8"))
        return Start(**{name: str(content[name]) for name in Start.__slots__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            Fault(str(directory), "holds no whole saved plan", "Make one: scripts/ci.py save")
        ) from error


def apply(
    engine: Planner,
    saved: Path,
    *,
    stack: str,
    revision: str,
    wanted: Standing,
    policy_pack: Path,
    climbs: Climbs | None = None,
) -> Start:
    """Applies exactly a saved plan, to exactly the state that it was made of.

    Raises:
        RefusedError: another stack, another revision of the program, a state that moved, a step whose climb's plan
            ended, was taken back or lost its approvals since.
        TerraceError: the engine refused or failed.
    """
    start = read_start(saved)
    faults = [
        Fault(name, f"the plan is for {planned}, this is {here}", "Preview again, and approve that")
        for name, planned, here in (("stack", start.stack, stack), ("revision", start.revision, revision))
        if planned != here
    ]
    before = engine.deployment()
    if digest(before) != start.state:
        faults.append(_moved(stack))
    if faults:
        raise RefusedError(*faults, summary="The saved plan does not fit; nothing was changed.")
    refuse_step(before, wanted, climbs=climbs, carries=start.carries)
    engine.apply_plan(saved / PLAN, policy_pack=policy_pack)
    return start


def _moved(stack: str) -> Fault:
    return Fault(
        f"stack {stack}",
        "its state is not the one that the plan was made of: somebody updated or refreshed it since",
        "Preview again, and approve that",
    )


def step_page(stack: str, error: RefusedError) -> str:
    """What stands there instead of the differences where the file is not of the stage that stands, as Markdown."""
    said = "".join(f"- {each.what}. {each.remedy}\n" for each in error.faults)
    return (
        f"`{stack}` is at another place on the ladder than its file on main says:\n\n{said}\n"
        f"**Do not run `pulumi up -s {stack}` from main:** it would take a climb back. Merge the words that the "
        "climb wrote, or end the climb (`scripts/scale_up.py status`). This issue closes itself once they agree.\n"
    )


def drift_page(stack: str, moved: Mapping[str, str]) -> str:
    """What an up would change though nobody asked for a change, as Markdown; `moved` has operations by URN."""
    if not moved:
        return f"`{stack}` is as it was asked for.\n"
    rows = "".join(f"| {op} | `{urn.partition('::')[2]}` |\n" for urn, op in sorted(moved.items()))
    return (
        f"`{stack}` differs from what was asked for: somebody changed it by hand, or a change was merged and not "
        f"applied.\n\n| `pulumi up` would | resource |\n|---|---|\n{rows}\nTake it back with `pulumi up -s {stack}`, "
        "or write it into the program. This issue closes itself once they agree.\n"
    )
