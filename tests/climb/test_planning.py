"""A plan is refused, shut or over budget for its own reason, and says what it would do with numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.core.cost import Resource, stage_resources
from infra.core.errors import TerraceError
from infra.core.prices import load
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts
from ops.climb import page, planning
from ops.climb.plan import Bound, Change, Plan
from ops.climb.planning import BlockedError, Previewed, Wish
from ops.climb.rules import Figures, parse
from ops.climb.steps import Words
from ops.climb.verdicts import passed
from ops.watch import Report

from .test_advise import MEMORY, cpu
from .test_gates import NOW, report

DEV = parse("stacks: {dev: {}}", "dev")
BOUND = Bound("c" * 40, "f", "s", "p", "g", "a")


AT_REST = Words("single-8g")


@dataclass
class Sources:
    """What a plan is made of, as a test says it."""

    changes: tuple[Change, ...] = (Change("urn::app", "aws:ec2/instance:Instance", "update"),)
    mine: str = "123456789012"
    said: Words = AT_REST
    standing: Words = AT_REST
    seen: Report | None = None
    previewed: list[Words] = field(default_factory=list)

    def account(self) -> str:
        return self.mine

    def state_account(self) -> str:
        return "123456789012"

    def words(self) -> Words:
        return self.said

    def stands(self) -> Words:
        return self.standing

    def resources(self) -> Sequence[Resource]:
        return stage_resources(find("single-8g"))

    def preview(self, words: Words) -> Previewed:
        self.previewed.append(words)
        return Previewed(self.changes, tuple(stage_resources(find(words.stage))))

    def bound(self) -> Bound:
        return BOUND

    def report(self) -> Report | None:
        return self.seen

    def series(self, names: Sequence[str]) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        return {}

    def figures(self, file: str) -> Figures | None:
        return None

    def offered(self, names: Iterable[str]) -> Mapping[str, bool | None]:
        return dict.fromkeys(names, True)

    def vcpus_left(self) -> int | None:
        return 10

    def answers(self) -> bool:
        return True


def made(sources: Sources, *, to: str = "single-16g", budget: str | None = None, **wish: Any) -> Plan:
    after = find(to or "single-16g")
    return planning.make(
        sources,
        DEV,
        Wish("dev", to, "me@example.com", wish.pop("overrides", {}), **wish),
        facts=Facts(shape(find("single-8g"))),
        facts_after=Facts(shape(after)),
        book=load("seoul-2026-10"),
        budget_usd=Decimal(budget) if budget else None,
        now=NOW,
    )


def test_a_plan_says_money_before_and_after_interruption_thresholds_steps_and_risks() -> None:
    found = made(Sources())
    assert passed(found.answers)
    assert Decimal(found.money.after[1]) - Decimal(found.money.before[1]) == pytest.approx(
        Decimal("60.74"), abs=2
    )
    assert found.away_seconds == 45
    assert [step.name for step in found.steps] == ["backup", "resize", "verify", "thresholds", "load-test"]
    assert "~ app-credits-review 172.8 → 460.8" in found.thresholds
    assert found.capacity == ("50 to 150 requests/s", "150 to 350 requests/s")
    assert any("away for about 45 s" in risk for risk in found.risks)


def test_the_measured_interruption_of_earlier_climbs_takes_the_place_of_the_assumption() -> None:
    assert made(Sources(), away_seconds=7.5).away_seconds == 7.5


def test_without_a_stage_the_advised_one_is_planned_with_its_reasons() -> None:
    found = made(Sources(seen=report(MEMORY, cpu(21))), to="")
    assert (found.after, "memory 86" in found.reasons[0]) == ("single-16g", True)


def test_credentials_of_the_wrong_aws_account_are_refused_with_both_accounts() -> None:
    with pytest.raises(
        BlockedError, match="are of account 999999999999, and the stack stands in 123456789012"
    ):
        made(Sources(mine="999999999999"))


@pytest.mark.parametrize("operation", ["replace", "create-replacement", "delete"])
def test_a_preview_that_wants_to_replace_something_stateful_is_blocked_with_its_cause(operation: str) -> None:
    lost = Change("urn::data", "aws:ebs/volume:Volume", operation, ("availabilityZone",))
    with pytest.raises(BlockedError, match=r"Volume data .* availabilityZone"):
        made(Sources(changes=(lost,)))


def test_a_file_that_says_another_stage_than_stands_is_brought_together_first() -> None:
    with pytest.raises(BlockedError, match="stands at single-16g where its file says single-8g"):
        made(Sources(standing=Words("single-16g")))


def test_the_budget_shuts_a_gate_of_its_own() -> None:
    over = made(Sources(), budget="100")
    assert [answer.gate for answer in over.answers if not answer.open] == ["budget"]
    assert over.money.over == "after"
    assert made(Sources(), budget="400").open


def test_an_override_has_to_name_a_shut_gate_that_people_may_judge() -> None:
    found = made(Sources(), budget="100", overrides={"budget": "agreed on Friday"})
    assert found.open
    assert [answer.gate for answer in found.overridden] == ["budget"]
    with pytest.raises(TerraceError, match="service cannot be overruled"):
        made(Sources(), overrides={"service": "it looks fine"})
    with pytest.raises(TerraceError, match="need is not shut"):
        made(Sources(), overrides={"need": "just because"})


def test_where_the_stack_stands_already_there_is_nothing_to_plan() -> None:
    with pytest.raises(TerraceError, match="Nothing to do"):
        made(Sources(), to="single-8g")


def test_a_contraction_is_planned_only_after_a_climb_across_options() -> None:
    with pytest.raises(TerraceError, match="the stack rests at single-8g"):
        made(Sources(), contract=True)


def test_whatever_moves_after_the_plan_is_named() -> None:
    for each in fields(Bound):
        (fault,) = BOUND.moved(replace(BOUND, **{each.name: "other"}))
        assert "is other where the plan was made on" in fault.what


def test_the_hash_covers_everything_that_stands_in_the_plan() -> None:
    first = made(Sources())
    changed = [
        replace(first, peak_rps=first.peak_rps + 1),
        replace(first, bound=replace(first.bound, gates="h")),
        replace(first, steps=first.steps[1:]),
        replace(first, answers=()),
        replace(first, money=replace(first.money, after=("1", "1", "1"))),
    ]
    assert len({each.sha256 for each in (first, *changed)}) == len(changed) + 1
    assert Plan.parse(first.text()) == first


def test_markdown_and_page_say_the_same_as_the_screen() -> None:
    found = made(Sources(), budget="100", overrides={"budget": "agreed <on> Friday"})
    text, html = page.markdown(found), page.html(found)
    for each in (found.money.after[1], "OVERRIDDEN", "resize"):
        assert each in text
        assert each in html
    assert "agreed &lt;on&gt; Friday" in html
    assert "<svg" in html
    assert json.loads(json.dumps(page.data(found)))["after"] == "single-16g"
