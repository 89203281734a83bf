"""The only place for gates.yaml: which gates a stack's climbs pass, checked whole, every fault at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from infra.core.errors import Fault, TerraceError, nearest
from infra.core.stages import LADDER
from ops.climb.conditions import Condition

FILE = "gates.yaml"
SIGNERS_FILE = "allowed_signers"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK_MINUTES = 7 * 24 * 60


def seconds(text: str) -> int:
    """Seconds of `7d`, `36h`, `90m`, `30s`.

    Raises:
        ValueError: it is no such span.
    """
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no span of time; write 30m, 36h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def _window(text: str) -> str:
    _minutes(text)
    return text


def _minutes(text: str) -> tuple[int, int]:
    """A freeze window as minutes of the week, from Monday 00:00."""
    found = re.fullmatch(r"(\w{3}) (\d\d):(\d\d) - (\w{3}) (\d\d):(\d\d)", text)
    if found is None or found[1] not in _DAYS or found[4] not in _DAYS:
        raise ValueError(f"{text!r} is no window of the week; write fri 15:00 - mon 08:00")
    first, last = (
        _DAYS.index(found[at]) * 1440 + int(found[at + 1]) * 60 + int(found[at + 2]) for at in (1, 4)
    )
    return first, last


Span = Annotated[str, AfterValidator(lambda text: f"{seconds(text)}s")]
Window = Annotated[str, AfterValidator(_window)]
Role = Literal["tech", "finance"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Approvals(_Model):
    """Who has to sign a plan."""

    min: int = Field(default=0, ge=0, le=10)
    roles: tuple[Role, ...] = ()
    expires: Span = "86400s"


class ConditionRow(_Model):
    """A condition as it is written; `into` limits it to climbs to that stage."""

    id: str
    metric: str
    op: Literal[">", ">=", "<", "<="]
    value: float
    held_for: Span = "0s"
    max_gap: Span = "7200s"
    min_samples: int = Field(default=1, ge=1)
    release_below: float | None = None
    into: str = ""

    def condition(self) -> Condition:
        """For the evaluator."""
        return Condition(
            self.id, self.metric, self.op, self.value, seconds(self.held_for), seconds(self.max_gap),
            self.min_samples, self.release_below,
        )  # fmt: skip


class Technical(_Model):
    """What must be proved before anything is touched; a span of 0s switches a gate off."""

    backup_age: Span = "86400s"
    drill_age: Span = "2592000s"
    service_up: bool = True
    capacity: bool = True


class Finance(_Model):
    """Where the money's figures come from."""

    file: str = "finance.yaml"
    max_age: Span = "604800s"
    margin: float = Field(default=2.0, gt=0)
    reserve_months: float = Field(default=3.0, gt=0)


class LoadTest(_Model):
    """Step 7: requests a second are 1.5 times the expected peak, at least `least_rps`; 0 seconds leaves it out."""

    seconds: int = Field(default=0, ge=0, le=3600)
    least_rps: float = Field(default=5.0, gt=0)
    most_requests: int = Field(default=20_000, ge=1)
    path: str = "/"


class Rules(_Model):
    """The gates of one stack."""

    approvals: Approvals = Approvals()
    need: bool = False
    """Whether `advise` must name the stage, or one further on the same way."""
    technical: Technical | None = None
    revenue: bool = False
    """Switches the finance gate on."""
    finance: Finance = Finance()
    conditions: tuple[ConditionRow, ...] = ()
    freeze: tuple[Window, ...] = ()
    zone: str = "Asia/Seoul"
    load_test: LoadTest = LoadTest()
    soak: Span = "86400s"
    """How long a climb across options rests before it is contracted."""

    def frozen(self, now: datetime) -> str:
        """The freeze window that this moment lies in, or nothing."""
        local = now.astimezone(ZoneInfo(self.zone))
        minute = local.weekday() * 1440 + local.hour * 60 + local.minute
        for text in self.freeze:
            first, last = _minutes(text)
            length = (last - first) % WEEK_MINUTES
            if (minute - first) % WEEK_MINUTES < length:
                return text
        return ""


