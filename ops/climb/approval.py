"""The only place for approvals: a person's signature over a plan's hash, with a time when it ends.

Signed by the person's own SSH key, with OpenSSH's own tools; who may sign stands in `allowed_signers` on the default
branch, and who has which role in gates.yaml. A GitHub environment's approval is the same: its job alone is given a
key, and that key's name stands in both files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from infra.core.errors import Fault, TerraceError
from ops.climb.plan import Plan, expired
from ops.climb.rules import Gates, seconds
from ops.stackfile import write

NAMESPACE = "terrace-climb"


@dataclass(frozen=True, slots=True)
class Approval:
    """One signature. Times are UTC; `by` is the name in allowed_signers."""

    plan: str
    by: str
    at: str
    expires_at: str
    signature: str = ""

    def message(self) -> bytes:
        """What is signed."""
        values = {key: value for key, value in asdict(self).items() if key != "signature"}
        return json.dumps(values, sort_keys=True).encode()


class Signer(Protocol):
    """OpenSSH's signatures."""

    def sign(self, message: bytes, key: Path) -> str:
        """A signature by that private key, or by the agent for that public one."""
        ...

    def verify(self, message: bytes, signature: str, name: str, signers: str) -> str:
        """Why it is not that name's, or nothing."""
        ...


def sign(
    plan: Plan, gates: Gates, signers: str, signer: Signer, *, by: str, key: Path, now: datetime
) -> Approval:
    """An approval of the plan.

    Raises:
        TerraceError: the plan's time is over, its gates are shut, the name may not approve, or the key is another's.
    """
    faults = list(_refusals(plan, gates, by, now))
    if faults:
        raise TerraceError(*faults)
    ends = min(
        now + timedelta(seconds=seconds(gates.rules.approvals.expires)),
        datetime.fromisoformat(plan.expires_at),
    )
    unsigned = Approval(
        plan.sha256, by, now.isoformat(timespec="seconds"), ends.isoformat(timespec="seconds")
    )
    signature = signer.sign(unsigned.message(), key)
    if why := signer.verify(unsigned.message(), signature, by, signers):
        raise TerraceError(
            Fault(
                f"the key {key.name}",
                f"is not {by}'s: {why}",
                "allowed_signers on the default branch says which keys are whose",
            )
        )
    return replace(unsigned, signature=signature)


def _refusals(plan: Plan, gates: Gates, by: str, now: datetime) -> Iterable[Fault]:
    if expired(plan, now):
        yield Fault(f"plan {plan.id}", f"ended at {plan.expires_at}", "Plan again: scripts/scale_up.py plan")
    if by == plan.requested_by:
        yield Fault(
            f"approval by {by}", "is by the one who asked for the climb", "Somebody else has to look at it"
        )
    if gates.rules.approvals.roles and not set(gates.people.get(by, ())) & set(gates.rules.approvals.roles):
        yield Fault(
            f"approval by {by}",
            f"is by nobody with a role of this stack ({', '.join(gates.rules.approvals.roles)})",
            "gates.yaml: people",
        )
    shut = [answer.gate for answer in plan.answers if not answer.open]
    if shut:
        yield Fault(f"plan {plan.id}", f"has shut gates: {', '.join(shut)}", "An approval opens no gate")


def needed(plan: Plan, gates: Gates) -> int:
    """How many have to sign: as many as the stack says, and one for each of its roles where a gate is overridden."""
    roles = len(gates.rules.approvals.roles)
    return max(gates.rules.approvals.min, roles if plan.overridden else 0, 1 if plan.overridden else 0)


def lacking(
    plan: Plan, gates: Gates, approvals: Sequence[Approval], signers: str, signer: Signer, now: datetime
) -> list[Fault]:
    """What is missing to begin: each approval that does not count with why, then how many are still needed."""
    wanted = needed(plan, gates)
    if not wanted:
        return []
    good: list[str] = []
    faults = []
    for approval in approvals:
        why = _why_not(plan, gates, approval, signers, signer, now)
        if why:
            faults.append(Fault(f"approval by {approval.by}", why, "It does not count"))
        elif approval.by not in good:
            good.append(approval.by)
    roles = {role for name in good for role in gates.people.get(name, ())}
    missing = [role for role in gates.rules.approvals.roles if role not in roles]
    if len(good) >= wanted and not missing:
        return []
    said = f"{len(good)} of {wanted} approvals" + (f"; none for {', '.join(missing)}" if missing else "")
    return [
        Fault(f"plan {plan.id}", f"has {said}", f"scripts/scale_up.py approve {plan.id} -s {plan.stack}"),
        *faults,
    ]


def _why_not(
    plan: Plan, gates: Gates, approval: Approval, signers: str, signer: Signer, now: datetime
) -> str:
    checks: Sequence[tuple[bool, Callable[[], str]]] = (
        (approval.plan != plan.sha256, lambda: f"is of another plan ({approval.plan[:10]})"),
        (approval.by == plan.requested_by, lambda: "is by the one who asked for the climb"),
        (now > datetime.fromisoformat(approval.expires_at), lambda: f"ended at {approval.expires_at}"),
    )
    for wrong, says in checks:
        if wrong:
            return says()
    roles = gates.rules.approvals.roles
    if roles and not set(gates.people.get(approval.by, ())) & set(roles):
        return "is by nobody with a role of this stack"
    return signer.verify(approval.message(), approval.signature, approval.by, signers)


def save(approval: Approval, folder: Path) -> Path:
    """Writes it beside the plans."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(approval)
    write(path, text(approval))
    return path


def file_name(approval: Approval) -> str:
    """What its file is called: by plan and name."""
    return f"{approval.plan[:10]}.{approval.by}.approval"


def text(approval: Approval) -> str:
    """The file."""
    return json.dumps(asdict(approval), indent=1) + "\n"


def parse(text: str, *, where: str) -> Approval:
    """An approval from its file.

    Raises:
        TerraceError: it is none.
    """
    try:
        return Approval(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise TerraceError(
            Fault(where, f"is no approval: {error}", "Take it away, and approve again")
        ) from error


def load(folder: Path, plan: Plan) -> list[Approval]:
    """The approvals of a plan."""
    return [
        parse(path.read_text(encoding="utf-8"), where=path.name)
        for path in sorted(folder.glob(f"{plan.id}.*.approval"))
    ]
