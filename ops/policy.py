"""What the rules find, for whoever wants to know: a command, a pull request, a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from infra.core.cost.resource import Resource
from infra.core.errors import TerraceError
from infra.policy import exceptions
from infra.policy.facts import facts_from, facts_of
from infra.policy.judging import Finding, judge
from infra.policy.table import RULES
from infra.settings import Settings
from ops.cost.answer import Table
from ops.report.findings import Finding as Told
from ops.report.plan import Plan

PACK = "infra/policy/pack"
"""What `--policy-pack` and the Automation API's `policy_packs` are given, from the project's root."""


def findings(resources: Sequence[Resource], settings: Settings, today: date) -> list[Finding]:
    """Everything that breaks a rule in those resources, the worst first; exempted ones are marked.

    Raises:
        TerraceError: exceptions.yaml has faults.
    """
    return judge(resources, facts_of(settings, today), RULES, exceptions.read())


def judged(plan: Plan, today: date) -> list[Told]:
    """What breaks a rule in what a plan comes to, for its report; nothing where the plan does not show the whole.

    Raises:
        TerraceError: exceptions.yaml has faults.
    """
    if not plan.whole or plan.refusals:
        return []
    try:
        facts = facts_from(plan.config, plan.stack, today)
    except TerraceError:
        return []  # the program refuses the same settings, and the report says so
    found = judge(plan.after, facts, RULES, exceptions.read())
    told = [
        Told(each.rule, each.control, each.severity, each.urn, each.message, each.remedy, each.enforcement)
        for each in found
        if not each.excepted
    ]
    return sorted(told, key=lambda each: not each.blocks)


def data(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """For programs: rule, control, severity, urn, message, remedy, enforcement, excepted, blocks."""
    return [each.data() for each in found]


def finding_table(found: Sequence[Finding], stack: str) -> Table:
    """For people."""
    rows = [
        (
            each.severity.value,
            each.rule,
            each.control,
            each.urn.rpartition("::")[2] or "(stack)",
            f"excepted: {each.excepted}" if each.excepted else f"{each.message}. {each.remedy}",
        )
        for each in found
    ]
    blocking = sum(1 for each in found if each.blocks)
    title = (
        f"{stack}: {len(found)} findings, {blocking} of them block" if found else f"{stack}: every rule holds"
    )
    return Table(title, ("severity", "rule", "control", "resource", "what, and what to do"), tuple(rows))


def rule_table() -> Table:
    """The table of rules."""
    rows = [(each.id, each.control, each.severity.value, each.says) for each in RULES]
    return Table(f"{len(rows)} rules", ("rule", "control", "severity", "what holds"), tuple(rows))


def rule_data() -> list[dict[str, str]]:
    """The same for programs."""
    names = ("id", "control", "severity", "says", "remedy")
    return [{name: str(getattr(each, name)) for name in names} for each in RULES]
