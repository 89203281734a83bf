"""Previews as engine 3.259 prints them, cut down to what a test is about."""

from __future__ import annotations

import json
from typing import Any

TODAY_OF_THE_BOOK = "2026-11-21"
PREFIX = "urn:pulumi:dev::terrace::terrace:layout:Layout$"
INSTANCE, VOLUME = "aws:ec2/instance:Instance", "aws:ebs/volume:Volume"
ALARM, GUARD = "aws:cloudwatch/metricAlarm:MetricAlarm", "pulumi-python:dynamic/guard:Guard"

CONFIG = {
    "aws:region": "ap-northeast-2",
    "terrace:alarmEmail": "ops@example.com",
    "terrace:ami": "ami-00000000000000000",
    "terrace:environment": "dev",
    "terrace:stage": "single-8g",
    "terrace:tags": '{"costCenter":"RnD","owner":"ops@example.com","team":"engineering"}',
    "terrace:zones": '["ap-northeast-2a","ap-northeast-2c"]',
}

BOX = {
    "instanceType": "t4g.large",
    "ami": "ami-1",
    "rootBlockDevice": {"volumeSize": 20.0, "volumeType": "gp3"},
    "creditSpecification": {"cpuCredits": "unlimited"},
}


def state(token: str, name: str, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A resource's state."""
    return {"urn": f"{PREFIX}{token}::{name}", "type": token, "custom": True, "inputs": inputs or {}, **more}


def step(op: str, before: dict[str, Any] | None, after: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """One step."""
    urn = (after or before or {})["urn"]
    found: dict[str, Any] = {"op": op, "urn": urn, "detailedDiff": None, **more}
    if before is not None:
        found["oldState"] = before
    if after is not None:
        found["newState"] = after
    return found


def update(token: str, name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """An update whose differing inputs the engine names."""
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    details = {key: {"kind": "update", "inputDiff": True} for key in changed}
    return step(
        "update", state(token, name, old), state(token, name, new), diffReasons=changed, detailedDiff=details
    )


def same(token: str, name: str, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A step of what stays."""
    both = state(token, name, inputs, **more)
    return step("same", both, both)


def replacement(
    token: str, name: str, old: dict[str, Any], new: dict[str, Any], *, by: str, old_first: bool = True
) -> list[dict[str, Any]]:
    """A replacement in its three steps, as `--show-replacement-steps` gives them."""
    before, after = state(token, name, old), state(token, name, new)
    why: dict[str, Any] = {"replaceReasons": [by], "diffReasons": [by]}
    why["detailedDiff"] = {by: {"kind": "update-replace", "inputDiff": True}}
    gone = step("delete-replaced", before, None)
    came = step("create-replacement", before, after, **why)
    judged = step("replace", before, after, **why)
    return [gone, judged, came] if old_first else [came, judged, gone]


def preview(*steps: dict[str, Any], config: dict[str, Any] | None = None, **more: Any) -> str:
    """A whole preview with the summary that the engine would count."""
    summary: dict[str, int] = {}
    for urn in dict.fromkeys(each["urn"] for each in steps):
        ops = [each["op"] for each in steps if each["urn"] == urn]
        word = "replace" if "replace" in ops else ops[0]
        summary[word] = summary.get(word, 0) + 1
    raw = {
        "config": {**CONFIG, **(config or {})},
        "steps": list(steps),
        "duration": 1,
        "changeSummary": summary,
    }
    return json.dumps({**raw, **more})
