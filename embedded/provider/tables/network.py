"""VPC, subnets, routes, security groups, endpoints, flow logs, addresses."""

from __future__ import annotations

from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAGS,
    Call,
    Expression,
    Kind,
    Look,
    Read,
    Scope,
    Update,
    Wait,
    before,
    found,
    from_inputs,
    given,
    tag_specification,
    text,
)

EC2_TAGS = Update(
    ("tags",),
    (
        Call("ec2.delete_tags", {"Resources": [ID], "Tags": Expression(lambda s: _keys(s))}, when=GONE_TAGS),
        Call("ec2.create_tags", {"Resources": [ID], "Tags": TAGS}, when=TAGS),
    ),
)
"""How EC2 changes tags, for every kind whose id is the tagged resource's."""

ONLY_HERE = "the embedded cloud has one region"


def _keys(scope: Scope) -> list[dict[str, str]]:
    return [{"Key": key} for key in GONE_TAGS(scope)]


def ec2_arn(kind: str) -> Expression:
    """`arn:aws:ec2:REGION:ACCOUNT:KIND/ID`."""
    return text(f"arn:aws:ec2:{{region}}:{{account}}:{kind}/{{id}}")


def _flag(name: str) -> Call:
    """A VPC's attribute; ModifyVpcAttribute takes one at a time."""
    return Call(
        "ec2.modify_vpc_attribute",
        {"VpcId": ID, name[0].upper() + name[1:]: {"Value": given(name)}},
        when=Expression(lambda scope: scope.inputs.get(name) is not None),
    )


def _vpc_attribute(name: str) -> Read:
    member = name[0].upper() + name[1:]
    return Read(
        "ec2.describe_vpc_attribute", {"VpcId": ID, "Attribute": name}, at=f"{{{member}: {member}.Value}}"
    )


def _route_destination(inputs: Any) -> str:
    return str(inputs.get("destinationCidrBlock") or inputs.get("destinationIpv6CidrBlock"))


def _route_member(name: str) -> Expression:
    """A member of the one route in the table's answer that goes to the resource's destination."""

    def evaluate(scope: Scope) -> Any:
        wanted = _route_destination(scope.inputs)
        for route in scope.answer.get("Routes") or []:
            if route.get("DestinationCidrBlock") == wanted:
                return route.get(name[0].upper() + name[1:])
        return None

    return Expression(evaluate)


ROUTE_TARGETS = ("gatewayId", "natGatewayId", "networkInterfaceId", "vpcEndpointId")
_ROUTE = {
    "RouteTableId": given("routeTableId"),
    "DestinationCidrBlock": given("destinationCidrBlock"),
}

RULE_FIELDS = {
    "FromPort": given("fromPort"),
    "ToPort": given("toPort"),
    "IpProtocol": given("ipProtocol"),
}


def _permission(inputs: Any) -> list[dict[str, Any]]:
    """One rule as EC2's IpPermission."""
    about = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: dict[str, Any] = {
        "IpProtocol": inputs["ipProtocol"],
        "FromPort": inputs.get("fromPort", -1),
        "ToPort": inputs.get("toPort", -1),
    }
    if inputs.get("cidrIpv4"):
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **about}]
    if inputs.get("cidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **about}]
    if inputs.get("referencedSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **about}]
    if inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **about}]
    return [permission]


_RULE_INPUTS = (
    "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6", "referencedSecurityGroupId", "prefixListId",
    "description",
)  # fmt: skip


