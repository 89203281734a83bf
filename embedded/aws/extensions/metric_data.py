"""GetMetricData: percentiles and metric math, which moto 5.2.5 lacks, and one look at each datum instead of many."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend

from embedded.alarms.definition import MetricKey, metric_key
from embedded.alarms.expressions import ExpressionError, compile_expression
from embedded.alarms.series import Series
from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(CloudWatchBackend)
def get_metric_data(
    original: Any,
    backend: Any,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> list[dict[str, Any]]:
    """By whole minutes; a query in SQL, and what `expressions` does not carry, is left to moto."""
    try:
        math = {
            each["Id"]: compile_expression(each["Expression"]) for each in queries if each.get("Expression")
        }
    except ExpressionError:
        return list(original(backend, queries, start_time, end_time, scan_by))
    first, last = (int(each.timestamp()) // 60 for each in (_utc(start_time), _utc(end_time)))
    keys = {each["Id"]: _key(each["MetricStat"]["Metric"]) for each in queries if each.get("MetricStat")}
    series = _series(backend, set(keys.values()), first, last)
    found: dict[str, dict[int, float]] = {}
    for each in queries:
        if stat := each.get("MetricStat"):
            minutes = max(1, int(stat["Period"]) // 60)
            found[each["Id"]] = {
                begin: value
                for begin in range(first, last, minutes)
                if (value := series[keys[each["Id"]]].statistic(stat["Stat"], begin + minutes, minutes))
                is not None
            }
    for id_, expression in math.items():
        begins = sorted({begin for values in found.values() for begin in values})
        known = {
            begin: expression({name: values.get(begin) for name, values in found.items()}) for begin in begins
        }
        found[id_] = {begin: value for begin, value in known.items() if value is not None}
    return [
        {
            "id": each["Id"],
            "label": each.get("Label") or each["Id"],
            "values": [value for _, value in _ordered(found[each["Id"]], scan_by)],
            "timestamps": [
                _EPOCH + timedelta(minutes=begin) for begin, _ in _ordered(found[each["Id"]], scan_by)
            ],
            "status_code": "Complete",
        }
        for each in queries
        if each.get("ReturnData", True) in (True, "true", "True")
    ]


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 moto keeps UTC times without a zone


def _ordered(values: Mapping[int, float], scan_by: str) -> list[tuple[int, float]]:
    return sorted(values.items(), reverse=scan_by == "TimestampDescending")


def _series(backend: Any, wanted: set[MetricKey], first: int, last: int) -> dict[MetricKey, Series]:
    series = {key: Series() for key in wanted}
    for datum in backend.get_all_metrics():
        minute = int(_utc(datum.timestamp).timestamp()) // 60
        if not first <= minute < last:
            continue
        key = metric_key(datum.namespace, datum.name, {each.name: each.value for each in datum.dimensions})
        if key in series:
            if hasattr(datum, "value"):
                series[key].add(minute, datum.value)
            else:
                series[key].add_set(
                    minute, total=datum.sum, count=datum.sample_count, lowest=datum.min, highest=datum.max
                )
    return series


def _key(metric: Mapping[str, Any]) -> MetricKey:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()}
    return metric_key(metric["Namespace"], metric["MetricName"], dimensions)


def _utc(moment: datetime) -> datetime:

    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def install() -> None:
    """Install into moto."""
    patches.apply()
