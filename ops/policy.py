"""What the rules find, for whoever wants to know: a command, a pull request, a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from infra.core.cost.resource import Resource
from infra.core.errors import TerraceError
from infra.policy import exceptions
from infra.policy.facts import facts_from, facts_of
from infra.policy.judging import Finding, judge
from infra.policy.table import NAME, RULES
from infra.settings import Settings
from ops.cost.answer import Table
from ops.report.findings import MANDATORY
from ops.report.findings import Finding as Told
from ops.report.plan import Plan

_COLOR, _SPACE = re.compile(r"<\{%[^%]*%\}>"), re.compile(r"\s+")
"""The engine's own marks for colours (pulumi, sdk/go/common/diag/colors), and line breaks."""

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


def of_packs(
    plan: Plan, said: Sequence[Mapping[str, Any]], judged_here: Sequence[Told], *, ok: bool
) -> list[Told]:
    """What policy packs found that this pack's rules did not, by the engine's events; and that one blocked or failed.

    A preview that ended badly is never a clean one: where nothing else blocks it, the ending itself does.
    """
    found = [
        Told(
            f"{each.get('policyPackName', '')}/{each.get('policyName', '')}",
            str(each.get("policyPackName", "")),
            "mandatory" if each.get("enforcementLevel") == MANDATORY else "advisory",
            str(each.get("resourceUrn", "")),
            _SPACE.sub(" ", _COLOR.sub("", str(each.get("message", "")))).strip(),
            "See that pack",
            str(each.get("enforcementLevel", MANDATORY)),
        )
        for each in said
        if each.get("policyPackName") != NAME
    ]
    if not ok and not plan.refusals and not any(each.blocks for each in (*found, *judged_here)):
        # What an exception says may hold a value of the stack.
        why = "; ".join(
            each.partition("Exception calling application")[0] or "it raised" for each in plan.stopped
        )
        found.append(
            Told(
                "policy-pack", "terrace", "critical", "",
                f"a policy pack blocked or failed and did not say which rule: {why or 'the engine ended badly'}",
                "Run it alone, and look: pulumi preview --policy-pack PACK", MANDATORY,
            )
        )  # fmt: skip
    return found


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
