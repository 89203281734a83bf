"""What a load balancer's machine is told, and whom it asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import boto3
import pytest
from moto.elbv2.models import elbv2_backends

from embedded import balancer_agent as agent
from embedded import balancers, managed
from embedded.aws import balancers as shown
from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.hooks import HOOKS
from embedded.aws.server import ApiServer
from infra.core.naming import FAKE_AMI

REGION = "ap-northeast-2"


@pytest.fixture(scope="module")
def found() -> Iterator[tuple[shown.LoadBalancer, str]]:
    """A balancer as the program makes it: two groups, a rule, a redirect; and its one target."""
    api = ApiServer()
    api.start()

    def client(service: str) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=api.url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    try:
        ec2, elb = client("ec2"), client("elbv2")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=REGION + zone)[
                "Subnet"
            ]["SubnetId"]
            for n, zone in ((0, "a"), (1, "b"))
        ]
        instance = ec2.run_instances(
            ImageId=FAKE_AMI, InstanceType="t4g.small", MinCount=1, MaxCount=1, SubnetId=subnets[0]
        )["Instances"][0]
        certificate = client("acm").request_certificate(DomainName="app.example.com", ValidationMethod="DNS")
        balancer = elb.create_load_balancer(Name="b", Subnets=subnets, Type="application")["LoadBalancers"][0]
        groups = {
            name: elb.create_target_group(
                Name=name, Protocol="HTTP", Port=port, VpcId=vpc, HealthCheckPath="/healthz",
                HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=5, UnhealthyThresholdCount=2,
                HealthyThresholdCount=2,
            )["TargetGroups"][0]["TargetGroupArn"]
            for name, port in (("frontend", 80), ("backend", 8090))
        }  # fmt: skip
        elb.register_targets(TargetGroupArn=groups["backend"], Targets=[{"Id": instance["InstanceId"]}])
        https = elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Port=443, Protocol="HTTPS",
            Certificates=[{"CertificateArn": certificate["CertificateArn"]}],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": groups["frontend"]}],
        )["Listeners"][0]  # fmt: skip
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Port=80, Protocol="HTTP",
            DefaultActions=[
                {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Protocol": "HTTPS"}}
            ],
        )  # fmt: skip
        elb.create_rule(
            ListenerArn=https["ListenerArn"], Priority=10,
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*", "/ws/*"]}}],
            Actions=[{"Type": "forward", "TargetGroupArn": groups["backend"]}],
        )  # fmt: skip
        zone = client("route53").create_hosted_zone(Name="example.com", CallerReference="a")["HostedZone"][
            "Id"
        ]
        alias = {
            "HostedZoneId": "Z2P70J7EXAMPLE", "DNSName": balancer["DNSName"], "EvaluateTargetHealth": True
        }  # fmt: skip
        plain = {"TTL": 60, "ResourceRecords": [{"Value": "198.18.0.7"}]}
        for name, record in (("app", {"AliasTarget": alias}), ("box", plain)):
            change = {"Name": f"{name}.example.com", "Type": "A", **record}
            client("route53").change_resource_record_sets(
                HostedZoneId=zone,
                ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": change}]},
            )
        (one,) = shown.balancers()
        yield one, instance["InstanceId"]
    finally:
        api.stop()


def test_listeners_rules_and_targets_are_read_off_the_api(found: tuple[shown.LoadBalancer, str]) -> None:
    balancer, instance = found
    https, http = sorted(balancer.listeners, key=lambda each: -each.port)
    assert (https.names, https.default, https.rules) == (
        ("app.example.com",), "frontend", ((("/api/*", "/ws/*"), "backend"),),
    )  # fmt: skip
    assert (http.port, http.names, http.default) == (80, (), "")
    assert {each.name: each.targets for each in balancer.groups} == {
        "frontend": (), "backend": ((instance, 8090),),
    }  # fmt: skip


def test_its_machine_has_the_address_that_its_name_leads_to(found: tuple[shown.LoadBalancer, str]) -> None:
    balancer, _ = found
    pool = [IPv4Address("198.18.0.1"), IPv4Address("198.18.0.2")]
    (public,) = balancers.public([balancer], pool).values()
    (private,) = balancers.private([balancer], {IPv4Address("10.20.0.254")}).values()
    made = balancers.box(balancer, private, public)
    assert (made.public_ip, made.private_ip) == (pool[1], IPv4Address("10.20.0.253"))


def test_a_name_in_route_53_leads_to_an_address_or_by_an_alias_to_the_balancers(
    found: tuple[shown.LoadBalancer, str],
) -> None:
    placed = {found[0].dns_name: IPv4Address("198.18.0.2")}
    for name, address, seconds in (("app", "198.18.0.2", 60), ("box", "198.18.0.7", 60)):
        reply = managed.resolve(placed, f"{name}.example.com", "A")
        assert reply is not None
        (record,) = reply.records
        assert (record.value, record.ttl_seconds) == (address, seconds)


def test_a_group_without_targets_answers_503_and_a_path_goes_to_its_own_group(
    found: tuple[shown.LoadBalancer, str],
) -> None:
    balancer, instance = found
    wanted = json.loads(balancers.wanted(balancer, {instance: "10.20.0.9"}, lambda name: name.encode()))
    text = agent.render(wanted, {})
    assert "upstream backend { server 10.20.0.9:8090 max_fails=0; }" in text
    assert "location / { return 503; }" in text
    assert "location / { return 301 https://$host$request_uri; }" in text
    assert 'location ~ "^/api/.*$" { proxy_pass http://backend; }' in text


def test_who_is_ill_is_asked_for_nothing_unless_all_are(found: tuple[shown.LoadBalancer, str]) -> None:
    group = {"name": "g", "targets": [["10.0.0.1", 80], ["10.0.0.2", 80]]}
    one, two = ("g", "10.0.0.1", 80), ("g", "10.0.0.2", 80)
    assert agent.routed(group, {one: "healthy", two: "unhealthy"}) == [("10.0.0.1", 80)]
    assert agent.routed(group, {one: "healthy", two: "initial"}) == [("10.0.0.1", 80)]
    assert len(agent.routed(group, {one: "unhealthy", two: "unhealthy"})) == 2


def test_a_machine_is_told_once_and_again_after_it_was_not_ready() -> None:
    said: list[str] = []
    codes = [1, 0]
    told = balancers.Told(lambda machine, _: (said.append(machine), codes.pop(0))[1])
    for text in ("a", "a", "a"):
        told.tell("alb-1", text)
    assert said == ["alb-1", "alb-1"]


def test_a_target_is_as_well_as_the_balancers_machine_finds_it(
    found: tuple[shown.LoadBalancer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, instance = found
    backend: Any = elbv2_backends[ACCOUNT_ID][REGION]
    (arn,) = [each.arn for each in backend.target_groups.values() if each.name == "backend"]
    for said, state, reason in (
        ("healthy", "healthy", None),
        ("initial", "initial", "Elb.InitialHealthChecking"),
        ("unhealthy", "unhealthy", "Target.FailedHealthChecks"),
        (None, "healthy", None),
    ):
        monkeypatch.setattr(HOOKS, "target_health", lambda group, asked, said=said: said)
        (one,) = backend.describe_target_health(arn, [])
        assert (one.instance_id, one.status, one.reason) == (instance, state, reason)


def test_what_the_machine_has_not_asked_yet_is_initial() -> None:
    said = json.dumps([{"group": "backend", "address": "10.20.0.9", "port": 8090, "state": "unhealthy"}])
    assert balancers.health(said, "backend", "10.20.0.9") == "unhealthy"
    assert balancers.health(said, "frontend", "10.20.0.9") == "initial"
    assert balancers.health("", "backend", "10.20.0.9") == "initial"
