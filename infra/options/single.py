"""The only place for what Option A has beyond the shared layout: one box, its volume, its address."""

from __future__ import annotations

from typing import Any

from infra.components.backup import BackupVault, Snapshots
from infra.components.compute import Box, web_openings
from infra.components.data import DataVolume
from infra.components.edge import Address
from infra.components.host import HostFiles
from infra.components.permissions import box_statements
from infra.core.stages import Option
from infra.host.user_data import user_data
from infra.options.layout import Layout


class Single(Layout, option=Option.SINGLE):
    """Everything on one machine."""

    def build(self) -> dict[str, Any]:
        """One box in the first zone with its data volume, address and snapshots."""
        context, key_arn = self.context, self.secrets.key_arn
        settings = context.settings
        (box_shape,) = self.shape.boxes
        data = DataVolume(context, size_gib=self.shape.data_volume_gib, key_arn=key_arn, parent=self)
        address = Address(context, parent=self)
        HostFiles(
            context,
            buckets=self.buckets.names,
            key_arn=key_arn,
            address=address.public_ip,
            data_volume_id=data.volume_id,
            parent=self,
        )
        box = Box(
            context,
            box_shape,
            vpc_id=self.network.vpc_id,
            subnet_id=self.network.public_subnet_ids[settings.zones[0]],
            key_arn=key_arn,
            statements=box_statements(
                context,
                key_arn=key_arn,
                bucket_arns=self.buckets.arns,
                log_group_arns=list(self.observability.log_group_arns.values()),
            ),
            openings=web_openings(settings.network.ingress_sources),
            user_data=user_data(region=settings.region, parameters=context.naming.parameter(), role="single"),
            parent=self,
        )
        self.watched[box_shape.name] = {"InstanceId": box.instance_id}
        box.attach_volume(data.volume_id)
        box.take_address(address.allocation_id)
        Snapshots(context, parent=self)
        if settings.backup.aws_backup:
            BackupVault(context, volume_arn=data.arn, key_arn=key_arn, parent=self)
        return {
            "url": address.url,
            "eip": address.public_ip,
            "instance_id": box.instance_id,
            "volume_id": data.volume_id,
        }
