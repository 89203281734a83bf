"""The service's name where DNS is not in Route 53: which records a person has to write, and when they are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from infra.core.errors import Fault, TerraceError
from infra.core.shape import Phase
from infra.core.stages import Option, find

POLL_SECONDS = 15.0
TTL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record to be written where the domain's DNS is; `why` in a few words."""

    name: str
    kind: Literal["A", "CNAME"]
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a certificate authority wants to see: a CNAME from `name` to `value`, until it is `issued`."""

    name: str
    value: str
    issued: bool


class Certificates(Protocol):
    """Certificates by their ARN."""

    def proof(self, arn: str) -> Proof:
        """Its proof. Raises TerraceError where there is no such certificate."""


class Resolver(Protocol):
    """What the world's resolvers say."""

    def addresses(self, name: str) -> frozenset[str]:
        """Every IPv4 address of a name; empty where it leads nowhere."""


def serving(outputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Wanted:
    """Where the domain has to lead now.

    Raises:
        TerraceError: the stack has no domain, or its records are Pulumi's own, or it does not stand.
    """
    domain = settings.get("terrace:domain")
    if not domain:
        raise TerraceError(
            Fault("terrace:domain", "is not set", "Without a name there is no record to write")
        )
    if settings.get("terrace:dns"):
        raise TerraceError(
            Fault(
                "terrace:dns", "names a zone of Route 53", "Pulumi writes the records; nothing is left to do"
            )
        )
    climb = settings.get("terrace:climb") or {}
    moved = climb.get("phase") == Phase.MOVED.value
    option = find(str(climb["to"])).option.value if moved else outputs.get("option")
    if option == Option.PRIVATE.value and outputs.get("balancer"):
        return Wanted(str(domain), "CNAME", str(outputs["balancer"]), "to the load balancer")
    if outputs.get("eip"):
        return Wanted(str(domain), "A", str(outputs["eip"]), "to the stack's own address")
    raise TerraceError(Fault("stack", "has nothing that serves", "Bring it up first: pulumi up"))


def missing(lead: Wanted, proof: Proof | None, resolver: Resolver) -> list[Wanted]:
    """The records that are not there yet, the certificate's proof first."""
    found = []
    if proof is not None and not proof.issued:
        found.append(Wanted(proof.name, "CNAME", proof.value, "the certificate's proof"))
    wanted = frozenset({lead.value}) if lead.kind == "A" else resolver.addresses(lead.value)
    there = resolver.addresses(lead.name)
    if not there or not there <= wanted:
        found.append(lead)
    return found


def wait(
    look: Callable[[], Sequence[Wanted]],
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Until nothing is missing.

    Raises:
        TerraceError: something still is after `seconds`.
    """
    deadline = now() + seconds
    while left := look():
        if now() >= deadline:
            raise TerraceError(
                *(
                    Fault(each.name, f"has no {each.kind} {each.value} yet", "Write it, then run this again")
                    for each in left
                )
            )
        sleep(min(POLL_SECONDS, max(deadline - now(), 0.0)))
