"""What moto lacks and what AWS refuses, one module for each service; the only place that lists them."""

from __future__ import annotations

import importlib

# ec2_catalogue first: it must be before anything imports moto's EC2.
EXTENSIONS: tuple[str, ...] = (
    "ec2_catalogue",
    "core",
    "ec2_volumes",
    "ec2_instances",
    "ec2_network",
    "ssm",
    "ssm_commands",
    "ssm_associations",
    "cloudwatch",
    "metric_data",
    "logs",
    "budgets",
    "cost_explorer",
    "backup",
    "dlm",
    "rds_catalogue",
    "rds",
    "s3",
    "s3_replication",
    "kms",
    "elbv2",
    "route53",
    "sqs",
    "sns",
    "awslambda",
    "events",
    "account",
)


def install_all() -> None:
    """Install every extension into moto. Idempotent; loads the services that are extended, no others."""
    for name in EXTENSIONS:
        importlib.import_module(f"{__name__}.{name}").install()
