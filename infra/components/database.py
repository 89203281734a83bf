"""The only place for the managed database: RDS for PostgreSQL 17 in its final private subnets.

The master password is made and kept by RDS in Secrets Manager (docs/adr/0043); the application never uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import ec2, rds, ssm, vpc

from infra.components.base import Component, Context
from infra.core.instances import DatabaseClass
from infra.core.naming import UNSET
from infra.core.shape import Part

PORT = 5432
MAJOR = "17"
NAME = "app"
MASTER = "terrace_master"
CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"
BACKUP_DAYS = 7


class Database(Component):
    """The instance with its subnet group, parameter group and security group.

    Attributes:
        instance_id, endpoint, arn: `endpoint` is HOST:PORT.
        master_secret_arn: where RDS keeps the master password.
    """

    instance_id: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    arn: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        database: DatabaseClass,
        *,
        size_gib: int,
        serves: bool,
        vpc_id: pulumi.Input[str],
        subnet_ids: Mapping[str, pulumi.Output[str]],
        key_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        """`serves`: whether it is the stack's database already, or a copy is still to be made into it."""
        super().__init__("database:Database", "database", parent)
        self._context = context
        tags, physical = context.tags("database"), context.naming.physical("database")
        self._group = ec2.SecurityGroup(
            "database",
            name=physical,
            description="What reaches the database",
            vpc_id=vpc_id,
            tags=tags,
            opts=self.child,
        )
        subnets = rds.SubnetGroup(
            "database",
            name=physical,
            description="The database's subnets, from its first day on",
            subnet_ids=list(subnet_ids.values()),
            tags=tags,
            opts=self.child,
        )
        parameters = rds.ParameterGroup(
            "database",
            name=physical,
            family=f"postgres{MAJOR}",
            description="TLS, connections, logical replication",
            parameters=[
                _parameter("rds.force_ssl", "1", static=False),
                _parameter("rds.logical_replication", "1", static=True),
                _parameter("max_connections", str(database.connections), static=True),
            ],
            tags=tags,
            opts=self.child,
        )
        instance = rds.Instance(
            "database",
            identifier=physical,
            engine="postgres",
            engine_version=MAJOR,
            instance_class=database.name,
            allocated_storage=size_gib,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=key_arn,
            db_name=NAME,
            username=MASTER,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=key_arn,
            db_subnet_group_name=subnets.name,
            parameter_group_name=parameters.name,
            vpc_security_group_ids=[self._group.id],
            publicly_accessible=False,
            port=PORT,
            ca_cert_identifier=CERTIFICATE_AUTHORITY,
            backup_retention_period=BACKUP_DAYS,
            backup_window="18:00-18:30",
            maintenance_window="sat:19:00-sat:19:30",
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
            engine_lifecycle_support="open-source-rds-extended-support-disabled",
            deletion_protection=context.protects(Part.DATABASE),
            skip_final_snapshot=False,
            final_snapshot_identifier=f"{physical}-final",
            apply_immediately=True,
            tags=tags,
            opts=context.holding_data(self, part=Part.DATABASE),
        )
        self.instance_id, self.endpoint, self.arn = instance.identifier, instance.endpoint, instance.arn
        self.master_secret_arn = instance.master_user_secrets.apply(
            lambda secrets: str(secrets[0].secret_arn) if secrets else ""
        )
        # Where backends write. Made once; moving the data moves it (docs/adr/0046), and no `pulumi up` puts it back.
        ssm.Parameter(
            "database-url",
            name=context.naming.parameter("database", "url"),
            type="String",
            insecure_value=(
                pulumi.Output.concat("postgresql://", instance.endpoint, f"/{NAME}") if serves else UNSET
            ),
            tags=context.tags("database-url"),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["insecureValue"]),
        )
        self.register_outputs({})

    def let_in(self, name: str, group_id: pulumi.Input[str], purpose: str) -> None:
        """Opens the database's port to one security group; `name` is the rule's logical name."""
        vpc.SecurityGroupIngressRule(
            f"database-{name}",
            security_group_id=self._group.id,
            description=purpose,
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            referenced_security_group_id=group_id,
            tags=self._context.tags("database"),
            opts=self.child,
        )

    def subscribe_to(self, name: str, group_id: pulumi.Input[str]) -> None:
        """Lets the database reach PostgreSQL on a box, and the box be reached by it: logical replication."""
        for direction, rule, owner, other in (
            ("to", vpc.SecurityGroupEgressRule, self._group.id, group_id),
            ("from", vpc.SecurityGroupIngressRule, group_id, self._group.id),
        ):
            rule(
                f"replication-{direction}-{name}",
                security_group_id=owner,
                description="logical replication while a climb goes on",
                ip_protocol="tcp",
                from_port=PORT,
                to_port=PORT,
                referenced_security_group_id=other,
                tags=self._context.tags("database"),
                opts=self.child,
            )


def _parameter(name: str, value: str, *, static: bool) -> rds.ParameterGroupParameterArgs:
    """A static parameter takes effect at the next start only (RDS User Guide, "DB parameter groups")."""
    return rds.ParameterGroupParameterArgs(
        name=name, value=value, apply_method="pending-reboot" if static else "immediate"
    )
