"""Things that no state knows, found and removed by boto3: a row for each kind that a second creation would double.

Kinds without a row are put, not created (a bucket's versioning): making them again is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.core.errors import Fault, TerraceError
from ops.recovery import Pending

Inputs = Mapping[str, Any]
Client = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class _Row:
    find: Callable[[Client, Inputs], list[str]]
    undo: Callable[[Client, Inputs, str], object] | None = None


def _tagged(kind: str) -> Callable[[Client, Inputs], list[str]]:
    """EC2 things by their Name tag, which is unique in a stack."""

    def find(client: Client, inputs: Inputs) -> list[str]:
        found = client("ec2").describe_tags(
            Filters=[
                {"Name": "resource-type", "Values": [kind]},
                {"Name": "key", "Values": ["Name"]},
                {"Name": "value", "Values": [inputs["tags"]["Name"]]},
            ]
        )
        return [each["ResourceId"] for each in found["Tags"]]

    return find


def _described(
    method: str, key: str, identity: str, *, tags: str = "Filters"
) -> Callable[[Client, Inputs], list[str]]:
    """The same by the kind's own call: those that describe_tags has under names that differ, or keeps too long."""

    def find(client: Client, inputs: Inputs) -> list[str]:
        wanted = [{"Name": "tag:Name", "Values": [inputs["tags"]["Name"]]}]
        found = getattr(client("ec2"), method)(**{tags: wanted})[key]
        return [each[identity] for each in found if str(each.get("State", "")).lower() != "deleted"]

    return find


def _ec2(kind: str, method: str, parameter: str) -> _Row:
    def undo(client: Client, _: Inputs, identity: str) -> object:
        return getattr(client("ec2"), method)(**{parameter: identity})

    return _Row(_tagged(kind), undo)


def _remove_gateway(client: Client, _: Inputs, identity: str) -> None:
    found = client("ec2").describe_internet_gateways(InternetGatewayIds=[identity])["InternetGateways"][0]
    for attachment in found["Attachments"]:
        client("ec2").detach_internet_gateway(InternetGatewayId=identity, VpcId=attachment["VpcId"])
    client("ec2").delete_internet_gateway(InternetGatewayId=identity)


def _revoke(direction: str) -> Callable[[Client, Inputs, str], object]:
    def undo(client: Client, inputs: Inputs, identity: str) -> object:
        return getattr(client("ec2"), f"revoke_security_group_{direction}")(
            GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[identity]
        )

    return undo


def _running(client: Client, inputs: Inputs) -> list[str]:
    found = client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": [inputs["tags"]["Name"]]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    return [each["InstanceId"] for group in found["Reservations"] for each in group["Instances"]]


def _terminate(client: Client, _: Inputs, identity: str) -> None:
    client("ec2").terminate_instances(InstanceIds=[identity])
    client("ec2").get_waiter("instance_terminated").wait(
        InstanceIds=[identity], WaiterConfig={"Delay": 2, "MaxAttempts": 150}
    )


def _routes(client: Client, inputs: Inputs) -> list[str]:
    (table,) = client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]
    destination = inputs["destinationCidrBlock"]
    return [destination for route in table["Routes"] if route.get("DestinationCidrBlock") == destination]


def _remove_route(client: Client, inputs: Inputs, identity: str) -> None:
    client("ec2").delete_route(RouteTableId=inputs["routeTableId"], DestinationCidrBlock=identity)


def _associations(client: Client, inputs: Inputs) -> list[str]:
    tables = client("ec2").describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [inputs["subnetId"]]}]
    )["RouteTables"]
    return [
        each["RouteTableAssociationId"]
        for table in tables
        for each in table["Associations"]
        if each.get("SubnetId") == inputs["subnetId"]
    ]


def _disassociate(client: Client, _: Inputs, identity: str) -> None:
    client("ec2").disassociate_route_table(AssociationId=identity)


def _attachments(client: Client, inputs: Inputs) -> list[str]:
    (volume,) = client("ec2").describe_volumes(VolumeIds=[inputs["volumeId"]])["Volumes"]
    return [
        volume["VolumeId"] for each in volume["Attachments"] if each["InstanceId"] == inputs["instanceId"]
    ]


