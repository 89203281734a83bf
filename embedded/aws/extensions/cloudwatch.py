"""CloudWatch alarms: every field kept, composite ones too, a history, and the limits that AWS holds.

The alarm evaluator is not here but in embedded/alarms; it changes states by ``evaluated``. Rules: the CloudWatch API
reference (botocore 1.44.5) and the limits of "Using Amazon CloudWatch alarms" in its user guide.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from typing import Any

from moto.cloudwatch.exceptions import (
    InvalidFormat,
    InvalidParameterCombination,
    InvalidParameterValue,
    ResourceNotFound,
    ValidationError,
)
from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow

from embedded.aws.extensions.patching import Patches

patches = Patches()

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
MOST_ACTIONS = 5
MOST_CHILDREN = 100
MOST_RULE_CHARACTERS = 10_240
DAY_SECONDS = 86_400
WEEK_SECONDS = 604_800
HISTORY_KEPT = 5_000
PAGE = 50

_EXTENDED = re.compile(r"^(p|tm|tc|ts|wm)(\d{1,2}(\.\d{1,10})?|100)$|^(TM|TC|TS|WM|PR)\(.*\)$|^IQM$")
_CHILD = re.compile(r"\b(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s()\"']+))\s*\)")
_NEVER_SHOWN = frozenset({"Tags"})


@patches.wrap(CloudWatchResponse)
def put_metric_alarm(original: Any, response: Any) -> Any:
    asked = copy.deepcopy(dict(response._get_params()))
    _check_metric_alarm(asked)
    before = response.cloudwatch_backend.alarms.get(asked["AlarmName"])
    extended = asked.get("ExtendedStatistic")
    if extended and not extended.startswith("p"):
        # moto knows percentiles only; what is shown comes from what was asked, so its own record may lack it.
        response.params = {key: value for key, value in response.params.items() if key != "ExtendedStatistic"}
    result = original(response)
    _keep(response.cloudwatch_backend, before, asked)
    return result


@patches.add(CloudWatchResponse)
def put_composite_alarm(response: Any) -> EmptyResult:
    backend, asked = response.cloudwatch_backend, copy.deepcopy(dict(response._get_params()))
    _check_composite_alarm(backend, asked)
    before = backend.alarms.get(asked["AlarmName"])
    backend.put_metric_alarm(
        name=asked["AlarmName"],
        namespace=None,
        metric_name=None,
        comparison_operator=None,
        evaluation_periods=None,
        period=None,
        threshold=None,
        statistic=None,
        description=asked.get("AlarmDescription"),
        dimensions=[],
        alarm_actions=asked.get("AlarmActions", []),
        ok_actions=asked.get("OKActions", []),
        insufficient_data_actions=asked.get("InsufficientDataActions", []),
        actions_enabled=asked.get("ActionsEnabled", True),
        rule=asked["AlarmRule"],
        tags=asked.get("Tags", []),
    )
    _keep(backend, before, asked)
    return EmptyResult()


def _keep(backend: CloudWatchBackend, before: Any, asked: dict[str, Any]) -> None:
    """Keep what was asked word for word; an alarm that was there keeps its state, a new one has none yet."""
    alarm: Any = backend.alarms[asked["AlarmName"]]
    alarm.asked = {
        key: value for key, value in asked.items() if key not in _NEVER_SHOWN and value is not None
    }
    if before is None:
        alarm.state_value = "INSUFFICIENT_DATA"
        alarm.state_transitioned_timestamp = alarm.state_updated_timestamp
        _note(backend, alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" created', {"type": "Create"})
        return
    for name in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp"):
        setattr(alarm, name, getattr(before, name))
    alarm.state_transitioned_timestamp = getattr(before, "state_transitioned_timestamp", None)
    _note(backend, alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" updated', {"type": "Update"})


def _check_metric_alarm(asked: dict[str, Any]) -> None:
    single, queries = asked.get("MetricName"), asked.get("Metrics")
    if not any((single, queries, asked.get("EvaluationCriteria"))):
        raise ValidationError("Exactly one of MetricName, Metrics or EvaluationCriteria must be given")
    if single and queries:
        raise InvalidParameterCombination("MetricName and Metrics must not be given together")
    if single and bool(asked.get("Statistic")) == bool(asked.get("ExtendedStatistic")):
        raise InvalidParameterCombination("Exactly one of Statistic and ExtendedStatistic must be given")
    if asked.get("ExtendedStatistic") and not _EXTENDED.match(asked["ExtendedStatistic"]):
        raise InvalidParameterValue(
            f"The value {asked['ExtendedStatistic']} for parameter ExtendedStatistic is not supported."
        )
    if asked.get("TreatMissingData") not in (None, "breaching", "notBreaching", "ignore", "missing"):
        raise ValidationError(
            f"Option {asked['TreatMissingData']} is not supported for parameter TreatMissingData."
        )
    _check_periods(asked)
    _check_actions(asked)
    if queries and any(
        ":automate:" in action or ":swf:" in action for action in asked.get("AlarmActions", [])
    ):
        raise ValidationError("EC2 actions are not supported for alarms on metric math expressions")
    if queries and sum(1 for query in queries if query.get("ReturnData", True)) != 1:
        raise ValidationError("Exactly one of the Metrics must have ReturnData true")


def _check_periods(asked: dict[str, Any]) -> None:
    stats = [query["MetricStat"]["Period"] for query in asked.get("Metrics", []) if "MetricStat" in query]
    periods = [int(period) for period in (asked.get("Period"), *stats) if period]
    evaluated = int(asked.get("EvaluationPeriods") or 1)
    for period in periods:
        if period not in (10, 20, 30) and period % 60:
            raise ValidationError(f"Period must be 10, 20, 30 or a multiple of 60, not {period}")
        window, most = period * evaluated, WEEK_SECONDS if period >= 3600 else DAY_SECONDS
        if window > most:
            raise ValidationError(
                f"Metrics cannot be checked across more than {most} seconds (EvaluationPeriods * Period = {window})"
            )
    if int(asked.get("DatapointsToAlarm") or 1) > evaluated:
        raise ValidationError("DatapointsToAlarm must be less than or equal to EvaluationPeriods")


def _check_actions(asked: dict[str, Any]) -> None:
    for name in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        if len(asked.get(name, [])) > MOST_ACTIONS:
            raise ValidationError(
                f"{name} has {len(asked[name])} members, at most {MOST_ACTIONS} are allowed"
            )


def children(rule: str) -> tuple[str, ...]:
    """The names of the alarms that a composite rule asks about, in the order of their first mention."""
    found = (next(filter(None, match.groups())) for match in _CHILD.finditer(rule))
    return tuple(dict.fromkeys(name.rsplit(":alarm:", 1)[-1] for name in found))


def _check_composite_alarm(backend: CloudWatchBackend, asked: dict[str, Any]) -> None:
    rule, named = asked["AlarmRule"], children(asked["AlarmRule"])
    _check_actions(asked)
    if len(rule) > MOST_RULE_CHARACTERS or len(named) > MOST_CHILDREN:
        raise ValidationError(
            f"AlarmRule has {len(rule)} characters and {len(named)} alarms, at most {MOST_RULE_CHARACTERS} and "
            f"{MOST_CHILDREN} are allowed"
        )
    left = re.sub(r"\b(?:AND|OR|NOT|TRUE|FALSE)\b|[()\s]", "", _CHILD.sub("", rule))
    if left:
        raise ValidationError(f"AlarmRule cannot be understood at {left[:40]!r}")
    unknown = [name for name in named if name not in backend.alarms]
    suppressor = asked.get("ActionsSuppressor")
    if suppressor and suppressor.rsplit(":alarm:", 1)[-1] not in backend.alarms:
        unknown.append(suppressor)
    if unknown:
        raise ValidationError(f"The alarms {', '.join(unknown)} named by {asked['AlarmName']} do not exist")
    periods = [asked.get(f"ActionsSuppressor{name}Period") for name in ("Wait", "Extension")]
    if bool(suppressor) != all(period is not None for period in periods):
        raise ValidationError(
            "ActionsSuppressor, ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod go together"
        )


@patches.add(CloudWatchResponse)
def describe_alarms(response: Any) -> ActionResult:
    asked = response._get_params()
    alarms = sorted(response.cloudwatch_backend.alarms.values(), key=lambda alarm: str(alarm.name))
    names = asked.get("AlarmNames")
    if names is not None and names != []:
        alarms = [alarm for alarm in alarms if alarm.name in names]
    if prefix := asked.get("AlarmNamePrefix"):
        alarms = [alarm for alarm in alarms if alarm.name.startswith(prefix)]
    if state := asked.get("StateValue"):
        alarms = [alarm for alarm in alarms if alarm.state_value == state]
    if action := asked.get("ActionPrefix"):
        alarms = [alarm for alarm in alarms if any(one.startswith(action) for one in alarm.alarm_actions)]
    types = asked.get("AlarmTypes") or ["MetricAlarm"]
    alarms = [alarm for alarm in alarms if _type(alarm) in types]
    start, most = int(asked.get("NextToken") or 0), int(asked.get("MaxRecords") or PAGE)
    page = alarms[start : start + most]
    return ActionResult(
        {
            "MetricAlarms": [shown(alarm) for alarm in page if _type(alarm) == "MetricAlarm"],
            "CompositeAlarms": [shown(alarm) for alarm in page if _type(alarm) == "CompositeAlarm"],
            "NextToken": str(start + most) if len(alarms) > start + most else None,
        }
    )


@patches.add(CloudWatchResponse)
def describe_alarms_for_metric(response: Any) -> ActionResult:
    asked = response._get_params()
    dimensions = _dimensions(asked.get("Dimensions"))
    found = [
        shown(alarm)
        for alarm in response.cloudwatch_backend.alarms.values()
        if (alarm.metric_name, alarm.namespace) == (asked["MetricName"], asked["Namespace"])
        and (not dimensions or _dimensions(getattr(alarm, "asked", {}).get("Dimensions")) == dimensions)
    ]
    return ActionResult({"MetricAlarms": found})


def _dimensions(given: Iterable[dict[str, str]] | None) -> set[tuple[str, str]]:
    return {(each["Name"], each["Value"]) for each in given or ()}


def _type(alarm: Alarm) -> str:
    return "MetricAlarm" if alarm.rule is None else "CompositeAlarm"


def shown(alarm: Any) -> dict[str, Any]:
    """An alarm as DescribeAlarms shows it: what was asked for, what it is in, and AWS's defaults."""
    return {
        "AlarmActions": [],
        "OKActions": [],
        "InsufficientDataActions": [],
        **({"Dimensions": []} if alarm.rule is None else {}),
        **alarm.asked,
        "AlarmArn": alarm.alarm_arn,
        "ActionsEnabled": alarm.actions_enabled,
        "AlarmConfigurationUpdatedTimestamp": alarm.configuration_updated_timestamp,
        "StateValue": alarm.state_value,
        "StateReason": alarm.state_reason,
        "StateReasonData": alarm.state_reason_data,
        "StateUpdatedTimestamp": alarm.state_updated_timestamp,
        "StateTransitionedTimestamp": alarm.state_transitioned_timestamp,
        **({"ActionsSuppressedBy": by} if (by := getattr(alarm, "suppressed_by", "")) else {}),
    }


