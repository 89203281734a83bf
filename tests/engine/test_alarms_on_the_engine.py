"""Alarms by the real engine on the embedded cloud: they stand, follow a resize in place, and keep their history."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.core.alarms import alarm_set
from infra.core.shape import shape
from infra.core.stages import find
from infra.core.thresholds import Facts

pytestmark = pytest.mark.engine

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


def alarms(project: Any) -> dict[str, dict[str, Any]]:
    """What DescribeAlarms shows, by name without the stack's prefix."""
    pages = (
        project.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    return {
        each["AlarmName"].removeprefix("terrace-dev-"): each
        for page in pages
        for each in (*page["MetricAlarms"], *page["CompositeAlarms"])
    }


def test_every_alarm_of_the_table_stands_with_the_dimensions_of_the_box(standing: Any) -> None:
    expected = alarm_set(Facts(shape(find("single-8g"))))
    found = alarms(standing)
    assert set(found) == {each.name for each in (*expected.alarms, *expected.composites)}
    instance = standing.outputs()["instance_id"]
    assert found["app-memory-warn"]["Dimensions"] == [{"Name": "InstanceId", "Value": instance}]
    assert found["app-credits-warn"]["Threshold"] == 259.2


def test_a_resize_changes_the_thresholds_in_place_and_the_history_stays(standing: Any) -> None:
    before = standing.urns(ALARM)
    standing.write(stage="single-16g")
    steps = {name: op for name, op in standing.steps().items() if "Alarm" in name}
    assert set(steps.values()) == {"update"}
    standing.up()
    assert standing.urns(ALARM) == before
    assert alarms(standing)["app-credits-warn"]["Threshold"] == 691.2
    history = standing.client("cloudwatch").describe_alarm_history(AlarmName="terrace-dev-app-credits-warn")
    assert [each["HistorySummary"] for each in history["AlarmHistoryItems"]] == [
        'Alarm "terrace-dev-app-credits-warn" updated',
        'Alarm "terrace-dev-app-credits-warn" created',
    ]


@pytest.mark.drill
def test_a_type_without_credits_has_no_credit_alarm_and_comes_back_with_one(standing: Any) -> None:
    standing.write(stage="single-8g-fixed")
    standing.up()
    assert not [name for name in alarms(standing) if "credits" in name or "surplus" in name]
    standing.write(stage="single-8g")
    standing.up()
    assert alarms(standing)["app-credits-review"]["Threshold"] == 172.8


@pytest.mark.drill
def test_a_budget_stands_changes_in_place_and_goes(standing: Any) -> None:
    standing.write(
        budget={"monthly": "100000", "currency": "KRW", "krwPerUsd": "1341.49", "rateOf": "2026-10-09"}
    )
    standing.up()
    budgets = standing.client("budgets")
    (found,) = budgets.describe_budgets(AccountId="123456789012")["Budgets"]
    assert (found["BudgetLimit"]["Amount"], found.get("CostFilters")) == ("74.54", None)
    # Project and environment both: another stack of the account is not counted here.
    assert [each["Tags"] for each in found["FilterExpression"]["And"]] == [
        {"Key": "Project", "Values": ["terrace"], "MatchOptions": ["EQUALS"]},
        {"Key": "Environment", "Values": ["dev"], "MatchOptions": ["EQUALS"]},
    ]
    assert found["Metrics"] == ["UnblendedCost"]
    told = budgets.describe_notifications_for_budget(AccountId="123456789012", BudgetName=found["BudgetName"])
    assert sorted((each["NotificationType"], each["Threshold"]) for each in told["Notifications"]) == [
        ("ACTUAL", 75), ("ACTUAL", 90), ("ACTUAL", 100), ("FORECASTED", 100),
    ]  # fmt: skip
    standing.write(budget={"monthly": "90", "gpuShare": "0.2"}, alarmEmail="others@example.com")
    assert standing.steps()["aws:budgets/budget:Budget::monthly"] == "update"
    standing.up()
    (found,) = budgets.describe_budgets(AccountId="123456789012")["Budgets"]
    assert float(found["BudgetLimit"]["Amount"]) == 72
    standing.up("--expect-no-changes")
    standing.write(budget=None)
    standing.up()
    assert budgets.describe_budgets(AccountId="123456789012")["Budgets"] == []


@pytest.mark.drill
def test_a_chat_is_told_changes_in_place_and_goes(standing: Any) -> None:
    got: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    standing.write(notify={"webhook": "slack", "quietHours": "22:00-08:00+09:00"})
    standing.up()
    standing.up("--expect-no-changes", "--refresh")
    address = f"http://127.0.0.1:{server.server_address[1]}/a-secret"
    standing.client("ssm").put_parameter(
        Name="/terrace/dev/alarms/webhook", Value=address, Type="SecureString", Overwrite=True
    )
    standing.client("cloudwatch").put_metric_data(
        Namespace="terrace",
        MetricData=[
            {
                "MetricName": "bootstrap_failed", "Value": 1,
                "Dimensions": [{"Name": "InstanceId", "Value": standing.outputs()["instance_id"]}],
            }
        ],
    )  # fmt: skip
    alarms_of = standing.cloud.alarms
    alarms_of.advance(alarms_of.now + timedelta(minutes=3))
    assert "PAGE: First boot above 0 failed in 5 min" in got
    standing.write(notify={"webhook": "discord"})
    steps = {name: op for name, op in standing.steps().items() if "lambda" in name}
    assert set(steps.values()) == {"update", "delete"}  # the function, and what only quiet hours need
    standing.up()
    assert "a-secret" not in json.dumps(standing.resources())
    standing.write(notify=None)
    standing.up()
    assert standing.client("lambda").list_functions()["Functions"] == []
    server.shutdown()
    server.server_close()


@pytest.mark.drill
@pytest.mark.parametrize("stage", ["split", "private"])
def test_alarms_of_two_boxes_read_the_ids_of_what_stands(named: Any, stage: str) -> None:
    named.write(stage=stage)
    named.up()
    expected = alarm_set(Facts(shape(find(stage))))
    found = alarms(named)
    assert set(found) == {each.name for each in (*expected.alarms, *expected.composites)}
    elb, rds = named.client("elbv2"), named.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    own = {"DBInstanceIdentifier": {database["DBInstanceIdentifier"]}}
    instances = named.client("ec2").describe_instances()["Reservations"]
    own["InstanceId"] = {each["InstanceId"] for group in instances for each in group["Instances"]}
    if stage == "private":
        (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
        own["LoadBalancer"] = {balancer["LoadBalancerArn"].partition("loadbalancer/")[2]}
        groups = elb.describe_target_groups()["TargetGroups"]
        own["TargetGroup"] = {each["TargetGroupArn"].rpartition(":")[2] for each in groups}
        listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        own["CertificateArn"] = {
            each["CertificateArn"] for listener in listeners for each in listener.get("Certificates") or ()
        }
        gateways = named.client("ec2").describe_nat_gateways()["NatGateways"]
        own["NatGatewayId"] = {each["NatGatewayId"] for each in gateways}
    fixed = {"Stack": {"dev"}, "path": {"/", "/data"}, "fstype": {"ext4"}}
    seen: dict[str, set[str]] = {}
    for alarm in found.values():
        stats = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics") or () if "MetricStat" in each]
        for metric in [alarm, *stats]:
            for each in metric.get("Dimensions") or ():
                assert each["Value"] in {**own, **fixed}[each["Name"]], alarm["AlarmName"]
                seen.setdefault(each["Name"], set()).add(each["Value"])
    assert {name: seen.get(name) for name in own} == own
