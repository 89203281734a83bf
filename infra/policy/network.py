"""The only place for the rules of networks, security groups and load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infra.core.cost.resource import Resource, dig
from infra.policy.judging import Facts, Rule, Severity, StackRule

INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
OLD_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
SUBNET = "aws:ec2/subnet:Subnet"
VPC = "aws:ec2/vpc:Vpc"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
LISTENER = "aws:lb/listener:Listener"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"

WORLD = ("0.0.0.0/0", "::/0")
PUBLIC_PORTS = (80, 443)
REMOTE_PORTS = {22: "SSH", 3389: "RDP"}
TLS_POLICIES = ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", "ELBSecurityPolicy-TLS13-1-2-2021-06")
ALL_PORTS = (0, 65535)


@dataclass(frozen=True, slots=True)
class _Opening:
    sources: tuple[str, ...]
    first: int
    last: int

    def __str__(self) -> str:
        ports = "all ports" if (self.first, self.last) == ALL_PORTS else f"ports {self.first} to {self.last}"
        return f"port {self.first}" if self.first == self.last else ports


def _openings(resource: Resource) -> Iterator[_Opening]:
    """What a resource lets in, in whichever of the three forms AWS has for it."""
    if resource.token == INGRESS:
        sources = (resource.value("cidrIpv4"), resource.value("cidrIpv6"))
        yield _opening(
            resource.value("ipProtocol"), resource.value("fromPort"), resource.value("toPort"), sources
        )
    elif resource.token == OLD_RULE:
        if resource.value("type") == "ingress":
            sources = (*(resource.value("cidrBlocks") or ()), *(resource.value("ipv6CidrBlocks") or ()))
            yield _opening(
                resource.value("protocol"), resource.value("fromPort"), resource.value("toPort"), sources
            )
    else:
        for each in resource.value("ingress", default=()) or ():
            sources = (*(dig(each, "cidrBlocks") or ()), *(dig(each, "ipv6CidrBlocks") or ()))
            yield _opening(dig(each, "protocol"), dig(each, "fromPort"), dig(each, "toPort"), sources)


def _opening(protocol: Any, first: Any, last: Any, sources: Sequence[Any]) -> _Opening:
    named = tuple(str(each) for each in sources if each)
    if str(protocol) in ("-1", "all") or first is None or last is None:
        return _Opening(named, *ALL_PORTS)
    return _Opening(named, int(first), int(last))


def _world(resource: Resource, _facts: Facts) -> Iterator[str]:
    for opening in _openings(resource):
        for source in opening.sources:
            if source in WORLD and (opening.first != opening.last or opening.first not in PUBLIC_PORTS):
                yield f"{opening} is open to {source}; the world may reach 80 and 443 alone"


def _remote(resource: Resource, _facts: Facts) -> Iterator[str]:
    for opening in _openings(resource):
        for port, name in REMOTE_PORTS.items():
            if opening.first <= port <= opening.last and opening.sources:
                yield f"{name} (port {port}) is open to {', '.join(opening.sources)}"


def _closed(resource: Resource, _facts: Facts) -> Iterator[str]:
    for direction in ("ingress", "egress"):
        if count := len(resource.value(direction, default=()) or ()):
            yield f"the VPC's default security group has {count} {direction} rules"


def _no_auto_address(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("mapPublicIpOnLaunch", default=False):
        yield "gives every machine a public address at launch"


def _flow_logs(resources: Sequence[Resource], _facts: Facts) -> Iterator[tuple[str, str]]:
    networks = [each for each in resources if each.token == VPC]
    if len(networks) > sum(1 for each in resources if each.token == FLOW_LOG):
        for each in networks:
            yield each.urn, "no flow log records what passes"


def _tls(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("protocol") in ("HTTPS", "TLS"):
        policy = resource.value("sslPolicy")
        if policy not in TLS_POLICIES:
            yield f"the TLS policy is {policy!r}, not one of {', '.join(TLS_POLICIES)}"


def _redirects(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("protocol") != "HTTP":
        return
    for action in resource.value("defaultActions", default=()) or ():
        if dig(action, "type") != "redirect" or dig(action, "redirect.protocol") != "HTTPS":
            yield f"HTTP is answered by {dig(action, 'type')!r}, not by a redirect to HTTPS"


def _headers(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("dropInvalidHeaderFields", default=False) is not True:
        yield "invalid header fields reach the boxes"
    if (mode := resource.value("desyncMitigationMode", default="defensive")) not in (
        "defensive",
        "strictest",
    ):
        yield f"desyncMitigationMode is {mode!r}"


def _balancer_logs(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("accessLogs.enabled", default=False) is not True:
        yield "requests are not logged"


def _own_names(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("vpcEndpointType", default="Gateway") == "Interface":
        if resource.value("privateDnsEnabled", default=False) is not True:
            yield "nobody is led to it: the service's own name leads out of the VPC, past the endpoint"
        if not resource.value("securityGroupIds", default=()):
            yield "no security group of its own says who reaches it"


_GROUPS = (INGRESS, OLD_RULE, GROUP)
RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        "sg-world-80-443", "EC2.18", Severity.HIGH, "The world reaches 80 and 443 alone",
        "Name the blocks or the security group that may come in", _GROUPS, _world,
    ),
    Rule(
        "sg-no-remote-login", "EC2.13", Severity.HIGH, "SSH and RDP are open to nobody",
        "Take the rule out; use Session Manager", _GROUPS, _remote,
    ),
    Rule(
        "sg-default-closed", "EC2.2", Severity.HIGH, "A VPC's default security group lets nothing pass",
        "Give it empty lists: ingress=[], egress=[]", (DEFAULT_GROUP,), _closed,
    ),
    Rule(
        "subnet-no-auto-address", "EC2.15", Severity.MEDIUM, "No subnet gives public addresses away",
        "Leave map_public_ip_on_launch out; say it at the one machine that needs it", (SUBNET,), _no_auto_address,
    ),
    StackRule(
        "vpc-flow-logs", "EC2.6", Severity.MEDIUM, "Every VPC records its flows",
        "Make a FlowLog to the logs bucket (components/network.py)", _flow_logs,
    ),
    Rule(
        "vpce-own-names", "terrace", Severity.MEDIUM, "Interface endpoints answer to the services' own names",
        "Set private_dns_enabled=True and security_group_ids (components/network.py)", (ENDPOINT,), _own_names,
    ),
    Rule(
        "alb-tls", "ELB.17", Severity.HIGH, "Listeners speak TLS by a current policy",
        f'Set ssl_policy="{TLS_POLICIES[0]}"', (LISTENER,), _tls,
    ),
    Rule(
        "alb-redirects", "ELB.1", Severity.MEDIUM, "HTTP is answered by a redirect to HTTPS",
        "Make the HTTP listener's default action a redirect", (LISTENER,), _redirects,
    ),
    Rule(
        "alb-headers", "ELB.4", Severity.MEDIUM, "Load balancers drop malformed headers",
        "Set drop_invalid_header_fields=True and desync_mitigation_mode=\"defensive\"", (BALANCER,), _headers,
    ),
    Rule(
        "alb-logs", "ELB.5", Severity.MEDIUM, "Load balancers log requests",
        "Set access_logs with the logs bucket, enabled=True", (BALANCER,), _balancer_logs,
    ),
)  # fmt: skip
