"""The only place for the VPC: subnets by zone name, routes, what may pass, and the record of what did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pulumi
from pulumi_aws import ec2, vpc

from infra.components.base import Component, Context
from infra.core import network as plan
from infra.core.network import Tier
from infra.core.shape import ENDPOINTS, Placement, Shape

FLOW_LOG_SECONDS = 600
"""How long flows are gathered into one record: 60 or 600 (EC2 API reference, CreateFlowLogs)."""


class Network(Component):
    """A VPC with public subnets in every zone; private and database ones where the shape has boxes for them.

    Attributes:
        vpc_id: the VPC.
        public_subnet_ids, private_subnet_ids, database_subnet_ids: subnet ids by zone name.
        nat_gateway_ids: by zone name, of the zones that have one.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: Mapping[str, pulumi.Output[str]]
    private_subnet_ids: Mapping[str, pulumi.Output[str]]
    database_subnet_ids: Mapping[str, pulumi.Output[str]]
    nat_gateway_ids: Mapping[str, pulumi.Output[str]]

    def __init__(
        self,
        context: Context,
        shape: Shape,
        *,
        flow_log_bucket_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("network:Network", "network", parent)
        self._context = context
        settings = context.settings
        network = ec2.Vpc(
            "vpc",
            cidr_block=settings.network.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=context.tags("vpc"),
            opts=self.child,
        )
        ec2.DefaultSecurityGroup(
            "default",
            vpc_id=network.id,
            ingress=[],
            egress=[],
            tags=context.tags("default-unused"),
            opts=self.child,
        )
        gateway = ec2.InternetGateway(
            "internet", vpc_id=network.id, tags=context.tags("internet"), opts=self.child
        )
        public = ec2.RouteTable("public", vpc_id=network.id, tags=context.tags("public"), opts=self.child)
        ec2.Route(
            "public-internet",
            route_table_id=public.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child,
        )
        self.vpc_id = network.id
        self.public_subnet_ids = self._subnets(Tier.PUBLIC, lambda _: public.id)
        self.nat_gateway_ids = {zone: self._nat(zone) for zone in settings.zones[: shape.nat_gateways]}
        private_tables = self._private() if shape.on(Placement.PRIVATE) else {}
        self.private_subnet_ids = self._subnets(Tier.PRIVATE, private_tables.__getitem__, private_tables)
        self.database_subnet_ids = self._database() if shape.database else {}
        self._endpoints(settings.zones[: shape.endpoint_zones])
        # A gateway endpoint costs nothing and keeps the traffic to buckets inside AWS.
        ec2.VpcEndpoint(
            "s3",
            vpc_id=network.id,
            service_name=f"com.amazonaws.{settings.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[public.id, *private_tables.values()],
            tags=context.tags("s3"),
            opts=self.child,
        )
        ec2.FlowLog(
            "flows",
            vpc_id=network.id,
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=flow_log_bucket_arn,
            max_aggregation_interval=FLOW_LOG_SECONDS,
            tags=context.tags("flows"),
            opts=self.child,
        )
        self.register_outputs({})

    def _subnets(
        self,
        tier: Tier,
        table_of: Callable[[str], pulumi.Input[str]],
        zones: Collection[str] | None = None,
    ) -> dict[str, pulumi.Output[str]]:
        """One subnet for each zone, with its route table."""
        settings = self._context.settings
        found = {}
        for subnet in plan.plan(settings.network.cidr, settings.zones, tier):
            if zones is not None and subnet.zone not in zones:
                continue
            found[subnet.zone] = ec2.Subnet(
                subnet.name,
                vpc_id=self.vpc_id,
                availability_zone=subnet.zone,
                cidr_block=subnet.cidr,
                map_public_ip_on_launch=False,
                tags=self._context.tags(subnet.name),
                opts=self.child,
            ).id
            ec2.RouteTableAssociation(
                subnet.name,
                subnet_id=found[subnet.zone],
                route_table_id=table_of(subnet.zone),
                opts=self.child,
            )
        return found

    def _private(self) -> dict[str, pulumi.Output[str]]:
        """A route table for each zone's private subnet, through its own NAT gateway or the first one's, if any."""
        zones = self._context.settings.zones
        tables = {}
        for zone in zones:
            name = f"private-{zone}"
            table = ec2.RouteTable(name, vpc_id=self.vpc_id, tags=self._context.tags(name), opts=self.child)
            gateway = self.nat_gateway_ids.get(zone) or self.nat_gateway_ids.get(zones[0])
            if gateway is not None:
                ec2.Route(
                    f"{name}-internet",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=gateway,
                    opts=self.child,
                )
            tables[zone] = table.id
        return tables

    def _nat(self, zone: str) -> pulumi.Output[str]:
        name = f"nat-{zone}"
        address = ec2.Eip(name, domain="vpc", tags=self._context.tags(name), opts=self.child)
        return ec2.NatGateway(
            name,
            allocation_id=address.id,
            subnet_id=self.public_subnet_ids[zone],
            tags=self._context.tags(name),
            opts=self.child,
        ).id

    def _endpoints(self, zones: Sequence[str]) -> None:
        """AWS's services by addresses of the VPC's own, under the names that everybody asks for anyway."""
        if not zones:
            return
        context = self._context
        group = ec2.SecurityGroup(
            "endpoints",
            name=context.naming.physical("endpoints"),
            description="What reaches the interface endpoints",
            vpc_id=self.vpc_id,
            tags=context.tags("endpoints"),
            opts=self.child,
        )
        # Private DNS is the whole VPC's: public boxes of a climb come this way too.
        vpc.SecurityGroupIngressRule(
            "endpoints-https",
            security_group_id=group.id,
            description="calls of AWS services from within the VPC",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=context.settings.network.cidr,
            tags=context.tags("endpoints"),
            opts=self.child,
        )
        for service in ENDPOINTS:
            ec2.VpcEndpoint(
                service,
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{context.settings.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=[self.private_subnet_ids[zone] for zone in zones],
                security_group_ids=[group.id],
                tags=context.tags(service),
                opts=self.child,
            )

    def _database(self) -> dict[str, pulumi.Output[str]]:
        """Subnets that lead nowhere but through the VPC."""
        table = ec2.RouteTable(
            "database", vpc_id=self.vpc_id, tags=self._context.tags("database"), opts=self.child
        )
        return self._subnets(Tier.DATABASE, lambda _: table.id)
