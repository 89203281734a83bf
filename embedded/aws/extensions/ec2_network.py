"""EC2 networking: where public addresses come from, and what cannot be deleted while something hangs on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses.security_groups import SecurityGroups

from embedded.aws.extensions.patching import Patches
from embedded.aws.hooks import HOOKS

patches = Patches()


@patches.wrap(ElasticAddress, "__init__")
def draw_from_pool(
    original: Any, self: Any, ec2_backend: Any, domain: str, address: Any = None, **kwargs: Any
) -> None:
    original(self, ec2_backend, domain, address=address or _pool_address(ec2_backend), **kwargs)


@patches.wrap(NetworkInterface)
def check_auto_public_ip(original: Any, interface: Any) -> None:
    original(interface)
    if interface.public_ip and interface.public_ip_auto_assign:
        interface.public_ip = _pool_address(interface.ec2_backend) or interface.public_ip


def _pool_address(backend: Any) -> str | None:
    """A free address of the supervisor's pool; ``None`` (moto makes one up) where there is no pool."""
    if HOOKS.public_address is None:
        return None
    from moto.ec2.models import ec2_backends

    regions: Any = ec2_backends[backend.account_id].values()
    holders = (each for region in regions for each in (*region.addresses, *region.enis.values()))
    taken = frozenset(str(each.public_ip) for each in holders if each.public_ip)
    address = HOOKS.public_address(taken)
    if address is None:
        raise EC2ClientError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return address


@patches.wrap(ElasticAddressBackend)
def release_address(original: Any, backend: Any, address: Any = None, allocation_id: Any = None) -> None:
    found = backend.address_by_ip([address]) if address else backend.address_by_allocation([allocation_id])
    interface = found[0].eni
    in_default_vpc = interface is not None and interface.subnet.vpc_id == getattr(
        backend.default_vpc, "id", None
    )
    if found[0].association_id and not in_default_vpc:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
    original(backend, address, allocation_id)


@patches.wrap(ElasticAddressBackend)
def associate_address(
    original: Any,
    backend: Any,
    instance: Any = None,
    eni: Any = None,
    address: Any = None,
    allocation_id: Any = None,
    reassociate: Any = False,  # noqa: FBT002 as moto calls it
) -> Any:
    """One interface has the address; where it was before, an interface gets back what it had by itself."""
    found = backend.address_by_ip([address]) if address else backend.address_by_allocation([allocation_id])
    if reassociate and found[0].association_id:
        backend.disassociate_address(association_id=found[0].association_id)
    return original(backend, instance, eni, address, allocation_id, reassociate)


@patches.wrap(NatGatewayBackend)
def delete_nat_gateway(original: Any, backend: Any, nat_gateway_id: str) -> Any:
    gateway = backend.nat_gateways.get(nat_gateway_id)
    if gateway is not None and gateway.state != "deleted":
        for address in backend.addresses:
            if address.eni is gateway._eni:
                backend.disassociate_address(address=address.public_ip)
        backend.enis.pop(gateway._eni.id, None)
    return original(backend, nat_gateway_id)


@patches.wrap(SubnetBackend)
def create_subnet(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
    zone = kwargs.get("availability_zone") or (args[3] if len(args) > 3 else None)
    zones = [each.name for each in backend.zones.get(backend.region_name, [])]
    if zone and zones and zone not in zones:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the "
            f"following availability zones: {', '.join(zones)}.",
        )
    return original(backend, *args, **kwargs)


@patches.wrap(SubnetBackend)
def delete_subnet(original: Any, backend: Any, subnet_id: str) -> Any:
    subnet = backend.get_subnet(subnet_id)
    if any(interface.subnet.id == subnet.id for interface in backend.enis.values()) or any(
        subnet_id in users.subnet_ids for users in _users(backend)
    ):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    return original(backend, subnet_id)


@patches.wrap(SecurityGroups, "delete_security_group")
def refuse_default_group(original: Any, response: Any) -> Any:
    group = response.ec2_backend.get_security_group_from_id(response._get_param("GroupId") or "")
    if group is not None and group.name == "default":
        raise EC2ClientError(
            "CannotDelete",
            f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
        )
    return original(response)


@patches.wrap(SecurityGroupBackend)
def delete_security_group(original: Any, backend: Any, name: Any = None, group_id: Any = None) -> Any:
    group = (
        backend.get_security_group_from_id(group_id)
        if group_id
        else backend.get_security_group_by_name_or_id(name)
    )
    if group is not None and _is_used(backend, group):
        raise DependencyViolationError(f"resource {group.id} has a dependent object")
    return original(backend, name, group_id)


def _is_used(backend: Any, group: Any) -> bool:
    if any(group.id in (member.id for member in interface.group_set) for interface in backend.enis.values()):
        return True
    if any(group.id in users.group_ids for users in _users(backend)):
        return True
    groups = (other for each in backend.groups.values() for other in each.values() if other.id != group.id)
    rules = (rule for other in groups for rule in (*other.ingress_rules, *other.egress_rules))
    return any(rule.source_group.get("GroupId") == group.id for rule in rules)


@patches.wrap(VPCBackend)
def delete_vpc(original: Any, backend: Any, vpc_id: str) -> Any:
    gateways = (
        gateway for gateway in backend.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc_id
    )
    groups = (group for group in backend.groups.get(vpc_id, {}).values() if group.name != "default")
    endpoints = (
        each for each in backend.vpc_end_points.values() if each.vpc_id == vpc_id and each.state != "deleted"
    )
    interfaces = (interface for interface in backend.enis.values() if interface.subnet.vpc_id == vpc_id)
    if any(True for hanging in (gateways, groups, endpoints, interfaces) for _ in hanging):
        raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
    return original(backend, vpc_id)


class _User:
    """Something of another service that AWS gives network interfaces of its own and moto does not."""

    def __init__(self, subnet_ids: Iterator[str], group_ids: Iterator[str]) -> None:
        self.subnet_ids = frozenset(subnet_ids)
        self.group_ids = frozenset(group_ids)


def _users(backend: Any) -> Iterator[_User]:
    """Databases and load balancers of the region, from the services that were used so far."""
    account, region = backend.account_id, backend.region_name
    if rds := sys.modules.get("moto.rds.models"):
        databases = rds.rds_backends[account][region]
        for database in databases.databases.values():
            group = getattr(database, "db_subnet_group", None)
            subnets = (each.id for each in group._subnets) if group else iter(())
            yield _User(subnets, iter(database.vpc_security_group_ids))
    if elb := sys.modules.get("moto.elbv2.models"):
        for balancer in elb.elbv2_backends[account][region].load_balancers.values():
            yield _User((each.id for each in balancer.subnets), iter(balancer.security_groups))


def _description(rule: Any) -> str | None:
    """moto shows only the descriptions of rules whose other side is a CIDR."""
    sources = (rule.ip_range, rule.source_group, getattr(rule, "prefix_list_description", None))
    return next(
        (each["Description"] for each in sources if isinstance(each, dict) and each.get("Description")), None
    )


patches.set(SecurityGroupRule, "description", property(_description))


def install() -> None:
    """Install into moto."""
    patches.apply()