class _File(_Model):
    people: dict[str, tuple[Role, ...]] = Field(default_factory=dict)
    stacks: dict[str, Rules] = Field(default_factory=dict)


class Gates(_Model):
    """What gates.yaml says of one stack: its rules, and who has which role."""

    people: dict[str, tuple[Role, ...]]
    rules: Rules

    def for_stage(self, stage: str) -> list[ConditionRow]:
        """The conditions of a climb to that stage."""
        return [row for row in self.rules.conditions if row.into in ("", stage)]


def parse(text: str, stack: str) -> Gates:
    """The gates of a stack.

    Raises:
        TerraceError: everything that is wrong, at once; or the stack has no entry, which is never taken for none.
    """
    try:
        raw: Any = yaml.safe_load(text) or {}
        whole = _File.model_validate(raw)
    except yaml.YAMLError as error:
        raise TerraceError(Fault(FILE, f"is no YAML: {error}", "See docs/scaling.md")) from error
    except ValidationError as error:
        raise TerraceError(
            *(
                Fault(
                    f"{FILE}: {'.'.join(map(str, each['loc']))}",
                    f"{each['msg']}",
                    "See docs/scaling.md#gates",
                )
                for each in error.errors(include_url=False)
            )
        ) from error
    if stack not in whole.stacks:
        raise TerraceError(
            Fault(
                f"{FILE}: stacks.{stack}",
                "is missing: no gate is taken for open because nobody wrote it down",
                f"Write it; {stack}: {{}} has none{nearest(stack, whole.stacks)}",
            )
        )
    rules = whole.stacks[stack]
    stages = {stage.name for stage in LADDER}
    faults = [
        Fault(
            f"{FILE}: stacks.{stack}.conditions.{row.id}", f"into {row.into!r} is no stage", "See the ladder"
        )
        for row in rules.conditions
        if row.into and row.into not in stages
    ]
    asked = set(rules.approvals.roles)
    held = {role for roles in whole.people.values() for role in roles}
    faults += [
        Fault(
            f"{FILE}: stacks.{stack}.approvals.roles",
            f"{role} is nobody's role",
            "Give it to one of `people`",
        )
        for role in sorted(asked - held)
        if whole.people
    ]
    if faults:
        raise TerraceError(*faults)
    return Gates(people=whole.people, rules=rules)


def read(path: Path, stack: str) -> Gates:
    """The same from a file.

    Raises:
        TerraceError: there is no such file, or what `parse` refuses.
    """
    if not path.exists():
        raise TerraceError(
            Fault(FILE, "is missing", "Take it from the default branch: git checkout main -- gates.yaml")
        )
    return parse(path.read_text(encoding="utf-8"), stack)


class Figures(_Model):
    """The finance file: what came in, and what is there. USD; `as_of` with a date."""

    as_of: datetime
    net_revenue_30d_usd: float = Field(ge=0)
    cash_usd: float = Field(ge=0)
    signed_by: str = ""


def figures(text: str) -> Figures:
    """The finance file's figures.

    Raises:
        TerraceError: it is not one.
    """
    try:
        raw: Any = yaml.safe_load(text)
        return Figures.model_validate(_zoned(raw))
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise TerraceError(
            Fault("finance file", f"cannot be read: {error}", "Needed: as_of, net_revenue_30d_usd, cash_usd")
        ) from error


def _zoned(raw: Mapping[str, Any]) -> dict[str, Any]:
    moment = raw.get("as_of")
    if isinstance(moment, datetime):
        return {**raw, "as_of": moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))}
    return {**raw, "as_of": f"{moment}T00:00:00+00:00"} if moment is not None else dict(raw)


def age(figures_: Figures, now: datetime) -> timedelta:
    """How old they are."""
    return now - figures_.as_of
