"""Price books, and what the stages of the ladder cost by them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.core.cost import Scope, rounded, stage_cost
from infra.core.errors import TerraceError
from infra.core.prices import HOURS_PER_MONTH, Price, Unit, book_names, load, read
from infra.core.stages import LADDER, Option

PRICED = [stage for stage in LADDER if stage.option is not Option.ELASTIC]


def book(**price: Any) -> dict[str, Any]:
    entry = {"price": "0.0832", "unit": "hour", "source": "list", **price}
    return {
        "name": "test",
        "region": "ap-northeast-2",
        "as_of": date(2026, 10, 1),
        "sources": {"list": "a list"},
        "prices": {"ec2.t4g.large": {key: value for key, value in entry.items() if value is not None}},
    }


@pytest.mark.parametrize(
    ("stage", "document", "us_east_1", "seoul"),
    [
        # Written out by hand from the books, not taken from the program:
        # 49 + 11.40 + 1;   49.056 + 8 + 3.65;    60.736 + 9.12 + 3.65
        ("single-8g", "61.40", "60.71", "73.51"),
        # 70 + 11.40 + 1;   56.21 + 8 + 3.65;     68.62 + 9.12 + 3.65
        ("single-8g-fixed", "82.40", "67.86", "81.39"),
        # 98 + 11.40 + 1;   98.112 + 8 + 3.65;    121.472 + 9.12 + 3.65
        ("single-16g", "110.40", "109.76", "134.24"),
        # stated as ~140;   112.42 + 8 + 3.65;    137.24 + 9.12 + 3.65
        ("single-16g-fixed", "140.00", "124.07", "150.01"),
        # 2 x 12 + 15 + 40 x 0.114 + 3; 24.528 + 3.2 + 11.68 + 2.3 + 7.3; 30.368 + 3.648 + 18.25 + 2.62 + 7.3
        ("split", "46.56", "49.01", "62.19"),
        # and 18 + 35 and 5 for traffic; 24.528 + 3.2 + 11.68 + 2.3 + 16.425 + 32.85 + 10.95; ...
        ("private", "101.56", "101.93", "125.33"),
    ],
)
def test_a_stage_costs_what_its_lines_add_up_to(
    stage: str, document: str, us_east_1: str, seoul: str
) -> None:
    row = next(each for each in LADDER if each.name == stage)
    costs = {name: str(stage_cost(row, load(name)).compared) for name in book_names()}
    assert costs == {"document": document, "us-east-1": us_east_1, "seoul-2026-10": seoul}


@pytest.mark.parametrize("stage", PRICED, ids=lambda stage: stage.name)
def test_the_document_book_reproduces_the_documents_own_rounded_totals(stage: Any) -> None:
    said = {"single-8g": 61, "single-16g": 110, "single-16g-fixed": 140, "split": 47, "private": 102}
    if stage.name in said:
        assert round(stage_cost(stage, load("document")).compared) == said[stage.name]


@pytest.mark.parametrize("name", book_names())
def test_a_sum_is_the_sum_of_its_lines_and_every_line_has_a_price_or_a_reason(name: str) -> None:
    for stage in PRICED:
        cost = stage_cost(stage, load(name))
        for line in cost.lines:
            assert line.price is not None or line.note, line
            assert line.price is None or (line.price.source and line.price.as_of)
        assert cost.fixed == rounded(
            sum((line.monthly_usd for line in cost.lines if line.scope is not Scope.USAGE), Decimal(0))
        )


def test_what_stands_beside_the_compared_lines_is_the_root_disk_the_key_and_what_is_watched() -> None:
    cost = stage_cost(LADDER[0], load("seoul-2026-10"))
    beside = {line.name: str(rounded(line.monthly_usd)) for line in cost.lines if line.scope is Scope.BESIDE}
    assert beside == {
        "root volumes gp3": "1.82",  # 20 x 0.0912
        "encryption key": "1.00",
        "alarms, by metrics that they read": "3.70",  # (47 - 10) x 0.10
        "composite alarms": "1.00",  # 2 x 0.50
        "custom metrics": "0.20",  # (5 all day + 5 filters + 16 of 24 hours - 10) x 0.30
        "dashboards": "0.00",
    }


def test_a_larger_data_volume_costs_its_gibibytes() -> None:
    seoul = load("seoul-2026-10")
    more = stage_cost(LADDER[0], seoul, data_volume_gib=200).compared - stage_cost(LADDER[0], seoul).compared
    assert more == Decimal("9.12")


def test_a_price_that_is_missing_is_an_error_and_never_nothing() -> None:
    with pytest.raises(TerraceError, match=r"no price for 'ec2.t4g.lage'.*did you mean 'ec2.t4g.large'"):
        load("seoul-2026-10")["ec2.t4g.lage"]


def test_an_unknown_book_is_refused_with_the_books_there_are() -> None:
    with pytest.raises(TerraceError, match=r"document, seoul-2026-10, us-east-1"):
        load("seoul")


@pytest.mark.parametrize(
    ("price", "complaint"),
    [
        ({"source": None}, "source None is none of the book's"),
        ({"source": "hearsay"}, "source 'hearsay' is none of the book's"),
        ({"unit": None}, "unit None is unknown"),
        ({"unit": "fortnight"}, "unit 'fortnight' is unknown"),
        ({"price": 0.0832}, "0.0832 is no price"),
        ({"price": "-1"}, "'-1' is no price"),
        ({"price": "NaN"}, "'NaN' is no price"),
        ({"price": None}, "None is no price"),
        ({"free": 100}, "100 is no price"),
    ],
)
def test_a_price_without_unit_or_source_or_that_is_no_decimal_text_is_refused(
    price: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TerraceError) as refused:
        read(book(**price), where="test.yaml")
    assert complaint in str(refused.value)
    assert "prices.ec2.t4g.large" in str(refused.value)


@pytest.mark.parametrize("key", ["name", "region", "as_of", "sources"])
def test_a_book_without_name_region_date_or_sources_is_refused(key: str) -> None:
    raw = book()
    del raw[key]
    with pytest.raises(TerraceError, match=f"{key!r} is missing"):
        read(raw, where="test.yaml")


def test_an_hourly_price_is_of_730_hours() -> None:
    assert HOURS_PER_MONTH == 730
    price = Price("x", Decimal("0.1"), Unit.HOUR, "s", date(2026, 1, 1))
    assert price.monthly(Decimal(1)) == Decimal("73.0")


@given(st.decimals(0, 10_000, places=2), st.decimals(0, 200, places=2))
def test_what_is_free_costs_nothing_and_more_never_costs_less(quantity: Decimal, free: Decimal) -> None:
    price = Price("x", Decimal("0.126"), Unit.GIB, "s", date(2026, 1, 1), free=free)
    assert (price.monthly(quantity) == 0) == (quantity <= free)
    assert price.monthly(quantity + 1) >= price.monthly(quantity) >= 0
