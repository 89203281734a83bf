"""The table of kinds holds together: with pulumi_aws's annotations, with botocore's models, with what replaces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.provider.api import Api
from embedded.provider.kinds import Manager, replacements
from embedded.provider.schema import Schema, load
from embedded.provider.table import Call, Kind, Read
from embedded.provider.tables import FUNCTIONS, KINDS

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace" / "schema"
BY_TOKEN = {kind.token: kind for kind in KINDS}
INSTANCE = "aws:ec2/instance:Instance"


@pytest.fixture(scope="session")
def schema() -> Schema:
    """pulumi_aws's own annotations of the kinds in the table."""
    return load([kind.token for kind in KINDS], CACHE)


@pytest.fixture(scope="session")
def api() -> Api:
    """Models only; nothing listens there."""
    return Api("http://127.0.0.1:1", region="ap-northeast-2", account="123456789012")


@pytest.fixture
def manager(schema: Schema, api: Api) -> Any:
    """The manager of a token."""
    table = replacements()
    return lambda token: Manager(BY_TOKEN[token], schema.resources[token], table[token], api)


def calls(kind: Kind) -> Iterator[Call | Read]:
    yield kind.create
    yield from kind.read
    for step in (*kind.then, *kind.delete, *(each for update in kind.updates for each in update.steps)):
        if isinstance(step, Call):
            yield step


def test_a_token_stands_once() -> None:
    assert len(BY_TOKEN) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_a_kind_speaks_only_of_calls_and_parameters_that_the_api_has(kind: Kind, api: Api) -> None:
    for call in calls(kind):
        shape = api.operation(call.action).input_shape
        members = set(shape.members) if shape is not None else set()
        assert set(call.params) <= members, f"{call.action}: {set(call.params) - members}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_a_kind_speaks_only_of_inputs_and_outputs_that_pulumi_aws_has(kind: Kind, schema: Schema) -> None:
    known = schema.resources[kind.token]
    assert set(kind.outputs) <= set(known.outputs)
    assert set(kind.not_carried) <= set(known.inputs)
    assert set(kind.write_only) <= set(known.inputs)
    for update in kind.updates:
        assert set(update.on) <= set(known.inputs), update.on


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_every_carried_input_that_changes_in_place_has_a_call_for_the_change(
    kind: Kind, manager: Any
) -> None:
    managed = manager(kind.token)
    if kind.upsert:
        return
    changeable = {name for name in managed.carried if not managed.replacement.of(name)}
    changed = {name for update in kind.updates for name in update.on} | set(kind.not_carried) | {"region"}
    assert changeable & set(managed.schema.inputs) <= changed


def test_every_kind_has_its_row_of_what_replaces_with_a_source(schema: Schema) -> None:
    table = replacements()
    assert set(BY_TOKEN) <= set(table)
    for token, row in table.items():
        assert row.source, token
        assert not row.replaces & row.in_place, token


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_every_input_of_a_kind_is_in_exactly_one_list_of_what_replaces(kind: Kind, schema: Schema) -> None:
    row = replacements()[kind.token]
    listed = {path.split(".")[0] for path in row.replaces | row.in_place}
    assert listed == set(schema.resources[kind.token].inputs)


@pytest.mark.parametrize(
    ("path", "replaces"),
    [
        ("ami", True),
        ("subnetId", True),
        ("instanceType", False),
        ("userData", False),
        ("rootBlockDevice.volumeSize", False),
        ("rootBlockDevice.encrypted", True),
        ("rootBlockDevice.kmsKeyId", True),
        ("metadataOptions.httpTokens", False),
        ("somethingThatNobodyListed", True),
    ],
)
def test_what_replaces_an_instance_is_what_the_facts_say(path: str, replaces: bool) -> None:
    assert replacements()[INSTANCE].of(path) is replaces


def failures(managed: Manager, **inputs: Any) -> dict[str, str]:
    return {failure.path: failure.reason for failure in managed.failures(inputs)}


def test_an_unknown_input_is_refused_with_its_path_and_the_nearest_name(manager: Any) -> None:
    found = failures(manager(INSTANCE), instanceTyp="t4g.large", rootBlockDevice={"volumeSiz": 20})
    assert found == {
        "instanceTyp": "is no input of this resource (did you mean instanceType?)",
        "rootBlockDevice.volumeSiz": "is no input of this resource (did you mean volumeSize?)",
    }


def test_a_mistyped_input_is_refused_at_any_depth(manager: Any) -> None:
    found = failures(
        manager(INSTANCE),
        instanceType=7,
        ebsOptimized="yes",
        rootBlockDevice={"volumeSize": "twenty"},
        vpcSecurityGroupIds=["sg-1", 2],
        tags={"Name": 1},
        metadataOptions=[],
    )
    assert set(found) == {
        "instanceType", "ebsOptimized", "rootBlockDevice.volumeSize", "vpcSecurityGroupIds[1]", "tags.Name",
        "metadataOptions",
    }  # fmt: skip
    assert found["rootBlockDevice.volumeSize"] == "should be a integer, is str 'twenty'"


def test_a_missing_required_input_is_refused(manager: Any) -> None:
    found = failures(manager("aws:ec2/volumeAttachment:VolumeAttachment"), volumeId="vol-1")
    assert found == {
        "deviceName": "is required and missing",
        "instanceId": "is required and missing",
    }


def test_an_input_that_the_table_does_not_carry_is_refused_and_not_dropped(manager: Any) -> None:
    found = failures(manager(INSTANCE), hibernation=True)
    assert "does not carry" in found["hibernation"]
    assert "docs/adding-a-resource.md" in found["hibernation"]


def test_what_is_not_known_yet_is_no_fault(manager: Any) -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert failures(manager(INSTANCE), instanceType=unknown, rootBlockDevice={"volumeSize": unknown}) == {}


def test_a_change_shows_its_path_and_whether_it_replaces(manager: Any) -> None:
    managed = manager(INSTANCE)
    old = {"ami": "ami-1", "rootBlockDevice": {"volumeSize": 20, "encrypted": True}, "tags": {"A": "1"}}
    new = {
        "ami": "ami-1",
        "rootBlockDevice": {"volumeSize": 30, "encrypted": False},
        "tags": {"A": "1", "B": "2"},
    }
    assert {(change.path, change.kind, change.replaces) for change in managed.changes(old, new)} == {
        ("rootBlockDevice.volumeSize", "update", False),
        ("rootBlockDevice.encrypted", "update", True),
        ("tags.B", "add", False),
    }


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.token)
def test_a_function_speaks_only_of_calls_that_the_api_has(function: Any, api: Api) -> None:
    shape = api.operation(function.read.action).input_shape
    assert set(function.read.params) <= set(shape.members if shape else ())


def test_a_kind_that_nobody_has_carried_is_known_by_its_nearest_name(schema: Schema) -> None:
    assert schema.nearest("aws:ec2/instanse:Instance") == " (did you mean aws:ec2/instance:Instance?)"
