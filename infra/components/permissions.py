"""The only place for what a box may do: the least that its agents, its deploys and its application need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from infra.components.base import Context
from infra.core.gpu.modes import Wanted
from infra.core.naming import (
    BACKUP_PASSPHRASE,
    DATABASE_ENDPOINT,
    DATABASE_PASSWORD,
    DATABASE_WRITER,
    Naming,
)
from infra.core.storage import BucketRole

AGENT_NAMESPACE = "CWAgent"
"""The CloudWatch agent's default namespace (CloudWatch User Guide, "Metrics collected by the agent")."""

# AmazonSSMManagedInstanceCore without GetParameter and GetParameters on every parameter of the account.
_SSM_AGENT = [
    "ssm:DescribeAssociation",
    "ssm:DescribeDocument",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:PutInventory",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
]

_READ, _LIST = ["s3:GetObject"], ["s3:ListBucket", "s3:GetBucketLocation"]
_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload"]

# Nothing here deletes a version, so what a broken or hostile box overwrites or deletes can be brought back.
_OBJECT_ACTIONS: Mapping[BucketRole, list[str]] = {
    BucketRole.UPLOADS: [*_READ, *_WRITE],
    BucketRole.BACKUPS: [*_READ, *_WRITE, "s3:DeleteObject"],
    BucketRole.ARTIFACTS: _READ,
}


def box_statements(
    context: Context,
    *,
    key_arn: pulumi.Input[str],
    bucket_arns: Mapping[BucketRole, pulumi.Output[str]],
    log_group_arns: list[pulumi.Output[str]],
    master_secret_arn: pulumi.Input[str] | None = None,
    keeps_certificates_in: pulumi.Output[str] | None = None,
) -> list[dict[str, Any]]:
    """The statements of a box's role: agent, metrics, own logs, own parameters, own buckets, the key.

    `master_secret_arn` is of the database whose rows the box moves, and whose application role it makes;
    `keeps_certificates_in` the bucket of which the box reaches the copies of its certificate, and nothing else.
    """
    statements: list[dict[str, Any]] = [
        _allow("SystemsManagerAgent", _SSM_AGENT, "*"),
        {
            **_allow("Metrics", ["cloudwatch:PutMetricData"], "*"),
            "Condition": {
                "StringEquals": {"cloudwatch:namespace": [AGENT_NAMESPACE, context.naming.project]}
            },
        },
        # What terrace-metrics asks: when a drill went well, what the GPU has cost, what is left of error budgets.
        _allow(
            "Look",
            ["cloudwatch:GetMetricStatistics", "cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"],
            "*",
        ),
        _allow(
            "Budget",
            ["budgets:ViewBudget"],
            f"arn:aws:budgets::{context.account_id}:budget/{context.naming.physical('monthly')}",
        ),
        _allow(
            "Logs",
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [pulumi.Output.concat(arn, ":*") for arn in log_group_arns],
        ),
        _allow(
            "Parameters",
            ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
            [
                _parameters(context, part)
                for part in ("app", "app/*", DATABASE_ENDPOINT, DATABASE_WRITER, *_gpu(context))
            ],
        ),
        # The box makes the pass phrase of its backups up at its first boot, and reads it ever after.
        _allow(
            "BackupPassPhrase",
            ["ssm:GetParameter", "ssm:PutParameter"],
            _parameters(context, BACKUP_PASSPHRASE),
        ),
        _allow(
            "DatabasePassword",
            ["ssm:GetParameter", "ssm:PutParameter"],
            _parameters(context, DATABASE_PASSWORD),
        ),
        _allow("HostParameters", ["ssm:GetParameter"], _parameters(context, "host/*")),
        _allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], key_arn),
    ]
    if master_secret_arn is not None:
        statements += [
            _allow(
                "Writer",
                ["ssm:GetParameter", "ssm:PutParameter"],
                [_parameters(context, part) for part in (DATABASE_WRITER, DATABASE_PASSWORD)],
            ),
            _allow("MasterSecret", ["secretsmanager:GetSecretValue"], master_secret_arn),
        ]
    if keeps_certificates_in is not None:
        copies = pulumi.Output.concat(keeps_certificates_in, "/certificates/*")
        statements.append(_allow("CertificateCopies", ["s3:GetObject", "s3:PutObject"], copies))
    for role, actions in _OBJECT_ACTIONS.items():
        if (arn := bucket_arns.get(role)) is None:
            continue
        statements.append(_allow(f"{role.value.capitalize()}List", _LIST, arn))
        statements.append(
            _allow(f"{role.value.capitalize()}Objects", actions, pulumi.Output.concat(arn, "/*"))
        )
    return statements


def _gpu(context: Context) -> tuple[str, ...]:
    """The controller's plan, where there is an endpoint (its key lies in app/); not the worker's own secrets."""
    off = context.settings.gpu.mode is Wanted.OFF
    return () if off else ("gpu/endpoint", "gpu/jobs-url", "gpu/plan")


def restore_statements(
    context: Context, source: Naming, *, key_arn: str, buckets: Sequence[str]
) -> list[dict[str, Any]]:
    """What a scratch box may do: read another stack's buckets and the pass phrase of its backups."""
    arns = [f"arn:aws:s3:::{name}" for name in buckets]
    return [
        _allow("SystemsManagerAgent", _SSM_AGENT, "*"),
        _allow("PassPhrase", ["ssm:GetParameter"], _parameter(context, source, BACKUP_PASSPHRASE)),
        _allow("Key", ["kms:Decrypt"], key_arn),
        _allow("List", _LIST, arns),
        _allow("Objects", _READ, [f"{arn}/*" for arn in arns]),
    ]


def _parameters(context: Context, path: str) -> str:
    return _parameter(context, context.naming, path)


def _parameter(context: Context, naming: Naming, path: str) -> str:
    return f"arn:aws:ssm:{context.settings.region}:{context.account_id}:parameter{naming.parameter(path)}"


def _allow(sid: str, actions: list[str], resource: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
