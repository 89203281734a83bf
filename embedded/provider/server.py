"""The only place that speaks Pulumi's provider protocol: what the engine asks, answered from the table of kinds.

The engine attaches to it (PULUMI_DEBUG_PROVIDERS=aws:PORT), so one server serves every provider instance of previews
and updates alike; `Cancel` comes at the end of every operation and must not end it.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import code_pb2, status_pb2
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc as pg

from embedded.provider import schema as schemas
from embedded.provider.api import Api, ProviderError
from embedded.provider.kinds import Manager, replacements
from embedded.provider.table import Function, Scope
from embedded.provider.tables import FUNCTIONS, KINDS
from embedded.provider.wire import plain, struct

THREADS = 32
MOST_MESSAGE_BYTES = 400 << 20
"""As the engine's own limit (pulumi/pulumi, sdk/go/common/util/rpcutil)."""

BeforeChange = Callable[[str, str, str], object]
"""Called with operation, URN and engine address before each change of the world: the door for faults."""


class Provider(pg.ResourceProviderServicer):
    """The `aws` provider of the embedded cloud."""

    def __init__(self, api: Api, *, cache: Path, before_change: BeforeChange | None = None) -> None:
        self._api = api
        self._schema = schemas.load([kind.token for kind in KINDS], cache)
        table = replacements()
        self._managers = {
            kind.token: Manager(kind, self._schema.resources[kind.token], table[kind.token], api)
            for kind in KINDS
        }
        self._functions = {function.token: function for function in FUNCTIONS}
        self._before_change = before_change or (lambda *_: None)
        self._engine_address = ""

    # -- the life of the plugin ------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        self._engine_address = request.engine_address
        return pb.ProviderHandshakeResponse(
            accept_secrets=False, accept_resources=False, accept_outputs=False
        )

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        self._engine_address = request.address
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return plugin_pb2.PluginInfo(version=schemas.package_version())

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return pb.ConfigureResponse(acceptSecrets=False, acceptResources=False, supportsPreview=True)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return empty_pb2.Empty()

    # -- resources -------------------------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            token = _token(request.urn)
            if (manager := self._managers.get(token)) is None:
                return pb.CheckResponse(inputs=request.news, failures=[self._unknown_kind(token)])
            inputs = plain(request.news)
            failures = [
                pb.CheckFailure(property=failure.path, reason=failure.reason)
                for failure in manager.failures(inputs)
            ]
            name = manager.kind.autoname
            if name and inputs.get(name) is None:
                old = plain(request.olds).get(name)
                inputs[name] = old or _auto_name(request.urn, request.randomSeed)
            return pb.CheckResponse(inputs=struct(inputs), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            manager = self._manager(request.urn)
            changes = manager.changes(plain(request.old_inputs), plain(request.news))
            detailed = {
                change.path: pb.PropertyDiff(kind=_DIFF_KINDS[change.kind, change.replaces], inputDiff=True)
                for change in changes
            }
            top = [change.path.split(".")[0].split("[")[0] for change in changes]
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if changes else pb.DiffResponse.DIFF_NONE,
                diffs=sorted(set(top)),
                replaces=sorted({name for name, change in zip(top, changes, strict=True) if change.replaces}),
                detailedDiff=detailed,
                hasDetailedDiff=True,
                deleteBeforeReplace=manager.replacement.delete_before_replace,
            )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            manager, inputs = self._manager(request.urn), plain(request.properties)
            if request.preview:
                return pb.CreateResponse(properties=struct(manager.preview(inputs)))
            self._before_change("create", request.urn, self._engine_address)
            id_, outputs, incomplete = manager.create(inputs)
            if incomplete:
                _half_made(context, id_, inputs, outputs, incomplete)
            return pb.CreateResponse(id=id_, properties=struct(outputs))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            manager = self._manager(request.urn)
            inputs, outputs = plain(request.inputs), plain(request.properties)
            seen = manager.read(request.id, inputs, outputs)
            if seen is None:
                return pb.ReadResponse(id="")
            if not inputs:  # an import: everything that is an input and was seen
                inputs = {name: seen[name] for name in manager.schema.inputs if name in seen}
            return pb.ReadResponse(
                id=request.id,
                properties=struct(seen),
                inputs=struct(manager.inputs_as_seen(inputs, seen)),
            )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            manager = self._manager(request.urn)
            old, new, outputs = plain(request.old_inputs), plain(request.news), plain(request.olds)
            if request.preview:
                return pb.UpdateResponse(properties=struct(manager.preview(new, outputs)))
            self._before_change("update", request.urn, self._engine_address)
            return pb.UpdateResponse(properties=struct(manager.update(request.id, old, new, outputs)))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            self._before_change("delete", request.urn, self._engine_address)
            self._manager(request.urn).delete(
                request.id, plain(request.old_inputs), plain(request.properties)
            )
            return empty_pb2.Empty()

    # -- functions -------------------------------------------------------------------------------------------------

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        with _answering(context):
            if (function := self._functions.get(request.tok)) is None:
                raise ProviderError(
                    f"{request.tok} is no function of the embedded cloud: docs/adding-a-resource.md",
                    grpc.StatusCode.UNIMPLEMENTED,
                )
            response = pb.InvokeResponse()
            getattr(response, "return").CopyFrom(struct(self._call(function, plain(request.args))))
            return response

    def _call(self, function: Function, arguments: Mapping[str, Any]) -> dict[str, Any]:
        scope = Scope(arguments, region=self._api.region, account=self._api.account)
        scope.answer = self._api.look((function.read,), scope) or {}
        return {name: expression(scope) for name, expression in function.outputs.items()}

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _manager(self, urn: str) -> Manager:
        token = _token(urn)
        if (manager := self._managers.get(token)) is None:
            raise ProviderError(self._unknown_kind(token).reason)
        return manager

    def _unknown_kind(self, token: str) -> Any:
        if token in self._schema.tokens:
            reason = f"{token} is not in the embedded cloud's table yet: docs/adding-a-resource.md"
        else:
            reason = f"{token} is no resource of pulumi-aws{self._schema.nearest(token)}"
        return pb.CheckFailure(property="", reason=reason)


