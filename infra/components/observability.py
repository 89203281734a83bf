"""The only place for where logs go and whom alarms reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

import pulumi
from pulumi_aws import cloudwatch, sns

from infra.components.base import Component, Context, policy

WORTH_A_MAIL = {
    "$or": [
        {"NewStateValue": ["ALARM"]},
        {"NewStateValue": ["OK"], "OldStateValue": ["ALARM"]},
    ]
}
"""A new alarm goes from INSUFFICIENT_DATA to OK and would say so: forty mails for a new stack. A body that is no
JSON matches no policy (SNS Developer Guide, "Subscription filter policy scope"), so budgets write to the address."""


class Log(StrEnum):
    """The log groups of a stack; their names are `/<project>/<stack>/logs/<value>`."""

    NGINX_ACCESS = "nginx/access"
    NGINX_ERROR = "nginx/error"
    BACKEND = "backend"
    FRONTEND = "frontend"
    DATABASE = "database"
    SYSTEM = "system"


class Observability(Component):
    """Log groups with retention, and the topic that alarms are published to.

    Attributes:
        alarm_topic_arn: where alarms go; its e-mail subscription works once the mail's link was followed.
        log_group_arns, log_group_names: by log.
    """

    alarm_topic_arn: pulumi.Output[str]
    log_group_arns: Mapping[Log, pulumi.Output[str]]
    log_group_names: Mapping[Log, pulumi.Output[str]]

    def __init__(self, context: Context, *, key_arn: pulumi.Input[str], parent: pulumi.Resource) -> None:
        super().__init__("observability:Observability", "observability", parent)
        groups = {
            log: cloudwatch.LogGroup(
                log.value.replace("/", "-"),
                name=context.naming.log_group(log.value),
                retention_in_days=context.settings.log_retention_days,
                kms_key_id=key_arn,
                tags=context.tags(log.value),
                opts=self.child,
            )
            for log in Log
        }
        topic = sns.Topic(
            "alarms",
            name=context.naming.physical("alarms"),
            kms_master_key_id=key_arn,
            tags=context.tags("alarms"),
            opts=self.child,
        )
        sns.TopicPolicy(
            "alarms",
            arn=topic.arn,
            policy=policy(
                {
                    "Sid": "AlarmsOfThisAccountPublish",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": topic.arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": context.account_id}},
                }
            ),
            opts=self.child,
        )
        sns.TopicSubscription(
            "alarms-email",
            topic=topic.arn,
            protocol="email",
            endpoint=context.settings.alarm_email,
            filter_policy_scope="MessageBody",
            filter_policy=json.dumps(WORTH_A_MAIL),
            opts=self.child,
        )
        self.alarm_topic_arn = topic.arn
        self.log_group_arns = {log: group.arn for log, group in groups.items()}
        self.log_group_names = {log: group.name for log, group in groups.items()}
        self.register_outputs({})
