"""The only place that calls the AWS API for the provider: values by shape, absence, waiting, errors as Pulumi's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import grpc
import jmespath
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from embedded.provider.table import Call, Expression, Look, Read, Scope, Step, Wait

POLL_SECONDS = 0.2


class ProviderError(Exception):
    """A failure that the engine shows; `status` says whether it may have changed something (UNKNOWN) or not."""

    def __init__(self, message: str, status: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """boto3 clients on one endpoint, and the steps of kinds carried out on them."""

    def __init__(self, endpoint: str, *, region: str, account: str) -> None:
        self.endpoint, self.region, self.account = endpoint, region, account
        self._session: Any = boto3.Session(
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",  # noqa: S106 the embedded cloud asks for no secret
            region_name=region,
        )
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region: str = "") -> Any:
        """The client of that service, in the stack's region where none is named; made once, as that takes long."""
        region = region or self.region
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._session.client(
                    service,
                    region_name=region,
                    endpoint_url=self.endpoint,
                    config=Config(
                        retries={"max_attempts": 0},
                        max_pool_connections=64,
                        s3={"addressing_style": "path"},
                    ),
                )
                if service == "s3control":
                    self._clients[service, region].meta.events.register(
                        "before-sign.s3-control", self._to_endpoint
                    )
            return self._clients[service, region]

    def _to_endpoint(self, request: Any, **_: Any) -> None:
        """S3 Control puts the account in front of the host, and no account stands in front of an address."""
        request.url = request.url.replace(f"//{self.account}.", "//", 1)

    def operation(self, action: str) -> OperationModel:
        """The model of `service.method`."""
        service, method = action.split(".")
        client = self.client(service)
        model: OperationModel = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[method]
        )
        return model

    def parameters(self, call: Call, scope: Scope) -> dict[str, Any]:
        """The parameters of a call: those of its table, then the inputs that bear a parameter's name."""
        shape = self.operation(call.action).input_shape
        given = {name: evaluated(value, scope) for name, value in call.params.items()}
        if call.auto and shape is not None:
            members = {member.lower(): member for member in shape.members}
            for name, value in scope.inputs.items():
                member = members.get(name.lower())
                if member is not None and member not in given and name != "tags":
                    given[member] = value
            for member in ("Tags", "tags", "TagList"):
                if member in shape.members and member not in given:
                    given[member] = scope.inputs.get("tags")
        return {
            name: to_api(value, shape.members[name] if shape is not None else None)
            for name, value in given.items()
            if value is not None
        }

    def carry_out(self, steps: Iterable[Step], scope: Scope, reads: tuple[Read, ...]) -> None:
        """The steps, one after the other.

        Raises:
            ProviderError: a call was refused, or what is waited for did not come.
        """
        for step in steps:
            if isinstance(step, Wait):
                self._wait(step, scope, reads)
            elif isinstance(step, Look):
                scope.answer = self.look(reads, scope) or {}
            elif step.when is None or step.when(scope):
                self.call(step, scope)

    def call(self, call: Call, scope: Scope) -> dict[str, Any]:
        """The API's answer.

        Raises:
            ProviderError: it refused or failed.
        """
        try:
            return self._invoke(call.action, self.parameters(call, scope), scope.region)
        except ClientError as error:
            if call.missing_is_fine and is_absence(error):
                return {}
            raise as_provider_error(call.action, error) from error
        except (BotoCoreError, TypeError, KeyError, ValueError) as error:
            raise ProviderError(f"{call.action}: {error}", grpc.StatusCode.UNKNOWN) from error

    def look(self, reads: tuple[Read, ...], scope: Scope) -> dict[str, Any] | None:
        """What stands, merged from all reads, or None where the thing is gone.

        Every member that the answers can have is there, None where the API left it out: so a thing that lost a
        property differs from a property that cannot be read.
        """
        merged: dict[str, Any] = {}
        for read in reads:
            found = self._look_once(read, scope)
            if found is None:
                if not read.optional:
                    return None
                found = {}
            merged.update({name: None for name in self.readable(read) if name not in merged})
            merged.update(found)
        return merged

    def readable(self, read: Read) -> list[str]:
        """The members of what a read finds, by its operation's model; nothing where its path says more."""
        shape: Shape | None = self.operation(read.action).output_shape
        if read.at == "@":
            return list(shape.members) if isinstance(shape, StructureShape) else []
        for part in read.at.replace("[0]", ".[0]").split("."):
            if part == "[0]" and isinstance(shape, ListShape):
                shape = shape.member
            elif isinstance(shape, StructureShape) and part in shape.members:
                shape = shape.members[part]
            else:
                return []
        return list(shape.members) if isinstance(shape, StructureShape) else []

    def _look_once(self, read: Read, scope: Scope) -> dict[str, Any] | None:
        try:
            answer = self.call(Call(read.action, read.params), scope)
        except ProviderError as error:
            if isinstance(error.__cause__, ClientError) and is_absence(error.__cause__):
                return None
            raise
        found = jmespath.search(read.at, answer)
        if (
            isinstance(found, dict)
            and read.there is not None
            and not read.there(replace(scope, answer=found))
        ):
            return None
        if found is None or isinstance(found, dict):
            return found
        raise ProviderError(f"{read.action}: {read.at} finds {type(found).__name__}, not one thing")

    def _wait(self, wait: Wait, scope: Scope, reads: tuple[Read, ...]) -> None:
        deadline = time.monotonic() + wait.timeout_seconds
        while True:
            scope.answer = self.look(reads, scope) or {}
            if wait.until(scope):
                return
            if time.monotonic() > deadline:
                raise ProviderError(f"{wait.what} did not come within {wait.timeout_seconds:.0f} s")
            time.sleep(POLL_SECONDS)

    def _invoke(self, action: str, parameters: Mapping[str, Any], region: str) -> dict[str, Any]:
        service, method = action.split(".")
        answer: dict[str, Any] = getattr(self.client(service, region), method)(**parameters)
        answer.pop("ResponseMetadata", None)
        return answer


