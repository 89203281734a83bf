"""What an imagined stack is watched by, and a clock that begins on a Monday."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from embedded.alarms.definition import MetricKey, metric_key
from infra.core.metrics import Metric
from ops.alarmcalls import dimensions

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
WATCHED = {
    **{
        name: {"InstanceId": f"i-{name}"}
        for name in ("app", "frontend-public", "backend-public", "frontend-private", "backend-private")
    },
    "database": {"DBInstanceIdentifier": "terrace-dev"},
    "balancer": {
        "LoadBalancer": "app/terrace-dev/1",
        "CertificateArn": "arn:aws:acm:ap-northeast-2:123456789012:certificate/1",
    },
    **{
        f"targets-{role}": {"TargetGroup": f"targetgroup/{role}/1", "LoadBalancer": "app/terrace-dev/1"}
        for role in ("frontend", "backend")
    },
    "webhook": {"FunctionName": "terrace-dev-webhook"},
    "nat": {"NatGatewayId": "nat-1"},
}


def at(minutes: float) -> datetime:
    """That many minutes after the Monday."""
    return MONDAY + timedelta(minutes=minutes)


def key_of(metric: Metric, subject: str) -> MetricKey:
    """The metric as the imagined stack publishes it."""
    return metric_key(
        metric.space.named("terrace", "dev"), metric.name, dimensions(metric, subject, "dev", WATCHED)
    )
