"""The only place that shows load balancers as plain frozen data, read in process, beside managed.py's databases.

A listener forwards to target groups or redirects to HTTPS; of rules, those by path are shown: what the program uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.world import WORLD


@dataclass(frozen=True, slots=True)
class Group:
    """A target group: where its targets answer, and when one counts as healthy; times in seconds."""

    name: str
    targets: tuple[tuple[str, int], ...]
    path: str
    interval_seconds: int
    timeout_seconds: int
    healthy: int
    unhealthy: int
    drain_seconds: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A port: `default` and `rules` name target groups, and an empty `default` redirects to HTTPS.

    `names` are the domains of its certificate.
    """

    port: int
    names: tuple[str, ...]
    default: str
    rules: tuple[tuple[tuple[str, ...], str], ...]


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A load balancer in a VPC; `subnet_cidr` is of the first of its subnets, targets are instance ids."""

    arn: str
    dns_name: str
    region: str
    vpc_id: str
    vpc_cidr: str
    subnet_cidr: str
    security_group_ids: tuple[str, ...]
    idle_seconds: int
    listeners: tuple[Listener, ...]
    groups: tuple[Group, ...]


def balancers(account_id: str = ACCOUNT_ID) -> tuple[LoadBalancer, ...]:
    """Every application load balancer, in the order of its making."""
    from moto.elbv2.models import elbv2_backends

    with WORLD:
        return tuple(
            _balancer(backend, each)
            for backend in elbv2_backends[account_id].values()
            for each in backend.load_balancers.values()
            if each.type == "application" and each.subnets
        )


def _balancer(backend: Any, balancer: Any) -> LoadBalancer:
    from moto.ec2.models import ec2_backends

    ec2 = ec2_backends[backend.account_id][backend.region_name]
    subnet = min(balancer.subnets, key=lambda each: str(each.availability_zone))
    listeners = tuple(_listener(backend, each) for each in balancer.listeners.values())
    named = {
        name for each in listeners for name in (each.default, *(group for _, group in each.rules)) if name
    }
    return LoadBalancer(
        arn=str(balancer.arn),
        dns_name=str(balancer.dns_name).lower(),
        region=str(backend.region_name),
        vpc_id=str(subnet.vpc_id),
        vpc_cidr=str(ec2.get_vpc(subnet.vpc_id).cidr_block),
        subnet_cidr=str(subnet.cidr_block),
        security_group_ids=tuple(sorted(str(each) for each in balancer.security_groups or ())),
        idle_seconds=int(balancer.attrs.get("idle_timeout.timeout_seconds") or 60),
        listeners=listeners,
        groups=tuple(_group(each) for each in backend.target_groups.values() if each.name in named),
    )


def _listener(backend: Any, listener: Any) -> Listener:
    rules = sorted(
        (each for each in listener.rules.values() if not each.is_default), key=lambda each: int(each.priority)
    )
    return Listener(
        port=int(listener.port),
        names=tuple(_names(backend, listener)),
        default=_forwards_to(backend, listener.default_actions),
        rules=tuple((tuple(_paths(each.conditions)), _forwards_to(backend, each.actions)) for each in rules),
    )


def _names(backend: Any, listener: Any) -> Iterator[str]:
    from moto.acm.models import acm_backends

    certificates = acm_backends[backend.account_id][backend.region_name]._certificates
    for arn in listener.certificates:
        if (found := certificates.get(str(arn))) is not None:
            yield str(found.common_name)


def _forwards_to(backend: Any, actions: Any) -> str:
    for action in actions:
        data = action.data
        weighted = [
            each.get("TargetGroupArn") for each in data.get("ForwardConfig", {}).get("TargetGroups", [])
        ]
        arn = data.get("TargetGroupArn") or next(iter(weighted), None)
        if arn in backend.target_groups:
            return str(backend.target_groups[arn].name)
    return ""


def _paths(conditions: Any) -> Iterator[str]:
    for condition in conditions:
        if condition.get("Field") == "path-pattern":
            values = condition.get("PathPatternConfig", {}).get("Values") or condition.get("Values") or ()
            yield from (str(each) for each in values)


def _group(group: Any) -> Group:
    attributes: Mapping[str, Any] = group.attributes
    return Group(
        name=str(group.name),
        targets=tuple(
            (str(each["Id"]), int(each.get("Port") or group.port)) for each in group.targets.values()
        ),
        path=str(group.health_check_path or "/"),
        interval_seconds=int(group.health_check_interval_seconds),
        timeout_seconds=int(group.health_check_timeout_seconds),
        healthy=int(group.healthy_threshold_count),
        unhealthy=int(group.unhealthy_threshold_count),
        drain_seconds=int(attributes.get("deregistration_delay.timeout_seconds") or 300),
    )
