"""The only place for what a stack keeps for its boxes: the host bundle, its parameter, the facts, the database's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import s3, ssm

from infra.components.base import Component, Context
from infra.core import packages
from infra.core.gpu.modes import Wanted
from infra.core.naming import DATABASE_PASSWORD, HOST_BACKENDS, UNSET
from infra.core.network import Tier, plan
from infra.core.shape import Placement
from infra.core.storage import BucketRole
from infra.host.bundle import build


class HostFiles(Component):
    """The bundle in the artifacts bucket, and what tells a box which bundle and which facts are its own."""

    def __init__(
        self,
        context: Context,
        *,
        buckets: Mapping[BucketRole, pulumi.Output[str]],
        key_arn: pulumi.Output[str],
        address: pulumi.Output[str] | None,
        data_volume_id: pulumi.Output[str] | None,
        backends: Sequence[pulumi.Output[str]],
        parent: pulumi.Resource,
    ) -> None:
        """`backends`: private addresses of the backends' boxes, each the one of the frontend in its own subnet."""
        super().__init__("host:HostFiles", "host", parent)
        bundle, naming, settings = build(), context.naming, context.settings
        stored = s3.BucketObjectv2(
            "host-bundle",
            bucket=buckets[BucketRole.ARTIFACTS],
            key=bundle.key,
            content_base64=base64.b64encode(bundle.content).decode(),
            opts=self.child,
        )
        ssm.Parameter(
            "host-bundle",
            name=naming.parameter("host", "bundle"),
            type="String",
            insecure_value=pulumi.Output.json_dumps(
                {
                    "bucket": stored.bucket,
                    "key": bundle.key,
                    "sha256": bundle.sha256,
                    "version": bundle.version,
                }
            ),
            tags=context.tags("host/bundle"),
            opts=self.child,
        )
        facts = {
            "project": naming.project,
            "stack": naming.stack,
            "environment": settings.environment.value,
            "domain": settings.domain or "",
            "address": address or "",
            "vpc_cidr": settings.network.cidr,
            # Behind a load balancer the certificate is the balancer's; the other side of a climb still shows its own.
            "certificate": settings.certificate if settings.shape.on(Placement.PUBLIC) else "",
            "balanced_subnets": [
                each.cidr for each in plan(settings.network.cidr, settings.zones, Tier.PRIVATE)
            ],
            "artifacts_bucket": buckets[BucketRole.ARTIFACTS],
            "backups_bucket": buckets[BucketRole.BACKUPS],
            "uploads_bucket": buckets[BucketRole.UPLOADS],
            "buckets": {"artifacts": buckets[BucketRole.ARTIFACTS]},
            "log_groups": naming.log_group(),
            "data_volume_id": data_volume_id or "",
            "key_arn": key_arn,
            "gpu": settings.gpu.mode is not Wanted.OFF,
            "worker": settings.app.worker,
            "account_id": context.account_id,
            "packages": (
                {"key": packages.key(named), "sha256": named} if (named := settings.edge.packages) else {}
            ),
            "budget_usd": f"{settings.budget.usd:f}" if settings.budget else "",
            "gpu_budget_usd": "" if settings.gpu.mode is Wanted.OFF else f"{settings.gpu.budget_usd:f}",
        }
        ssm.Parameter(
            "host-facts",
            name=naming.parameter("host", "facts"),
            type="String",
            insecure_value=pulumi.Output.all(**_flat(facts)).apply(_nested),
            tags=context.tags("host/facts"),
            opts=self.child,
        )
        if backends:
            # Not among the facts: these are known only once the boxes stand, which read the facts as they start.
            ssm.Parameter(
                "host-backends",
                name=naming.parameter(HOST_BACKENDS),
                type="String",
                insecure_value=pulumi.Output.json_dumps(list(backends)),
                tags=context.tags(HOST_BACKENDS),
                opts=self.child,
            )
        ssm.Parameter(
            "database-password",
            name=naming.parameter(DATABASE_PASSWORD),
            type="SecureString",
            key_id=key_arn,
            value_wo=UNSET,
            value_wo_version=1,
            tags=context.tags("database/password"),
            opts=self.child,
        )
        self.register_outputs({})


def _flat(facts: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in facts.items() if name != "buckets"}


def _nested(facts: Mapping[str, object]) -> str:
    return json.dumps({**facts, "buckets": {"artifacts": facts["artifacts_bucket"]}}, sort_keys=True)