@patches.add(CloudWatchResponse)
def set_alarm_state(response: Any) -> EmptyResult:
    asked, backend = response._get_params(), response.cloudwatch_backend
    alarm = backend.alarms.get(asked["AlarmName"])
    if alarm is None:
        raise ResourceNotFound()
    if asked["StateValue"] not in STATES:
        raise ValidationError(
            f"1 validation error detected: Value '{asked['StateValue']}' at 'stateValue' failed to satisfy "
            f"constraint: Member must satisfy enum value set: [{', '.join(sorted(STATES))}]"
        )
    data = asked.get("StateReasonData") or "{}"
    try:
        json.loads(data)
    except ValueError:
        raise InvalidFormat("StateReasonData is invalid JSON") from None
    _change_state(backend, alarm, asked["StateReason"], data, asked["StateValue"])
    return EmptyResult()


def _change_state(backend: Any, alarm: Any, reason: str, data: str, state: str) -> None:
    old = alarm.state_value
    alarm.update_state(reason, data, state)
    alarm.history.clear()
    if old != alarm.state_value:
        alarm.state_transitioned_timestamp = alarm.state_updated_timestamp
        detail = {
            "version": "1.0",
            "oldState": {"stateValue": old},
            "newState": {"stateValue": alarm.state_value, "stateReason": alarm.state_reason},
        }
        _note(backend, alarm, "StateUpdate", f"Alarm updated from {old} to {alarm.state_value}", detail)


