"""What addresses, gateways, balancers and names are billed for, from the inputs of pulumi-aws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.core.cost.component import Component, Priced, fixed, used, used_all_month
from infra.core.cost.resource import UNKNOWN, Resource
from infra.core.cost.usage import Usage


def _address(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    yield fixed("public IPv4 address", "ipv4", why="used or idle alike")


def _nat(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield fixed("NAT gateway", "nat")
    yield used("GB through it", "nat.processed", usage, f"nat.gib@{resource.name}")


def _endpoint(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Gateway endpoints are free; an interface endpoint is billed in each zone."""
    if resource.value("vpcEndpointType", "Gateway") == "Gateway":
        return
    subnets = resource.value("subnetIds", [])
    yield fixed("interface endpoint, zones", "vpce", len(subnets))
    yield used("GB through it", "vpce.processed", usage, f"vpce.gib@{resource.name}")


def _flow_log(resource: Resource, usage: Usage) -> Iterator[Component]:
    yield used("records delivered", "logs.vended", usage, f"logs.flow.gib@{resource.name}")


def _balancer(resource: Resource, usage: Usage) -> Iterator[Component]:
    """Hours, LCUs, and an address in each zone of one that faces the internet."""
    yield fixed("load balancer", "alb")
    yield used_all_month("LCUs", "alb.lcu", usage, f"alb.lcu@{resource.name}")
    if not resource.value("internal", default=False):
        zones = resource.inputs.get("subnets") or resource.inputs.get("subnetMappings") or []
        count = len(zones) if zones != UNKNOWN else len(resource.value("subnets"))
        yield fixed("public IPv4 addresses, one in each zone", "ipv4", count)


def _zone(_resource: Resource, usage: Usage) -> Iterator[Component]:
    yield fixed("hosted zone", "route53.zone")
    yield used("look-ups", "route53.queries", usage, "dns.million")


def _health_check(_resource: Resource, _usage: Usage) -> Iterator[Component]:
    yield fixed("health check", "route53.health-check")


def _firewall(resource: Resource, usage: Usage) -> Iterator[Component]:
    """The list, each rule or group in it, and the requests that it sees."""
    yield fixed("web ACL", "waf.acl")
    if rules := len(resource.value("rules", [])):
        yield fixed("rules", "waf.rule", rules)
    yield used("requests seen", "waf.requests", usage, f"waf.million@{resource.name}")


PRICED: Mapping[str, Priced] = {
    "aws:ec2/eip:Eip": _address,
    "aws:ec2/natGateway:NatGateway": _nat,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:alb/loadBalancer:LoadBalancer": _balancer,
    "aws:route53/zone:Zone": _zone,
    "aws:route53/healthCheck:HealthCheck": _health_check,
    "aws:wafv2/webAcl:WebAcl": _firewall,
}
