"""CloudWatch Logs: filter patterns that are tried and checked, metric filters that emit metrics, saved queries."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import unix_time_millis
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogsBackend
from moto.logs.responses import LogsResponse

from embedded.aws.extensions.patching import Patches
from embedded.aws.logpattern import LogPattern, LogPatternError, compile_pattern

patches = Patches()

# PutRetentionPolicy, retentionInDays.
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


def _compiled(text: str) -> LogPattern:
    try:
        return compile_pattern(text)
    except LogPatternError as error:
        raise InvalidParameterException(f"Invalid metric filter pattern: {error}") from None


@patches.add(LogsResponse)
def test_metric_filter(response: Any) -> ActionResult:
    pattern = _compiled(response._get_param("filterPattern") or "")
    matches = []
    for number, message in enumerate(response._get_param("logEventMessages"), start=1):
        extracted = pattern.match(message)
        if extracted is not None:
            matches.append({"eventNumber": number, "eventMessage": message, "extractedValues": extracted})
    return ActionResult({"matches": matches})


@patches.wrap(LogsBackend)
def put_metric_filter(
    original: Any,
    backend: Any,
    filter_name: str,
    filter_pattern: str,
    log_group_name: str,
    transformations: Any,
) -> Any:
    _compiled(filter_pattern or "")
    if log_group_name not in backend.groups:
        raise ResourceNotFoundException()
    for transformation in transformations:
        if transformation.get("dimensions") and transformation.get("defaultValue") is not None:
            raise InvalidParameterException(
                "Invalid metric transformation: dimensions and default value exclude each other"
            )
    # A filter of the same name is replaced; moto would keep both.
    backend.delete_metric_filter(filter_name, log_group_name)
    result = original(backend, filter_name, filter_pattern, log_group_name, transformations)
    backend.filters.metric_filters[-1]["creationTime"] = int(unix_time_millis())
    return result


@patches.wrap(LogsBackend)
def put_log_events(
    original: Any, backend: Any, log_group_name: str, log_stream_name: str, log_events: list[dict[str, Any]]
) -> Any:
    """Emits the metrics of the group's filters; a default value for each minute of lines of which none matched."""
    result = original(backend, log_group_name, log_stream_name, log_events)
    for each in backend.filters.metric_filters:
        if each["logGroupName"] == log_group_name and log_events:
            _emit(backend, _compiled(each["filterPattern"]), each["metricTransformations"], log_events)
    return result


def _emit(backend: Any, pattern: LogPattern, transformations: Any, events: list[dict[str, Any]]) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    matched = [event for event in events if pattern.match(event["message"]) is not None]
    silent = {event["timestamp"] // 60_000 for event in events} - {
        event["timestamp"] // 60_000 for event in matched
    }
    for each in transformations:
        data = [
            _datum(each, event["timestamp"], value)
            for event in matched
            if (value := _metric_value(each["metricValue"], event["message"])) is not None
        ]
        if (default := each.get("defaultValue")) is not None:
            data += [_datum(each, minute * 60_000, float(default)) for minute in sorted(silent)]
        if data:
            metrics = cloudwatch_backends[backend.account_id][backend.region_name]
            metrics.put_metric_data(each["metricNamespace"], data)


def _datum(transformation: dict[str, Any], milliseconds: int, value: float) -> dict[str, Any]:
    return {
        "MetricName": transformation["metricName"],
        "Timestamp": datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None),
        "Value": value,
        "Unit": transformation.get("unit"),
    }


def _metric_value(text: str, message: str) -> float | None:
    """A number, or the number that a selector such as ``$.rt`` finds in a JSON line."""
    try:
        found: Any = text
        if text.startswith("$."):
            found = json.loads(message)
            for part in text[2:].split("."):
                found = found[part]
        return float(found)
    except (ValueError, KeyError, TypeError):
        return None


@patches.wrap(LogsBackend)
def delete_log_group(original: Any, backend: Any, log_group_name: str) -> Any:
    """The filters of a log group go with it."""
    result = original(backend, log_group_name)
    filters = backend.filters
    filters.metric_filters = [one for one in filters.metric_filters if one["logGroupName"] != log_group_name]
    return result


@patches.wrap(LogsBackend)
def put_retention_policy(original: Any, backend: Any, log_group_name: str, retention_in_days: Any) -> None:
    if int(retention_in_days) not in RETENTION_DAYS:
        raise InvalidParameterException(
            f"retentionInDays is {retention_in_days}, must be one of {', '.join(map(str, RETENTION_DAYS))}"
        )
    original(backend, log_group_name, retention_in_days)


def _definitions(response: Any) -> dict[str, dict[str, Any]]:
    definitions: dict[str, dict[str, Any]] = response.logs_backend.__dict__.setdefault(
        "query_definitions", {}
    )
    return definitions


@patches.add(LogsResponse)
def put_query_definition(response: Any) -> ActionResult:
    definitions, asked_id = _definitions(response), response._get_param("queryDefinitionId")
    if asked_id is not None and asked_id not in definitions:
        raise ResourceNotFoundException("The specified query definition does not exist.")
    definition_id = asked_id or str(uuid.uuid4())
    definitions[definition_id] = {
        "queryLanguage": response._get_param("queryLanguage") or "CWLI",
        "queryDefinitionId": definition_id,
        "name": response._get_param("name"),
        "queryString": response._get_param("queryString"),
        "logGroupNames": response._get_param("logGroupNames") or [],
        "lastModified": int(unix_time_millis()),
    }
    return ActionResult({"queryDefinitionId": definition_id})


@patches.add(LogsResponse)
def describe_query_definitions(response: Any) -> ActionResult:
    prefix = response._get_param("queryDefinitionNamePrefix") or ""
    found = [each for each in _definitions(response).values() if each["name"].startswith(prefix)]
    return ActionResult({"queryDefinitions": sorted(found, key=lambda each: str(each["name"]))})


@patches.add(LogsResponse)
def delete_query_definition(response: Any) -> ActionResult:
    if _definitions(response).pop(response._get_param("queryDefinitionId"), None) is None:
        raise ResourceNotFoundException("The specified query definition does not exist.")
    return ActionResult({"success": True})


def install() -> None:
    """Install into moto."""
    patches.apply()
