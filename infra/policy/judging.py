"""The only place for what a rule is, and for judging resources by rules.

A rule is a pure function over resources, so the same table judges a recorded program (no engine, no cloud), a
preview, a state, and every resource that the engine is about to register.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from infra.core.cost.resource import NotKnownError, Resource
from infra.core.errors import TerraceError
from infra.core.naming import Environment
from infra.core.prices import DEFAULT_BOOK
from infra.policy.exceptions import Exemption


class Severity(StrEnum):
    """How bad a finding is, as AWS Security Hub grades it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Enforcement(StrEnum):
    """What a finding does: it is shown, or it stops the update."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules know beside the resources.

    `budget_usd` is the month's budget in USD, None where the stack has none; `released` are the tokens of what
    `terrace:released` gives up by name.
    """

    environment: Environment
    today: date
    budget_usd: Decimal | None = None
    price_book: str = DEFAULT_BOOK
    released: frozenset[str] = frozenset()

    @property
    def enforcement(self) -> Enforcement:
        """Advisory in dev, mandatory everywhere else."""
        return Enforcement.ADVISORY if self.environment is Environment.DEV else Enforcement.MANDATORY


Check = Callable[[Resource, Facts], Iterable[str]]
StackCheck = Callable[[Sequence[Resource], Facts], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of single resources.

    `control` is the control of AWS Foundational Security Best Practices that it mirrors, or `terrace` for one of our
    own; `check` yields what is wrong with a resource of `tokens`, in words that hold the value and the bound.
    """

    id: str
    control: str
    severity: Severity
    says: str
    remedy: str
    tokens: tuple[str, ...]
    check: Check


@dataclass(frozen=True, slots=True)
class StackRule:
    """One rule of a whole stack; `check` yields pairs of URN (empty: the stack) and what is wrong."""

    id: str
    control: str
    severity: Severity
    says: str
    remedy: str
    check: StackCheck


AnyRule = Rule | StackRule


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that breaks a rule. `urn` is empty for the whole stack; `excepted` says why it may."""

    rule: str
    control: str
    severity: Severity
    urn: str
    message: str
    remedy: str
    enforcement: Enforcement
    excepted: str = ""

    @property
    def blocks(self) -> bool:
        """Whether it stops an update."""
        return self.enforcement is Enforcement.MANDATORY and not self.excepted

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "blocks": self.blocks}


def judge(
    resources: Sequence[Resource], facts: Facts, rules: Iterable[AnyRule], exemptions: Sequence[Exemption]
) -> list[Finding]:
    """Every finding over those resources, the worst first; exempted ones are marked, not dropped."""
    found = list(expired(exemptions, facts))
    for rule in rules:
        if isinstance(rule, StackRule):
            found += judge_stack(rule, resources, facts, exemptions)
        else:
            for resource in resources:
                found += judge_resource(rule, resource, facts, exemptions)
    grades = list(Severity)
    return sorted(found, key=lambda each: (-grades.index(each.severity), each.rule, each.urn))


def judge_resource(
    rule: Rule, resource: Resource, facts: Facts, exemptions: Sequence[Exemption]
) -> Iterator[Finding]:
    """What one rule finds of one resource. A value that only an update will tell is judged by that update."""
    if resource.token not in rule.tokens:
        return
    try:
        for message in rule.check(resource, facts):
            yield _finding(rule, resource.urn, message, facts, exemptions)
    except NotKnownError:
        return
    except Exception as error:  # noqa: BLE001 a rule that fails must block, not vanish
        yield _crashed(rule, resource.urn, error, facts)


def judge_stack(
    rule: StackRule, resources: Sequence[Resource], facts: Facts, exemptions: Sequence[Exemption]
) -> Iterator[Finding]:
    """What one rule finds of a whole stack."""
    try:
        for urn, message in rule.check(resources, facts):
            yield _finding(rule, urn, message, facts, exemptions)
    except NotKnownError:
        return
    except Exception as error:  # noqa: BLE001 as above
        yield _crashed(rule, "", error, facts)


def expired(exemptions: Iterable[Exemption], facts: Facts) -> Iterator[Finding]:
    """An exception whose day is over is a finding itself, and excepts nothing any more."""
    for each in exemptions:
        if each.expired(facts.today):
            yield Finding(
                "exception-expired",
                "terrace",
                Severity.HIGH,
                "",
                f"the exception of {each.rule} for {each.resource} ended on {each.expires}, today is {facts.today}",
                "Mend what it excepted, or give it a new reason and day in infra/policy/exceptions.yaml",
                facts.enforcement,
            )


def _finding(rule: AnyRule, urn: str, message: str, facts: Facts, exemptions: Sequence[Exemption]) -> Finding:
    made = Finding(rule.id, rule.control, rule.severity, urn, message, rule.remedy, facts.enforcement)
    for each in exemptions:
        if not each.expired(facts.today) and each.covers(rule.id, urn):
            return replace(made, excepted=f"{each.reason} (until {each.expires})")
    return made


def _crashed(rule: AnyRule, urn: str, error: Exception, facts: Facts) -> Finding:
    """Never the error's own text where it is not ours: it may quote an input."""
    said = f": {error}" if isinstance(error, TerraceError) else ""
    return Finding(
        rule.id,
        rule.control,
        Severity.CRITICAL,
        urn,
        f"the rule itself failed ({type(error).__name__}{said}), so nobody knows whether it holds",
        "Mend the rule in infra/policy/; until then nothing of this stack may be taken as judged",
        facts.enforcement,
    )
