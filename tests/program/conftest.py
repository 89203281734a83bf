"""Runs the program against recorded resources, with the URNs that the real engine would give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.core.naming import FAKE_AMI
from infra.settings import parse
from ops.adapters.recording import Program, record

DEV: dict[str, Any] = {
    "aws:region": "ap-northeast-2",
    "terrace:stage": "single-8g",
    "terrace:environment": "dev",
    "terrace:zones": ["ap-northeast-2a", "ap-northeast-2c"],
    "terrace:ami": FAKE_AMI,
    "terrace:alarmEmail": "ops@example.com",
    "terrace:tags": {"team": "engineering", "costCenter": "RnD", "owner": "ops@example.com"},
    "terrace:app": {"settings": {"LOG_LEVEL": "info"}, "secrets": ["JWT_SECRET"]},
}


def run_program(changes: dict[str, Any] | None = None, *, stack: str = "dev") -> Program:
    """Runs the whole program with those settings and waits until everything is registered."""
    return record(parse({**DEV, **(changes or {})}, where="test"), stack=stack)


@pytest.fixture(scope="session")
def program() -> Callable[..., Program]:
    """The runner, remembering runs of the same settings."""
    known: dict[str, Program] = {}

    def run(changes: dict[str, Any] | None = None, *, stack: str = "dev") -> Program:
        key = json.dumps([changes, stack], sort_keys=True)
        if key not in known:
            known[key] = run_program(changes, stack=stack)
        return known[key]

    return run