def evaluated(backend: Any, alarm: Any, change: Any) -> None:
    """Set what the evaluator found (its ``Transition``), at the time that it was found at."""
    if change.new != alarm.state_value:
        _change_state(backend, alarm, change.reason, json.dumps(change.data), change.new.value)
        moment = _naive(change.at)
        alarm.state_updated_timestamp = alarm.state_transitioned_timestamp = moment
        backend.alarm_history[-1]["Timestamp"] = moment
    alarm.suppressed_by = change.suppressed_by
    if change.acts and alarm.actions_enabled:
        _note(
            backend,
            alarm,
            "Action",
            f"Actions of {change.new.value} carried out",
            {"state": change.new.value},
        )


@patches.add(CloudWatchResponse)
def delete_alarms(response: Any) -> EmptyResult:
    backend, names = response.cloudwatch_backend, set(response._get_param("AlarmNames", []))
    composites = [name for name in names if name in backend.alarms and backend.alarms[name].rule is not None]
    if len(composites) > 1:
        raise ValidationError("Only one composite alarm can be deleted at a time")
    parents = [
        alarm for alarm in backend.alarms.values() if alarm.rule is not None and alarm.name not in names
    ]
    for parent in parents:
        if held := names.intersection(children(str(parent.rule))):
            raise ValidationError(
                f"Cannot delete {', '.join(sorted(held))} as there are composite alarm(s) depending on it: "
                f"{parent.name}"
            )
    for name in names:
        alarm = backend.alarms.pop(name, None)
        if alarm is not None:
            _note(backend, alarm, "ConfigurationUpdate", f'Alarm "{name}" deleted', {"type": "Delete"})
            backend.tagger.delete_all_tags_for_resource(alarm.alarm_arn)
    return EmptyResult()


