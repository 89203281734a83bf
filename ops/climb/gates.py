"""The only place that asks every gate of a climb, by what was gathered beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from infra.core.stages import LADDER, Stage
from ops.climb import advise
from ops.climb.advise import Advice
from ops.climb.conditions import judge, span
from ops.climb.rules import Figures, Gates, age, seconds
from ops.climb.verdicts import Answer, Verdict
from ops.watch import Report

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the gates judge. A None or an absent key was asked for and not had."""

    report: Report | None
    advice: Advice | None
    peak_rps: float | None
    figures: Figures | None
    next_monthly_usd: Decimal
    """Cost of the stage after, at the high end of its range."""
    offered: Mapping[str, bool | None]
    """Whether each instance type can be had in the box's zone."""
    vcpus_left: int | None
    """What the account's quota leaves."""
    vcpus_more: int
    series: Mapping[str, Sequence[tuple[datetime, float]]] = field(default_factory=dict)


def ask(gates: Gates, before: Stage, after: Stage, what: Gathered, now: datetime) -> list[Answer]:
    """Every gate's answer, in the order in which a person reads them."""
    rules = gates.rules
    found: list[Answer] = [_capacity(after, what)]
    if rules.need:
        found.append(_need(before, after, what))
    found += [
        judge(row.condition(), what.series.get(row.metric, ()), now, "CloudWatch")
        for row in gates.for_stage(after.name)
    ]
    if rules.technical is not None:
        found += _technical(gates, what)
    if rules.revenue:
        found += _finance(gates, what, now)
    if rules.freeze:
        window = rules.frozen(now)
        found.append(
            Answer("freeze", "no freeze window", window or "none now", "gates.yaml", FAIL if window else PASS)
        )
    return found


def _capacity(after: Stage, what: Gathered) -> Answer:
    asks = "capacity afterwards ≥ 1.5 × the measured peak"
    carried = advise.capacity(after)
    if lacking := advise.too_small(after, what.peak_rps):
        return Answer("capacity", asks, lacking, "CloudWatch, 14 d", FAIL)
    peak = "no request seen" if what.peak_rps is None else f"peak {what.peak_rps:.1f}/s"
    if carried is None:
        return Answer("capacity", asks, f"{peak}; nobody has said what {after} carries: the load test tells",
                      "the ladder", PASS)  # fmt: skip
    return Answer("capacity", asks, f"{peak} of {carried[0]} to {carried[1]}/s", "CloudWatch, 14 d", PASS)


def _need(before: Stage, after: Stage, what: Gathered) -> Answer:
    asks = f"advise names {after}, or one further on"
    if what.report is None or what.advice is None:
        return Answer("need", asks, "alarms cannot be read", "CloudWatch", INCONCLUSIVE)
    order = [stage.name for stage in LADDER]
    here, there, wanted = (order.index(name) for name in (before.name, what.advice.to, after.name))
    agrees = here < wanted <= there if wanted > here else there <= wanted < here
    if not agrees and what.advice.unknown and what.advice.stays:
        unseen = ", ".join(what.advice.unknown[:3])
        return Answer("need", asks, f"{what.advice.headline}; not seen: {unseen}", "CloudWatch", INCONCLUSIVE)
    return Answer("need", asks, f"{what.advice.headline}: {what.advice.reasons[0]}", "CloudWatch",
                  PASS if agrees else FAIL)  # fmt: skip


def _technical(gates: Gates, what: Gathered) -> Iterator[Answer]:
    rules = gates.rules.technical
    assert rules is not None  # noqa: S101 asked before
    bounds = (
        ("backup", "backup-age", seconds(rules.backup_age), 3600),
        ("restore-drill", "restore-drill", seconds(rules.drill_age), 86_400),
    )
    for gate, key, most, unit in bounds:
        if most:
            yield _young(gate, key, most, unit, what.report)
    if rules.service_up:
        yield _service(what.report)
    if rules.capacity:
        yield from _to_be_had(what)


def _young(gate: str, key: str, most_seconds: int, unit_seconds: int, report: Report | None) -> Answer:
    asks = f"younger than {span(most_seconds)}"
    row = next((each for each in report.rows if each.name.endswith(key)), None) if report else None
    if row is None or row.value is None:
        return Answer(gate, asks, "no data", "CloudWatch", INCONCLUSIVE)
    old = row.value * unit_seconds
    return Answer(gate, asks, span(old), "CloudWatch", PASS if old < most_seconds else FAIL)


def _service(report: Report | None) -> Answer:
    asks = "no alarm says that the service is down"
    if report is None:
        return Answer("service", asks, "alarms cannot be read", "CloudWatch", INCONCLUSIVE)
    state = next((each for each in report.composites if each.name == "service-down"), None)
    if state is None:
        return Answer("service", asks, "there is no such alarm", "CloudWatch", INCONCLUSIVE)
    verdict = {"OK": PASS, "ALARM": FAIL}.get(state.state, INCONCLUSIVE)
    return Answer("service", asks, state.state, "CloudWatch", verdict)


def _to_be_had(what: Gathered) -> Iterator[Answer]:
    for name, offered in what.offered.items():
        saw = {True: "offered", False: "not offered", None: "cannot be known"}[offered]
        verdict = {True: PASS, False: FAIL, None: INCONCLUSIVE}[offered]
        yield Answer("offered", f"{name} in the box's zone", saw, "EC2", verdict)
    asks = f"{what.vcpus_more} more processors within the account's quota"
    if what.vcpus_left is None:
        yield Answer("quota", asks, "cannot be read", "Service Quotas", INCONCLUSIVE)
    else:
        verdict = PASS if what.vcpus_left >= what.vcpus_more else FAIL
        yield Answer("quota", asks, f"{what.vcpus_left} left", "Service Quotas", verdict)


def _finance(gates: Gates, what: Gathered, now: datetime) -> Iterator[Answer]:
    rules = gates.rules.finance
    cost = what.next_monthly_usd
    margin = f"net revenue > {rules.margin:g} × {cost} USD, the next stage's month"
    reserve = f"cash ≥ {rules.reserve_months:g} months of it"
    known = what.figures
    most = timedelta(seconds=seconds(rules.max_age))
    if known is None or age(known, now) > most:
        saw = "no file" if known is None else f"{rules.file} is {span(age(known, now).total_seconds())} old"
        yield Answer("margin", margin, saw, rules.file, INCONCLUSIVE)
        yield Answer("reserve", reserve, saw, rules.file, INCONCLUSIVE)
        return
    revenue, cash = Decimal(str(known.net_revenue_30d_usd)), Decimal(str(known.cash_usd))
    enough = revenue > cost * Decimal(str(rules.margin))
    yield Answer("margin", margin, f"{revenue} USD in 30 days", rules.file, PASS if enough else FAIL)
    lasts = cash >= cost * Decimal(str(rules.reserve_months))
    yield Answer("reserve", reserve, f"{cash} USD", rules.file, PASS if lasts else FAIL)
