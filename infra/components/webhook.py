"""The only place for the chat that is told of alarms: a function behind the topic, its role, its address's parameter.

Besides the mail, never instead of it: the mail's subscription is another one, and the function's failures are told
by an alarm of their own (docs/adr/0054).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, iam, lambda_, sns, ssm

from infra.components.base import Component, Context, policy, trust
from infra.core.naming import UNSET, WEBHOOK
from infra.core.notice import QuietHours
from infra.core.storage import TOLD_PREFIX

CODE = Path(__file__).parents[1] / "lambda_" / "webhook.py"
RUNTIME = "python3.13"
MEMORY_MIB = 128
TIMEOUT_SECONDS = 30


class ChatWebhook(Component):
    """Alarms in Slack or Discord.

    Attributes:
        watched: the dimensions by which the function's own metrics are found.
    """

    watched: Mapping[str, pulumi.Input[str]]

    def __init__(
        self,
        context: Context,
        *,
        topic_arn: pulumi.Input[str],
        key_arn: pulumi.Input[str],
        bucket: pulumi.Input[str],
        bucket_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("observability:ChatWebhook", "webhook", parent)
        self._context = context
        settings, naming = context.settings, context.naming
        quiet = QuietHours.parse(settings.notify.quiet_hours) if settings.notify.quiet_hours else None
        address = ssm.Parameter(
            "webhook",
            name=naming.parameter(WEBHOOK),
            type="SecureString",
            key_id=key_arn,
            value_wo=UNSET,
            value_wo_version=1,
            tags=context.tags("webhook"),
            opts=self.child,
        )
        logs = cloudwatch.LogGroup(
            "webhook",
            name=naming.log_group("webhook"),
            retention_in_days=settings.log_retention_days,
            kms_key_id=key_arn,
            tags=context.tags("webhook"),
            opts=self.child,
        )
        role = self._role(logs.arn, key_arn, bucket_arn)
        variables: dict[str, pulumi.Input[str]] = {
            "KIND": settings.notify.webhook.value,
            "BUCKET": bucket,
            "FOLDER": TOLD_PREFIX,
            "PARAMETER": naming.parameter(WEBHOOK),
            "PREFIX": naming.physical(""),
        }
        if quiet is not None:
            variables["QUIET_MINUTES"] = f"{quiet.first}-{quiet.last}"
        function = lambda_.Function(
            "webhook",
            name=naming.physical("webhook"),
            description="Tells a chat of alarms",
            runtime=RUNTIME,
            architectures=["arm64"],
            handler="webhook.handler",
            # By its text: a path would be this machine's, and stand in the state.
            code=pulumi.AssetArchive({"webhook.py": pulumi.StringAsset(CODE.read_text(encoding="utf-8"))}),
            role=role.arn,
            memory_size=MEMORY_MIB,
            timeout=TIMEOUT_SECONDS,
            environment=lambda_.FunctionEnvironmentArgs(variables=variables),
            logging_config=lambda_.FunctionLoggingConfigArgs(log_format="Text", log_group=logs.name),
            tags=context.tags("webhook"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[address]),
        )
        self._allow("alarms", function, "sns.amazonaws.com", topic_arn)
        sns.TopicSubscription(
            "alarms-webhook", topic=topic_arn, protocol="lambda", endpoint=function.arn, opts=self.child
        )
        if quiet is not None:
            self._after(quiet, function)
        self.watched = {"FunctionName": function.name}
        self.register_outputs({})

    def _role(
        self,
        log_group_arn: pulumi.Input[str],
        key_arn: pulumi.Input[str],
        bucket_arn: pulumi.Input[str],
    ) -> iam.Role:
        context = self._context
        role = iam.Role(
            "webhook",
            name=context.naming.physical("webhook"),
            assume_role_policy=trust("lambda.amazonaws.com"),
            tags=context.tags("webhook"),
            opts=self.child,
        )
        parameter = context.naming.parameter(WEBHOOK)
        arn = f"arn:aws:ssm:{context.settings.region}:{context.account_id}:parameter{parameter}"
        iam.RolePolicy(
            "webhook",
            name="webhook",
            role=role.name,
            policy=policy(
                _statement("Address", ["ssm:GetParameter"], arn),
                _statement("Key", ["kms:Decrypt"], key_arn),
                # Neither takes a narrower resource for a list of all (Service Authorization Reference).
                _statement("Alarms", ["cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory"], "*"),
                _statement(
                    "Told",
                    ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                    pulumi.Output.concat(bucket_arn, f"/{TOLD_PREFIX}*"),
                ),
                _statement(
                    "Logs",
                    ["logs:CreateLogStream", "logs:PutLogEvents"],
                    pulumi.Output.concat(log_group_arn, ":*"),
                ),
            ),
            opts=self.child,
        )
        return role

    def _allow(
        self, name: str, function: lambda_.Function, principal: str, source_arn: pulumi.Input[str]
    ) -> None:
        lambda_.Permission(
            name,
            statement_id=name,
            function=function.name,
            action="lambda:InvokeFunction",
            principal=principal,
            source_arn=source_arn,
            opts=self.child,
        )

    def _after(self, quiet: QuietHours, function: lambda_.Function) -> None:
        """Asks the function, at the end of quiet hours, for what was kept back."""
        rule = cloudwatch.EventRule(
            "quiet-hours-over",
            name=self._context.naming.physical("quiet-hours-over"),
            description="What quiet hours kept back is told when they end",
            schedule_expression=quiet.cron_of_end,
            tags=self._context.tags("quiet-hours-over"),
            opts=self.child,
        )
        self._allow("quiet-hours-over", function, "events.amazonaws.com", rule.arn)
        cloudwatch.EventTarget(
            "quiet-hours-over", rule=rule.name, target_id="webhook", arn=function.arn, opts=self.child
        )


def _statement(sid: str, actions: list[str], resource: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
