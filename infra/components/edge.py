"""The only place for how the world finds the service: the address, and its name in Route 53 as a switch."""

from __future__ import annotations

import pulumi
from pulumi_aws import ec2, route53

from infra.components.base import Component, Context

RECORD_TTL_SECONDS = 60


class Address(Component):
    """An Elastic IP that outlives the box it points to, and the record that points to it.

    Attributes:
        public_ip, allocation_id: the address.
        url: what a person opens: the domain where there is one, else the address.
    """

    public_ip: pulumi.Output[str]
    allocation_id: pulumi.Output[str]
    url: pulumi.Output[str]

    def __init__(self, context: Context, *, parent: pulumi.Resource) -> None:
        super().__init__("edge:Address", "address", parent)
        settings = context.settings
        address = ec2.Eip(
            "address", domain="vpc", tags=context.tags("address"), opts=context.holding_data(self)
        )
        if settings.dns is not None and settings.domain is not None:
            route53.Record(
                "address",
                zone_id=settings.dns.zone_id,
                name=settings.domain,
                type="A",
                ttl=RECORD_TTL_SECONDS,
                records=[address.public_ip],
                opts=self.child,
            )
        self.public_ip, self.allocation_id = address.public_ip, address.allocation_id
        self.url = pulumi.Output.concat("https://", settings.domain or address.public_ip)
        self.register_outputs({})