def evaluated(value: Any, scope: Scope) -> Any:
    """A table's value with its expressions carried out; empty lists and maps that held only None become None."""
    if isinstance(value, Expression):
        return value(scope)
    if isinstance(value, Mapping):
        found = {key: evaluated(each, scope) for key, each in value.items()}
        kept = {key: each for key, each in found.items() if each is not None}
        return kept if kept or not value else None
    if isinstance(value, list):
        kept_items = [each for each in (evaluated(each, scope) for each in value) if each is not None]
        return kept_items if kept_items or not value else None
    return value


def to_api(value: Any, shape: Shape | None) -> Any:
    """A Pulumi value in the API's spelling: members by name without case, tags and texts in the shape's form."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name.lower(): name for name in shape.members}
        return {
            member: to_api(each, shape.members[member])
            for name, each in value.items()
            if each is not None and (member := members.get(name.lower()))
        }
    if isinstance(shape, ListShape):
        if isinstance(value, Mapping) and isinstance(shape.member, StructureShape):
            return _tags_as_list(value, shape.member)
        if isinstance(value, list):
            return [to_api(each, shape.member) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {name: to_api(each, shape.value) for name, each in value.items()}
    if shape is not None and shape.type_name == "string" and not isinstance(value, (str, bytes)):
        return str(value)
    return value


def _tags_as_list(tags: Mapping[str, str], member: StructureShape) -> list[dict[str, str]]:
    """The service's own words for key and value: KMS says TagKey where others say Key."""
    key = next(name for name in member.members if name.lower().endswith("key"))
    value = next(name for name in member.members if name.lower().endswith("value"))
    return [{key: name, value: text} for name, text in tags.items()]


def is_absence(error: ClientError) -> bool:
    """Whether the API says that there is no such thing."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    words = ("NotFound", "NoSuch", "DoesNotExist", "NotExist", "NonExistent", "UnknownResource")
    return status == 404 or any(word in code for word in words)


def as_provider_error(action: str, error: ClientError) -> ProviderError:
    """A refusal as the engine's clean failure; a server's failure as one whose effect is not known."""
    details = error.response.get("Error", {})
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = f"{action}: {details.get('Code')}: {details.get('Message')}"
    clean = 400 <= status < 500 or status == 501
    return ProviderError(message, grpc.StatusCode.INVALID_ARGUMENT if clean else grpc.StatusCode.UNKNOWN)
