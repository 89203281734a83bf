"""The tables of the CloudWatch User Guide, row by row, before anything else."""

from __future__ import annotations

import pytest

from embedded.alarms.rules import Missing, State, decide, samples_needed
from embedded.alarms.series import Series

OK, ALARM, NONE, KEEP = State.OK, State.ALARM, State.INSUFFICIENT_DATA, None
TREATMENTS = (Missing.MISSING, Missing.IGNORE, Missing.BREACHING, Missing.NOT_BREACHING)

# "How alarm state is evaluated when data is missing": 3 of 3, range of 5, newest on the right.
THREE_OF_THREE = [
    ("0 - X - X", (OK, OK, OK, OK)),
    ("0 - - - -", (OK, OK, OK, OK)),
    ("- - - - -", (NONE, KEEP, ALARM, OK)),
    ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("- - X - -", (ALARM, KEEP, ALARM, OK)),
    # Rows of earlier editions of the same table (awsdocs/amazon-cloudwatch-user-guide @ 05fd32f6).
    ("- - - - X", (NONE, KEEP, ALARM, OK)),
    ("X - - - -", (ALARM, KEEP, ALARM, OK)),
]
# The same section: 2 of 3.
TWO_OF_THREE = [
    ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 - X - -", (OK, OK, ALARM, OK)),
    ("- - - - 0", (OK, OK, ALARM, OK)),
    ("- - - X -", (ALARM, KEEP, ALARM, OK)),
    ("- - - - X", (NONE, KEEP, ALARM, OK)),
]
POINTS = {"0": False, "X": True, "-": None}


def points(row: str) -> list[bool | None]:
    return [POINTS[each] for each in reversed(row.split())]


@pytest.mark.parametrize("treatment", range(4), ids=[each.value for each in TREATMENTS])
@pytest.mark.parametrize(("row", "expected"), THREE_OF_THREE)
def test_three_of_three_is_decided_as_the_guide_says(
    row: str, expected: tuple[State | None, ...], treatment: int
) -> None:
    found = decide(points(row), evaluated=3, to_alarm=3, missing=TREATMENTS[treatment])
    assert found is expected[treatment]


@pytest.mark.parametrize("treatment", range(4), ids=[each.value for each in TREATMENTS])
@pytest.mark.parametrize(("row", "expected"), TWO_OF_THREE)
def test_two_of_three_is_decided_as_the_guide_says(
    row: str, expected: tuple[State | None, ...], treatment: int
) -> None:
    found = decide(points(row), evaluated=3, to_alarm=2, missing=TREATMENTS[treatment])
    assert found is expected[treatment]


@pytest.mark.parametrize("row", ["- - - - X", "- - - X -"])
def test_no_premature_alarm_while_the_next_point_may_still_be_good(row: str) -> None:
    """ "Avoiding premature transitions to alarm state": 3 of 3 does not go into ALARM at once on either."""
    assert decide(points(row), evaluated=3, to_alarm=3, missing=Missing.MISSING) is not ALARM


def test_the_graph_of_the_guide_alarms_in_the_fifth_period_and_clears_in_the_sixth() -> None:
    """ "Evaluating an alarm": threshold 3, 3 of 3; periods three to five breach, six does not, nine alone does."""
    breaching = [False, False, True, True, True, False, False, False, True, False]
    states = [
        decide(
            [*reversed(breaching[: end + 1]), *[None] * 5][:5],
            evaluated=3, to_alarm=3, missing=Missing.NOT_BREACHING,
        )
        for end in range(len(breaching))
    ]  # fmt: skip
    assert [index + 1 for index, state in enumerate(states) if state is ALARM] == [5]


@pytest.mark.parametrize(("percentile", "samples"), [(99, 1000), (95, 200), (90, 100), (50, 20), (10, 100)])
def test_a_percentile_needs_ten_samples_beyond_it(percentile: float, samples: float) -> None:
    assert samples_needed(percentile) == pytest.approx(samples)


@pytest.mark.parametrize(
    ("rank", "percent"),
    [("PR(:300)", 50), ("PR(300:)", 50), ("PR(100:2000)", 75), ("PR(2000:)", 0), ("PR(:99.5)", 0)],
)
def test_a_percentile_rank_is_exclusive_of_its_lower_and_inclusive_of_its_upper_bound(
    rank: str, percent: float
) -> None:
    """ "CloudWatch statistics definitions": PR(:300) is the share of data that are 300 or less."""
    series = Series()
    for minute, value in enumerate((100, 300, 301, 2000)):
        series.add(minute, value)
    assert series.statistic(rank, 4, 4) == percent