def _detach(client: Client, inputs: Inputs, identity: str) -> None:
    client("ec2").detach_volume(VolumeId=identity, InstanceId=inputs["instanceId"])
    client("ec2").get_waiter("volume_available").wait(
        VolumeIds=[identity], WaiterConfig={"Delay": 2, "MaxAttempts": 60}
    )


def _named(service: str, look: str, parameter: str, remove: str) -> _Row:
    """Things whose name is theirs alone: the name is the id."""

    def find(client: Client, inputs: Inputs) -> list[str]:
        getattr(client(service), look)(**{parameter: inputs["name"]})
        return [inputs["name"]]

    def undo(client: Client, _: Inputs, identity: str) -> object:
        return getattr(client(service), remove)(**{parameter: identity})

    return _Row(find, undo)


def _role_policies(client: Client, inputs: Inputs) -> list[str]:
    client("iam").get_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"])
    return [f"{inputs['role']}:{inputs['name']}"]


def _remove_role_policy(client: Client, inputs: Inputs, _: str) -> None:
    client("iam").delete_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"])


def _role_attachments(client: Client, inputs: Inputs) -> list[str]:
    attached = client("iam").list_attached_role_policies(RoleName=inputs["role"])["AttachedPolicies"]
    arn = inputs["policyArn"]
    return [f"{inputs['role']}-{arn}" for each in attached if each["PolicyArn"] == arn]


def _detach_role_policy(client: Client, inputs: Inputs, _: str) -> None:
    client("iam").detach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])


def _remove_profile(client: Client, _: Inputs, identity: str) -> None:
    iam = client("iam")
    for role in iam.get_instance_profile(InstanceProfileName=identity)["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=identity, RoleName=role["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=identity)


def _log_groups(client: Client, inputs: Inputs) -> list[str]:
    found = client("logs").describe_log_groups(logGroupNamePrefix=inputs["name"])["logGroups"]
    return [each["logGroupName"] for each in found if each["logGroupName"] == inputs["name"]]


def _aliases(client: Client, inputs: Inputs) -> list[str]:
    pages = client("kms").get_paginator("list_aliases").paginate()
    return [
        each["AliasName"] for page in pages for each in page["Aliases"] if each["AliasName"] == inputs["name"]
    ]


def _keys(client: Client, inputs: Inputs) -> list[str]:
    kms, found = client("kms"), []
    for page in kms.get_paginator("list_keys").paginate():
        for each in page["Keys"]:
            tags = {
                tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=each["KeyId"])["Tags"]
            }
            state = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"]
            if tags.get("Name") == inputs["tags"]["Name"] and state == "Enabled":
                found.append(each["KeyId"])
    return found


def _topics(client: Client, inputs: Inputs) -> list[str]:
    pages = client("sns").get_paginator("list_topics").paginate()
    arns = [each["TopicArn"] for page in pages for each in page["Topics"]]
    return [arn for arn in arns if arn.rpartition(":")[2] == inputs["name"]]


def _buckets(client: Client, inputs: Inputs) -> list[str]:
    client("s3").head_bucket(Bucket=inputs["bucket"])
    return [inputs["bucket"]]


def _policies(client: Client, inputs: Inputs) -> list[str]:
    name = inputs["tags"]["Name"]
    policies = client("dlm").get_lifecycle_policies()["Policies"]
    return [each["PolicyId"] for each in policies if (each.get("Tags") or {}).get("Name") == name]


def _gateways(client: Client, inputs: Inputs) -> list[str]:
    wanted = [{"Name": "tag:Name", "Values": [inputs["tags"]["Name"]]}]
    found = client("ec2").describe_nat_gateways(Filters=wanted)["NatGateways"]
    return [each["NatGatewayId"] for each in found if each["State"] in ("pending", "available")]


def _remove_nat(client: Client, _: Inputs, identity: str) -> None:
    client("ec2").delete_nat_gateway(NatGatewayId=identity)
    client("ec2").get_waiter("nat_gateway_deleted").wait(
        NatGatewayIds=[identity], WaiterConfig={"Delay": 5, "MaxAttempts": 60}
    )


