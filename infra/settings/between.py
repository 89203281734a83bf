"""The only place for the faults that show only where two settings meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.core import external_ai, network
from infra.core.errors import Fault
from infra.core.gpu.modes import APPLICATION_IS_TOLD, Wanted
from infra.core.naming import FAKE_AMI, Environment
from infra.core.shape import Nat, Part
from infra.core.stages import LADDER, Option, Stage
from infra.core.transition import climb_faults
from infra.settings.values import NAMESPACE


def between_fields(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    """Faults that show only where two settings meet; looked for also when a third one is wrong."""
    region, zones = values.get("aws:region"), values.get("zones")
    usable = isinstance(zones, list) and all(isinstance(each, str) for each in zones)
    if usable and isinstance(region, str) and "aws:region" not in faulty:
        yield from network.zone_faults(region, zones or [])
    if values.get("environment") == Environment.PROD and values.get("ami") == FAKE_AMI:
        yield Fault(
            f"{NAMESPACE}:ami",
            f"{FAKE_AMI} is the embedded cloud's stand-in, which no prod stack takes",
            "Fill it with: scripts/account.py ami --stack STACK",
        )
    backup = values.get("backup")
    if isinstance(backup, Mapping) and region is not None and backup.get("offsiteRegion") == region:
        yield Fault(
            f"{NAMESPACE}:backup.offsiteRegion",
            f"is {region}, the stack's own region: a copy beside the original is lost with it",
            "Name another region, such as ap-northeast-1",
        )
    yield from _of_the_climb(values, faulty)
    yield from _of_private_stages(values, faulty)
    yield from _of_the_archive(values)
    gpu = values.get("gpu")
    if isinstance(gpu, Mapping) and gpu.get("mode") == Wanted.ACTIVE and not gpu.get("activeUntil"):
        yield Fault(
            f"{NAMESPACE}:gpu.activeUntil",
            "is missing where mode is active: a kept worker is billed every second",
            "Give the last day of the validation, as 2027-01-31",
        )
    yield from _brought_twice(values)
    budget = values.get("budget")
    if isinstance(budget, dict) and budget.get("currency") == "KRW":
        for name, example in (("krwPerUsd", '"1341.49"'), ("rateOf", "2026-10-09")):
            if not budget.get(name):
                yield Fault(
                    f"{NAMESPACE}:budget.{name}", "is missing where currency is KRW", f"Such as {example}"
                )
    if values.get("dns") and not values.get("domain") and f"{NAMESPACE}:domain" not in faulty:
        yield Fault(
            f"{NAMESPACE}:domain", "is missing where terrace:dns is set", "Give the name of the record"
        )


def _brought_twice(values: Mapping[str, Any]) -> Iterator[Fault]:
    app, gpu = values.get("app"), values.get("gpu")
    if not isinstance(app, Mapping):
        return
    brought: list[tuple[str, tuple[str, ...], str]] = []
    if isinstance(gpu, Mapping) and gpu.get("mode", Wanted.OFF) != Wanted.OFF:
        brought.append(("gpu", APPLICATION_IS_TOLD, "scripts/gpu.py key set"))
    if values.get("externalAi"):
        told = external_ai.APPLICATION_IS_TOLD
        brought.append(("externalAi", told, f"scripts/account.py set {external_ai.KEY_VARIABLE}"))
    for part in ("settings", "secrets"):
        for setting, names, command in brought:
            for name in names:
                if name in (app.get(part) or ()):
                    yield Fault(
                        f"{NAMESPACE}:app.{part}",
                        f"names {name}, which {NAMESPACE}:{setting} brings",
                        f"Take it out; the key is filled by {command}",
                    )


def _stages(values: Mapping[str, Any]) -> tuple[Stage | None, Stage | None]:
    """The stage and the one that is climbed to, as far as their names are right."""
    by_name = {each.name: each for each in LADDER if each.built}
    climb = values.get("climb")
    to = climb.get("to") if isinstance(climb, Mapping) else None
    stage = values.get("stage")
    return (
        by_name.get(stage) if isinstance(stage, str) else None,
        by_name.get(to) if isinstance(to, str) else None,
    )


def _of_the_climb(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    stage, to = _stages(values)
    if stage is not None and to is not None:
        yield from climb_faults(stage, to)
    kept, released = values.get("kept") or [], values.get("released") or []
    if f"{NAMESPACE}:kept" in faulty or not isinstance(kept, list) or not isinstance(released, list):
        return
    for part in released:
        if part in set(Part) and part not in kept:
            yield Fault(
                f"{NAMESPACE}:released",
                f"names {part}, which is not in {NAMESPACE}:kept",
                "Release only what is kept; take it out of both once the release stands",
            )


def _of_private_stages(values: Mapping[str, Any], faulty: set[str]) -> Iterator[Fault]:
    """What the load balancer and boxes without an address ask for."""
    if all(each is None or each.option is not Option.PRIVATE for each in _stages(values)):
        return
    domain, dns = values.get("domain"), values.get("dns")
    edge = values.get("edge") if isinstance(values.get("edge"), Mapping) else {}
    if not domain and f"{NAMESPACE}:domain" not in faulty:
        yield Fault(
            f"{NAMESPACE}:domain",
            "is missing: the load balancer of this stage speaks HTTPS, and a certificate is made for a name",
            "Give the service's name, such as app.example.com",
        )
    if isinstance(domain, str) and not dns:
        if domain.count(".") == 1:
            yield Fault(
                f"{NAMESPACE}:domain",
                f"{domain!r} is the apex of a zone that is not in Route 53: a load balancer is reached by a "
                "CNAME, and an apex cannot have one",
                f"Use a name below it, such as app.{domain}, or bring the zone to Route 53 (terrace:dns.zoneId)",
            )
        if not (edge or {}).get("certificateArn"):
            yield Fault(
                f"{NAMESPACE}:edge.certificateArn",
                "is missing where the domain's DNS is not in Route 53: nobody here can prove the domain",
                "Request a certificate in ACM, write its CNAME into your DNS, and give the ARN once it is issued",
            )
    if (edge or {}).get("nat") == Nat.NONE and (outside := list(_outside(values, edge or {}))):
        yield Fault(
            f"{NAMESPACE}:edge.nat",
            f"is none: private boxes could not reach {'; '.join(what for what, _ in outside)}",
            f"Use {Nat.ONE} or {Nat.PER_ZONE}, or: {'; '.join(remedy for _, remedy in outside)}. What else the "
            f"application calls outside of AWS, such as webhooks, would be out of reach too (docs/adr/0042-nat.md)",
        )


def _of_the_archive(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Every box of a stack has the archive as apt's only source, so it must hold what each of them installs."""
    edge = values.get("edge")
    if not isinstance(edge, Mapping) or not edge.get("packages"):
        return
    single = next(
        (each for each in _stages(values) if each is not None and each.option is Option.SINGLE), None
    )
    if single is not None:
        yield Fault(
            f"{NAMESPACE}:edge.packages",
            f"names an archive, which holds no PostgreSQL: a new single box, as {single.name} has, would never "
            "install",
            "Take edge.packages out: single boxes ask the mirrors (the archive is for split and private)",
        )


def _outside(values: Mapping[str, Any], edge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What boxes reach outside of AWS with these settings, and what would spare them that."""
    if not edge.get("packages"):
        yield (
            "the mirrors of the distribution, for edge.packages names no archive",
            "scripts/packages.py build, then use",
        )
    gpu = found if isinstance(found := values.get("gpu"), Mapping) else {}
    if gpu.get("mode", Wanted.OFF) != Wanted.OFF:
        yield f"RunPod's API, which gpu.mode {gpu['mode']} asks", f"switch the GPU off ({NAMESPACE}:gpu.mode)"
    if isinstance(asked := values.get("externalAi"), Mapping):
        yield (
            f"{asked.get('url')}, which externalAi names",
            f"take {NAMESPACE}:externalAi out",
        )
