"""Runs the program against recorded resources, with the URNs that the real engine would give."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime.settings import SETTINGS, get_project, get_stack
from pulumi.runtime.stack import run_pulumi_func

from infra.core.naming import FAKE_AMI, Naming
from infra.options.layout import build
from infra.settings import parse

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Recorded:
    """One resource as the program registered it."""

    urn: str
    token: str
    name: str
    inputs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


class Recorder(pulumi_mocks.Mocks):
    """Answers like a cloud that always succeeds, and writes everything down."""

    def __init__(self) -> None:
        self.resources: list[Recorded] = []

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """An id by name, and the outputs that the program goes on with."""
        token = args.typ.rpartition(":")[2]
        known = {
            "arn": f"arn:aws:mock:::{token}/{args.name}",
            "keyId": f"key-{args.name}",
            "publicIp": "203.0.113.9",
            "allocationId": f"eipalloc-{args.name}",
            "endpoint": f"{args.name}.mock:5432",
            "dnsName": f"{args.name}.elb.mock",
            "zoneId": "ZMOCKBALANCER",
            "domainValidationOptions": [
                {
                    "domainName": "mock",
                    "resourceRecordName": "_proof.mock",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": "proof.mock",
                }
            ],
        }
        return f"{token}-{args.name}", {**known, **args.inputs}

    def call(self, args: pulumi_mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """The functions that the program asks."""
        return {"accountId": ACCOUNT}, None


class EngineUrns(pulumi_mocks.MockMonitor):
    """The plain mocks keep only the nearest parent's type; the engine keeps the whole chain."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.recorder = recorder

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The engine's URN: stack, project, types of all parents, name."""
        if parent and (chain := parent.split("::")[2]) != "pulumi:pulumi:Stack":
            type_ = f"{chain}${type_}"
        return "::".join([f"urn:pulumi:{get_stack()}", get_project(), type_, name])

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Lets the mocks answer."""
        answer = super().Invoke(request)
        _close_loop_of_this_thread()
        return answer

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Writes the request down and lets the mocks answer."""
        answer = super().RegisterResource(request)
        _close_loop_of_this_thread()
        inputs = _unwrapped(rpc.deserialize_properties(request.object, True))
        options = {
            "protect": request.protect,
            "retain": request.retainOnDelete,
            "delete_before_replace": request.deleteBeforeReplace,
            "ignore_changes": list(request.ignoreChanges),
            "hooks": [hook for binding in [request.hooks] for hook in binding.before_delete],
            "depends_on": list(request.dependencies),
        }
        if request.type != "pulumi:pulumi:Stack":
            self.recorder.resources.append(Recorded(answer.urn, request.type, request.name, inputs, options))
        return answer


def _unwrapped(value: Any) -> Any:
    """The value without the wrappers that mark secrets."""
    if isinstance(value, dict):
        if rpc.is_rpc_secret(value):
            return _unwrapped(rpc.unwrap_rpc_secret(value))
        return {key: _unwrapped(each) for key, each in value.items()}
    return [_unwrapped(each) for each in value] if isinstance(value, list) else value


def _close_loop_of_this_thread() -> None:
    """The mocks answer in worker threads and leave an event loop open in each."""
    if threading.current_thread() is threading.main_thread():
        return
    with contextlib.suppress(RuntimeError):
        asyncio.get_event_loop().close()
        asyncio.set_event_loop(None)


@dataclass(frozen=True)
class Program:
    """What one run of the program registered and exported."""

    resources: list[Recorded]
    outputs: dict[str, Any]

    def of(self, token: str) -> list[Recorded]:
        """The resources of that token."""
        return [each for each in self.resources if each.token == token]

    def one(self, token: str, name: str = "") -> Recorded:
        """The one resource of that token (and logical name)."""
        (found,) = [each for each in self.of(token) if not name or each.name == name]
        return found


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
    settings = parse({**DEV, **(changes or {})}, where="test")
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi_mocks.set_mocks(
        recorder, project="terrace", stack=stack, preview=False, monitor=EngineUrns(recorder)
    )
    outputs: dict[str, Any] = {}

    async def program() -> None:
        layout = build(settings, Naming("terrace", stack), account_id=ACCOUNT)
        outputs.update(await pulumi.Output.all(**layout.outputs).future() or {})

    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    loop.run_until_complete(run_pulumi_func(program))
    loop.close()
    asyncio.set_event_loop(None)
    return Program(sorted(recorder.resources, key=lambda each: each.urn), outputs)


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
