"""The only place for which of the backups' metrics are worth a datum now: a custom metric is billed by the hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra.core import metrics as m
from infra.core.metrics import Metric

ONLY_WHILE_NOT_0 = (m.BACKUP_FAILED, m.ARCHIVE_GAP, m.ARCHIVE_LAG)
SLACK_SECONDS = 30


def worth(values: Mapping[Metric, float], told: Mapping[str, Any], now: datetime) -> dict[Metric, float]:
    """What to publish, by what was told last (`noted`)."""
    return {metric: value for metric, value in values.items() if _worth(metric, value, told, now)}


def noted(told: Mapping[str, Any], values: Mapping[Metric, float], now: datetime) -> dict[str, Any]:
    """What was told, with what was published now."""
    return {**told, **{metric.name: [now.timestamp(), value] for metric, value in values.items()}}


def _worth(metric: Metric, value: float, told: Mapping[str, Any], now: datetime) -> bool:
    at, before = told.get(metric.name, (0.0, None))
    if metric in ONLY_WHILE_NOT_0:
        return bool(value) or bool(before)
    fell = before is not None and value < before and metric is m.BACKUP_AGE  # a new backup
    grows = bool(value) and value != before and metric is m.ARCHIVE_QUEUE
    return fell or grows or now.timestamp() - at >= metric.every_seconds - SLACK_SECONDS
