"""Alarms keep every field, their state and their history; patterns match as CloudWatch Logs documents them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from embedded.aws.logpattern import LogPatternError, compile_pattern

Aws = Callable[..., Any]
Refused = Callable[..., str]

ALARM: dict[str, Any] = {
    "AlarmName": "cpu",
    "Namespace": "AWS/EC2",
    "MetricName": "CPUUtilization",
    "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
    "Statistic": "Average",
    "Period": 300,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 70.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def alarm(aws: Aws, name: str = "cpu", kind: str = "MetricAlarm") -> dict[str, Any]:
    found = aws("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=[kind])[f"{kind}s"]
    assert len(found) == 1
    only: dict[str, Any] = found[0]
    return only


def test_a_new_alarm_has_no_data_yet(aws: Aws) -> None:
    aws("cloudwatch").put_metric_alarm(**ALARM)
    assert alarm(aws)["StateValue"] == "INSUFFICIENT_DATA"


def test_an_alarm_shows_every_field_that_it_was_given(aws: Aws) -> None:
    week = {
        "Period": 604_800,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "TreatMissingData": "ignore",
        "EvaluationWindow": {"WallClockWindow": {"Timezone": "Asia/Seoul"}},
        "WarmUpConfiguration": {
            "WarmUpPeriodDurationInMinutes": 60,
            "OnlyStartEvaluatingAfterWarmUpPeriodEnds": False,
        },
    }
    aws("cloudwatch").put_metric_alarm(**ALARM | week)
    shown = alarm(aws)
    assert {key: shown.get(key) for key in ALARM | week} == ALARM | week


def test_an_alarm_on_metric_math_shows_its_queries(aws: Aws) -> None:
    stat = {
        "Metric": {
            "Namespace": "app",
            "MetricName": "errors",
            "Dimensions": [{"Name": "host", "Value": "a"}],
        },
        "Period": 60,
        "Stat": "Sum",
    }
    queries = [
        {"Id": "e1", "Expression": "100*m1", "Label": "rate", "ReturnData": True},
        {"Id": "m1", "MetricStat": stat, "ReturnData": False},
    ]
    asked = {"EvaluationPeriods": 5, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    aws("cloudwatch").put_metric_alarm(AlarmName="math", Metrics=queries, **asked)
    assert alarm(aws, "math")["Metrics"] == queries


@pytest.mark.parametrize("statistic", ["p99.9", "tm95", "TM(5%:95%)", "PR(:300)", "IQM"])
def test_every_extended_statistic_is_kept(aws: Aws, statistic: str) -> None:
    asked = {key: value for key, value in ALARM.items() if key != "Statistic"} | {
        "ExtendedStatistic": statistic
    }
    aws("cloudwatch").put_metric_alarm(**asked)
    assert alarm(aws)["ExtendedStatistic"] == statistic


@pytest.mark.parametrize(
    "wrong",
    [
        {"Period": 300, "EvaluationPeriods": 2016},
        {"Period": 604_800, "EvaluationPeriods": 2},
        {"Period": 90},
        {"DatapointsToAlarm": 4},
        {"TreatMissingData": "guess"},
        {"AlarmActions": [f"arn:aws:sns:ap-northeast-2:123456789012:t{n}" for n in range(6)]},
    ],
)
def test_what_cloudwatch_cannot_evaluate_is_refused(
    aws: Aws, refused: Refused, wrong: dict[str, Any]
) -> None:
    refused("ValidationError", aws("cloudwatch").put_metric_alarm, **ALARM | wrong)


def test_ec2_actions_are_refused_on_metric_math(aws: Aws, refused: Refused) -> None:
    query = {
        "Id": "m1",
        "MetricStat": {"Metric": {"Namespace": "a", "MetricName": "b"}, "Period": 60, "Stat": "Sum"},
    }
    refused(
        "ValidationError",
        aws("cloudwatch").put_metric_alarm,
        AlarmName="math",
        Metrics=[query],
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=["arn:aws:automate:ap-northeast-2:ec2:recover"],
    )


def test_a_changed_threshold_leaves_state_and_history(aws: Aws) -> None:
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(**ALARM)
    cloudwatch.set_alarm_state(AlarmName="cpu", StateValue="ALARM", StateReason="hot")
    since = alarm(aws)["StateTransitionedTimestamp"]
    cloudwatch.put_metric_alarm(**ALARM | {"Threshold": 80.0})
    shown = alarm(aws)
    assert (shown["Threshold"], shown["StateValue"], shown["StateReason"]) == (80.0, "ALARM", "hot")
    assert shown["StateTransitionedTimestamp"] == since


def test_the_history_tells_every_change_newest_first(aws: Aws) -> None:
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(**ALARM)
    for state in ("ALARM", "ALARM", "OK"):
        cloudwatch.set_alarm_state(AlarmName="cpu", StateValue=state, StateReason=f"now {state}")
    cloudwatch.put_metric_alarm(**ALARM | {"Threshold": 80.0})
    items = cloudwatch.describe_alarm_history(AlarmName="cpu")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in items] == [
        'Alarm "cpu" updated',
        "Alarm updated from ALARM to OK",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "cpu" created',
    ]
    states = cloudwatch.describe_alarm_history(
        AlarmName="cpu", HistoryItemType="StateUpdate", ScanBy="TimestampAscending", MaxRecords=1
    )
    assert json.loads(states["AlarmHistoryItems"][0]["HistoryData"])["newState"]["stateReason"] == "now ALARM"
    assert "NextToken" in states
    past = datetime.now(UTC) - timedelta(hours=1)
    assert cloudwatch.describe_alarm_history(AlarmName="cpu", EndDate=past)["AlarmHistoryItems"] == []


def test_the_history_outlives_the_alarm(aws: Aws) -> None:
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(**ALARM)
    cloudwatch.delete_alarms(AlarmNames=["cpu"])
    items = cloudwatch.describe_alarm_history(AlarmName="cpu")["AlarmHistoryItems"]
    assert items[0]["HistorySummary"] == 'Alarm "cpu" deleted'


def test_an_unknown_state_is_refused(aws: Aws, refused: Refused) -> None:
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(**ALARM)
    refused("ValidationError", cloudwatch.set_alarm_state, AlarmName="cpu", StateValue="HOT", StateReason="x")


def test_a_composite_alarm_is_kept_beside_its_children(aws: Aws, refused: Refused) -> None:
    cloudwatch = aws("cloudwatch")
    for name in ("cpu", "memory", "deploying"):
        cloudwatch.put_metric_alarm(**ALARM | {"AlarmName": name})
    asked = {
        "AlarmName": "review",
        "AlarmRule": 'ALARM("cpu") OR (ALARM(memory) AND NOT OK(cpu))',
        "AlarmDescription": "time to climb",
        "ActionsSuppressor": "deploying",
        "ActionsSuppressorWaitPeriod": 60,
        "ActionsSuppressorExtensionPeriod": 120,
    }
    cloudwatch.put_composite_alarm(**asked, Tags=[{"Key": "Team", "Value": "a"}])
    shown = alarm(aws, "review", "CompositeAlarm")
    assert {key: shown[key] for key in asked} == asked
    assert shown["StateValue"] == "INSUFFICIENT_DATA"
    assert cloudwatch.list_tags_for_resource(ResourceARN=shown["AlarmArn"])["Tags"] == [
        {"Key": "Team", "Value": "a"}
    ]
    cloudwatch.set_alarm_state(AlarmName="review", StateValue="ALARM", StateReason="both")
    assert alarm(aws, "review", "CompositeAlarm")["StateValue"] == "ALARM"
    # Unasked, only metric alarms are described.
    assert cloudwatch.describe_alarms()["CompositeAlarms"] == []
    assert "review" in refused("ValidationError", cloudwatch.delete_alarms, AlarmNames=["memory"])
    cloudwatch.delete_alarms(AlarmNames=["review"])
    cloudwatch.delete_alarms(AlarmNames=["memory", "cpu", "deploying"])
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []


@pytest.mark.parametrize(
    "rule",
    ["ALARM(nobody)", "ALARM(cpu) XOR ALARM(cpu)", "ALARM(cpu) AND " + "ALARM(cpu) OR " * 800 + "TRUE"],
)
def test_a_composite_rule_that_cannot_be_is_refused(aws: Aws, refused: Refused, rule: str) -> None:
    aws("cloudwatch").put_metric_alarm(**ALARM)
    refused("ValidationError", aws("cloudwatch").put_composite_alarm, AlarmName="c", AlarmRule=rule)


def test_alarms_come_in_pages_of_fifty(aws: Aws) -> None:
    cloudwatch = aws("cloudwatch")
    for number in range(55):
        cloudwatch.put_metric_alarm(**ALARM | {"AlarmName": f"a{number:02}"})
    first = cloudwatch.describe_alarms()
    rest = cloudwatch.describe_alarms(NextToken=first["NextToken"])
    assert (len(first["MetricAlarms"]), len(rest["MetricAlarms"]), rest.get("NextToken")) == (50, 5, None)


# Cases from "Filter pattern syntax for metric filters", CloudWatch Logs user guide.
JSON_EVENT = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "cluster.name": "c",
        "bandwidth": 75,
        "ThisFlag": True,
    }
)
ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
FIELDS = "ip, id, user, timestamp, request"


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("error", "[ERROR 400] BAD REQUEST", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
        ("?ERROR ?ARGUMENTS", "[INFO] ARGUMENTS", True),
        ("?ERROR ?ARGUMENTS", "[INFO] REQUEST", False),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
        ("ERROR -ARGUMENTS", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ('{ $.eventType = "UpdateTrail" }', JSON_EVENT, True),
        ("{ $.sourceIPAddress != 123.123.* }", JSON_EVENT, True),
        ("{ $.sourceIPAddress = 111.111.* }", JSON_EVENT, True),
        ('{ $.arrayKey[0] = "value" }', JSON_EVENT, True),
        ("{ $.objectList[1].id = 2 }", JSON_EVENT, True),
        ("{ $.SomeObject IS NULL }", JSON_EVENT, True),
        ("{ $.SomeOtherObject NOT EXISTS }", JSON_EVENT, True),
        ("{ $.SomeObject NOT EXISTS }", JSON_EVENT, False),
        ("{ $.ThisFlag IS TRUE }", JSON_EVENT, True),
        ("{ $.ThisFlag IS FALSE }", JSON_EVENT, False),
        ("{ $.bandwidth > 7.4e1 }", JSON_EVENT, True),
        ("{ $.bandwidth > 75 }", JSON_EVENT, False),
        ("{ $.bandwidth >= 75 && $.bandwidth <= 75 }", JSON_EVENT, True),
        ('{ ($.eventType = "x") || ($.bandwidth = 75) }', JSON_EVENT, True),
        ('{ $.eventType = "x" || $.bandwidth = 75 && $.ThisFlag IS FALSE }', JSON_EVENT, False),
        ("{ $.eventType > 1 }", JSON_EVENT, False),
        ("{ $.nowhere != 1 }", JSON_EVENT, False),
        ("{ $.eventType = %Update.*% }", JSON_EVENT, True),
        ("{ $['cluster.name'] = c }", JSON_EVENT, True),
        ("{ $.status = 200 }", "no JSON", False),
        (f"[{FIELDS}, status_code, bytes]", ACCESS, True),
        (f"[{FIELDS}, status_code = 4*, bytes > 1000]", ACCESS, True),
        (f"[{FIELDS}, status_code = 404 || status_code = 410, bytes]", ACCESS, True),
        (f"[{FIELDS}, status_code = 401 || status_code = 410, bytes]", ACCESS, False),
        ("[ip, ..., request = *.html*, status_code = 4*, bytes]", ACCESS, True),
        ("[..., status_code, bytes >= 2000]", ACCESS, False),
        ("[ip, user]", ACCESS, False),
    ],
)
def test_a_filter_pattern_matches_as_documented(pattern: str, message: str, *, matches: bool) -> None:
    assert (compile_pattern(pattern).match(message) is not None) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a = 1",
        "{ $.a = }",
        "{ $.a = 1 $.b = 2 }",
        "{ ($.a = 1 }",
        "{ a = 1 }",
        "{ $.a IS MAYBE }",
        "{ $.a < x }",
        "[a, b",
        "[..., a, ...]",
        "bad-term",
        "%(a)%",
        "%[%",
        '"never closed',
    ],
)
def test_a_pattern_that_logs_would_not_take_is_an_error(pattern: str) -> None:
    with pytest.raises(LogPatternError):
        compile_pattern(pattern)


def test_a_metric_filter_can_be_tried(aws: Aws, refused: Refused) -> None:
    logs = aws("logs")
    events = [json.dumps({"status": 200, "rt": 0.01}), json.dumps({"status": 503, "rt": 1.5})]
    tried = logs.test_metric_filter(filterPattern="{ $.status >= 500 && $.rt >= 0 }", logEventMessages=events)
    assert tried["matches"] == [
        {"eventNumber": 2, "eventMessage": events[1], "extractedValues": {"$.status": "503", "$.rt": "1.5"}}
    ]
    refused(
        "InvalidParameterException", logs.test_metric_filter, filterPattern="{ $.a", logEventMessages=["x"]
    )


def metric_filter(**more: Any) -> dict[str, Any]:
    transformation = {"metricName": "errors", "metricNamespace": "app", "metricValue": "1"}
    return {
        "logGroupName": "app",
        "filterName": "errors",
        "filterPattern": "{ $.status >= 500 }",
        "metricTransformations": [transformation | more],
    }


def test_a_metric_filter_is_replaced_by_its_name_and_goes_with_its_log_group(aws: Aws) -> None:
    logs = aws("logs")
    logs.create_log_group(logGroupName="app")
    for value in ("1", "$.rt"):
        logs.put_metric_filter(**metric_filter(metricValue=value))
    found = logs.describe_metric_filters(logGroupName="app")["metricFilters"]
    assert [each["metricTransformations"][0]["metricValue"] for each in found] == ["$.rt"]
    logs.delete_log_group(logGroupName="app")
    logs.create_log_group(logGroupName="app")
    assert logs.describe_metric_filters(logGroupName="app")["metricFilters"] == []


def test_a_metric_filter_that_cannot_be_is_refused(aws: Aws, refused: Refused) -> None:
    logs = aws("logs")
    refused("ResourceNotFoundException", logs.put_metric_filter, **metric_filter())
    logs.create_log_group(logGroupName="app")
    broken = metric_filter() | {"filterPattern": "{ $.status >= }"}
    refused("InvalidParameterException", logs.put_metric_filter, **broken)
    both = metric_filter(defaultValue=0.0, dimensions={"path": "$.path"})
    refused("InvalidParameterException", logs.put_metric_filter, **both)


def test_a_saved_query_lives_from_put_to_delete(aws: Aws, refused: Refused) -> None:
    logs = aws("logs")
    query = {"name": "slow", "queryString": "fields rt | sort rt desc", "logGroupNames": ["app"]}
    made = logs.put_query_definition(**query)["queryDefinitionId"]
    logs.put_query_definition(**query | {"queryString": "fields rt"}, queryDefinitionId=made)
    found = logs.describe_query_definitions(queryDefinitionNamePrefix="sl")["queryDefinitions"]
    assert [(each["queryDefinitionId"], each["queryString"]) for each in found] == [(made, "fields rt")]
    assert logs.delete_query_definition(queryDefinitionId=made)["success"] is True
    refused("ResourceNotFoundException", logs.delete_query_definition, queryDefinitionId=made)
