"""The only place for the protocol between the engine and the rules.

Not on the pulumi-policy library (docs/adr/0033): it hands a pack none of the stack's settings, so the pack could not
know dev from prod; a rule that raises ends the call with a traceback; every policy decodes every resource anew.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.output import Unknown
from pulumi.runtime import rpc
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc, plugin_pb2

from infra.core.cost.resource import UNKNOWN, Resource
from infra.core.errors import TerraceError
from infra.core.naming import Environment
from infra.policy import exceptions
from infra.policy.facts import facts_from
from infra.policy.judging import (
    AnyRule,
    Enforcement,
    Facts,
    Finding,
    Rule,
    Severity,
    StackRule,
    expired,
    judge_resource,
    judge_stack,
)
from infra.policy.table import NAME, RULES

VERSION = "1.0.0"
LARGEST_MESSAGE_BYTES = 400 * 1024 * 1024
"""The engine's own limit (pulumi sdk, rpcutil)."""

_LEVELS = {Enforcement.ADVISORY: proto.ADVISORY, Enforcement.MANDATORY: proto.MANDATORY}
_SEVERITIES = {
    Severity.LOW: proto.POLICY_SEVERITY_LOW,
    Severity.MEDIUM: proto.POLICY_SEVERITY_MEDIUM,
    Severity.HIGH: proto.POLICY_SEVERITY_HIGH,
    Severity.CRITICAL: proto.POLICY_SEVERITY_CRITICAL,
}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """Answers the engine: each resource before it is registered, then the stack as a whole."""

    def __init__(self, rules: Sequence[AnyRule] = RULES) -> None:
        self._rules = rules
        # Until the engine says otherwise it is prod: a pack that knows nothing must not let anything through.
        self._facts = Facts(Environment.PROD, datetime.now(UTC).date())
        self._exemptions: tuple[exceptions.Exemption, ...] = ()
        self._broken: list[Finding] = []

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """The version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """The table of rules, for the engine's own listing."""
        return proto.AnalyzerInfo(
            name=NAME,
            displayName=NAME,
            version=VERSION,
            supportsConfig=False,
            policies=[
                proto.PolicyInfo(
                    name=rule.id,
                    description=rule.says,
                    enforcementLevel=_LEVELS[self._facts.enforcement],
                    severity=_SEVERITIES[rule.severity],
                    remediation_steps=rule.remedy,
                )
                for rule in self._rules
            ],
        )

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Nothing: what may differ stands in exceptions.yaml, where it is reviewed."""
        return empty_pb2.Empty()

    def ConfigureStack(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Learns what stack it is."""
        today = datetime.now(UTC).date()
        config: Mapping[str, str] = dict(request.config)
        named = config.get("terrace:environment", "")
        environment = Environment(named) if named in set(Environment) else Environment.PROD
        self._facts = Facts(environment, today)
        self._broken = []
        try:
            self._facts = facts_from(_typed(config), request.stack, today)
        except TerraceError as error:
            self._broken.append(self._cannot("the stack's settings have faults", error))
        try:
            self._exemptions = exceptions.read()
        except TerraceError as error:
            self._exemptions = ()
            self._broken.append(self._cannot("exceptions.yaml has faults", error))
        return proto.AnalyzerStackConfigureResponse()

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Judges one resource."""
        resource = _resource(request)
        found = [
            finding
            for rule in self._rules
            if isinstance(rule, Rule)
            for finding in judge_resource(rule, resource, self._facts, self._exemptions)
        ]
        return self._answer(found)

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Judges the stack as a whole, and says what is wrong with the pack itself."""
        resources = [_resource(each) for each in request.resources]
        found = [*self._broken, *expired(self._exemptions, self._facts)]
        for rule in self._rules:
            if isinstance(rule, StackRule):
                found += judge_stack(rule, resources, self._facts, self._exemptions)
        return self._answer(found)

    def Remediate(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Nothing: the program is mended, not what it says."""
        return proto.RemediateResponse()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Nothing is under way that would not end by itself."""
        return empty_pb2.Empty()

    def _answer(self, found: Sequence[Finding]) -> Any:
        return proto.AnalyzeResponse(
            diagnostics=[
                proto.AnalyzeDiagnostic(
                    policyName=each.rule,
                    policyPackName=NAME,
                    policyPackVersion=VERSION,
                    description=each.message,
                    message=f"{each.message} [{each.control}]. {each.remedy}",
                    urn=each.urn,
                    enforcementLevel=_LEVELS[each.enforcement],
                    severity=_SEVERITIES[each.severity],
                )
                for each in found
                if not each.excepted
            ]
        )

    def _cannot(self, what: str, error: TerraceError) -> Finding:
        return Finding(
            "pack", "terrace", Severity.CRITICAL, "", f"{what}: {error}",
            "Mend it; until then nothing of this stack counts as judged", self._facts.enforcement,
        )  # fmt: skip


def serve(rules: Sequence[AnyRule] = RULES) -> None:
    """Answers the engine until it goes away; the port is the first line of standard output."""
    limits = [(f"grpc.max_{way}_message_length", LARGEST_MESSAGE_BYTES) for way in ("receive", "send")]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=limits)
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(rules), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop(0)


def _resource(request: Any) -> Resource:
    inputs = _plain(rpc.deserialize_properties(request.properties, keep_unknowns=True))
    return Resource(
        urn=request.urn,
        token=request.type,
        inputs=inputs,
        custom=not request.type.startswith("terrace:"),
        protect=request.options.protect,
    )


def _plain(value: Any) -> Any:
    """The value without the wrappers of secrets, unknowns as the engine writes them."""
    if isinstance(value, Mapping):
        if rpc.is_rpc_secret(value):
            return _plain(rpc.unwrap_rpc_secret(value))
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return UNKNOWN if isinstance(value, Unknown) else value


def _typed(config: Mapping[str, str]) -> dict[str, Any]:
    """The engine hands every value over as text, lists and maps as JSON."""
    return {key: _value(value) for key, value in config.items()}


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text
