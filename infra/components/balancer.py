"""The only place for the load balancer of private boxes: listeners, rules, target groups, certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import acm, ec2, lb, route53, vpc

from infra.components.base import Component, Context
from infra.components.compute import EVERYWHERE
from infra.components.edge import RECORD_TTL_SECONDS, Entry
from infra.components.firewall import Firewall
from infra.core.shape import Firewall as Mode
from infra.core.stages import Role

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
PORTS = {Role.FRONTEND: 80, Role.BACKEND: 8090}
"""Where Nginx of a private box answers the load balancer, and Nginx of the backend box the frontend."""
HEALTH_PATH = "/healthz"
BACKEND_PATHS = ("/api/*", "/ws/*")


class Balancer(Component):
    """An application load balancer in public subnets, HTTPS only, two target groups.

    Attributes:
        entry: where a record points to.
        watched: by which metrics know it, its certificate and its target groups.
        security_group_id: whom the boxes let in.
    """

    entry: Entry
    watched: Mapping[str, dict[str, pulumi.Input[str]]]
    security_group_id: pulumi.Output[str]

    def __init__(
        self,
        context: Context,
        *,
        vpc_id: pulumi.Input[str],
        subnet_ids: Sequence[pulumi.Input[str]],
        log_bucket: pulumi.Input[str],
        protected: bool,
        parent: pulumi.Resource,
    ) -> None:
        """`protected`: AWS refuses to delete it; on while it serves, so that a climb away can end."""
        super().__init__("balancer:Balancer", "balancer", parent)
        self._context, edge = context, context.settings.edge
        tags = context.tags("balancer")
        self.security_group_id = self._security_group(vpc_id)
        balancer = lb.LoadBalancer(
            "balancer",
            name=context.naming.physical("balancer"),
            load_balancer_type="application",
            internal=False,
            subnets=list(subnet_ids),
            security_groups=[self.security_group_id],
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            idle_timeout=edge.idle_timeout_seconds,
            enable_deletion_protection=protected,
            access_logs=lb.LoadBalancerAccessLogsArgs(bucket=log_bucket, prefix="balancer", enabled=True),
            tags=tags,
            opts=self.child,
        )
        self._targets = {role: self._target_group(role, vpc_id) for role in PORTS}
        certificate = self._certificate()
        https = lb.Listener(
            "https",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate,
            default_actions=[
                lb.ListenerDefaultActionArgs(
                    type="forward", target_group_arn=self._targets[Role.FRONTEND].arn
                )
            ],
            tags=tags,
            opts=self.child,
        )
        lb.Listener(
            "http",
            load_balancer_arn=balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=lb.ListenerDefaultActionRedirectArgs(
                        port="443", protocol="HTTPS", status_code="HTTP_301"
                    ),
                )
            ],
            tags=tags,
            opts=self.child,
        )
        lb.ListenerRule(
            "backend",
            listener_arn=https.arn,
            priority=10,
            actions=[
                lb.ListenerRuleActionArgs(type="forward", target_group_arn=self._targets[Role.BACKEND].arn)
            ],
            conditions=[
                lb.ListenerRuleConditionArgs(
                    path_pattern=lb.ListenerRuleConditionPathPatternArgs(values=list(BACKEND_PATHS))
                )
            ],
            tags=tags,
            opts=self.child,
        )
        if edge.firewall is not Mode.OFF:
            Firewall(context, edge.firewall, balancer_arn=balancer.arn, parent=self)
        known: dict[str, pulumi.Input[str]] = {"LoadBalancer": balancer.arn_suffix}
        self.watched = {
            "balancer": {**known, "CertificateArn": certificate},
            **{
                f"targets-{role.value}": {"TargetGroup": group.arn_suffix, **known}
                for role, group in self._targets.items()
            },
        }
        self.entry = Entry(balancer_name=balancer.dns_name, balancer_zone_id=balancer.zone_id)
        self.register_outputs({})

    def send_to(self, role: Role, name: str, instance_id: pulumi.Input[str]) -> None:
        """Makes a box a target of its role's group; `name` is the attachment's logical name."""
        lb.TargetGroupAttachment(
            name,
            target_group_arn=self._targets[role].arn,
            target_id=instance_id,
            port=PORTS[role],
            opts=self.child,
        )

    def _security_group(self, vpc_id: pulumi.Input[str]) -> pulumi.Output[str]:
        tags = self._context.tags("balancer")
        group = ec2.SecurityGroup(
            "balancer",
            name=self._context.naming.physical("balancer"),
            description="What reaches the load balancer, and what it reaches",
            vpc_id=vpc_id,
            tags=tags,
            opts=self.child,
        )
        openings = [("http", 80, EVERYWHERE)]
        openings += [(f"https-{cidr}", 443, cidr) for cidr in self._context.settings.network.ingress_sources]
        for name, port, cidr in openings:
            vpc.SecurityGroupIngressRule(
                f"balancer-{name}",
                security_group_id=group.id,
                description="HTTPS" if port == 443 else "redirect to HTTPS",
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                cidr_ipv4=cidr,
                tags=tags,
                opts=self.child,
            )
        return group.id

    def reaches(self, role: Role, group_id: pulumi.Input[str]) -> None:
        """Lets the load balancer out to the boxes of that security group, and nowhere else."""
        vpc.SecurityGroupEgressRule(
            f"balancer-to-{role.value}",
            security_group_id=self.security_group_id,
            description=f"requests and health checks of the {role.value}",
            ip_protocol="tcp",
            from_port=PORTS[role],
            to_port=PORTS[role],
            referenced_security_group_id=group_id,
            tags=self._context.tags("balancer"),
            opts=self.child,
        )

    def _target_group(self, role: Role, vpc_id: pulumi.Input[str]) -> lb.TargetGroup:
        return lb.TargetGroup(
            role.value,
            name=self._context.naming.physical(role.value),
            port=PORTS[role],
            protocol="HTTP",
            vpc_id=vpc_id,
            target_type="instance",
            deregistration_delay=self._context.settings.edge.drain_seconds,
            health_check=lb.TargetGroupHealthCheckArgs(
                enabled=True,
                path=HEALTH_PATH,
                port="traffic-port",
                protocol="HTTP",
                matcher="200",
                interval=10,
                timeout=5,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            tags=self._context.tags(role.value),
            opts=self.child,
        )

    def _certificate(self) -> pulumi.Input[str]:
        """The one that the settings name, or one that Route 53 proves."""
        settings = self._context.settings
        if settings.edge.certificate_arn is not None:
            return settings.edge.certificate_arn
        if settings.dns is None or settings.domain is None:
            raise ValueError("a private stage has a certificate or a zone: infra/settings refuses others")
        certificate = acm.Certificate(
            "certificate",
            domain_name=settings.domain,
            validation_method="DNS",
            tags=self._context.tags("certificate"),
            opts=self.child,
        )
        proof = certificate.domain_validation_options[0]
        record = route53.Record(
            "certificate",
            zone_id=settings.dns.zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=RECORD_TTL_SECONDS,
            allow_overwrite=True,
            opts=self.child,
        )
        return acm.CertificateValidation(
            "certificate",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=self.child,
        ).certificate_arn
