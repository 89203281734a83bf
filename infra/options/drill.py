"""The only place for the scratch stack of a restore drill: one box and one volume beside the stack it restores from.

Not a variant of the layout: nothing in it holds anything, and everything goes when its time is over. Its box may read
the source's backups, uploads and pass phrase, and write nowhere.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_aws import ebs, ec2

from infra.components.base import Context
from infra.components.compute import Box
from infra.components.permissions import restore_statements
from infra.core.naming import Naming
from infra.core.shape import shape
from infra.host.kit import user_data
from infra.settings import Drill as DrillSettings
from infra.settings import Settings

EXPIRES_TAG = "terrace:expires"


class Drill(pulumi.ComponentResource):
    """One scratch box.

    Attributes:
        outputs: what the stack exports.
    """

    def __init__(self, settings: Settings, drill: DrillSettings, naming: Naming, *, account_id: str) -> None:
        super().__init__("terrace:drill:Drill", "drill", None)
        context = Context(settings, naming, account_id)
        source = Naming(naming.project, drill.source)
        (box_shape,) = shape(settings.rung).boxes
        facts = {
            "project": naming.project,
            "stack": naming.stack,
            "region": settings.region,
            "role": "drill",
            "backups_bucket": drill.backups_bucket,
            "uploads_bucket": drill.uploads_bucket,
            "parameters": source.parameter().rstrip("/"),
        }
        tags = {EXPIRES_TAG: drill.expires}
        box = Box(
            context,
            box_shape,
            vpc_id=drill.vpc_id,
            subnet_id=drill.subnet_id,
            key_arn=drill.key_arn,
            statements=restore_statements(
                context,
                source,
                key_arn=drill.key_arn,
                buckets=[drill.backups_bucket, drill.uploads_bucket, drill.artifacts_bucket],
            ),
            openings=[],
            user_data=user_data(
                facts, bucket=drill.artifacts_bucket, key=drill.kit_key, sha256=drill.kit_sha256
            ),
            parent=self,
            more_tags=tags,
        )
        volume = ebs.Volume(
            "scratch",
            availability_zone=settings.zones[0],
            size=settings.data_volume_gib,
            type="gp3",
            encrypted=True,
            kms_key_id=drill.key_arn,
            tags=context.tags("scratch", **tags),
            opts=pulumi.ResourceOptions(parent=self),
        )
        box.attach_volume(volume.id)
        address = ec2.Eip(
            "scratch",
            domain="vpc",
            tags=context.tags("scratch", **tags),
            opts=pulumi.ResourceOptions(parent=self),
        )
        box.take_address(address.allocation_id)
        self.outputs: dict[str, Any] = {"instance_id": box.instance_id, "expires": drill.expires}
        self.register_outputs({})
