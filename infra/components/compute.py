"""The only place for a box: role, security group, instance, its volume and address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import ec2, iam, vpc

from infra.components.base import Component, Context, policy, trust
from infra.core import shape

DATA_DEVICE = "/dev/sdf"
"""What the data volume is attached as; Nitro shows it as an NVMe device (EBS User Guide, "Device names")."""

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class Opening:
    """One way in: TCP `port` from `source` (a CIDR block, or the security group `group_id`).

    `name` is the rule's logical name.
    """

    name: str
    port: int
    source: str | None
    purpose: str
    group_id: pulumi.Input[str] | None = None


class Box(Component):
    """One Debian machine, reachable by Session Manager alone, with no key pair.

    The instance is disposable: what matters is on its volume, in its buckets and parameters.

    Attributes:
        instance_id, private_ip, security_group_id: the machine.
    """

    instance_id: pulumi.Output[str]
    private_ip: pulumi.Output[str]
    security_group_id: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        box: shape.Box,
        *,
        vpc_id: pulumi.Input[str],
        subnet_id: pulumi.Input[str],
        key_arn: pulumi.Input[str],
        statements: Sequence[dict[str, Any]],
        openings: Sequence[Opening],
        user_data: pulumi.Input[str],
        public_ip: bool | None = None,
        parent: pulumi.Resource,
        more_tags: Mapping[str, str] | None = None,
    ) -> None:
        """`public_ip`: an address of its own from birth; None where it gets an Elastic IP or is private."""
        super().__init__("compute:Box", box.name, parent)
        self._context, self._name = context, box.name
        self.security_group_id = self._security_group(vpc_id, openings)
        instance = ec2.Instance(
            box.name,
            ami=context.settings.ami,
            instance_type=box.instance.name,
            subnet_id=subnet_id,
            associate_public_ip_address=public_ip,
            vpc_security_group_ids=[self.security_group_id],
            iam_instance_profile=self._profile(statements),
            user_data=user_data,
            # cloud-init runs once for each instance; a changed text is applied by its programs, not by a new box.
            user_data_replace_on_change=False,
            metadata_options=ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            credit_specification=(
                ec2.InstanceCreditSpecificationArgs(cpu_credits=context.settings.cpu_credits)
                if box.instance.burstable
                else None
            ),
            root_block_device=ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=box.root_gib,
                encrypted=True,
                kms_key_id=key_arn,
                delete_on_termination=True,
                tags=context.tags(f"{box.name}-root"),
            ),
            ebs_optimized=True,
            # On the box alone: the stage is a fact about machines, and a tag elsewhere would change with every climb.
            tags=context.tags(box.name, Stage=context.settings.stage, **(more_tags or {})),
            # The old box holds volume and address: it has to go before the new one can have them.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.instance_id, self.private_ip = instance.id, instance.private_ip
        self.register_outputs({})

    def attach_volume(self, volume_id: pulumi.Input[str]) -> None:
        """Gives the box its data volume."""
        ec2.VolumeAttachment(
            f"{self._name}-data",
            instance_id=self.instance_id,
            volume_id=volume_id,
            device_name=DATA_DEVICE,
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def take_address(self, allocation_id: pulumi.Input[str]) -> None:
        """Points an address at the box, one that nothing else ever has."""
        ec2.EipAssociation(
            self._name, instance_id=self.instance_id, allocation_id=allocation_id, opts=self.child
        )

    def let_in(self, opening: Opening) -> None:
        """One more way in, for as long as the stack says so."""
        self._open(self.security_group_id, opening)

    def _open(self, group_id: pulumi.Input[str], opening: Opening) -> None:
        vpc.SecurityGroupIngressRule(
            f"{self._name}-{opening.name}",
            security_group_id=group_id,
            description=opening.purpose,
            ip_protocol="tcp",
            from_port=opening.port,
            to_port=opening.port,
            cidr_ipv4=opening.source,
            referenced_security_group_id=opening.group_id,
            tags=self._context.tags(self._name),
            opts=self.child,
        )

    def _security_group(self, vpc_id: pulumi.Input[str], openings: Sequence[Opening]) -> pulumi.Output[str]:
        tags = self._context.tags(self._name)
        group = ec2.SecurityGroup(
            self._name,
            name=self._context.naming.physical(self._name),
            description=f"What reaches {self._name}, and what it reaches",
            vpc_id=vpc_id,
            tags=tags,
            opts=self.child,
        )
        for opening in openings:
            self._open(group.id, opening)
        vpc.SecurityGroupEgressRule(
            f"{self._name}-out",
            security_group_id=group.id,
            description="packages, AWS, the GPU endpoint, webhooks",
            ip_protocol="-1",
            cidr_ipv4=EVERYWHERE,
            tags=tags,
            opts=self.child,
        )
        return group.id

    def _profile(self, statements: Sequence[dict[str, Any]]) -> pulumi.Output[str]:
        physical, tags = self._context.naming.physical(self._name), self._context.tags(self._name)
        role = iam.Role(
            self._name,
            name=physical,
            assume_role_policy=trust("ec2.amazonaws.com"),
            tags=tags,
            opts=self.child,
        )
        iam.RolePolicy(self._name, name="box", role=role.id, policy=policy(*statements), opts=self.child)
        return iam.InstanceProfile(self._name, name=physical, role=role.name, tags=tags, opts=self.child).name


def web_openings(sources: Sequence[str]) -> list[Opening]:
    """443 from the sources; 80 from everywhere, for the redirect and the certificate authority's challenge."""
    return [
        *(Opening(f"https-{source}", 443, source, "HTTPS") for source in sources),
        Opening("http", 80, EVERYWHERE, "redirect to HTTPS, certificate challenge"),
    ]
