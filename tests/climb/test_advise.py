"""The right rung with its reasons: up by what is short, down after thirty quiet days, and `stay` as clearly."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from infra.core.stages import LADDER, find
from ops.climb.advise import QUIET_DAYS, Advice, advise, capacity, seen, too_small
from ops.watch import Row

from .test_gates import NOW, report, row

CREDITS = row("credits", 60.0, "ALARM", "review", unit="credits")
MEMORY = row("memory", 86.0, "ALARM", "review")


def cpu(value: float) -> Row:
    return row("cpu", value)


def advised(stage: str, *rows: Row, machines: dict[str, str] | None = None) -> Advice:
    return advise(seen(report(*rows, stage=stage), now=NOW, machines=machines))


@pytest.mark.parametrize(
    ("stage", "rows", "to"),
    [
        ("single-8g", (MEMORY, cpu(21)), "single-16g"),
        ("single-8g", (CREDITS, cpu(50)), "single-8g-fixed"),
        ("single-8g", (CREDITS, MEMORY, cpu(50)), "single-16g-fixed"),
        ("single-8g-fixed", (MEMORY, cpu(50)), "single-16g-fixed"),
        ("single-16g", (CREDITS, cpu(50)), "single-16g-fixed"),
        ("single-8g", (CREDITS, cpu(30)), "single-8g"),
        ("single-16g", (MEMORY, cpu(20)), "single-16g"),
        ("single-8g", (row("memory", 74.0, "ALARM", "warn"), cpu(21)), "single-8g"),
    ],
)
def test_what_is_short_decides_the_rung(stage: str, rows: tuple[Row, ...], to: str) -> None:
    found = advised(stage, *rows)
    assert found.to == to
    assert found.stays is (to == stage)
    assert any(character.isdigit() for character in " ".join(found.reasons))


def test_500_daily_users_ask_for_two_boxes_with_their_sizes() -> None:
    users = row("daily-users", 512.0, "ALARM", "review", unit="users")
    found = advised("single-16g-fixed", users, MEMORY, cpu(50))
    if not any(stage.name == "split" and stage.built for stage in LADDER):
        assert found.to == "single-16g-fixed"
        return
    assert found.to == "split"
    assert "backend t4g.small, database db.t4g.micro" in found.reasons[1]


def test_a_single_part_of_two_boxes_gets_another_size_and_the_stage_stays() -> None:
    short = row("memory", 88.0, "ALARM", "review", name="backend-public-memory")
    found = advised("split", short)
    assert (found.to, found.part and (found.part.name, found.part.before, found.part.after)) == (
        "split", ("backend", "t4g.small", "t4g.medium"),
    )  # fmt: skip
    again = advised("split", short, machines={"backend": "t4g.medium"})
    assert again.part is not None
    assert again.part.after == "t4g.large"


QUIET = (row("memory", 35.0), row("credits", 860.0, unit="credits"), cpu(9), row("response", 0.2, unit="s"))


@pytest.mark.parametrize(
    ("stage", "rows", "to"),
    [
        ("single-16g", QUIET, "single-16g"),  # 35 % of 16 GiB is 70 % of 8: too much
        ("single-16g", (row("memory", 25.0), *QUIET[1:]), "single-8g"),
        ("single-16g-fixed", (row("memory", 45.0), cpu(20)), "single-16g"),
        ("single-16g-fixed", (row("memory", 45.0), cpu(50)), "single-16g-fixed"),
        ("single-8g", QUIET, "single-8g"),
    ],
)
def test_after_thirty_quiet_days_the_way_down_is_advised_where_the_lower_rung_would_hold(
    stage: str, rows: tuple[Row, ...], to: str
) -> None:
    assert advised(stage, *rows).to == to


def test_one_day_too_few_and_it_stays() -> None:
    rows = [row("memory", 25.0), *QUIET[1:]]
    rows[0] = replace(rows[0], since=NOW - timedelta(days=QUIET_DAYS) + timedelta(hours=1))
    assert advised("single-16g", *rows).stays


def requests(value: float, **changes: Any) -> Row:
    return row("requests", value, unit="/s", **changes)


def test_never_a_rung_that_carries_less_than_1_5_times_the_measured_peak() -> None:
    found = advised("single-16g", row("memory", 25.0), *QUIET[1:], requests(40.0))
    assert found.stays
    assert found.refused == (
        "single-8g carries 50 requests/s, less than 1.5 × the measured peak of 40.0 (60.0)",
    )
    assert advised("single-16g", row("memory", 25.0), *QUIET[1:], requests(33.0)).to == "single-8g"


def test_the_peak_is_the_highest_of_the_last_two_weeks_not_of_today() -> None:
    busy = requests(1.0, series=((NOW - timedelta(days=9), 40.0), (NOW, 1.0)))
    assert advised("single-16g", row("memory", 25.0), *QUIET[1:], busy).stays


def test_a_fixed_type_carries_what_the_burstable_one_of_its_size_does() -> None:
    assert capacity(find("single-8g-fixed")) == (50, 150)
    assert capacity(find("single-16g-fixed")) == (150, 350)
    assert too_small(find("single-8g-fixed"), 40.0) != ""


def test_forecast_and_what_could_not_be_seen_stand_beside_the_advice() -> None:
    found = advised(
        "single-8g", row("memory", 74.0, crosses_on="2026-12-02"), row("cpu", None, "INSUFFICIENT_DATA")
    )
    assert found.crossings == {"memory": "2026-12-02"}
    assert found.unknown == ("cpu",)
