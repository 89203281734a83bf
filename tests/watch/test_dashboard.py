"""The dashboard's body: CloudWatch's format, every series as it is published, thresholds as lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.core.alarms import alarm_set
from infra.core.dashboard import WIDTH, body
from infra.core.shape import shape
from infra.core.stages import LADDER, Option, find
from infra.core.thresholds import Facts

from .support import WATCHED

FACTS = [
    Facts(shape(stage), gpu=gpu, budget=gpu)
    for stage in LADDER
    if stage.option is not Option.ELASTIC
    for gpu in (False, True)
]


def made(facts: Facts) -> dict[str, list[dict[str, Any]]]:
    found = body(
        facts, alarm_set(facts), project="terrace", stack="dev", region="ap-northeast-2", known=WATCHED,
        alarm_arns=["arn:a"],
    )  # fmt: skip
    loaded: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(found))
    return loaded


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: f"{facts.shape.stage}-{facts.gpu}")
def test_no_two_widgets_overlap_and_none_leaves_the_grid(facts: Facts) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in made(facts)["widgets"]:
        x, y, width, height = (int(str(widget[key])) for key in ("x", "y", "width", "height"))
        assert x + width <= WIDTH
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: f"{facts.shape.stage}-{facts.gpu}")
def test_every_series_names_all_of_its_dimensions(facts: Facts) -> None:
    charts = [each["properties"] for each in made(facts)["widgets"] if each["type"] == "metric"]
    assert len(charts) > 10
    for chart in charts:
        assert isinstance(chart, dict)
        assert chart["metrics"]
        for space, name, *dimensions, options in chart["metrics"]:
            assert space
            assert name
            assert len(dimensions) % 2 == 0
            assert all(dimensions), (chart["title"], dimensions)
            assert options["stat"]


def test_the_ladders_limits_are_lines_on_the_users_chart() -> None:
    charts = {
        str(w["properties"]["title"]): w["properties"]
        for w in made(FACTS[0])["widgets"]
        if w["type"] == "metric"
    }
    lines = charts["Daily active users"]["annotations"]["horizontal"]
    assert [(each["value"], each["label"]) for each in lines] == [(400, "warn"), (500, "review")]


def charts(facts: Facts) -> dict[str, dict[str, Any]]:
    return {
        str(each["properties"]["title"]): each["properties"]
        for each in made(facts)["widgets"]
        if each["type"] == "metric"
    }


def lines(chart: dict[str, Any]) -> list[tuple[float, str]]:
    return [(each["value"], each["label"]) for each in chart["annotations"]["horizontal"]]


def test_the_databases_connections_have_their_thresholds_as_lines() -> None:
    assert lines(charts(Facts(shape(find("split"))))["Connections"]) == [(56, "warn"), (64, "review")]


def test_a_gpus_spend_is_shown_without_a_budget_too_and_the_whole_only_with_one() -> None:
    shown = charts(Facts(shape(find("single-8g")), gpu=True))
    assert lines(shown["GPU's share, used"]) == [(75, "warn"), (100, "page"), (90, "warn")]
    assert "Whole budget, used" not in shown
    assert "Whole budget, used" in charts(Facts(shape(find("single-8g")), gpu=True, budget=True))


def test_a_line_is_drawn_only_where_its_alarm_stands() -> None:
    assert lines(charts(Facts(shape(find("single-8g")), "standard"))["CPU"]) == []
    assert lines(charts(Facts(shape(find("single-8g-fixed"))))["CPU credits"]) == []
    assert lines(charts(Facts(shape(find("private"))))["Users at once"]) == []
    assert lines(charts(Facts(shape(find("split"))))["Users at once"]) == [(400, "review")]


def test_a_dashboard_holds_at_most_fifty_metrics_of_one_box_so_that_it_stays_free() -> None:
    charts = [w["properties"] for w in made(FACTS[0])["widgets"] if w["type"] == "metric"]
    assert sum(len(chart["metrics"]) for chart in charts if isinstance(chart, dict)) <= 50
