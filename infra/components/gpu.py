"""The only place for the GPU endpoint as a Pulumi resource, and for its parameters.

A dynamic resource over REST v2, because its `read` sees drift and its state holds plain values alone. The provider is
stateless and importable; the key is looked for at each call and is in no state, pickle or error. Who owns which
field: docs/adr/0021.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any, ParamSpec, TypeVar

import pulumi
from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)
from pulumi_aws import ssm

from infra.clients.calling import Caller, ForbiddenError, LostAnswerError
from infra.clients.over_httpx import HttpxTransport
from infra.clients.runpod import RunPod
from infra.clients.runpod_key import KEY_PARAMETER, find_key, read_parameter
from infra.clients.runpod_types import Endpoint
from infra.components.base import Component, Context
from infra.core.errors import Fault, TerraceError
from infra.core.gpu import bodies
from infra.core.gpu.definition import Definition, load, load_policy, mode_faults
from infra.core.gpu.modes import (
    ENDPOINT_VARIABLE,
    JOBS_URL_VARIABLE,
    KEY_VARIABLE,
    SHARE_VARIABLE,
    Envelope,
    Wanted,
)
from infra.core.gpu.policy import dearest_month_usd
from infra.core.naming import UNSET
from infra.settings.model import Gpu as GpuSettings

LOOKS_AFTER_A_LOST_ANSWER = 3

Props = dict[str, Any]
P = ParamSpec("P")
R = TypeVar("R")


def _refusing(method: Callable[P, R]) -> Callable[P, R]:
    """Lets a refusal reach a person as its own words: the plugin's host answers with the whole traceback else
    (pulumi.dynamic.__main__, `_abort_with_traceback`)."""

    @functools.wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return method(*arguments, **named)
        except TerraceError:
            if getattr(sys.modules["__main__"].__spec__, "name", "").startswith("pulumi.dynamic"):
                sys.tracebacklimit = 0
            raise

    return call


class EndpointProvider(ResourceProvider):
    """Makes, reads, changes and deletes one endpoint, found by its name.

    Inputs: `spec` (what is sent, without workers and secret values), `envelope`, `secrets` (names of secret
    variables), `secretsParameter` (the path of their values), `registry` (a credential's name or ""),
    `keyParameter`, `region`. Outputs: the same with `spec` as it stands, `endpoint_id`, `jobs_url`, and `amiss`
    (what stands outside the envelope).
    """

    serialize_as_secret_always = False

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Nothing to refuse: the definition was checked before it came here."""
        return CheckResult({name: value for name, value in news.items() if name != "__provider"}, [])

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """What differs; live workers only where they lie outside the envelope. No call is made."""
        wanted, standing = _plain(_news["spec"]), _plain(_olds.get("spec") or {})
        found = [name for name in wanted if wanted[name] != standing.get(name)]
        family = bool(wanted["gpu"]["pools"]) != bool((standing.get("gpu") or wanted["gpu"]).get("pools"))
        replaced = family or any(bodies.change_of(name) is bodies.Change.REPLACE for name in found)
        other = [name for name in ("envelope", "secrets", "registry") if _differs(_olds, _news, name)]
        return DiffResult(
            changes=bool(found or other or _olds.get("amiss")),
            replaces=["spec"] if replaced else [],
            stables=[],
            # Two of a name cannot be told apart afterwards.
            delete_before_replace=True,
        )

    @_refusing
    def create(self, props: Props) -> CreateResult:
        """Takes over the endpoint of that name, or makes one; a lost answer never makes two."""
        with _Session(props) as session:
            endpoint = session.standing() or session.make()
            endpoint = session.settle(endpoint, fresh=True)
            return CreateResult(endpoint.id, session.outputs(endpoint))

    @_refusing
    def read(self, id_: str, props: Props) -> ReadResult:
        """What stands on the platform; an endpoint that was deleted in the console is gone from the state too."""
        if not props.get("spec"):
            return ReadResult(id_, props)
        with _Session(props) as session:
            endpoint = session.api.endpoint(id_)
            if endpoint is None:
                return ReadResult("", {})
            return ReadResult(id_, session.outputs(endpoint))

    @_refusing
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Sends what differs, reads back, and repairs exclusions that a PATCH dropped."""
        with _Session(_news) as session:
            endpoint = session.api.endpoint(_id)
            if endpoint is None:
                raise TerraceError(
                    Fault(
                        f"RunPod endpoint {_id}",
                        "is gone (deleted in the console?)",
                        "Take it out of the state and make it anew: pulumi refresh, then pulumi up",
                    )
                )
            changed = _differs(_olds, _news, "secrets")
            return UpdateResult(session.outputs(session.settle(endpoint, fresh=changed)))

    @_refusing
    def delete(self, _id: str, _props: Props) -> None:
        """Deletes it with its workers and jobs; gone is gone."""
        with _Session(_props) as session:
            session.api.delete(_id)


class _Session:
    """One call of the provider: the inputs, and the platform by today's key."""

    def __init__(self, props: Props) -> None:
        self.props = props
        self.spec: Props = _plain(props["spec"])
        self.envelope = Envelope.from_data(props["envelope"])
        self.secret_names: list[str] = list(props.get("secrets") or [])
        self._transport = HttpxTransport()
        key = find_key(props["keyParameter"], region=props["region"])
        self.api = RunPod(Caller(self._transport, key))
        if self.api.is_real:
            _refuse_stand_ins(self.spec)

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def standing(self) -> Endpoint | None:
        """The endpoint of our name, or None.

        Raises:
            TerraceError: there are several, and nobody can say which is meant.
        """
        found = self.api.named(self.spec["name"])
        if len(found) > 1:
            raise TerraceError(
                Fault(
                    f"RunPod endpoint {self.spec['name']}",
                    f"stands {len(found)} times: {', '.join(each.id for each in found)}",
                    "Delete those that take no requests, or rename them",
                )
            )
        return found[0] if found else None

    def make(self) -> Endpoint:
        """A new endpoint; after a lost answer it is looked for before anything is said."""
        self._refuse_other_cards()
        body = bodies.create_body(
            self.spec, self.envelope.first(), secrets=self.secrets(), registry=self.registry()
        )
        try:
            return self.api.create(body)
        except LostAnswerError:
            for _ in range(LOOKS_AFTER_A_LOST_ANSWER):
                if (found := self.standing()) is not None:
                    return found
                self.api.caller.sleep(self.api.caller.patience.first_wait_seconds)
            raise

    def settle(self, endpoint: Endpoint, *, fresh: bool) -> Endpoint:
        """The endpoint as it is wanted. `fresh`: secrets that differ are sent too."""
        registry = self.registry()
        differences = bodies.compare(self.spec, endpoint.body, secrets=self.secret_names, registry=registry)
        secrets = self.secrets()
        body = bodies.patch_body(self.spec, differences, secrets=secrets, registry=registry)
        if (
            fresh
            and secrets
            and any(endpoint.body.get("env", {}).get(name) != value for name, value in secrets.items())
        ):
            body["env"] = {**self.spec["env"], **secrets}
        # Inside the envelope, a closed endpoint too, they are the controller's: a changed one reaches it by its plan.
        if outside := bodies.outside(self.envelope, endpoint.body):
            body["workers"] = self.envelope.clamped(outside).as_body()
        if "gpu" in body:
            self._refuse_other_cards()
        if body:
            self.api.patch(endpoint.id, body)
            endpoint = self._read_back(endpoint.id)
        if bodies.lost_exclusions(self.spec, endpoint.body):
            self.api.patch(endpoint.id, bodies.selection(self.spec))
            endpoint = self._read_back(endpoint.id)
        left = bodies.compare(self.spec, endpoint.body, secrets=self.secret_names, registry=registry)
        if left:
            raise TerraceError(
                *(
                    Fault(f"RunPod endpoint {endpoint.id}", f"did not take {each}", "Run it again")
                    for each in left
                )
            )
        return endpoint

    def outputs(self, endpoint: Endpoint) -> Props:
        """The state: inputs, the spec as it stands, and what programs ask for. No secret is in it."""
        outside = bodies.outside(self.envelope, endpoint.body)
        lost = [name for name in self.secret_names if name not in (endpoint.body.get("env") or {})]
        amiss = [f"workers: {outside}"] if outside else []
        return {
            **{name: value for name, value in self.props.items() if name != "__provider"},
            "spec": bodies.standing(self.spec, endpoint.body, secrets=self.secret_names),
            "jobs_url": endpoint.jobs_url,
            "endpoint_id": endpoint.id,
            "amiss": "; ".join(
                [*amiss, *(f"env lacks {name}" for name in lost), *self._other_registry(endpoint)]
            ),
        }

    def _other_registry(self, endpoint: Endpoint) -> list[str]:
        """That the endpoint pulls its image with another credential than the one named, or nothing.

        The state holds the name and the platform the id of the moment, so the spec cannot tell.
        """
        name, live = self.props.get("registry") or "", endpoint.body.get("registry")
        if not name and not live:
            return []
        names = {each.id: each.name for each in self.api.registries()}
        wanted = next((id_ for id_, each in names.items() if each == name), None) if name else None
        if wanted is not None and wanted == live:
            return []
        return [f"registry: {names.get(live, live) if live else 'none'} for {name or 'none'}"]

    def secrets(self) -> dict[str, str]:
        """The values of secret variables, from their parameters.

        Raises:
            TerraceError: one is not set.
        """
        found, faults = {}, []
        for name in self.secret_names:
            parameter = f"{self.props['secretsParameter']}/{name}"
            value = read_parameter(parameter, region=self.props["region"])
            if value in (None, UNSET):
                faults.append(Fault(parameter, "is not set", f"Fill it: scripts/gpu.py secret set {name}"))
            else:
                found[name] = str(value)
        if faults:
            raise TerraceError(*faults)
        return found

    def registry(self) -> str | None:
        """The id of the registry credential by its name, or None where none is named.

        Raises:
            TerraceError: there is none of that name.
        """
        name = self.props.get("registry") or ""
        if not name:
            return None
        for each in self.api.registries():
            if each.name == name:
                return each.id
        raise TerraceError(
            Fault(
                f"registry {name}",
                "is no credential of this account",
                "Make it: scripts/gpu.py registry NAME USER",
            )
        )

    def _refuse_other_cards(self) -> None:
        """A pool may have changed since its cards were written down: "L4" must mean L4."""
        try:
            listed = {each.id: each.pool for each in self.api.gpu_types()}
        except ForbiddenError:
            pulumi.log.warn(
                f"This RunPod key may not read the catalogue: nobody has looked whether {self.spec['gpu']['pools']} "
                f"still hold the cards of infra/core/gpu/platform.py"
            )
            return
        if said := bodies.other_cards(self.spec, listed):
            remedy = "Change gpu in runpod/endpoint.yaml, and POOLS in infra/core/gpu/platform.py"
            raise TerraceError(*(Fault("RunPod's catalogue", each, remedy) for each in said))

    def _read_back(self, endpoint_id: str) -> Endpoint:
        found = self.api.endpoint(endpoint_id)
        if found is None:
            raise TerraceError(
                Fault(f"RunPod endpoint {endpoint_id}", "vanished while it was changed", "Run it again")
            )
        return found


class GpuEndpoint(Resource, module="gpu", name="Endpoint"):
    """The endpoint."""

    endpoint_id: pulumi.Output[str]
    jobs_url: pulumi.Output[str]

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        known: Props = {"endpoint_id": None, "jobs_url": None, "amiss": None}
        super().__init__(EndpointProvider(), name, {**props, **known}, opts)


class Gpu(Component):
    """The endpoint with its parameters; made where `terrace:gpu` says so, whether a key is there or not.

    Attributes:
        endpoint_id, jobs_url: of the endpoint, for the application; also in SSM beside its key.
    """

    endpoint_id: pulumi.Output[str]
    jobs_url: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        *,
        key_arn: pulumi.Input[str],
        bucket: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("gpu:Gpu", "gpu", parent)
        naming, settings = context.naming, context.settings.gpu
        definition = _definition(context)
        envelope = Envelope(
            settings.mode,
            context.settings.gpu_most_workers(definition.most_workers),
            definition.idle_timeouts,
        )
        waits = [
            ssm.Parameter(
                f"gpu-{logical}",
                name=naming.parameter(*path),
                tags=context.tags("/".join(path)),
                type="SecureString",
                key_id=key_arn,
                value_wo=UNSET,
                value_wo_version=1,
                opts=self.child,
            )
            for logical, path in [
                ("key", KEY_PARAMETER),
                *((each.lower(), ("gpu", "env", each)) for each in definition.secret_environment),
            ]
        ]
        endpoint = GpuEndpoint(
            "endpoint",
            {
                "spec": bodies.spec(definition, name=endpoint_name(context)),
                "envelope": envelope.as_data(),
                "secrets": list(definition.secret_environment),
                "secretsParameter": naming.parameter("gpu", "env"),
                "registry": definition.registry or "",
                "keyParameter": naming.parameter(*KEY_PARAMETER),
                "region": context.settings.region,
            },
            pulumi.ResourceOptions(parent=self, depends_on=waits),
        )
        self.endpoint_id, self.jobs_url = endpoint.endpoint_id, endpoint.jobs_url
        plan = {
            "envelope": envelope.as_data(),
            "cards": bodies.cards(definition).as_data(),
            "budgetUsd": str(settings.budget_usd),
            "activeUntil": settings.active_until.isoformat() if settings.active_until else "",
            "jobTimeoutSeconds": definition.execution_timeout_seconds,
            "policy": load_policy().as_data(),
            "bucket": bucket,
        }
        told: dict[str, tuple[tuple[str, ...], pulumi.Input[str]]] = {
            "endpoint": (("gpu", "endpoint"), self.endpoint_id),
            "jobs-url": (("gpu", "jobs-url"), self.jobs_url),
            "plan": (("gpu", "plan"), pulumi.Output.json_dumps(plan, sort_keys=True)),
            "app-endpoint": (("app", ENDPOINT_VARIABLE), self.endpoint_id),
            "app-jobs-url": (("app", JOBS_URL_VARIABLE), self.jobs_url),
            "app-share": (("app", SHARE_VARIABLE), f"{settings.sample_share:f}"),
        }
        for name, (path, value) in told.items():
            ssm.Parameter(
                f"gpu-{name}",
                name=naming.parameter(*path),
                type="String",
                insecure_value=value,
                tags=context.tags("/".join(path)),
                opts=self.child,
            )
        if pulumi.runtime.is_dry_run():
            _say_what_is_not_verified(naming.parameter(*KEY_PARAMETER), context.settings.region)
            if said := budget_falls_short(settings, datetime.now(UTC)):
                pulumi.log.warn(said)
        self.register_outputs({})


def endpoint_name(context: Context) -> str:
    """The name by which the endpoint is found again."""
    return context.naming.physical(load().name)


def _definition(context: Context) -> Definition:
    definition = load()
    if faults := list(mode_faults(definition, context.settings.gpu.mode)):
        raise pulumi.RunError(str(TerraceError(*faults)))
    return definition


def _say_what_is_not_verified(parameter: str, region: str) -> None:
    try:
        found = find_key(parameter, region=region)
    except TerraceError:
        found = None
    if found is None:
        pulumi.log.warn(
            f"terrace:gpu: not verified, for there is no RunPod key here. `up` needs one where the endpoint changes: "
            f"scripts/gpu.py key set, or {KEY_VARIABLE}"
        )


def budget_falls_short(settings: GpuSettings, now: datetime) -> str:
    """Why the month's budget cannot carry `active` until its last day, or nothing. The controller runs flex then."""
    if settings.mode is not Wanted.ACTIVE or settings.active_until is None:
        return ""
    end = datetime.combine(settings.active_until, time.min, UTC) + timedelta(days=1)
    needed_usd = dearest_month_usd(now, end, policy=load_policy())
    if needed_usd <= settings.budget_usd:
        return ""
    return (
        f"terrace:gpu.budgetUsd: {settings.budget_usd} USD a month do not carry active until "
        f"{settings.active_until}, which takes {needed_usd:.2f} USD of one month: the controller runs flex instead. "
        f"Raise budgetUsd, or bring activeUntil nearer"
    )


def _refuse_stand_ins(spec: Props) -> None:
    fakes = [
        value for value in (spec["image"], *spec["env"].values()) if ".invalid/" in value or "0" * 40 in value
    ]
    if fakes:
        raise TerraceError(
            Fault("runpod/endpoint.yaml", f"holds stand-ins ({fakes[0]})", "Fill them: scripts/gpu.py pin")
        )


def _differs(olds: Props, news: Props, name: str) -> bool:
    return bool(_plain(olds.get(name)) != _plain(news.get(name)))


def _plain(value: Any) -> Any:
    """Numbers come back from the engine as floats."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
