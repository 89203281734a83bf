"""The only place for what a plan holds, what it is bound to, and the hash that approvals sign.

A plan is plain JSON. Its SHA-256 is over all of it, and in it stand the hashes of everything that must not move
between plan and apply: program, stack file, state, prices, gates, signers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError
from ops.climb.steps import Step
from ops.climb.verdicts import Answer, Verdict, passed
from ops.stackfile import write

FOLDER = "plans"
BRANCH = "climb/"
"""Before a plan's id: the branch that its words are committed on."""
EXPIRES_HOURS = 24


@dataclass(frozen=True, slots=True)
class Bound:
    """What a plan rests on: a git commit, and SHA-256 of the rest."""

    commit: str
    stack_file: str
    state: str
    prices: str
    gates: str
    signers: str

    def moved(self, now: Bound) -> list[Fault]:
        """What is another now than it was when the plan was made."""
        return [
            Fault(
                _NAMED[each.name],
                f"is {getattr(now, each.name)[:12] or 'missing'} where the plan was made on "
                f"{getattr(self, each.name)[:12] or 'none'}",
                "Plan again: scripts/scale_up.py plan",
            )
            for each in fields(self)
            if getattr(self, each.name) != getattr(now, each.name)
        ]


_NAMED = {
    "commit": "the program's commit",
    "stack_file": "the stack file",
    "state": "the stack's state",
    "prices": "the price book",
    "gates": "gates.yaml",
    "signers": "allowed_signers",
}


@dataclass(frozen=True, slots=True)
class Change:
    """What a preview would do to one resource; `why` names what forces a replacement."""

    urn: str
    kind: str
    operation: str
    why: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True, slots=True)
class Money:
    """A month before, after, and while both stand: USD before tax as texts of decimals; low, likely, high."""

    book: str
    as_of: str
    before: tuple[str, str, str]
    during: tuple[str, str, str]
    after: tuple[str, str, str]
    back: str
    """What going back costs: one more restore point, and the stage before again."""
    budget_usd: str = ""
    over: str = ""
    """`after` or `during` where the budget is exceeded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One climb, before it is made. Times are UTC."""

    stack: str
    before: str
    after: str
    account: str
    requested_by: str
    made_at: str
    expires_at: str
    bound: Bound
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    answers: tuple[Answer, ...]
    reasons: tuple[str, ...]
    money: Money
    thresholds: tuple[str, ...]
    capacity: tuple[str, str]
    risks: tuple[str, ...]
    peak_rps: float
    """What the load test takes 1.5 times of; 0: no request was seen."""
    approvals: int = 0
    roles: tuple[str, ...] = ()
    contracts: bool = False
    notes: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """What an approval signs."""
        return hashlib.sha256(self._canonical()).hexdigest()

    @property
    def id(self) -> str:
        """The first of it; a plan's file and branch are named by it."""
        return self.sha256[:10]

    @property
    def away_seconds(self) -> float:
        """The expected interruption."""
        return sum(step.away_seconds for step in self.steps)

    @property
    def open(self) -> bool:
        """Whether every gate passes."""
        return passed(self.answers)

    @property
    def overridden(self) -> tuple[Answer, ...]:
        """Gates that are passed by an override."""
        return tuple(each for each in self.answers if each.overridden)

    @property
    def replaced(self) -> tuple[Change, ...]:
        """What is deleted and made again."""
        return tuple(each for each in self.changes if "replace" in each.operation)

    def _canonical(self) -> bytes:
        return json.dumps(_plain(self), sort_keys=True, separators=(",", ":")).encode()

    def text(self) -> str:
        """The file."""
        whole = {"id": self.id, "sha256": self.sha256, **_plain(self)}
        return json.dumps(whole, indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str, *, where: str = "plan") -> Plan:
        """A plan from its file.

        Raises:
            TerraceError: it is none, or was changed after it was made.
        """
        try:
            raw: dict[str, Any] = json.loads(text)
            told = raw.pop("sha256")
            raw.pop("id")
            for key, kind in _NESTED.items():
                raw[key] = tuple(kind(each) for each in raw[key])
            for key in _TEXTS:
                raw[key] = tuple(raw[key])
            raw["bound"] = Bound(**raw["bound"])
            raw["money"] = Money(**{key: _tuple(value) for key, value in raw["money"].items()})
            made = cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise TerraceError(
                Fault(where, f"is no plan: {error}", "Plan again: scripts/scale_up.py plan")
            ) from error
        if made.sha256 != told:
            raise TerraceError(
                Fault(
                    where,
                    "was changed after it was made: its SHA-256 is another",
                    "Plan again, and approve that",
                )
            )
        return made


def _change(raw: dict[str, Any]) -> Change:
    raw["why"] = tuple(raw["why"])
    return Change(**raw)


def _answer(raw: dict[str, Any]) -> Answer:
    raw["verdict"] = Verdict(raw["verdict"])
    return Answer(**raw)


_NESTED: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "steps": Step.from_json,
    "changes": _change,
    "answers": _answer,
}
_TEXTS = ("reasons", "thresholds", "capacity", "risks", "roles", "notes")


def save(plan: Plan, folder: Path) -> Path:
    """Writes it, whole or not at all; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.id}.json"
    write(path, plan.text())
    return path


def load(folder: Path, plan_id: str) -> Plan:
    """The plan of that id, or of the only id that begins so.

    Raises:
        TerraceError: there is none, several, or it was changed.
    """
    found = sorted(folder.glob(f"{plan_id}*.json"))
    if len(found) != 1:
        known = ", ".join(path.stem for path in sorted(folder.glob("*.json"))) or "none"
        what = "is no plan here" if not found else f"begins {len(found)} plans"
        raise TerraceError(Fault(f"plan {plan_id}", what, f"Plans: {known}"))
    return Plan.parse(found[0].read_text(encoding="utf-8"), where=found[0].name)


def expired(plan: Plan, now: datetime) -> bool:
    """Whether its time is over."""
    return now > datetime.fromisoformat(plan.expires_at)


def digest(content: bytes | str) -> str:
    """SHA-256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def state_digest(resources: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over what the state knows of each resource, without when it was last looked at."""
    kept = [
        {key: each.get(key) for key in ("urn", "id", "inputs", "outputs", "protect")} for each in resources
    ]
    return digest(json.dumps(sorted(kept, key=lambda each: str(each["urn"])), sort_keys=True, default=str))


def account_of(resources: Sequence[Mapping[str, Any]]) -> str:
    """The account that a state's ARNs name, or nothing where it has none."""
    for each in resources:
        for arn in _arns(each.get("outputs") or {}):
            return arn.split(":")[4]
    return ""


def _arns(outputs: Mapping[str, Any]) -> Iterator[str]:
    arn = outputs.get("arn")
    if isinstance(arn, str) and arn.startswith("arn:aws") and arn.split(":")[4].isdigit():
        yield arn


def _plain(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(plan), default=str))
    return found


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
