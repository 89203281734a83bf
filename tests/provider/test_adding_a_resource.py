"""docs/adding-a-resource.md: the example on that page, as it is printed there, makes, changes and removes a queue."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded.aws.server import ApiServer
from embedded.provider import table
from embedded.provider.api import Api
from embedded.provider.kinds import Manager, Replacement
from embedded.provider.schema import load

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-resource.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace" / "schema"


def block(language: str) -> str:
    found = re.search(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


@pytest.fixture
def queue() -> Iterator[Manager]:
    """The manager that the page's example makes."""
    names: dict[str, Any] = dict(vars(table))
    exec(block("python"), names)  # noqa: S102 our own page
    kind = names["KIND"]
    ((token, row),) = yaml.safe_load(block("yaml")).items()
    assert token == kind.token
    replacement = Replacement(row["source"], frozenset(row["replaces"]), frozenset(row["in_place"]))
    with ApiServer() as server:
        api = Api(server.url, region="ap-northeast-2", account="123456789012")
        yield Manager(kind, load([token], CACHE).resources[token], replacement, api)


def test_the_pages_example_makes_changes_and_removes_a_queue(queue: Manager) -> None:
    inputs = {"name": "receipts", "visibilityTimeoutSeconds": 30, "tags": {"Team": "engineering"}}
    assert list(queue.failures(inputs)) == []
    id_, outputs, fault = queue.create(inputs)
    assert fault == ""
    assert outputs["arn"] == "arn:aws:sqs:ap-northeast-2:123456789012:receipts"
    assert outputs["url"] == id_
    changed = queue.update(id_, inputs, {**inputs, "visibilityTimeoutSeconds": 45}, outputs)
    assert changed["visibilityTimeoutSeconds"] == 45
    assert queue.read(id_, inputs, outputs) is not None
    queue.delete(id_, inputs, outputs)
    assert queue.read(id_, inputs, outputs) is None


def test_the_pages_row_names_every_input_and_what_replaces(queue: Manager) -> None:
    row = queue.replacement
    assert row.replaces | row.in_place == set(queue.schema.inputs)
    assert [change.replaces for change in queue.changes({"name": "a"}, {"name": "b"})] == [True]