class ProviderServer:
    """A provider on a loopback port; 0 is any free one. Raises RuntimeError where the port is taken."""

    def __init__(
        self,
        endpoint: str,
        *,
        region: str,
        account: str,
        cache: Path,
        port: int = 0,
        before_change: BeforeChange | None = None,
    ) -> None:
        options = [
            # Else a second server on the same port would take half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MOST_MESSAGE_BYTES),
        ]
        self._server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=options)
        provider = Provider(
            Api(endpoint, region=region, account=account), cache=cache, before_change=before_change
        )
        pg.add_ResourceProviderServicer_to_server(provider, self._server)
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()

    def stop(self) -> None:
        """Ends; what is under way gets two seconds."""
        self._server.stop(2).wait()


_KIND = pb.PropertyDiff.Kind
_DIFF_KINDS = {
    ("add", False): _KIND.ADD,
    ("add", True): _KIND.ADD_REPLACE,
    ("delete", False): _KIND.DELETE,
    ("delete", True): _KIND.DELETE_REPLACE,
    ("update", False): _KIND.UPDATE,
    ("update", True): _KIND.UPDATE_REPLACE,
}


class _answering:  # noqa: N801 used as a statement
    """Turns failures into gRPC statuses, so that the engine shows a sentence and no traceback."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ProviderError):
            self._context.abort(error.status, str(error))
        if isinstance(error, Exception) and not isinstance(error, grpc.RpcError) and str(error):
            self._context.abort(
                grpc.StatusCode.UNKNOWN,
                f"a bug in the embedded cloud: {error}\n{''.join(traceback.format_tb(trace)[-3:])}",
            )


def _half_made(
    context: Any, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any], reason: str
) -> None:
    """Tells the engine that the thing exists and is not whole, so that it is in the state and can be mended."""
    detail = any_pb2.Any()
    detail.Pack(
        pb.ErrorResourceInitFailed(
            id=id_, properties=struct(outputs), reasons=[reason], inputs=struct(inputs)
        )
    )
    status = status_pb2.Status(code=code_pb2.UNKNOWN, message=reason, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, reason)


def _token(urn: str) -> str:
    """`aws:ec2/vpc:Vpc` of `urn:pulumi:dev::terrace::parent$aws:ec2/vpc:Vpc::vpc`."""
    return urn.split("::")[2].split("$")[-1]


def _auto_name(urn: str, seed: bytes) -> str:
    """Pulumi's habit: the logical name and seven hexadecimal digits that preview and up agree on."""
    return f"{urn.split('::')[-1]}-{hashlib.sha256(seed).hexdigest()[:7]}"
