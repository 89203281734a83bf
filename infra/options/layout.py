"""The only place for the layout token and for what every option shares.

A resource's URN holds the type chain of its parents. All variants register under the one token and name below, so a
switch of options keeps the URN, and with it the thing, of everything that both have (docs/adr/0001). During a climb
the variants of both options build their sides of one layout (docs/adr/0045).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import pulumi

from infra.components.account import AccountBaseline
from infra.components.alarms import Alarms
from infra.components.backup import BackupVault, Snapshots
from infra.components.balancer import PORTS
from infra.components.base import Context, hold
from infra.components.budget import MonthlyBudget
from infra.components.compute import Box, Opening
from infra.components.data import DataVolume
from infra.components.database import Database
from infra.components.edge import Address, Entry
from infra.components.guard import Guard
from infra.components.host import HostFiles
from infra.components.network import Network
from infra.components.observability import Log, Observability
from infra.components.offsite import OffsiteCopy
from infra.components.pace import hurry as hurry  # for the program alone: tests build layouts too
from infra.components.permissions import box_statements
from infra.components.secrets import Secrets
from infra.components.storage import Buckets
from infra.components.webhook import ChatWebhook
from infra.core import shape as core
from infra.core.alarms import alarm_set
from infra.core.gpu.modes import Wanted
from infra.core.metrics import role_of
from infra.core.naming import Naming
from infra.core.notice import Webhook
from infra.core.shape import Placement, Shape
from infra.core.stages import Option, Role
from infra.core.storage import BucketRole
from infra.host.user_data import user_data
from infra.options.drill import Drill
from infra.settings import Settings

TOKEN = "terrace:layout:Layout"  # noqa: S105 a type token, no secret
NAME = "terrace"


class Side(ABC):
    """What one option alone has, built into a layout.

    Attributes:
        entry: where requests go once this side serves.
        boxes: its instances by the role that deploys know them by.
        backends: the boxes that reach the database, by logical name.
    """

    variants: ClassVar[dict[Option, type[Side]]] = {}
    option: ClassVar[Option]
    entry: Entry
    boxes: Mapping[str, pulumi.Output[str]]
    backends: Mapping[str, Box]

    def __init_subclass__(cls, *, option: Option) -> None:
        cls.option = option
        Side.variants[option] = cls

    @abstractmethod
    def __init__(self, layout: Layout) -> None: ...

    @property
    @abstractmethod
    def outputs(self) -> dict[str, Any]:
        """What the stack exports of this side."""


class Layout(pulumi.ComponentResource):
    """What every stage has: guard, key, parameters, buckets, network, logs, what holds data; and its sides.

    Attributes:
        outputs: what the stack exports.
        watched: the dimensions of what alarms watch, by logical name; sides add what they make.
    """

    def __init__(self, settings: Settings, naming: Naming, *, account_id: str) -> None:
        guard = Guard(settings.standing(naming))
        # Everything below waits for its parent, and the parent for the guard: a refusal comes before any change.
        super().__init__(TOKEN, NAME, None, pulumi.ResourceOptions(depends_on=[guard]))
        self.context = Context(settings, naming, account_id, hold() if settings.deletion_protection else None)
        self.shape: Shape = settings.shape
        self.secrets = Secrets(self.context, parent=self)
        self.buckets = Buckets(self.context, key_arn=self.secrets.key_arn, parent=self)
        self.network = Network(
            self.context, self.shape, flow_log_bucket_arn=self.buckets.arns[BucketRole.LOGS], parent=self
        )
        self.observability = Observability(self.context, key_arn=self.secrets.key_arn, parent=self)
        self.watched: dict[str, dict[str, pulumi.Input[str]]] = {}
        self.data_volume = self._data_volume()
        self.database = self._database()
        self.sides: dict[Option, Side] = {
            option: Side.variants[option](self) for option in self._options(settings)
        }
        self._watch_shared_parts()
        self._connect_database()
        self._connect_boxes()
        self.address = self._address()
        HostFiles(
            self.context,
            buckets=self.buckets.names,
            key_arn=self.secrets.key_arn,
            address=self.address.public_ip,
            data_volume_id=self.data_volume.volume_id if self.data_volume is not None else None,
            backends=[
                box.private_ip
                for option, side in self.sides.items()
                if option is not Option.SINGLE
                for box in side.backends.values()
            ],
            parent=self,
        )
        self.outputs: dict[str, Any] = {
            "stage": settings.stage,
            "option": settings.rung.option.value,
            "buckets": {role.value: name for role, name in self.buckets.names.items()},
            "key_arn": self.secrets.key_arn,
            "vpc_id": self.network.vpc_id,
            "public_subnets": dict(self.network.public_subnet_ids),
            "alarm_topic": self.observability.alarm_topic_arn,
            "url": self.address.url,
            "boxes": dict(self.sides[self.shape.serving].boxes),
            **self._parts(),
            **{name: value for side in self.sides.values() for name, value in side.outputs.items()},
        }
        if (region := settings.backup.offsite_region) is not None:
            offsite = OffsiteCopy(
                self.context,
                region=region,
                source=self.buckets.buckets[BucketRole.BACKUPS],
                source_key_arn=self.secrets.key_arn,
                parent=self,
            )
            self.outputs["offsite_bucket"] = offsite.bucket_name
        if settings.gpu.mode is not Wanted.OFF:
            from infra.components.gpu import Gpu

            bucket = self.buckets.names[BucketRole.BACKUPS]
            gpu = Gpu(self.context, key_arn=self.secrets.key_arn, bucket=bucket, parent=self)
            self.outputs |= {"gpu_endpoint": gpu.endpoint_id, "gpu_jobs_url": gpu.jobs_url}
        if settings.account is not None:
            baseline = AccountBaseline(
                self.context,
                settings.account,
                logs_bucket=self.buckets.names[BucketRole.LOGS],
                key_arn=self.secrets.key_arn,
                parent=self,
            )
            self.outputs["workflow_roles"] = dict(baseline.roles)
        if settings.budget is not None:
            MonthlyBudget(self.context, parent=self)
        if settings.notify.webhook is not Webhook.NONE:
            chat = ChatWebhook(
                self.context,
                topic_arn=self.observability.alarm_topic_arn,
                key_arn=self.secrets.key_arn,
                bucket=self.buckets.names[BucketRole.LOGS],
                bucket_arn=self.buckets.arns[BucketRole.LOGS],
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

    def box(
        self,
        box: core.Box,
        *,
        openings: Sequence[Opening],
        buckets: Collection[BucketRole] = tuple(BucketRole),
        public_ip: bool | None = None,
    ) -> Box:
        """A box in the first zone, with a role of its own that reaches those buckets."""
        context, key_arn = self.context, self.secrets.key_arn
        subnets = (
            self.network.private_subnet_ids
            if box.placement is Placement.PRIVATE
            else self.network.public_subnet_ids
        )
        made = Box(
            context,
            box,
            vpc_id=self.network.vpc_id,
            subnet_id=subnets[context.settings.zones[0]],
            key_arn=key_arn,
            statements=box_statements(
                context,
                key_arn=key_arn,
                bucket_arns={role: arn for role, arn in self.buckets.arns.items() if role in buckets},
                log_group_arns=list(self.observability.log_group_arns.values()),
                master_secret_arn=self._secret_for(box),
                keeps_certificates_in=(
                    self.buckets.arns[BucketRole.BACKUPS] if box.role is Role.FRONTEND else None
                ),
            ),
            openings=openings,
            user_data=user_data(
                region=context.settings.region,
                parameters=context.naming.parameter(),
                role=role_of(box.name),
                private=box.placement is Placement.PRIVATE,
            ),
            public_ip=public_ip,
            parent=self,
        )
        self.watched[box.name] = {"InstanceId": made.instance_id}
        return made

    def _secret_for(self, box: core.Box) -> pulumi.Output[str] | None:
        """Who may be the database's master: the backend, and the single box while rows move from or to it."""
        moves = box.role is Role.BACKEND or (
            box.role is Role.APP and self.context.settings.climbing is not None
        )
        return self.database.master_secret_arn if self.database is not None and moves else None

    def box_shape(self, role: Role, placement: Placement) -> core.Box:
        """The box of that role and placement in this layout's shape."""
        (found,) = [box for box in self.shape.on(placement) if box.role is role]
        return found

    @staticmethod
    def _options(settings: Settings) -> tuple[Option, ...]:
        climb = settings.climbing
        return (settings.rung.option, climb.to.option) if climb else (settings.rung.option,)

    def _data_volume(self) -> DataVolume | None:
        """The volume with its copies, as long as it is used or kept."""
        if not self.shape.data_volume_gib:
            return None
        context, key_arn = self.context, self.secrets.key_arn
        volume = DataVolume(context, size_gib=self.shape.data_volume_gib, key_arn=key_arn, parent=self)
        Snapshots(context, parent=self)
        if context.settings.backup.aws_backup:
            BackupVault(context, volume_arn=volume.arn, key_arn=key_arn, parent=self)
        return volume

    def _database(self) -> Database | None:
        if self.shape.database is None:
            return None
        return Database(
            self.context,
            self.shape.database,
            size_gib=self.shape.database_gib,
            serves=self.shape.serving is not Option.SINGLE,
            vpc_id=self.network.vpc_id,
            subnet_ids=self.network.database_subnet_ids,
            key_arn=self.secrets.key_arn,
            parent=self,
        )

    def _watch_shared_parts(self) -> None:
        if self.database is not None:
            self.watched["database"] = {"DBInstanceIdentifier": self.database.instance_id}
        for gateway_id in list(self.network.nat_gateway_ids.values())[:1]:
            self.watched["nat"] = {"NatGatewayId": gateway_id}

    def _connect_database(self) -> None:
        """Each backend reaches the database; replication passes only while box and database both take part."""
        if self.database is None:
            return
        climbing = self.context.settings.climbing is not None
        for option, side in self.sides.items():
            if option is Option.SINGLE and not climbing:
                continue
            for name, box in side.backends.items():
                self.database.let_in(name, box.security_group_id, f"SQL from {name}")
                if option is Option.SINGLE:
                    self.database.subscribe_to(name, box.security_group_id)

    def _connect_boxes(self) -> None:
        """While both stand, the single box may ask the new backend (infra/host/box/data/requests.py)."""
        single, split = (self.sides.get(option) for option in (Option.SINGLE, Option.SPLIT))
        if single is None or split is None:
            return
        for name, box in single.backends.items():
            purpose = "requests that the single box still gets"
            for backend in split.backends.values():
                backend.let_in(Opening(name, PORTS[Role.BACKEND], None, purpose, box.security_group_id))

    def _address(self) -> Address:
        """The address points to the public side that serves, or that served last."""
        serving = self.sides[self.shape.serving].entry
        public = [side.entry for side in self.sides.values() if side.entry.instance_id is not None]
        entry = serving if serving.instance_id is not None else next(iter(public), None)
        return Address(
            self.context, holds_eip=self.shape.eip, public_entry=entry, serving=serving, parent=self
        )

    def _parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.address.public_ip is not None:
            found["eip"] = self.address.public_ip
        if self.data_volume is not None:
            found["volume_id"] = self.data_volume.volume_id
        if self.database is not None:
            found["database"] = {
                "endpoint": self.database.endpoint,
                "master_secret": self.database.master_secret_arn,
                "storage_gib": self.shape.database_gib,
            }
            # Rows move where one end is on the box itself; elsewhere the backend makes the application's role.
            side = self.sides.get(Option.SINGLE) or self.sides[self.shape.serving]
            found["mover"] = next(iter(side.backends.values())).instance_id
        return found


def build(settings: Settings, naming: Naming, *, account_id: str) -> Layout | Drill:
    """The layout of the stage that the settings name and of the one they climb to, or a drill's scratch stack."""
    if settings.drill is not None:
        return Drill(settings, settings.drill, naming, account_id=account_id)
    from infra.options import private, single, split  # noqa: F401 each registers its variant

    return Layout(settings, naming, account_id=account_id)
