"""The only place for what an AWS account has once: its trail, detection, safe defaults, and the workflows' roles.

Behind `terrace:account`, in one stack of an account. A person applies it, not a workflow: no workflow's role may
change what this file makes (components/roles.py, docs/adr/0035).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import cloudtrail, costexplorer, ebs, guardduty, iam, s3

from infra.components.base import Component, Context
from infra.components.roles import WORKFLOWS, deploy_statements, drill_statements, preview_statements
from infra.components.storage import TRAIL_PREFIX
from infra.core.naming import MANDATORY_TAGS, Naming
from infra.settings import Account

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
"""What aws-actions/configure-aws-credentials asks GitHub's token for."""

ON_MAIN = "ref:refs/heads/main"
"""The end of the subject of a job on main that names no environment."""

SESSION_SECONDS = 2 * 3600
"""A role's longest session; 3 600 to 43 200 s (IAM API reference, CreateRole). The slowest step is a climb's RDS."""


class AccountBaseline(Component):
    """The account's own settings.

    Attributes:
        roles: the ARN that each GitHub environment's variable takes, by environment; by STACK-drill for a drill,
            which names none.
    """

    roles: Mapping[str, pulumi.Output[str]]

    def __init__(
        self,
        context: Context,
        account: Account,
        *,
        logs_bucket: pulumi.Input[str],
        key_arn: pulumi.Input[str],
        parent: pulumi.Resource,
    ) -> None:
        super().__init__("account:AccountBaseline", "account", parent)
        self._context, self._account = context, account
        if account.trail:
            cloudtrail.Trail(
                "trail",
                name=context.naming.physical("trail"),
                s3_bucket_name=logs_bucket,
                s3_key_prefix=TRAIL_PREFIX,
                kms_key_id=key_arn,
                is_multi_region_trail=True,
                include_global_service_events=True,
                enable_log_file_validation=True,
                enable_logging=True,
                tags=context.tags("trail"),
                opts=self.child,
            )
        if account.guard_duty:
            guardduty.Detector("detector", enable=True, tags=context.tags("detector"), opts=self.child)
        ebs.EncryptionByDefault("volumes", enabled=True, opts=self.child)
        s3.AccountPublicAccessBlock(
            "buckets",
            account_id=context.account_id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child,
        )
        if account.cost_tags:
            for name in MANDATORY_TAGS:
                costexplorer.CostAllocationTag(name, tag_key=name, status="Active", opts=self.child)
        self.roles = self._workflow_roles(account.repository) if account.repository else {}
        self.register_outputs({})

    def _workflow_roles(self, repository: str) -> dict[str, pulumi.Output[str]]:
        """A role to look, one to change and one to prove backups, for each stack; the keys are GitHub's environments.

        A pull request's own copy of a workflow names whatever environment it likes. So main's jobs that look name
        none: GitHub then writes the branch into the subject, and `pull_request` for a pull request (GitHub Docs,
        "OpenID Connect reference", example subject claims). The one environment that a pull request's subject may
        bear is its own, and prod's asks a person first. A drill runs on main's schedule, and nowhere else.
        """
        provider = iam.OpenIdConnectProvider(
            "github",
            url=f"https://{ISSUER}",
            client_id_lists=[AUDIENCE],
            tags=self._context.tags("github"),
            opts=self.child,
        )
        found: dict[str, pulumi.Output[str]] = {}
        for stack in self._account.stacks:
            naming = Naming(self._context.naming.project, stack)
            for name, key, subjects, statements in (
                (
                    f"{stack}-preview",
                    f"{stack}-pull-request",
                    [f"environment:{stack}-pull-request", ON_MAIN],
                    preview_statements(self._context, naming),
                ),
                (stack, stack, [f"environment:{stack}"], deploy_statements(self._context, naming)),
                (f"{stack}-drill", f"{stack}-drill", [ON_MAIN], drill_statements(self._context, naming)),
            ):
                found[key] = self._role(provider.arn, repository, name, subjects, statements)
        return found

    def _role(
        self,
        provider_arn: pulumi.Input[str],
        repository: str,
        name: str,
        subjects: list[str],
        statements: list[dict[str, Any]],
    ) -> pulumi.Output[str]:
        physical = f"{self._context.naming.project}-{WORKFLOWS}-{name}"
        condition = {
            "StringEquals": {
                f"{ISSUER}:aud": AUDIENCE,
                f"{ISSUER}:sub": [f"repo:{repository}:{each}" for each in subjects],
            }
        }
        role = iam.Role(
            f"workflow-{name}",
            name=physical,
            description=f"Workflows of {repository}, {', '.join(subjects)}",
            max_session_duration=SESSION_SECONDS,
            assume_role_policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Federated": provider_arn},
                            "Action": "sts:AssumeRoleWithWebIdentity",
                            "Condition": condition,
                        }
                    ],
                }
            ),
            tags=self._context.tags(f"workflow-{name}"),
            opts=self.child,
        )
        iam.RolePolicy(
            f"workflow-{name}",
            name="workflow",
            role=role.id,
            policy=json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":")),
            opts=self.child,
        )
        return role.arn
