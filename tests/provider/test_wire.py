"""Values on the wire: there and back, and what counts as the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.provider.wire import SECRET, SIGNATURE, UNKNOWN, has_unknown, plain, same, seen_in, struct

SCALARS = st.one_of(
    st.text(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_value_comes_back_as_it_went(values: dict[str, Any]) -> None:
    assert plain(struct(values)) == values


def test_whole_numbers_come_back_as_such() -> None:
    assert json.dumps(plain(struct({"a": 20, "b": 0.5}))) == '{"a": 20, "b": 0.5}'


def test_a_secret_is_what_it_holds() -> None:
    assert plain(struct({"a": {SIGNATURE: SECRET, "value": {"b": 1}}})) == {"a": {"b": 1}}


@given(VALUES)
def test_a_value_is_the_same_as_itself_and_seen_as_it_was(value: Any) -> None:
    assert same(value, value)
    assert seen_in(value, value, {"type": "any"}) == value


@given(VALUES, VALUES)
def test_sameness_is_mutual(one: Any, other: Any) -> None:
    assert same(one, other) == same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, []),
        (False, None),
        ("", {}),
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'),
        ({"a": 1, "b": None}, {"a": 1}),
    ],
)
def test_what_means_the_same_to_aws_is_the_same(one: Any, other: Any) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(0, None), ("a", "b"), ('{"a": 1}', '{"a": 2}'), ([1], [1, 2]), (True, False), ({"a": 1}, {"a": 2})],
)
def test_what_differs_differs(one: Any, other: Any) -> None:
    assert not same(one, other)


OBJECT = {"type": "object", "inputs": {"a": {"type": "string"}, "b": {"type": "string"}}}
MAP = {"type": "map", "items": {"type": "string"}}
LIST = {"type": "array", "items": {"type": "string"}}


def test_a_default_that_aws_adds_to_an_object_is_no_drift() -> None:
    assert seen_in({"a": "1"}, {"a": "1", "b": "default"}, OBJECT) == {"a": "1"}


def test_a_key_that_somebody_adds_to_a_map_is_drift() -> None:
    assert seen_in({"a": "1"}, {"a": "1", "b": "2"}, MAP) == {"a": "1", "b": "2"}


def test_a_list_in_another_order_is_no_drift_and_a_shorter_one_is() -> None:
    assert seen_in(["x", "y"], ["y", "x"], LIST) == ["x", "y"]
    assert seen_in(["x", "y"], ["y"], LIST) == ["y"]


def test_what_went_away_is_drift() -> None:
    assert seen_in("x", None, {"type": "string"}) is None


def test_an_unknown_is_found_at_any_depth() -> None:
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": "known"}]})
