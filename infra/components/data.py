"""The only place for the data volume: apart from the box, encrypted, in the first zone for ever."""

from __future__ import annotations

import pulumi
from pulumi_aws import ebs

from infra.components.base import Component, Context
from infra.core.shape import Part

SNAPSHOT_TAG = "terrace:snapshots"
"""The tag by which the snapshot policy finds the volumes that it copies."""


class DataVolume(Component):
    """The volume that holds `/data`.

    Attributes:
        volume_id, arn: the volume; attaching it is the box's affair.
    """

    volume_id: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(
        self, context: Context, *, size_gib: int, key_arn: pulumi.Input[str], parent: pulumi.Resource
    ) -> None:
        super().__init__("data:DataVolume", "data", parent)
        volume = ebs.Volume(
            "data",
            availability_zone=context.settings.zones[0],
            size=size_gib,
            type="gp3",
            encrypted=True,
            kms_key_id=key_arn,
            final_snapshot=True,
            tags=context.tags("data", **{SNAPSHOT_TAG: context.naming.prefix}),
            opts=context.holding_data(self, part=Part.BOX_DATA),
        )
        self.volume_id, self.arn = volume.id, volume.arn
        self.register_outputs({})