@patches.add(CloudWatchResponse)
def describe_alarm_history(response: Any) -> ActionResult:
    asked = response._get_params()
    items = list(getattr(response.cloudwatch_backend, "alarm_history", []))
    types = asked.get("AlarmTypes") or (
        ["MetricAlarm", "CompositeAlarm"] if asked.get("AlarmName") else ["MetricAlarm"]
    )
    wanted = {"AlarmName": asked.get("AlarmName"), "HistoryItemType": asked.get("HistoryItemType")}
    for key, value in wanted.items():
        items = [item for item in items if value in (None, item[key])]
    start, end = (_naive(asked.get(key)) for key in ("StartDate", "EndDate"))
    items = [
        item
        for item in items
        if item["AlarmType"] in types
        and (start is None or item["Timestamp"] >= start)
        and (end is None or item["Timestamp"] <= end)
    ]
    if asked.get("ScanBy") != "TimestampAscending":
        items.reverse()
    first, most = int(asked.get("NextToken") or 0), int(asked.get("MaxRecords") or 100)
    more = str(first + most) if len(items) > first + most else None
    return ActionResult({"AlarmHistoryItems": items[first : first + most], "NextToken": more})


def _naive(moment: Any) -> Any:
    """moto keeps UTC times without a zone."""
    return moment.replace(tzinfo=None) if moment is not None else None


def _note(backend: Any, alarm: Any, kind: str, summary: str, data: dict[str, Any]) -> None:
    history = backend.__dict__.setdefault("alarm_history", [])
    history.append(
        {
            "AlarmName": alarm.name,
            "AlarmType": _type(alarm),
            "Timestamp": utcnow(),
            "HistoryItemType": kind,
            "HistorySummary": summary,
            "HistoryData": json.dumps(data),
        }
    )
    del history[:-HISTORY_KEPT]


def install() -> None:
    """Install into moto."""
    patches.apply()
