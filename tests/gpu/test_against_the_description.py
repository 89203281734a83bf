"""What the client sends and the double answers in an endpoint's life, against RunPod's own description.

The description is not part of the project: it is reference data, in a file that TERRACE_RUNPOD_OPENAPI names. Without
it the life is lived all the same, and every call of it must be one that the double knows and answers; no schema is
compared then. It is never skipped.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from infra.clients.transport import Reply, Request
from infra.core.gpu.modes import Wanted

from .support import URL, bench

VARIABLE = "TERRACE_RUNPOD_OPENAPI"
FILE = os.environ.get(VARIABLE, "")
"""Read at import: tests clear the environment before they run."""

SUCCESS = {"POST": ("201", "200"), "GET": ("200",), "PATCH": ("200",), "DELETE": ("204",)}


@pytest.fixture(scope="module")
def description() -> dict[str, Any] | None:
    """RunPod's description; None where no file is named. A name of no file is an error."""
    if not FILE:
        return None
    found: dict[str, Any] = json.loads(Path(FILE).read_text(encoding="utf-8"))
    return found


def operation(description: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    for template, verbs in description["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path) and method.lower() in verbs:
            found: dict[str, Any] = verbs[method.lower()]
            return found
    return None


def faults(description: dict[str, Any], content: dict[str, Any], value: Any) -> list[str]:
    schema = {**next(iter(content.values()))["schema"], "components": description["components"]}
    return [
        f"{each.json_path}: {each.message[:200]}"
        for each in jsonschema.Draft202012Validator(schema).iter_errors(value)
    ]


def test_every_body_and_answer_of_a_life_is_what_the_description_says(
    description: dict[str, Any] | None,
) -> None:
    made, wrong, seen = bench(), [], set()

    def look(request: Request, reply: Reply) -> None:
        path = request.url.removeprefix(URL).split("?")[0]
        if reply.status >= 300:
            wrong.append(f"{request.method} {path} answers {reply.status}")
        if description is None:
            seen.add((request.method, path))
            return
        found = operation(description, request.method, path)
        if found is None:
            return
        seen.add(found.get("operationId") or (request.method, path))
        if request.body is not None:
            content = found["requestBody"]["content"]
            wrong.extend(
                f"{request.method} {path} sent {each}" for each in faults(description, content, request.body)
            )
        if reply.status < 300 and reply.content:
            code = next(each for each in SUCCESS[request.method] if each in found["responses"])
            content = found["responses"][code]["content"]
            wrong.extend(
                f"{request.method} {path} answers {each}"
                for each in faults(description, content, reply.json())
            )

    made.transport.watch.append(look)
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.pass_time(200)
    made.api.endpoints()
    made.api.endpoint(endpoint)
    made.api.patch(endpoint, {"workers": {"min": 0, "max": 2, "idleTimeout": 60}, "image": "a:b"})
    made.api.workers(endpoint)
    made.api.rollout(endpoint)
    made.api.gpu_types()
    registry = made.api.create_registry("ours", "robot", "word")
    made.api.registries()
    made.api.delete_registry(registry.id)
    from datetime import UTC, datetime, timedelta

    now = datetime.fromtimestamp(made.double.world.now, UTC)
    made.api.billing(start=now - timedelta(days=1), end=now)
    made.api.delete(endpoint)
    assert wrong == []
    assert len(seen) >= 10
