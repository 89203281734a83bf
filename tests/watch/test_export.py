"""Grafana and Prometheus: every chart and every alarm in their words, and names that agree with the exporter's."""

from __future__ import annotations

import json
import re
from typing import Any

import promql_parser
import pytest

from infra.core.alarms import alarm_set
from infra.core.dashboard import sections
from infra.core.naming import Naming
from infra.core.shape import shape
from infra.core.stages import LADDER, Option
from infra.core.thresholds import Facts
from ops import watchexport

from .support import WATCHED

STAGES = [stage for stage in LADDER if stage.option is not Option.ELASTIC]


def standing(stage: Any) -> watchexport.Standing:
    facts = Facts(shape(stage), gpu=True, budget=True, webhook=True)
    return watchexport.Standing(facts, alarm_set(facts), Naming("terrace", "dev"), "ap-northeast-2", WATCHED)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_every_chart_is_a_panel_whose_queries_name_all_dimensions(stage: Any) -> None:
    made = standing(stage)
    body = json.loads(watchexport.grafana(made))
    panels = [each for each in body["panels"] if each["type"] == "timeseries"]
    assert [each["title"] for each in panels] == [
        chart.title for section in sections(made.facts) for chart in section.charts
    ]
    for panel in panels:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert all(target["dimensions"].values()), panel["title"]
            assert (target["matchExact"], target["region"]) == (True, "ap-northeast-2")
    (deploys,) = body["annotations"]["list"]
    assert deploys["alarmNamePrefix"] == "terrace-dev-stack-deploying"


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_every_threshold_is_a_rule_over_names_that_the_exporter_has(stage: Any) -> None:
    made = standing(stage)
    (group,) = watchexport.rules(made)["groups"]
    told = [alarm for alarm in made.alarms.alarms if alarm.notifies or alarm.threshold]
    pairs = [each for composite in made.alarms.composites for each in composite.any_of if len(each) > 1]
    assert len(group["rules"]) == len(told) + len(pairs)
    exported = {
        watchexport.exported_name(each["aws_namespace"], each["aws_metric_name"], statistic)
        for each in watchexport.exporter(made)["metrics"]
        for statistic in (*each.get("aws_statistics", ()), *each.get("aws_extended_statistics", ()))
    }
    used = {
        name
        for rule in group["rules"]
        for name in re.findall(r"\b((?:aws|cwagent|terrace)_[a-z0-9_:]+)", rule["expr"])
    }
    assert used
    assert used <= exported


def test_a_rule_sees_what_the_exporter_has_although_its_data_are_ten_minutes_old() -> None:
    made = watchexport.exporter(standing(STAGES[0]))
    # The exporter's own word for it, which it takes for all metrics at once (its README).
    assert made["set_timestamp"] is False
    rare = [each for each in made["metrics"] if each["period_seconds"] > 3_600]
    assert rare
    assert all(each["range_seconds"] >= 2 * each["period_seconds"] for each in rare)


def test_names_are_those_of_the_exporters_own_code() -> None:
    assert (
        watchexport.exported_name("AWS/EC2", "CPUUtilization", "Average") == "aws_ec2_cpuutilization_average"
    )
    assert (
        watchexport.exported_name("terrace/dev", "response_seconds", "p95")
        == "terrace_dev_response_seconds_p95"
    )
    assert (
        watchexport.exported_name("AWS/ApplicationELB", "TargetResponseTime", "PR(0.3:)")
        == "aws_applicationelb_target_response_time_pr_0_3:_"
    )


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_prometheus_would_load_the_rules(stage: Any) -> None:
    """What `promtool check rules` looks at: the file's form, unique alerts, and each expression with its types."""
    (group,) = watchexport.rules(standing(stage))["groups"]
    assert set(group) == {"name", "interval", "rules"}
    promql_parser.parse_duration(group["interval"])
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", rule["alert"])
        assert all(re.fullmatch(r"[a-z_]+", each) for each in (*rule["labels"], *rule["annotations"]))
        # Prometheus would take these for templates.
        assert not any("{{" in each for each in (*rule["labels"].values(), *rule["annotations"].values()))
        if "for" in rule:
            promql_parser.parse_duration(rule["for"])
        assert isinstance(promql_parser.parse(rule["expr"]), promql_parser.BinaryExpr), rule["expr"]
    alerts = [rule["alert"] for rule in group["rules"]]
    assert len(alerts) == len(set(alerts))


@pytest.mark.parametrize("broken", ["sum(a", "rate(a)", "nosuch(a)", 'sum(a) + "x"', "max_over_time(a) > 1"])
def test_an_expression_that_prometheus_refuses_is_seen_as_one(broken: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse(broken)
