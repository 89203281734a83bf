"""What Options B and C and the climbs between options register, read off the program itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
INSTANCE = "aws:ec2/instance:Instance"
DATABASE = "aws:rds/instance:Instance"
NAMED = {"terrace:domain": "app.example.com", "terrace:dns": {"zoneId": "Z0123456789ABC"}}
SPLIT = {"terrace:stage": "split"}
PRIVATE = {"terrace:stage": "private", **NAMED}
WITHOUT_NAT = {**PRIVATE, "terrace:edge": {"nat": "none", "packages": "ab" * 32}}


def ways_in(found: Any) -> set[tuple[str, int, str]]:
    """Who reaches which group on which port: group, port, block or group."""
    return {
        (
            rule.inputs["securityGroupId"].removeprefix("SecurityGroup-"),
            rule.inputs["fromPort"],
            (rule.inputs.get("cidrIpv4") or rule.inputs["referencedSecurityGroupId"]).removeprefix(
                "SecurityGroup-"
            ),
        )
        for rule in found.of(INGRESS)
    }


def test_in_b_the_world_reaches_the_frontend_the_frontend_the_backend_and_the_backend_the_database(
    program: Run,
) -> None:
    assert ways_in(program(SPLIT)) == {
        ("frontend-public", 443, "0.0.0.0/0"),
        ("frontend-public", 80, "0.0.0.0/0"),
        ("backend-public", 8090, "frontend-public"),
        ("database", 5432, "backend-public"),
    }
    assert not [rule for rule in program(SPLIT).of(EGRESS) if "database" in rule.inputs["securityGroupId"]]


def test_in_c_the_world_reaches_the_load_balancer_alone(program: Run) -> None:
    assert ways_in(program(PRIVATE)) == {
        ("balancer", 443, "0.0.0.0/0"),
        ("balancer", 80, "0.0.0.0/0"),
        ("frontend-private", 80, "balancer"),
        ("backend-private", 8090, "balancer"),
        ("backend-private", 8090, "frontend-private"),
        ("database", 5432, "backend-private"),
    }


def test_a_private_box_has_no_address_and_stands_in_a_private_subnet(program: Run) -> None:
    found = program(PRIVATE)
    for box in found.of(INSTANCE):
        assert box.inputs["subnetId"] == "Subnet-private-ap-northeast-2a"
        assert "associatePublicIpAddress" not in box.inputs
    assert [each.name for each in found.of("aws:ec2/eip:Eip")] == ["nat-ap-northeast-2a"]


def test_without_a_nat_gateway_private_boxes_have_endpoints_of_their_own_and_no_way_out(program: Run) -> None:
    found = program(WITHOUT_NAT)
    assert not found.of("aws:ec2/natGateway:NatGateway")
    assert not found.of("aws:ec2/eip:Eip")
    assert [each.name for each in found.of("aws:ec2/route:Route")] == ["public-internet"]
    endpoints = {each.name: each.inputs for each in found.of("aws:ec2/vpcEndpoint:VpcEndpoint")}
    assert set(endpoints) == {
        "s3", "ssm", "ssmmessages", "logs", "monitoring", "kms", "secretsmanager", "sts",
    }  # fmt: skip
    for name in set(endpoints) - {"s3"}:
        told = endpoints[name]
        assert told["serviceName"] == f"com.amazonaws.ap-northeast-2.{name}"
        assert (told["vpcEndpointType"], told["privateDnsEnabled"]) == ("Interface", True)
        assert told["subnetIds"] == ["Subnet-private-ap-northeast-2a"], "where the boxes stand"
    assert ("endpoints", 443, "10.20.0.0/16") in ways_in(found)
    facts = json.loads(found.one("aws:ssm/parameter:Parameter", "host-facts").inputs["insecureValue"])
    assert facts["packages"] == {"key": "packages/abababababab.tar", "sha256": "ab" * 32}


def test_how_private_boxes_get_out_changes_no_byte_of_what_they_are_told_at_birth(program: Run) -> None:
    found, plain = program(WITHOUT_NAT), program(PRIVATE)
    for box in found.of(INSTANCE):
        assert box.inputs["userData"] == plain.one(INSTANCE, box.name).inputs["userData"]
        assert '"placement": "private"' in box.inputs["userData"]


@pytest.mark.parametrize("changes", [SPLIT, PRIVATE], ids=["split", "private"])
def test_the_database_is_closed_encrypted_kept_and_its_password_is_rds_own(
    program: Run, changes: dict[str, Any]
) -> None:
    database = program(changes).one(DATABASE)
    wanted = {
        "publiclyAccessible": False,
        "storageEncrypted": True,
        "kmsKeyId": "arn:aws:mock:::Key/key",
        "caCertIdentifier": "rds-ca-rsa2048-g1",
        "autoMinorVersionUpgrade": True,
        "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "manageMasterUserPassword": True,
        "deletionProtection": True,
        "skipFinalSnapshot": False,
        "backupRetentionPeriod": 7,
        "engineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "storageType": "gp3",
        "allocatedStorage": 20,
        "instanceClass": "db.t4g.micro",
    }
    assert {key: database.inputs[key] for key in wanted} == wanted
    assert database.options["protect"]
    assert not {"password", "passwordWo"} & set(database.inputs)
    parameters = program(changes).one("aws:rds/parameterGroup:ParameterGroup").inputs["parameters"]
    assert {each["name"]: each["value"] for each in parameters} == {
        "rds.force_ssl": "1",
        "rds.logical_replication": "1",
        "max_connections": "80",
    }


def test_the_database_stands_in_the_same_subnets_in_b_and_in_c(program: Run) -> None:
    groups = [
        program(changes).one("aws:rds/subnetGroup:SubnetGroup").inputs["subnetIds"]
        for changes in (SPLIT, PRIVATE)
    ]
    assert groups[0] == groups[1]
    assert groups[0] == ["Subnet-database-ap-northeast-2a", "Subnet-database-ap-northeast-2c"]


def test_replication_passes_only_while_a_climb_joins_box_and_database(program: Run) -> None:
    climbing = program({"terrace:climb": {"to": "split", "phase": "expanded"}})
    joined = {("app", 5432, "database"), ("database", 5432, "app")}
    assert joined <= ways_in(climbing)
    rested = program({**SPLIT, "terrace:kept": ["box-data"]})
    assert not joined & ways_in(rested)
    kept = program({"terrace:kept": ["database"]})
    assert not joined & ways_in(kept)


@pytest.mark.parametrize(
    ("phase", "box"), [("expanded", "Instance-app"), ("moved", "Instance-frontend-public")]
)
def test_the_one_association_takes_the_address_to_the_side_that_serves(
    program: Run, phase: str, box: str
) -> None:
    found = program({"terrace:climb": {"to": "split", "phase": phase}})
    association = found.one("aws:ec2/eipAssociation:EipAssociation")
    assert (association.name, association.inputs["instanceId"]) == ("address", box)


def test_the_record_points_to_the_balancer_once_the_climb_has_moved(program: Run) -> None:
    for phase, aliased in (("expanded", False), ("moved", True)):
        found = program({**SPLIT, **NAMED, "terrace:climb": {"to": "private", "phase": phase}})
        record = found.one("aws:route53/record:Record", "address").inputs
        assert bool(record.get("aliases")) == aliased
        assert bool(record.get("records")) != aliased


def test_a_side_that_the_world_reaches_keeps_its_certificate_as_long_as_it_stands(program: Run) -> None:
    moved = {**SPLIT, **NAMED, "terrace:climb": {"to": "private", "phase": "moved"}}
    for changes, wanted in ((moved, "production"), (PRIVATE, "")):
        facts = program(changes).one("aws:ssm/parameter:Parameter", "host-facts").inputs["insecureValue"]
        told = json.loads(facts)
        assert told["certificate"] == wanted
        assert len(told["balanced_subnets"]) == 2


def test_a_web_acl_stands_before_the_load_balancer_where_it_is_switched_on(program: Run) -> None:
    acl = "aws:wafv2/webAcl:WebAcl"
    assert not program(PRIVATE).of(acl)
    for mode, action in (("count", {"count": {}}), ("block", {"none": {}})):
        found = program({**PRIVATE, "terrace:edge": {"firewall": mode}})
        rules = found.one(acl).inputs["rules"]
        assert [each["overrideAction"] for each in rules] == [action] * 3
        assert found.one(acl).inputs["defaultAction"] == {"allow": {}}
        link = found.one("aws:wafv2/webAclAssociation:WebAclAssociation").inputs
        assert link["resourceArn"] == "arn:aws:mock:::LoadBalancer/balancer"
        assert link["webAclArn"] == "arn:aws:mock:::WebAcl/firewall"


def test_what_is_released_is_protected_no_more_and_everything_else_still_is(program: Run) -> None:
    found = program({**SPLIT, "terrace:kept": ["box-data"], "terrace:released": ["box-data"]})
    assert not found.one("aws:ebs/volume:Volume").options["protect"]
    assert found.one("aws:ebs/volume:Volume").options["hooks"] == []
    assert found.one(DATABASE).options["protect"]
    assert found.one("aws:ec2/eip:Eip").options["protect"]


def test_the_record_of_the_writer_waits_unset_for_the_data_where_a_climb_made_the_database(
    program: Run,
) -> None:
    fresh = program(SPLIT).one("aws:ssm/parameter:Parameter", "database-writer")
    assert json.loads(fresh.inputs["insecureValue"]) == {
        "epoch": 1,
        "end": "rds",
        "host": "database.mock",
        "port": 5432,
    }
    assert fresh.options["ignore_changes"] == ["insecureValue"]
    endpoint = program(SPLIT).one("aws:ssm/parameter:Parameter", "database-endpoint")
    assert endpoint.inputs["insecureValue"] == "database.mock:5432"
    climbing = program({"terrace:climb": {"to": "split", "phase": "expanded"}})
    record = climbing.one("aws:ssm/parameter:Parameter", "database-writer")
    assert record.inputs["insecureValue"] == "unset"


def test_the_single_box_may_be_the_databases_master_only_while_rows_move(program: Run) -> None:
    def may(changes: dict[str, Any], box: str) -> bool:
        return "MasterSecret" in program(changes).one("aws:iam/rolePolicy:RolePolicy", box).inputs["policy"]

    assert may({"terrace:climb": {"to": "split", "phase": "expanded"}}, "app")
    assert not may({"terrace:kept": ["database"]}, "app")
    assert may(SPLIT, "backend-public")
    assert not may(SPLIT, "frontend-public")


def test_deploys_and_moves_find_their_boxes_in_the_outputs(program: Run) -> None:
    split = program(SPLIT).outputs
    assert set(split["boxes"]) == {"frontend", "backend"}
    assert split["mover"] == split["boxes"]["backend"]
    climbing = program({"terrace:climb": {"to": "split", "phase": "expanded"}}).outputs
    assert climbing["mover"] == climbing["boxes"]["single"]
    assert program({"terrace:climb": {"to": "split", "phase": "moved"}}).outputs["mover"] == climbing["mover"]


@pytest.mark.parametrize(("nat", "gateways"), [("one", 1), ("per-zone", 2)])
def test_nat_is_one_gateway_or_one_for_each_zone(program: Run, nat: str, gateways: int) -> None:
    found = program({**PRIVATE, "terrace:edge": {"nat": nat}})
    assert len(found.of("aws:ec2/natGateway:NatGateway")) == gateways
    routes = [
        each.inputs["natGatewayId"] for each in found.of("aws:ec2/route:Route") if "private" in each.name
    ]
    assert (len(routes), len(set(routes))) == (2, gateways)


def test_the_load_balancer_speaks_modern_tls_and_is_protected_while_it_serves(program: Run) -> None:
    found = program(PRIVATE)
    balancer = found.one("aws:lb/loadBalancer:LoadBalancer").inputs
    assert balancer["dropInvalidHeaderFields"] is True
    assert balancer["desyncMitigationMode"] == "defensive"
    assert balancer["enableDeletionProtection"] is True
    https = found.one("aws:lb/listener:Listener", "https").inputs
    assert https["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    rule = found.one("aws:lb/listenerRule:ListenerRule").inputs
    assert rule["conditions"][0]["pathPattern"]["values"] == ["/api/*", "/ws/*"]
    leaving = program({**PRIVATE, "terrace:climb": {"to": "split", "phase": "moved"}})
    assert leaving.one("aws:lb/loadBalancer:LoadBalancer").inputs["enableDeletionProtection"] is False
