"""The only place for what is sent to RunPod to make and change an endpoint, and for how the live one is compared.

`Spec` is what Pulumi owns, as plain values: it is the resource's input. `workers` are not in it but for the envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.core.gpu.cards import Cards
from infra.core.gpu.definition import Definition
from infra.core.gpu.modes import Envelope, Workers
from infra.core.gpu.platform import POOLS, EndpointType, Scaler

Body = dict[str, Any]

SECRET = "(secret)"  # noqa: S105 what stands where a value is not shown


class Change(StrEnum):
    """What a difference asks for, from the lightest."""

    SCALE = "scale-only"
    PLACEMENT = "placement"
    RELEASE = "release"
    REPLACE = "replacement"


_CHANGE_OF: dict[str, Change] = {
    "name": Change.SCALE,
    "workers": Change.SCALE,
    "scaling": Change.SCALE,
    "timeout": Change.SCALE,
    "flashboot": Change.SCALE,
    "dataCenterIds": Change.PLACEMENT,
    "networkVolumes": Change.PLACEMENT,
    "gpu": Change.PLACEMENT,
    "image": Change.RELEASE,
    "args": Change.RELEASE,
    "disk": Change.RELEASE,
    "env": Change.RELEASE,
    "ports": Change.RELEASE,
    "registry": Change.RELEASE,
    "type": Change.REPLACE,
}
"""By top-level field. Workers, scaling and timeout reach the autoscaler at once, container fields make a release, and
where workers run takes effect as they are replaced (API, updateEndpoint). The type never changes (422)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field where the live endpoint is not what is wanted; values of secrets are not in it."""

    path: str
    wanted: Any
    live: Any

    @property
    def change(self) -> Change:
        """What it asks for."""
        return _CHANGE_OF[self.path.split(".")[0]]

    def __str__(self) -> str:
        return f"{self.path}: {self.live!r} -> {self.wanted!r}"

    @property
    def said(self) -> str:
        """For people, with what it asks for."""
        return f"{self.change.value}: {self}"


def cards(definition: Definition) -> Cards:
    """Those of the definition."""
    gpu = definition.gpu
    return Cards(gpu.type, (gpu.pool,), tuple(sorted(gpu.excluded_types)), gpu.min_cuda or "")


def spec(definition: Definition, *, name: str) -> Body:
    """The endpoint without its workers and without values of secrets: JSON of plain values."""
    gpu = definition.gpu
    scaling = definition.scaling
    return {
        "name": name,
        "type": definition.type.value,
        "image": definition.image.reference,
        "args": "",
        "disk": definition.disk_gb,
        "env": dict(sorted(definition.worker_environment.items())),
        "ports": ["80/http"] if definition.type is EndpointType.LOAD_BALANCER else [],
        "gpu": {
            "pools": [gpu.pool],
            "excludedTypes": sorted(gpu.excluded_types),
            "count": gpu.count,
            "allowedCudaVersions": list(gpu.allowed_cuda),
            "minCudaVersion": gpu.min_cuda or "",
        },
        "scaling": (
            {"type": scaling.type.value, "queueDelay": scaling.queue_delay_seconds}
            if scaling.type is Scaler.QUEUE_DELAY
            else {"type": scaling.type.value, "requestCount": scaling.request_count}
        ),
        "flashboot": definition.flashboot.value,
        "timeout": definition.execution_timeout_seconds * 1000,
        "dataCenterIds": sorted(definition.data_centers),
        "networkVolumes": [],
    }


def create_body(wanted: Body, workers: Workers, *, secrets: Mapping[str, str], registry: str | None) -> Body:
    """The body of a create. Every field that has a default is sent: some replies contradict the documented ones."""
    gpu = dict(wanted["gpu"])
    if not gpu["minCudaVersion"]:
        del gpu["minCudaVersion"]
    body = {**wanted, "env": {**wanted["env"], **secrets}, "gpu": gpu, "workers": workers.as_body()}
    return body if registry is None else {**body, "registry": registry}


def compare(
    wanted: Body, live: Mapping[str, Any], *, secrets: Sequence[str], registry: str | None
) -> list[Difference]:
    """Where the live endpoint (the API's own form) differs from what is wanted; workers are not looked at.

    A secret variable counts as equal where it is there: its value is never compared or shown.
    """
    found = []
    shown = _shown(live, secrets)
    goal = {**wanted, "env": {**wanted["env"], **dict.fromkeys(secrets, SECRET)}, "registry": registry}
    for field, value in goal.items():
        other = shown.get(field)
        if isinstance(value, dict) and isinstance(other, dict):
            for key in sorted({*value, *other}):
                if value.get(key) != other.get(key):
                    found.append(Difference(f"{field}.{key}", value.get(key), other.get(key)))
        elif value != other:
            found.append(Difference(field, value, other))
    return found


def patch_body(
    wanted: Body, differences: Sequence[Difference], *, secrets: Mapping[str, str], registry: str | None
) -> Body:
    """The fields that a PATCH must send to remove those differences, each whole.

    `env` replaces the map. `gpu` is one selection: pools without exclusions would clear the exclusions, and either
    CUDA constraint is cleared by name only (API, UpdateEndpointGpuConfig).
    """
    body: Body = {}
    for field in dict.fromkeys(each.path.split(".")[0] for each in differences):
        if field == "env":
            body["env"] = {**wanted["env"], **secrets}
        elif field == "registry":
            body["registry"] = registry
        else:
            body[field] = wanted[field]
    return body


def change_of(field: str) -> Change:
    """What a difference in that top-level field asks for."""
    return _CHANGE_OF[field]


def standing(wanted: Body, live: Mapping[str, Any], *, secrets: Sequence[str]) -> Body:
    """The live endpoint in the form of a spec, without its secret variables."""
    shown = _shown(live, secrets)
    shown["env"] = {name: value for name, value in shown["env"].items() if name not in secrets}
    return {field: shown.get(field) for field in wanted}


def selection(wanted: Body) -> Body:
    """The PATCH that restates which cards are meant, where another PATCH has dropped the exclusions."""
    return {"gpu": wanted["gpu"]}


def other_cards(wanted: Body, listed: Mapping[str, str | None]) -> list[str]:
    """Why the catalogue's cards (pools by their ids) are not those that are meant; nothing where they are.

    A pool that the catalogue does not list at all says nothing.
    """
    gpu = wanted["gpu"]
    found = []
    for pool in gpu["pools"]:
        meant = set(POOLS[pool]) - set(gpu["excludedTypes"])
        live = {card for card, of in listed.items() if of == pool}
        others = sorted(live - set(POOLS[pool]) - set(gpu["excludedTypes"]))
        found += [f"pool {pool} holds {card} too, which is not excluded" for card in others]
        found += [f"pool {pool} has no {card} any more" for card in sorted(meant - live) if live]
    return found


def lost_exclusions(wanted: Body, live: Mapping[str, Any]) -> list[str]:
    """Which exclusions the live endpoint has lost."""
    standing = (live.get("gpu") or {}).get("excludedTypes") or []
    return [each for each in wanted["gpu"]["excludedTypes"] if each not in standing]


def outside(envelope: Envelope, live: Mapping[str, Any]) -> Workers | None:
    """The live workers where they lie outside the envelope, else None: inside, they are the controller's."""
    workers = Workers.from_body(live["workers"])
    return None if envelope.holds(workers) else workers


def differences(
    definition: Definition,
    envelope: Envelope,
    live: Mapping[str, Any],
    *,
    name: str,
    registries: Mapping[str, str],
) -> list[Difference]:
    """Where the live endpoint is not what the definition and the envelope come to, workers outside it with them.

    `registries` are the account's credentials, ids by their names; they are looked at where the definition names one.
    """
    registry = definition.registry
    wanted = (
        None if registry is None else registries.get(registry, f"{registry}, no credential of this account")
    )
    found = compare(spec(definition, name=name), live, secrets=definition.secret_environment, registry=wanted)
    if workers := outside(envelope, live):
        found.append(Difference("workers", str(envelope.clamped(workers)), str(workers)))
    return found


def _shown(live: Mapping[str, Any], secrets: Sequence[str]) -> Body:
    """The live endpoint in the form of a spec: order and absence mean nothing, values of secrets are gone."""
    gpu = live.get("gpu") or {}
    environment = dict(live.get("env") or {})
    return {
        **live,
        "args": live.get("args") or "",
        "ports": list(live.get("ports") or []),
        "registry": live.get("registry"),
        "env": {name: SECRET if name in secrets else value for name, value in environment.items()},
        "gpu": {
            "pools": list(gpu.get("pools") or []),
            "excludedTypes": sorted(gpu.get("excludedTypes") or []),
            "count": gpu.get("count", 1),
            "allowedCudaVersions": list(gpu.get("allowedCudaVersions") or []),
            "minCudaVersion": gpu.get("minCudaVersion") or "",
        },
        "dataCenterIds": sorted(live.get("dataCenterIds") or []),
        "networkVolumes": list(live.get("networkVolumes") or []),
    }
