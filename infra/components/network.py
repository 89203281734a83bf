"""The only place for the VPC: subnets by zone name, routes, what may pass, and the record of what did."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import ec2

from infra.components.base import Component, Context
from infra.core import network as plan
from infra.core.network import Tier

FLOW_LOG_SECONDS = 600
"""How long flows are gathered into one record: 60 or 600 (EC2 API reference, CreateFlowLogs)."""


class Network(Component):
    """A VPC with public subnets in every zone.

    Attributes:
        vpc_id: the VPC.
        public_subnet_ids: subnet ids by zone name.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, context: Context, *, flow_log_bucket_arn: pulumi.Input[str], parent: pulumi.Resource
    ) -> None:
        super().__init__("network:Network", "network", parent)
        settings = context.settings
        vpc = ec2.Vpc(
            "vpc",
            cidr_block=settings.network.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=context.tags("vpc"),
            opts=self.child,
        )
        ec2.DefaultSecurityGroup(
            "default",
            vpc_id=vpc.id,
            ingress=[],
            egress=[],
            tags=context.tags("default-unused"),
            opts=self.child,
        )
        gateway = ec2.InternetGateway(
            "internet", vpc_id=vpc.id, tags=context.tags("internet"), opts=self.child
        )
        public = ec2.RouteTable("public", vpc_id=vpc.id, tags=context.tags("public"), opts=self.child)
        ec2.Route(
            "public-internet",
            route_table_id=public.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child,
        )
        subnets = {}
        for subnet in plan.plan(settings.network.cidr, settings.zones, Tier.PUBLIC):
            subnets[subnet.zone] = ec2.Subnet(
                subnet.name,
                vpc_id=vpc.id,
                availability_zone=subnet.zone,
                cidr_block=subnet.cidr,
                map_public_ip_on_launch=False,
                tags=context.tags(subnet.name),
                opts=self.child,
            )
            ec2.RouteTableAssociation(
                subnet.name, subnet_id=subnets[subnet.zone].id, route_table_id=public.id, opts=self.child
            )
        # A gateway endpoint costs nothing and keeps the traffic to buckets inside AWS.
        ec2.VpcEndpoint(
            "s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{settings.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[public.id],
            tags=context.tags("s3"),
            opts=self.child,
        )
        ec2.FlowLog(
            "flows",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=flow_log_bucket_arn,
            max_aggregation_interval=FLOW_LOG_SECONDS,
            tags=context.tags("flows"),
            opts=self.child,
        )
        self.vpc_id = vpc.id
        self.public_subnet_ids = {zone: subnet.id for zone, subnet in subnets.items()}
        self.register_outputs({})
