"""The only place that runs the program without engine and cloud: what it registers is written down.

The mocks answer like a cloud that always succeeds, and give every resource the URN that the real engine would.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime.settings import SETTINGS, get_project, get_stack
from pulumi.runtime.stack import run_pulumi_func

from infra.core.cost.resource import Resource
from infra.core.naming import Naming
from infra.options.layout import build
from infra.settings import Settings

ACCOUNT = "123456789012"
"""No account: the one that AWS's own documentation uses."""


@dataclass(frozen=True)
class Recorded:
    """One resource as the program registered it."""

    urn: str
    token: str
    name: str
    inputs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    custom: bool = True


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

    def call(
        self,
        args: pulumi_mocks.MockCallArgs,  # noqa: ARG002
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
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
        answer = super().Invoke(request)  # type: ignore[no-untyped-call]
        _close_loop_of_this_thread()
        return answer

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Writes the request down and lets the mocks answer."""
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        _close_loop_of_this_thread()
        inputs = _unwrapped(rpc.deserialize_properties(request.object, keep_unknowns=True))
        options = {
            "protect": request.protect,
            "retain": request.retainOnDelete,
            "delete_before_replace": request.deleteBeforeReplace,
            "ignore_changes": list(request.ignoreChanges),
            "hooks": [hook for binding in [request.hooks] for hook in binding.before_delete],
            "depends_on": list(request.dependencies),
        }
        if request.type != "pulumi:pulumi:Stack":
            self.recorder.resources.append(
                Recorded(answer.urn, request.type, request.name, inputs, options, request.custom)
            )
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

    def judged(self) -> list[Resource]:
        """The resources as costs and rules see them."""
        return [
            Resource(
                each.urn,
                each.token,
                each.inputs,
                custom=each.custom,
                protect=bool(each.options["protect"]),
                retain=bool(each.options["retain"]),
            )
            for each in self.resources
        ]

    def of(self, token: str) -> list[Recorded]:
        """The resources of that token."""
        return [each for each in self.resources if each.token == token]

    def one(self, token: str, name: str = "") -> Recorded:
        """The one resource of that token (and logical name)."""
        (found,) = [each for each in self.of(token) if not name or each.name == name]
        return found


def record(settings: Settings, *, project: str = "terrace", stack: str = "dev") -> Program:
    """Runs the whole program with those settings and waits until everything is registered."""
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi_mocks.set_mocks(
        recorder, project=project, stack=stack, preview=False, monitor=EngineUrns(recorder)
    )
    outputs: dict[str, Any] = {}

    async def program() -> None:
        layout = build(settings, Naming(project, stack), account_id=ACCOUNT)
        outputs.update(await pulumi.Output.all(**layout.outputs).future() or {})

    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    loop.run_until_complete(run_pulumi_func(program))
    loop.close()
    asyncio.set_event_loop(None)
    return Program(sorted(recorder.resources, key=lambda each: each.urn), outputs)