def _databases(client: Client, inputs: Inputs) -> list[str]:
    found = client("rds").describe_db_instances(DBInstanceIdentifier=inputs["identifier"])["DBInstances"]
    return [each["DbiResourceId"] for each in found]


def _balanced(look: str, key: str, identity: str, remove: str, parameter: str) -> _Row:
    """Balancers and target groups, by their name; the id is the ARN."""

    def find(client: Client, inputs: Inputs) -> list[str]:
        return [each[identity] for each in getattr(client("elbv2"), look)(Names=[inputs["name"]])[key]]

    def undo(client: Client, _: Inputs, arn: str) -> object:
        return getattr(client("elbv2"), remove)(**{parameter: arn})

    return _Row(find, undo)


def _listeners(client: Client, inputs: Inputs) -> list[str]:
    found = client("elbv2").describe_listeners(LoadBalancerArn=inputs["loadBalancerArn"])["Listeners"]
    return [each["ListenerArn"] for each in found if each["Port"] == int(inputs["port"])]


def _listener_rules(client: Client, inputs: Inputs) -> list[str]:
    found = client("elbv2").describe_rules(ListenerArn=inputs["listenerArn"])["Rules"]
    return [each["RuleArn"] for each in found if each["Priority"] == str(int(inputs["priority"]))]


