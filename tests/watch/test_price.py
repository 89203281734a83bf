"""What watching a stack costs: all that its programs publish is priced, and nothing is published for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from infra.core import dashboard, metrics, slo
from infra.core.alarms import alarm_set
from infra.core.cost import Resource, watching_monthly
from infra.core.cost.watching import INSTANCE, Published, published, watching_resources
from infra.core.metrics import Metric, publishes, role_of
from infra.core.prices import load
from infra.core.shape import Climb, Phase, shape
from infra.core.stages import LADDER, Option, find
from infra.core.thresholds import Facts
from infra.host.box.metrics import agent, probes
from infra.host.box.metrics.users import Users

SMALLEST = Facts(shape(find("single-8g")))
VARIANTS = {
    "plain": SMALLEST,
    "budget": replace(SMALLEST, budget=True),
    "gpu": replace(SMALLEST, gpu=True),
    "gpu-and-budget": replace(SMALLEST, gpu=True, budget=True),
    "chat": replace(SMALLEST, webhook=True),
    **{stage.name: Facts(shape(stage)) for stage in LADDER if stage.option in (Option.SPLIT, Option.PRIVATE)},
    "private-with-all": Facts(shape(find("private")), gpu=True, budget=True, webhook=True),
    "climbing": Facts(shape(find("single-8g"), climb=Climb(find("split"), Phase.EXPANDED))),
}
BY_OTHERS = ("terrace-backup", "terrace-host")
"""Programs that publish their rows of the table wherever they run: on boxes of the rows' roles."""


def resources(facts: Facts) -> list[Resource]:
    boxes = [Resource(f"stage::{INSTANCE}::{box.name}", INSTANCE, {}) for box in facts.shape.boxes]
    return [*boxes, *watching_resources(alarm_set(facts))]


def told(facts: Facts) -> Iterator[Published]:
    """What the boxes' programs and the controller publish, asked of themselves."""
    for box in facts.shape.boxes:
        role = role_of(box.name)
        said = {
            "role": role,
            "budget_usd": "100" if facts.budget else "",
            "gpu_budget_usd": "50" if facts.gpu else "",
        }
        nothing = Path("/nonexistent")
        public = partial(str.endswith, box.name, ("app", "-public"))
        users = Users(nothing, nothing)
        probe = probes.Probes(said, users, nothing, str, str, datetime.now(UTC), public=public)
        yield from (key(metric, box.name) for metric, _ in probe.due())
        yield from (
            key(each, box.name)
            for each in metrics.BOX_METRICS
            if agent.as_published(each) in agent.published(agent.configuration(role, "/l"))
            or (each.by in BY_OTHERS and role in each.roles)
        )
    if facts.gpu:
        yield from (key(each, "stack") for each in metrics.GPU_METRICS)


def key(metric: Metric, box: str) -> Published:
    fixed = dict(metric.fixed)
    subject = box if metric.subject is metrics.Subject.BOX else "stack"
    return metric.name, fixed.get("path") or fixed.get("Objective", ""), subject


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_stacks_programs_publish_is_what_is_priced(name: str) -> None:
    facts = VARIANTS[name]
    assert set(told(facts)) == set(published(resources(facts))) - {("deploying", "", "stack")}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_published_is_read_by_an_alarm_or_shown_by_a_chart_of_that_stack(name: str) -> None:
    facts = VARIANTS[name]
    read = {key(part.metric, alarm.subject) for alarm in alarm_set(facts).alarms for part in alarm.parts}
    shown = {
        key(line.metric, subject)
        for section in dashboard.sections(facts)
        for chart in section.charts
        for line in chart.lines
        for subject in dashboard.subjects_of(line.metric, facts)
    }
    assert set(told(facts)) <= read | shown


@pytest.mark.parametrize("name", VARIANTS)
def test_an_alarm_on_a_box_stands_only_where_its_metric_is_published(name: str) -> None:
    facts = VARIANTS[name]
    boxes = {box.name for box in facts.shape.boxes}
    for alarm in alarm_set(facts).alarms:
        if alarm.subject in boxes:
            assert publishes(alarm.subject, alarm.parts[0].metric), alarm.name


@pytest.mark.parametrize("name", ["plain", "budget", "chat"])
def test_the_set_of_the_smallest_stage_costs_at_most_five_dollars(name: str) -> None:
    assert round(watching_monthly(resources(VARIANTS[name]), load()), 2) <= 5


@pytest.mark.parametrize(
    ("name", "usd"),
    [("plain", "4.90"), ("budget", "4.90"), ("chat", "5.00"), ("gpu", "10.41"), ("gpu-and-budget", "10.81")],
)
def test_what_the_set_of_the_smallest_stage_costs_is_what_the_page_says(name: str, usd: str) -> None:
    assert f"{watching_monthly(resources(VARIANTS[name]), load()):.2f}" == usd
    page = Path(__file__).parents[2] / "docs/alarms.md"
    assert usd in page.read_text(encoding="utf-8").partition("## Money")[2].partition("\n## ")[0]


def test_the_whole_set_of_burn_rates_for_latency_would_cost_what_is_said_and_more_than_five_dollars(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = watching_monthly(resources(SMALLEST), load())
    listed = slo._raw()
    (whole,) = [each["alertPolicies"] for each in listed if each["name"] == "availability"]
    (said,) = [each["fewer"] for each in listed if each["name"] == "latency"]
    asked = [{**each, "alertPolicies": whole} if each["name"] == "latency" else each for each in listed]
    monkeypatch.setattr(slo, "_raw", lambda: asked)
    then = watching_monthly(resources(SMALLEST), load())
    assert then > 5
    assert f"{then - now:.2f} USD a month more" in said


def test_a_price_counts_every_metric_of_an_expression_and_the_hours_of_a_custom_metric() -> None:
    made = alarm_set(SMALLEST)
    math = [alarm for alarm in made.alarms if len(alarm.parts) == 2]
    hours = {each.name: each.billed_hours for each in (*metrics.BOX_METRICS, *metrics.BUDGET_LEFT.values())}
    custom = sum(Decimal(hours[name]) / 24 for name, *_ in told(SMALLEST)) + len(made.filters)
    expected = (
        (len(made.alarms) + len(math) - 10) * Decimal("0.10")
        + len(made.composites) * Decimal("0.50")
        + (custom - 10) * Decimal("0.30")
    )
    assert watching_monthly(resources(SMALLEST), load()) == pytest.approx(expected)