def _rule(direction: str) -> Kind:
    """A security group's rule in one direction, `ingress` or `egress`."""
    return Kind(
        f"aws:vpc/securityGroup{direction.capitalize()}Rule:SecurityGroup{direction.capitalize()}Rule",
        create=Call(
            f"ec2.authorize_security_group_{direction}",
            {
                "GroupId": given("securityGroupId"),
                "IpPermissions": from_inputs(*_RULE_INPUTS)(_permission),
                "TagSpecifications": tag_specification("security-group-rule"),
            },
        ),
        id=found("SecurityGroupRules[0].SecurityGroupRuleId"),
        read=(
            Read(
                "ec2.describe_security_group_rules",
                {"SecurityGroupRuleIds": [ID]},
                at="SecurityGroupRules[0]",
            ),
        ),
        updates=(
            Update(
                (*_RULE_INPUTS,),
                (
                    Call(
                        "ec2.modify_security_group_rules",
                        {
                            "GroupId": given("securityGroupId"),
                            "SecurityGroupRules": [
                                {
                                    "SecurityGroupRuleId": ID,
                                    "SecurityGroupRule": {
                                        "IpProtocol": given("ipProtocol"),
                                        "FromPort": given("fromPort"),
                                        "ToPort": given("toPort"),
                                        "CidrIpv4": given("cidrIpv4"),
                                        "CidrIpv6": given("cidrIpv6"),
                                        "PrefixListId": given("prefixListId"),
                                        "ReferencedGroupId": given("referencedSecurityGroupId"),
                                        "Description": given("description"),
                                    },
                                }
                            ],
                        },
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={
            "arn": ec2_arn("security-group-rule"),
            "securityGroupRuleId": ID,
            "securityGroupId": found("GroupId"),
            "referencedSecurityGroupId": found("ReferencedGroupInfo.GroupId"),
            "fromPort": Expression(lambda scope: _port(scope, "FromPort")),
            "toPort": Expression(lambda scope: _port(scope, "ToPort")),
        },
        delete=(
            Call(
                f"ec2.revoke_security_group_{direction}",
                {"GroupId": given("securityGroupId"), "SecurityGroupRuleIds": [ID]},
                missing_is_fine=True,
            ),
        ),
    )


def _port(scope: Scope, name: str) -> int | None:
    """-1 stands for every port, which pulumi-aws leaves out."""
    port = scope.answer.get(name)
    return None if port == -1 else port


def _revoke_all(direction: str, member: str) -> Call:
    """Takes every permission of that direction out of a group that was just looked at."""

    def permissions(scope: Scope) -> Any:
        if scope.inputs.get(direction):
            raise ValueError(f"{direction} of a default security group is carried only while it is empty")
        return scope.answer.get(member)

    return Call(
        f"ec2.revoke_security_group_{direction}",
        {"GroupId": ID, "IpPermissions": Expression(permissions, (direction,))},
        when=Expression(permissions),
    )


_NOTHING_PASSES = (
    _revoke_all("ingress", "IpPermissions"),
    _revoke_all("egress", "IpPermissionsEgress"),
)

KINDS = (
    Kind(
        "aws:ec2/vpc:Vpc",
        create=Call("ec2.create_vpc", {"TagSpecifications": tag_specification("vpc")}, auto=True),
        id=found("Vpc.VpcId"),
        then=(_flag("enableDnsSupport"), _flag("enableDnsHostnames")),
        read=(
            Read("ec2.describe_vpcs", {"VpcIds": [ID]}, at="Vpcs[0]"),
            _vpc_attribute("enableDnsSupport"),
            _vpc_attribute("enableDnsHostnames"),
            Read(
                "ec2.describe_security_groups",
                {
                    "Filters": [
                        {"Name": "vpc-id", "Values": [ID]},
                        {"Name": "group-name", "Values": ["default"]},
                    ]
                },
                at="{DefaultSecurityGroupId: SecurityGroups[0].GroupId}",
            ),
            Read(
                "ec2.describe_route_tables",
                {
                    "Filters": [
                        {"Name": "vpc-id", "Values": [ID]},
                        {"Name": "association.main", "Values": ["true"]},
                    ]
                },
                at="{MainRouteTableId: RouteTables[0].RouteTableId}",
            ),
        ),
        updates=(
            Update(("enableDnsSupport",), (_flag("enableDnsSupport"),)),
            Update(("enableDnsHostnames",), (_flag("enableDnsHostnames"),)),
            EC2_TAGS,
        ),
        outputs={
            "arn": ec2_arn("vpc"),
            "defaultRouteTableId": found("MainRouteTableId"),
        },
        delete=(Call("ec2.delete_vpc", {"VpcId": ID}),),
    ),
    Kind(
        "aws:ec2/subnet:Subnet",
        create=Call("ec2.create_subnet", {"TagSpecifications": tag_specification("subnet")}, auto=True),
        id=found("Subnet.SubnetId"),
        then=(
            Call(
                "ec2.modify_subnet_attribute",
                {"SubnetId": ID, "MapPublicIpOnLaunch": {"Value": given("mapPublicIpOnLaunch")}},
                when=given("mapPublicIpOnLaunch"),
            ),
        ),
        read=(Read("ec2.describe_subnets", {"SubnetIds": [ID]}, at="Subnets[0]"),),
        updates=(
            Update(
                ("mapPublicIpOnLaunch",),
                (
                    Call(
                        "ec2.modify_subnet_attribute",
                        {"SubnetId": ID, "MapPublicIpOnLaunch": {"Value": given("mapPublicIpOnLaunch")}},
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={"arn": ec2_arn("subnet")},
        delete=(Call("ec2.delete_subnet", {"SubnetId": ID}),),
    ),
    Kind(
        "aws:ec2/internetGateway:InternetGateway",
        create=Call(
            "ec2.create_internet_gateway", {"TagSpecifications": tag_specification("internet-gateway")}
        ),
        id=found("InternetGateway.InternetGatewayId"),
        then=(
            Call(
                "ec2.attach_internet_gateway",
                {"InternetGatewayId": ID, "VpcId": given("vpcId")},
                when=given("vpcId"),
            ),
        ),
        read=(
            Read(
                "ec2.describe_internet_gateways",
                {"InternetGatewayIds": [ID]},
                at="InternetGateways[0]",
            ),
        ),
        updates=(
            Update(
                ("vpcId",),
                (
                    Call(
                        "ec2.detach_internet_gateway",
                        {"InternetGatewayId": ID, "VpcId": before("vpcId")},
                        when=before("vpcId"),
                        missing_is_fine=True,
                    ),
                    Call(
                        "ec2.attach_internet_gateway",
                        {"InternetGatewayId": ID, "VpcId": given("vpcId")},
                        when=given("vpcId"),
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={"arn": ec2_arn("internet-gateway"), "vpcId": found("Attachments[0].VpcId")},
        delete=(
            Call(
                "ec2.detach_internet_gateway",
                {"InternetGatewayId": ID, "VpcId": given("vpcId")},
                when=given("vpcId"),
                missing_is_fine=True,
            ),
            Call("ec2.delete_internet_gateway", {"InternetGatewayId": ID}),
        ),
    ),
    Kind(
        "aws:ec2/routeTable:RouteTable",
        create=Call(
            "ec2.create_route_table",
            {"VpcId": given("vpcId"), "TagSpecifications": tag_specification("route-table")},
        ),
        id=found("RouteTable.RouteTableId"),
        read=(Read("ec2.describe_route_tables", {"RouteTableIds": [ID]}, at="RouteTables[0]"),),
        updates=(EC2_TAGS,),
        # Routes are resources of their own here; the inline form would fight with them.
        outputs={"arn": ec2_arn("route-table"), "routes": Expression(lambda _: None)},
        delete=(Call("ec2.delete_route_table", {"RouteTableId": ID}),),
    ),
    Kind(
        "aws:ec2/route:Route",
        create=Call("ec2.create_route", dict(_ROUTE), auto=True),
        id=from_inputs("routeTableId")(lambda i: f"r-{i['routeTableId']}-{_route_destination(i)}"),
        read=(
            Read(
                "ec2.describe_route_tables",
                {
                    "RouteTableIds": [given("routeTableId")],
                    "Filters": [
                        {
                            "Name": "route.destination-cidr-block",
                            "Values": [from_inputs()(_route_destination)],
                        }
                    ],
                },
                at="RouteTables[0].{Routes: Routes}",
            ),
        ),
        updates=(Update(ROUTE_TARGETS, (Call("ec2.replace_route", dict(_ROUTE), auto=True),)),),
        outputs={name: _route_member(name) for name in (*ROUTE_TARGETS, "state", "origin")},
        delete=(Call("ec2.delete_route", dict(_ROUTE), missing_is_fine=True),),
    ),
    Kind(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        create=Call(
            "ec2.associate_route_table",
            {"RouteTableId": given("routeTableId"), "SubnetId": given("subnetId")},
        ),
        id=found("AssociationId"),
        read=(
            Read(
                "ec2.describe_route_tables",
                {"Filters": [{"Name": "association.route-table-association-id", "Values": [ID]}]},
                at="RouteTables[0].{RouteTableId: RouteTableId}",
            ),
        ),
        updates=(
            Update(
                ("routeTableId",),
                (
                    Call("ec2.disassociate_route_table", {"AssociationId": ID}),
                    Call(
                        "ec2.associate_route_table",
                        {"RouteTableId": given("routeTableId"), "SubnetId": given("subnetId")},
                    ),
                ),
            ),
        ),
        delete=(Call("ec2.disassociate_route_table", {"AssociationId": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        # Adopted, never made: every VPC has one. What it lets through is taken out.
        create=Call(
            "ec2.describe_security_groups",
            {
                "Filters": [
                    {"Name": "vpc-id", "Values": [given("vpcId")]},
                    {"Name": "group-name", "Values": ["default"]},
                ]
            },
        ),
        id=found("SecurityGroups[0].GroupId"),
        then=(
            Look(),
            *_NOTHING_PASSES,
            Call("ec2.create_tags", {"Resources": [ID], "Tags": TAGS}, when=TAGS),
        ),
        read=(Read("ec2.describe_security_groups", {"GroupIds": [ID]}, at="SecurityGroups[0]"),),
        updates=(Update(("ingress", "egress"), (Look(), *_NOTHING_PASSES)), EC2_TAGS),
        outputs={
            "arn": ec2_arn("security-group"),
            "name": found("GroupName"),
            "ingress": found("IpPermissions"),
            "egress": found("IpPermissionsEgress"),
        },
        # It cannot be deleted; it goes with its VPC (pulumi-aws only forgets it).
        delete=(),
    ),
    Kind(
        "aws:ec2/securityGroup:SecurityGroup",
        autoname="name",
        create=Call(
            "ec2.create_security_group",
            {
                "GroupName": given("name"),
                "Description": given("description"),
                "TagSpecifications": tag_specification("security-group"),
            },
            auto=True,
        ),
        id=found("GroupId"),
        # As pulumi-aws does: AWS lets a new group's traffic out, a group without rules does not.
        then=(
            Call(
                "ec2.revoke_security_group_egress",
                {
                    "GroupId": ID,
                    "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
                },
            ),
        ),
        read=(Read("ec2.describe_security_groups", {"GroupIds": [ID]}, at="SecurityGroups[0]"),),
        updates=(EC2_TAGS,),
        outputs={
            "arn": ec2_arn("security-group"),
            "name": found("GroupName"),
            # Rules are resources of their own here.
            "ingress": Expression(lambda _: None),
            "egress": Expression(lambda _: None),
        },
        delete=(Call("ec2.delete_security_group", {"GroupId": ID}),),
    ),
    _rule("ingress"),
    _rule("egress"),
    Kind(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        create=Call(
            "ec2.create_vpc_endpoint",
            {
                "PolicyDocument": given("policy"),
                "TagSpecifications": tag_specification("vpc-endpoint"),
            },
            auto=True,
        ),
        id=found("VpcEndpoint.VpcEndpointId"),
        read=(Read("ec2.describe_vpc_endpoints", {"VpcEndpointIds": [ID]}, at="VpcEndpoints[0]"),),
        updates=(
            Update(
                ("routeTableIds", "policy", "subnetIds", "securityGroupIds", "privateDnsEnabled"),
                (
                    Call(
                        "ec2.modify_vpc_endpoint",
                        {
                            "VpcEndpointId": ID,
                            "PolicyDocument": given("policy"),
                            "AddRouteTableIds": Expression(
                                lambda s: _news(s, "routeTableIds"), ("routeTableIds",)
                            ),
                            "RemoveRouteTableIds": Expression(lambda s: _olds(s, "routeTableIds")),
                            "AddSubnetIds": Expression(lambda s: _news(s, "subnetIds"), ("subnetIds",)),
                            "RemoveSubnetIds": Expression(lambda s: _olds(s, "subnetIds")),
                            "AddSecurityGroupIds": Expression(
                                lambda s: _news(s, "securityGroupIds"), ("securityGroupIds",)
                            ),
                            "RemoveSecurityGroupIds": Expression(lambda s: _olds(s, "securityGroupIds")),
                            "PrivateDnsEnabled": given("privateDnsEnabled"),
                        },
                    ),
                ),
            ),
            EC2_TAGS,
        ),
        outputs={
            "arn": ec2_arn("vpc-endpoint"),
            "policy": found("PolicyDocument"),
            "securityGroupIds": found("Groups[].GroupId"),
        },
        delete=(Call("ec2.delete_vpc_endpoints", {"VpcEndpointIds": [ID]}),),
    ),
    Kind(
        "aws:ec2/flowLog:FlowLog",
        create=Call(
            "ec2.create_flow_logs",
            {
                "ResourceIds": [Expression(lambda s: _watched(s)[1], ("vpcId", "subnetId", "eniId"))],
                "ResourceType": Expression(lambda s: _watched(s)[0]),
                "DeliverLogsPermissionArn": given("iamRoleArn"),
                "TagSpecifications": tag_specification("vpc-flow-log"),
            },
            auto=True,
        ),
        id=found("FlowLogIds[0]"),
        read=(Read("ec2.describe_flow_logs", {"FlowLogIds": [ID]}, at="FlowLogs[0]"),),
        updates=(EC2_TAGS,),
        outputs={"arn": ec2_arn("vpc-flow-log"), "vpcId": given("vpcId")},
        delete=(Call("ec2.delete_flow_logs", {"FlowLogIds": [ID]}),),
    ),
    Kind(
        "aws:ec2/eip:Eip",
        create=Call(
            "ec2.allocate_address",
            {"Domain": given("domain"), "TagSpecifications": tag_specification("elastic-ip")},
        ),
        id=found("AllocationId"),
        read=(Read("ec2.describe_addresses", {"AllocationIds": [ID]}, at="Addresses[0]"),),
        updates=(EC2_TAGS,),
        outputs={
            "arn": ec2_arn("elastic-ip"),
            "instance": found("InstanceId"),
            "networkInterface": found("NetworkInterfaceId"),
            "privateIp": found("PrivateIpAddress"),
        },
        delete=(Call("ec2.release_address", {"AllocationId": ID}),),
    ),
    Kind(
        "aws:ec2/eipAssociation:EipAssociation",
        create=Call("ec2.associate_address", auto=True),
        id=found("AssociationId"),
        read=(
            Read(
                "ec2.describe_addresses",
                {"Filters": [{"Name": "association-id", "Values": [ID]}]},
                at="Addresses[0]",
            ),
        ),
        delete=(Call("ec2.disassociate_address", {"AssociationId": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:ec2/natGateway:NatGateway",
        create=Call(
            "ec2.create_nat_gateway", {"TagSpecifications": tag_specification("natgateway")}, auto=True
        ),
        id=found("NatGateway.NatGatewayId"),
        then=(Wait(Expression(lambda s: s.answer.get("State") == "available"), "the NAT gateway"),),
        read=(
            Read(
                "ec2.describe_nat_gateways",
                {"NatGatewayIds": [ID]},
                at="NatGateways[?State!='deleted'] | [0]",
            ),
        ),
        updates=(EC2_TAGS,),
        outputs={
            "allocationId": found("NatGatewayAddresses[0].AllocationId"),
            "publicIp": found("NatGatewayAddresses[0].PublicIp"),
            "privateIp": found("NatGatewayAddresses[0].PrivateIp"),
            "networkInterfaceId": found("NatGatewayAddresses[0].NetworkInterfaceId"),
            "connectivityType": found("ConnectivityType"),
            "subnetId": found("SubnetId"),
        },
        delete=(Call("ec2.delete_nat_gateway", {"NatGatewayId": ID}),),
    ),
)


def _watched(scope: Scope) -> tuple[str, str]:
    for name, kind in (("vpcId", "VPC"), ("subnetId", "Subnet"), ("eniId", "NetworkInterface")):
        if scope.inputs.get(name):
            return kind, scope.inputs[name]
    return "VPC", ""


def _news(scope: Scope, name: str) -> list[str] | None:
    before = scope.old_inputs.get(name) or []
    return [each for each in scope.inputs.get(name) or [] if each not in before] or None


def _olds(scope: Scope, name: str) -> list[str] | None:
    now = scope.inputs.get(name) or []
    return [each for each in scope.old_inputs.get(name) or [] if each not in now] or None
