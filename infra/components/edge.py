"""The only place for how the world finds the service: the address, and its name in Route 53 as a switch."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, route53

from infra.components.base import Component, Context
from infra.core.shape import Part

RECORD_TTL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the world's requests go: a box that gets the address, or a load balancer with a name of its own."""

    instance_id: pulumi.Output[str] | None = None
    balancer_name: pulumi.Output[str] | None = None
    balancer_zone_id: pulumi.Output[str] | None = None


class Address(Component):
    """An Elastic IP that outlives the boxes it points to, and the record by which the service is found.

    Attributes:
        public_ip: the address, None where the stack has none.
        url: what a person opens: the domain where there is one, else the address.
    """

    public_ip: pulumi.Output[str] | None
    url: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        *,
        holds_eip: bool,
        public_entry: Entry | None,
        serving: Entry,
        parent: pulumi.Resource,
    ) -> None:
        """`public_entry` is the box that the address points to; `serving` what the record points to."""
        super().__init__("edge:Address", "address", parent)
        settings = context.settings
        self.public_ip = None
        if holds_eip:
            address = ec2.Eip(
                "address",
                domain="vpc",
                tags=context.tags("address"),
                opts=context.holding_data(self, part=Part.EIP),
            )
            self.public_ip = address.public_ip
            if public_entry is not None:
                # One association for ever: it moves from box to box, and the address is never let go between.
                ec2.EipAssociation(
                    "address",
                    instance_id=public_entry.instance_id,
                    allocation_id=address.allocation_id,
                    allow_reassociation=True,
                    opts=self.child,
                )
        if settings.dns is not None and settings.domain is not None:
            aliased = serving.balancer_name is not None and serving.balancer_zone_id is not None
            route53.Record(
                "address",
                zone_id=settings.dns.zone_id,
                name=settings.domain,
                type="A",
                ttl=None if aliased else RECORD_TTL_SECONDS,
                records=None if aliased or self.public_ip is None else [self.public_ip],
                aliases=(
                    [
                        route53.RecordAliasArgs(
                            name=serving.balancer_name,
                            zone_id=serving.balancer_zone_id,
                            evaluate_target_health=True,
                        )
                    ]
                    if serving.balancer_name is not None and serving.balancer_zone_id is not None
                    else None
                ),
                opts=self.child,
            )
        scheme = "https://" if serving.balancer_name is not None else "http://"
        host = settings.domain or serving.balancer_name or self.public_ip or ""
        self.url = pulumi.Output.concat(scheme, host)
        self.register_outputs({})
