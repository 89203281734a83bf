"""The only place for the layout token and for what every option shares.

A resource's URN holds the type chain of its parents. All variants register under the one token and name below, so a
switch of options keeps the URN, and with it the thing, of everything that both have (docs/adr/0001).
"""

from __future__ import annotations

from typing import Any, ClassVar

import pulumi

from infra.components.alarms import Alarms
from infra.components.base import Context, hold
from infra.components.budget import MonthlyBudget
from infra.components.guard import Guard
from infra.components.network import Network
from infra.components.observability import Log, Observability
from infra.components.pace import hurry as hurry  # for the program alone: tests build layouts too
from infra.components.secrets import Secrets
from infra.components.storage import Buckets
from infra.components.webhook import ChatWebhook
from infra.core.alarms import alarm_set
from infra.core.gpu.modes import Wanted
from infra.core.naming import Naming
from infra.core.notice import Webhook
from infra.core.shape import Shape, shape
from infra.core.stages import Option
from infra.core.storage import BucketRole
from infra.options.drill import Drill
from infra.settings import Settings

TOKEN = "terrace:layout:Layout"  # noqa: S105 a type token, no secret
NAME = "terrace"


class Layout(pulumi.ComponentResource):
    """What every stage has: guard, key, parameters, buckets, network, logs. Variants add `build()`.

    Attributes:
        outputs: what the stack exports.
        watched: the dimensions of what `build` makes and alarms watch, by logical name.
    """

    variants: ClassVar[dict[Option, type[Layout]]] = {}
    option: ClassVar[Option]

    def __init_subclass__(cls, *, option: Option) -> None:
        cls.option = option
        Layout.variants[option] = cls

    def __init__(self, settings: Settings, naming: Naming, *, account_id: str) -> None:
        guard = Guard(settings.standing(naming))
        # Everything below waits for its parent, and the parent for the guard: a refusal comes before any change.
        super().__init__(TOKEN, NAME, None, pulumi.ResourceOptions(depends_on=[guard]))
        self.context = Context(settings, naming, account_id, hold() if settings.deletion_protection else None)
        self.shape: Shape = shape(settings.rung, data_volume_gib=settings.data_volume_gib)
        self.secrets = Secrets(self.context, parent=self)
        self.buckets = Buckets(self.context, key_arn=self.secrets.key_arn, parent=self)
        self.network = Network(
            self.context, flow_log_bucket_arn=self.buckets.arns[BucketRole.LOGS], parent=self
        )
        self.observability = Observability(self.context, key_arn=self.secrets.key_arn, parent=self)
        self.watched: dict[str, dict[str, pulumi.Input[str]]] = {}
        self.outputs: dict[str, Any] = {
            "stage": settings.stage,
            "option": settings.rung.option.value,
            "buckets": {role.value: name for role, name in self.buckets.names.items()},
            "key_arn": self.secrets.key_arn,
            "vpc_id": self.network.vpc_id,
            "public_subnets": dict(self.network.public_subnet_ids),
            "alarm_topic": self.observability.alarm_topic_arn,
            **self.build(),
        }
        if settings.gpu.mode is not Wanted.OFF:
            from infra.components.gpu import Gpu

            bucket = self.buckets.names[BucketRole.BACKUPS]
            gpu = Gpu(self.context, key_arn=self.secrets.key_arn, bucket=bucket, parent=self)
            self.outputs |= {"gpu_endpoint": gpu.endpoint_id, "gpu_jobs_url": gpu.jobs_url}
        if settings.budget is not None:
            MonthlyBudget(self.context, parent=self)
        if settings.notify.webhook is not Webhook.NONE:
            chat = ChatWebhook(
                self.context,
                topic_arn=self.observability.alarm_topic_arn,
                key_arn=self.secrets.key_arn,
                parent=self,
            )
            self.watched["webhook"] = dict(chat.watched)
        Alarms(
            self.context,
            alarm_set(settings.facts),
            watched=self.watched,
            topic_arn=self.observability.alarm_topic_arn,
            access_log=self.observability.log_group_names[Log.NGINX_ACCESS],
            parent=self,
        )
        self.register_outputs({})

    def build(self) -> dict[str, Any]:
        """Makes what this option alone has, and returns its outputs."""
        raise NotImplementedError


def build(settings: Settings, naming: Naming, *, account_id: str) -> Layout | Drill:
    """The layout of the option that the settings' stage belongs to, or the scratch stack of a drill."""
    if settings.drill is not None:
        return Drill(settings, settings.drill, naming, account_id=account_id)
    from infra.options import single  # noqa: F401 registers its variant

    return Layout.variants[settings.rung.option](settings, naming, account_id=account_id)