ROWS: Mapping[str, _Row] = {
    "aws:ec2/vpc:Vpc": _ec2("vpc", "delete_vpc", "VpcId"),
    "aws:ec2/subnet:Subnet": _ec2("subnet", "delete_subnet", "SubnetId"),
    "aws:ec2/routeTable:RouteTable": _ec2("route-table", "delete_route_table", "RouteTableId"),
    "aws:ec2/securityGroup:SecurityGroup": _ec2("security-group", "delete_security_group", "GroupId"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _Row(
        _described("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
        lambda client, _, name: client("ec2").delete_vpc_endpoints(VpcEndpointIds=[name]),
    ),
    "aws:ec2/flowLog:FlowLog": _Row(
        _described("describe_flow_logs", "FlowLogs", "FlowLogId", tags="Filter"),
        lambda client, _, name: client("ec2").delete_flow_logs(FlowLogIds=[name]),
    ),
    "aws:ec2/internetGateway:InternetGateway": _Row(_tagged("internet-gateway"), _remove_gateway),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _Row(
        lambda client, inputs: _rules(client, inputs, egress=False), _revoke("ingress")
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _Row(
        lambda client, inputs: _rules(client, inputs, egress=True), _revoke("egress")
    ),
    "aws:ec2/instance:Instance": _Row(_running, _terminate),
    "aws:ec2/route:Route": _Row(_routes, _remove_route),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _Row(_associations, _disassociate),
    "aws:ec2/volumeAttachment:VolumeAttachment": _Row(_attachments, _detach),
    "aws:ec2/eip:Eip": _Row(_described("describe_addresses", "Addresses", "AllocationId")),
    "aws:ebs/volume:Volume": _Row(_tagged("volume")),
    "aws:s3/bucket:Bucket": _Row(_buckets),
    "aws:kms/key:Key": _Row(_keys),
    "aws:kms/alias:Alias": _Row(_aliases, lambda client, _, name: client("kms").delete_alias(AliasName=name)),
    "aws:iam/role:Role": _named("iam", "get_role", "RoleName", "delete_role"),
    # Making these again would be harmless, but a role with a policy that no state knows cannot be deleted.
    "aws:iam/rolePolicy:RolePolicy": _Row(_role_policies, _remove_role_policy),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _Row(_role_attachments, _detach_role_policy),
    "aws:iam/instanceProfile:InstanceProfile": _Row(
        _named("iam", "get_instance_profile", "InstanceProfileName", "").find, _remove_profile
    ),
    "aws:cloudwatch/logGroup:LogGroup": _Row(
        _log_groups, lambda client, _, name: client("logs").delete_log_group(logGroupName=name)
    ),
    "aws:ssm/parameter:Parameter": _named("ssm", "get_parameter", "Name", "delete_parameter"),
    "aws:sns/topic:Topic": _Row(_topics, lambda client, _, arn: client("sns").delete_topic(TopicArn=arn)),
    "aws:rds/parameterGroup:ParameterGroup": _named(
        "rds", "describe_db_parameter_groups", "DBParameterGroupName", "delete_db_parameter_group"
    ),
    "aws:rds/subnetGroup:SubnetGroup": _named(
        "rds", "describe_db_subnet_groups", "DBSubnetGroupName", "delete_db_subnet_group"
    ),
    "aws:rds/instance:Instance": _Row(_databases),
    "aws:ec2/natGateway:NatGateway": _Row(_gateways, _remove_nat),
    "aws:lb/loadBalancer:LoadBalancer": _balanced(
        "describe_load_balancers",
        "LoadBalancers",
        "LoadBalancerArn",
        "delete_load_balancer",
        "LoadBalancerArn",
    ),
    "aws:lb/targetGroup:TargetGroup": _balanced(
        "describe_target_groups", "TargetGroups", "TargetGroupArn", "delete_target_group", "TargetGroupArn"
    ),
    "aws:lb/listener:Listener": _Row(
        _listeners, lambda client, _, arn: client("elbv2").delete_listener(ListenerArn=arn)
    ),
    "aws:lb/listenerRule:ListenerRule": _Row(
        _listener_rules, lambda client, _, arn: client("elbv2").delete_rule(RuleArn=arn)
    ),
    "aws:dlm/lifecyclePolicy:LifecyclePolicy": _Row(
        _policies, lambda client, _, name: client("dlm").delete_lifecycle_policy(PolicyId=name)
    ),
}


def _rules(client: Client, inputs: Inputs, *, egress: bool) -> list[str]:
    found = client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
    )["SecurityGroupRules"]
    wanted = (
        inputs["ipProtocol"], inputs.get("fromPort", -1), inputs.get("toPort", -1), inputs.get("cidrIpv4"),
        inputs.get("referencedSecurityGroupId"), inputs.get("prefixListId"),
    )  # fmt: skip

    def seen(each: Mapping[str, Any]) -> tuple[Any, ...]:
        group = (each.get("ReferencedGroupInfo") or {}).get("GroupId")
        return (
            each["IpProtocol"], each.get("FromPort", -1), each.get("ToPort", -1), each.get("CidrIpv4"),
            group, each.get("PrefixListId"),
        )  # fmt: skip

    return [
        each["SecurityGroupRuleId"] for each in found if each["IsEgress"] is egress and seen(each) == wanted
    ]


class Orphans:
    """The port on one region's AWS API."""

    def __init__(self, region: str) -> None:
        self._session: Any = boto3.Session(region_name=region)
        self._clients: dict[str, Any] = {}

    def seeks(self, pending: Pending) -> bool:
        """Whether its kind has a row."""
        return pending.token in ROWS

    def find(self, pending: Pending, known: frozenset[tuple[str, str]]) -> str | None:
        """The id of what the pending creation made; ids that the state knows are somebody else's."""
        row = ROWS.get(pending.token)
        if row is None:
            return None
        try:
            found = [
                each for each in row.find(self._client, pending.inputs) if (pending.token, each) not in known
            ]
        except ClientError as error:
            if _absent(error):
                return None
            raise _fault(pending, error) from error
        except BotoCoreError as error:
            raise _fault(pending, error) from error
        if len(found) > 1:
            raise TerraceError(
                Fault(
                    pending.name,
                    f"stands {len(found)} times: {', '.join(found)}",
                    "Remove all but one by hand",
                )
            )
        return found[0] if found else None

    def undo(self, pending: Pending, identity: str) -> None:
        """Removes it."""
        row = ROWS[pending.token]
        if row.undo is None:
            raise TerraceError(Fault(pending.name, f"{identity} holds data", "It is adopted, never removed"))
        try:
            row.undo(self._client, pending.inputs, identity)
        except (ClientError, BotoCoreError) as error:
            raise _fault(pending, error) from error

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service)
        return self._clients[service]


def _absent(error: ClientError) -> bool:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 404 or "NotFound" in code or "NoSuch" in code


def _fault(pending: Pending, error: Exception) -> TerraceError:
    return TerraceError(Fault(pending.name, str(error), "Look at credentials and region, then try again"))
