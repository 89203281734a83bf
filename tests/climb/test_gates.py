"""Gates answer pass, fail or inconclusive; what cannot be seen never passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.errors import TerraceError
from infra.core.stages import listed
from ops.climb import advise, gates, rules
from ops.climb.conditions import Condition, judge
from ops.climb.gates import Gathered
from ops.climb.rules import Figures, parse
from ops.climb.verdicts import Verdict, passed
from ops.watch import Recipients, Report, Row, Standing

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
USERS = Condition("users", "daily_active_users", ">=", 800, 7 * 86_400, 2 * 3600, 100, 700)
ROOT = Path(__file__).parents[2]


def hourly(values: list[float], *, until: datetime = NOW) -> list[tuple[datetime, float]]:
    return [(until - timedelta(hours=len(values) - 1 - at), value) for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("series", "verdict", "saw"),
    [
        (hourly([900.0] * 200), Verdict.PASS, "held for 8.29 d"),
        (hourly([100.0] * 100 + [900.0] * 100), Verdict.FAIL, "held for 4.12 d"),
        (hourly([900.0] * 100), Verdict.INCONCLUSIVE, "data begins there"),
        (hourly([900.0] * 199 + [600.0]), Verdict.FAIL, "now 600"),
        (hourly([900.0] * 100 + [750.0] + [900.0] * 99), Verdict.PASS, "now 900"),
        (hourly([900.0] * 100 + [650.0] + [900.0] * 99), Verdict.FAIL, "held for 4.08 d"),
        (
            hourly([900.0] * 200, until=NOW - timedelta(hours=5)),
            Verdict.INCONCLUSIVE,
            "newest datum is 5 h old",
        ),
        ([], Verdict.INCONCLUSIVE, "no data"),
    ],
)
def test_a_condition_holds_for_its_time_without_gaps_and_with_hysteresis(
    series: list[tuple[datetime, float]], verdict: Verdict, saw: str
) -> None:
    answer = judge(USERS, series, NOW, "CloudWatch")
    assert answer.verdict is verdict
    assert saw in answer.saw


def test_a_gap_begins_the_time_anew() -> None:
    series = [
        each for each in hourly([900.0] * 200) if not 50 <= (NOW - each[0]).total_seconds() / 3600 <= 53
    ]
    assert judge(USERS, series, NOW, "").verdict is Verdict.FAIL


def test_too_few_samples_are_inconclusive() -> None:
    sparse = Condition("x", "m", ">", 1, 86_400, 86_400, min_samples=10)
    series = [(NOW - timedelta(hours=12 * at), 2.0) for at in range(4, -1, -1)]
    assert judge(sparse, [(NOW - timedelta(hours=60), 0.0), *series], NOW, "").verdict is Verdict.INCONCLUSIVE


@given(st.lists(st.floats(0, 1000, allow_nan=False), max_size=60), st.integers(0, 48))
def test_a_pass_always_means_that_the_value_held_for_the_whole_time(values: list[float], hours: int) -> None:
    condition = Condition("x", "m", ">", 500, hours * 3600, 7200)
    answer = judge(condition, hourly(values), NOW, "")
    holding = 0
    for value in reversed(values):
        if value <= 500:
            break
        holding += 1
    assert (answer.verdict is Verdict.PASS) == (holding >= 1 and holding - 1 >= hours)


def row(key: str, value: float | None, state: str = "OK", severity: str = "", **changes: Any) -> Row:
    made = Row(
        name=f"app-{key}", title=key, unit="%", above=True, state=state, severity=severity,
        since=NOW - timedelta(days=40), reason="", suppressed_by="", value=value, warn=70.0, review=80.0,
        distance_percent=None, per_day=None, crosses_on="", means="It means something.", do="",
    )  # fmt: skip
    return replace(made, **changes)


def report(*rows: Row, down: str = "OK", stage: str = "single-8g") -> Report:
    composites = (Standing("service-down", down, None, "", None, {}),)
    return Report("prod", stage, NOW, rows, composites, {}, Recipients(1), deploying=False)


FINE = (
    row("backup-age", 5.0),
    row("restore-drill", 3.0),
    row("memory", 85.0, "ALARM", "review"),
    row("cpu", 20.0),
)
PROD = parse((ROOT / "gates.yaml").read_text(encoding="utf-8"), "prod")


def gathered(what: Report | None, **changes: Any) -> Gathered:
    advice = advise.advise(advise.seen(what, now=NOW)) if what else None
    made = Gathered(what, advice, 2.0, None, Decimal("152.83"), {"t4g.xlarge": True}, 30, 2)
    return replace(made, **changes)


def answers(what: Gathered, rules_: rules.Gates = PROD, to: str = "single-16g") -> dict[str, Verdict]:
    found = gates.ask(rules_, listed("single-8g"), listed(to), what, NOW)
    return {each.gate: each.verdict for each in found}


def test_all_gates_of_prod_pass_when_everything_is_as_it_should_be() -> None:
    found = answers(gathered(report(*FINE)))
    assert set(found.values()) == {Verdict.PASS}
    assert {"capacity", "need", "backup", "restore-drill", "service", "offered", "quota"} <= set(found)


def test_dev_has_no_gates_but_the_capacity() -> None:
    dev = parse((ROOT / "gates.yaml").read_text(encoding="utf-8"), "dev")
    assert set(answers(gathered(None), dev)) == {"capacity"}


@pytest.mark.parametrize(
    ("gate", "what", "verdict"),
    [
        ("need", gathered(None), Verdict.INCONCLUSIVE),
        ("need", gathered(report(row("memory", 40.0), *FINE[:2])), Verdict.FAIL),
        ("need", gathered(report(row("memory", None, "INSUFFICIENT_DATA"))), Verdict.INCONCLUSIVE),
        ("backup", gathered(report(row("backup-age", 30.0), *FINE[1:])), Verdict.FAIL),
        ("backup", gathered(report(*FINE[1:])), Verdict.INCONCLUSIVE),
        ("restore-drill", gathered(report(FINE[0], row("restore-drill", 31.0), *FINE[2:])), Verdict.FAIL),
        ("service", gathered(report(*FINE, down="ALARM")), Verdict.FAIL),
        ("service", gathered(report(*FINE, down="INSUFFICIENT_DATA")), Verdict.INCONCLUSIVE),
        ("offered", gathered(report(*FINE), offered={"t4g.xlarge": False}), Verdict.FAIL),
        ("offered", gathered(report(*FINE), offered={"t4g.xlarge": None}), Verdict.INCONCLUSIVE),
        ("quota", gathered(report(*FINE), vcpus_left=1), Verdict.FAIL),
        ("quota", gathered(report(*FINE), vcpus_left=None), Verdict.INCONCLUSIVE),
        ("capacity", gathered(report(*FINE), peak_rps=120.0), Verdict.FAIL),
    ],
)
def test_a_gate_is_shut_by_its_own_cause_and_missing_alarm_data_never_opens_it(
    gate: str, what: Gathered, verdict: Verdict
) -> None:
    assert answers(what)[gate] is verdict


FINANCE = parse("{people: {}, stacks: {prod: {revenue: true}}}", "prod")


@pytest.mark.parametrize(
    ("figures", "margin", "reserve"),
    [
        (None, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (
            Figures(as_of=NOW - timedelta(days=8), net_revenue_30d_usd=900, cash_usd=900),
            *[Verdict.INCONCLUSIVE] * 2,
        ),
        (
            Figures(as_of=NOW - timedelta(days=2), net_revenue_30d_usd=306, cash_usd=459),
            Verdict.PASS,
            Verdict.PASS,
        ),
        (
            Figures(as_of=NOW - timedelta(days=2), net_revenue_30d_usd=305, cash_usd=458),
            Verdict.FAIL,
            Verdict.FAIL,
        ),
    ],
)
def test_finance_asks_for_the_next_stages_cost_and_a_stale_file_is_inconclusive(
    figures: Figures | None, margin: Verdict, reserve: Verdict
) -> None:
    found = answers(gathered(None, figures=figures), FINANCE)
    assert (found["margin"], found["reserve"]) == (margin, reserve)


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        (datetime(2026, 11, 20, 5, 59, tzinfo=UTC), False),  # Friday 14:59 in Seoul
        (datetime(2026, 11, 20, 6, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 22, 22, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 22, 23, 0, tzinfo=UTC), False),  # Monday 08:00
    ],
)
def test_a_freeze_window_may_go_over_the_weekend(moment: datetime, frozen: bool) -> None:
    found = parse("{stacks: {prod: {freeze: ['fri 15:00 - mon 08:00']}}}", "prod").rules
    assert bool(found.frozen(moment)) is frozen


def test_an_override_opens_a_gate_and_stays_to_be_seen() -> None:
    found = gates.ask(PROD, listed("single-8g"), listed("single-16g"), gathered(report(*FINE[:2])), NOW)
    assert not passed(found)
    opened = [replace(each, overridden="a launch on Monday") if not each.open else each for each in found]
    assert passed(opened)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stacks: {prod: {}}", "stacks.dev  is missing: no gate is taken for open"),
        ("stacks: {dev: {need: maybe}}", "need"),
        ("stacks: {dev: {freeze: [weekend]}}", "write fri 15:00 - mon 08:00"),
        ("stacks: {dev: {aprovals: {min: 1}}}", "aprovals"),
        ("{people: {a: [tech]}, stacks: {dev: {approvals: {roles: [finance]}}}}", "finance is nobody's role"),
        ("stacks: {dev: {approvals: {expires: soon}}}", "write 30m, 36h or 7d"),
    ],
)
def test_a_gates_file_with_a_fault_is_refused_with_its_path(text: str, said: str) -> None:
    with pytest.raises(TerraceError) as refused:
        parse(text, "dev")
    assert said in str(refused.value)
