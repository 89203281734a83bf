"""Cost Explorer: anomaly monitors, their subscriptions, and cost-allocation tags, which moto lacks.

On AWS a tag key can be activated only once billing has seen it on a resource, up to a day later; here at once.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from moto.ce.models import CostExplorerBackend
from moto.ce.responses import CostExplorerResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from embedded.aws.extensions.patching import Patches

patches = Patches()

MOST_TAGS_AT_ONCE = 20


def _store(response: Any, name: str) -> dict[str, dict[str, Any]]:
    store: dict[str, dict[str, Any]] = response.ce_backend.__dict__.setdefault(name, {})
    return store


def _new_arn(response: Any, kind: str) -> str:
    return f"arn:{response.partition}:ce::{response.current_account}:{kind}/{uuid.uuid4()}"


def _of(response: Any, store: str, key: str, error: str) -> dict[str, Any]:
    arn = response._get_param(key)
    found = _store(response, store).get(arn)
    if found is None:
        raise JsonRESTError(error, f"There is no {arn}")
    return found


def _tag(response: Any, arn: str) -> None:
    backend: CostExplorerBackend = response.ce_backend
    backend.tag_resource(arn, response._get_param("ResourceTags") or [])


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


@patches.add(CostExplorerResponse)
def create_anomaly_monitor(response: Any) -> ActionResult:
    monitor, monitors = response._get_param("AnomalyMonitor"), _store(response, "anomaly_monitors")
    needed = "MonitorDimension" if monitor["MonitorType"] == "DIMENSIONAL" else "MonitorSpecification"
    if needed not in monitor:
        raise JsonRESTError(
            "ValidationException", f"A monitor of type {monitor['MonitorType']} needs {needed}"
        )
    arn, today = _new_arn(response, "anomalymonitor"), _today()
    monitors[arn] = {**monitor, "MonitorArn": arn, "CreationDate": today, "LastUpdatedDate": today}
    _tag(response, arn)
    return ActionResult({"MonitorArn": arn})


@patches.add(CostExplorerResponse)
def get_anomaly_monitors(response: Any) -> ActionResult:
    monitors, wanted = _store(response, "anomaly_monitors"), response._get_param("MonitorArnList")
    for arn in wanted or []:
        if arn not in monitors:
            raise JsonRESTError("UnknownMonitorException", f"There is no {arn}")
    return ActionResult(
        {"AnomalyMonitors": [each for arn, each in monitors.items() if not wanted or arn in wanted]}
    )


@patches.add(CostExplorerResponse)
def update_anomaly_monitor(response: Any) -> ActionResult:
    monitor = _of(response, "anomaly_monitors", "MonitorArn", "UnknownMonitorException")
    if name := response._get_param("MonitorName"):
        monitor |= {"MonitorName": name, "LastUpdatedDate": _today()}
    return ActionResult({"MonitorArn": monitor["MonitorArn"]})


@patches.add(CostExplorerResponse)
def delete_anomaly_monitor(response: Any) -> ActionResult:
    monitor = _of(response, "anomaly_monitors", "MonitorArn", "UnknownMonitorException")
    del _store(response, "anomaly_monitors")[monitor["MonitorArn"]]
    return ActionResult({})


@patches.add(CostExplorerResponse)
def create_anomaly_subscription(response: Any) -> ActionResult:
    subscription = response._get_param("AnomalySubscription")
    _check_monitors(response, subscription["MonitorArnList"])
    arn = _new_arn(response, "anomalysubscription")
    _store(response, "anomaly_subscriptions")[arn] = {
        **subscription,
        "SubscriptionArn": arn,
        "AccountId": response.current_account,
        "Subscribers": _confirmed(subscription["Subscribers"]),
    }
    _tag(response, arn)
    return ActionResult({"SubscriptionArn": arn})


def _check_monitors(response: Any, arns: list[str]) -> None:
    for arn in arns:
        if arn not in _store(response, "anomaly_monitors"):
            raise JsonRESTError("UnknownMonitorException", f"There is no {arn}")


def _confirmed(subscribers: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"Status": "CONFIRMED", **each} for each in subscribers]


@patches.add(CostExplorerResponse)
def get_anomaly_subscriptions(response: Any) -> ActionResult:
    subscriptions = _store(response, "anomaly_subscriptions")
    wanted, monitor = response._get_param("SubscriptionArnList"), response._get_param("MonitorArn")
    for arn in wanted or []:
        if arn not in subscriptions:
            raise JsonRESTError("UnknownSubscriptionException", f"There is no {arn}")
    shown = [
        each
        for arn, each in subscriptions.items()
        if (not wanted or arn in wanted) and (not monitor or monitor in each["MonitorArnList"])
    ]
    return ActionResult({"AnomalySubscriptions": shown})


@patches.add(CostExplorerResponse)
def update_anomaly_subscription(response: Any) -> ActionResult:
    subscription = _of(response, "anomaly_subscriptions", "SubscriptionArn", "UnknownSubscriptionException")
    names = (
        "Threshold",
        "Frequency",
        "MonitorArnList",
        "Subscribers",
        "SubscriptionName",
        "ThresholdExpression",
    )
    changed = {name: value for name in names if (value := response._get_param(name)) is not None}
    _check_monitors(response, changed.get("MonitorArnList", []))
    if "Subscribers" in changed:
        changed["Subscribers"] = _confirmed(changed["Subscribers"])
    subscription |= changed
    return ActionResult({"SubscriptionArn": subscription["SubscriptionArn"]})


@patches.add(CostExplorerResponse)
def delete_anomaly_subscription(response: Any) -> ActionResult:
    subscription = _of(response, "anomaly_subscriptions", "SubscriptionArn", "UnknownSubscriptionException")
    del _store(response, "anomaly_subscriptions")[subscription["SubscriptionArn"]]
    return ActionResult({})


@patches.add(CostExplorerResponse)
def get_anomalies(_: Any) -> ActionResult:
    """None: nothing is spent here."""
    return ActionResult({"Anomalies": []})


@patches.add(CostExplorerResponse)
def update_cost_allocation_tags_status(response: Any) -> ActionResult:
    wanted, tags = response._get_param("CostAllocationTagsStatus"), _store(response, "cost_allocation_tags")
    if len(wanted) > MOST_TAGS_AT_ONCE:
        raise JsonRESTError(
            "ValidationException",
            f"{len(wanted)} tags in one request, at most {MOST_TAGS_AT_ONCE} are allowed",
        )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for entry in wanted:
        tags[entry["TagKey"]] = {
            "TagKey": entry["TagKey"],
            "Type": "AWSGenerated" if entry["TagKey"].startswith("aws:") else "UserDefined",
            "Status": entry["Status"],
            "LastUpdatedDate": now,
        }
    return ActionResult({"Errors": []})


@patches.add(CostExplorerResponse)
def list_cost_allocation_tags(response: Any) -> ActionResult:
    wanted = {name: response._get_param(name) for name in ("Status", "Type")}
    keys = response._get_param("TagKeys")
    shown = [
        tag
        for tag in _store(response, "cost_allocation_tags").values()
        if (not keys or tag["TagKey"] in keys)
        and all(value in (None, tag[name]) for name, value in wanted.items())
    ]
    return ActionResult({"CostAllocationTags": shown})


def install() -> None:
    """Install into moto."""
    patches.apply()
