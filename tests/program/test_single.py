"""What Option A registers, read off the program itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.core.naming import MANDATORY_TAGS
from infra.core.stages import LADDER, Option
from infra.host.user_data import MOST_BYTES

Run = Callable[..., Any]
RUNGS = [stage for stage in LADDER if stage.option is Option.SINGLE]
INSTANCE = "aws:ec2/instance:Instance"
VOLUME = "aws:ebs/volume:Volume"
GOLDEN_STATEFUL = [
    "terrace:layout:Layout$terrace:secrets:Secrets$aws:kms/key:Key::key",
    "terrace:layout:Layout$terrace:data:DataVolume$aws:ebs/volume:Volume::data",
    "terrace:layout:Layout$terrace:edge:Address$aws:ec2/eip:Eip::address",
    "terrace:layout:Layout$terrace:storage:Buckets$terrace:storage:Bucket$aws:s3/bucket:Bucket::uploads",
    "terrace:layout:Layout$terrace:storage:Buckets$terrace:storage:Bucket$aws:s3/bucket:Bucket::backups",
    "terrace:layout:Layout$terrace:storage:Buckets$terrace:storage:Bucket$aws:s3/bucket:Bucket::artifacts",
    "terrace:layout:Layout$terrace:storage:Buckets$terrace:storage:Bucket$aws:s3/bucket:Bucket::logs",
]
"""A changed line here is data deleted somewhere: URNs of what holds data, for ever."""


def stateful(found: Any) -> list[Any]:
    tokens = {VOLUME, "aws:kms/key:Key", "aws:ec2/eip:Eip", "aws:s3/bucket:Bucket", "aws:backup/vault:Vault"}
    return [each for each in found.resources if each.token in tokens]


@pytest.mark.parametrize("stage", RUNGS, ids=lambda stage: stage.name)
def test_what_holds_data_bears_the_same_urn_on_every_rung(program: Run, stage: Any) -> None:
    found = stateful(program({"terrace:stage": stage.name}))
    assert sorted(each.urn.removeprefix("urn:pulumi:dev::terrace::") for each in found) == sorted(
        GOLDEN_STATEFUL
    )


CREDIT_ALARMS = {"app-credits-warn", "app-credits-review", "app-surplus-warn"}


@pytest.mark.parametrize("stage", RUNGS, ids=lambda stage: stage.name)
def test_a_rung_differs_from_another_in_type_credits_and_stage_tag_alone(program: Run, stage: Any) -> None:
    first, other = ({each.urn: each for each in found.resources} for found in (
        program(), program({"terrace:stage": stage.name}),
    ))  # fmt: skip
    assert {first[urn].name for urn in {*first} ^ {*other}} <= CREDIT_ALARMS
    differing = {
        (first[urn].name, key)
        for urn in {*first} & {*other}
        for key in {*first[urn].inputs, *other[urn].inputs}
        if first[urn].inputs.get(key) != other[urn].inputs.get(key)
        and "-burn-" not in first[urn].name  # the windows of burn rates follow the stage's traffic
        # A review names the price of the next stage, and credits their number.
        and key != "alarmDescription"
    }
    assert differing <= {
        ("app", "instanceType"), ("app", "tags"), ("app", "creditSpecification"), ("guard", "stage"),
        ("stack", "dashboardBody"), ("scale-up-review", "alarmRule"),
        ("app-credits-warn", "threshold"), ("app-credits-review", "threshold"),
    }  # fmt: skip
    box = next(each for each in other.values() if each.token == INSTANCE)
    assert box.inputs["instanceType"] == stage.boxes["app"]


def test_what_holds_data_is_protected_and_hooked_from_the_first_day(program: Run) -> None:
    for each in stateful(program()):
        assert each.options["protect"], each.urn
        assert each.options["hooks"] == ["refuse-to-delete-data"], each.urn
        assert not each.options["retain"], each.urn


def test_prod_retains_what_holds_data(program: Run) -> None:
    found = program({"terrace:environment": "prod", "terrace:ami": "ami-0123456789abcdef0"}, stack="prod")
    assert {each.options["retain"] for each in stateful(found)} == {True}


def test_protection_is_off_only_by_its_own_setting(program: Run) -> None:
    for each in stateful(program({"terrace:deletionProtection": False})):
        assert not each.options["protect"]
        assert each.options["hooks"] == []


def test_everything_waits_for_the_guard(program: Run) -> None:
    found = program()
    guard = found.one("pulumi-python:dynamic/guard:Guard")
    layout = found.one("terrace:layout:Layout")
    assert guard.urn in layout.options["depends_on"]
    for each in found.resources:
        assert each in (guard, layout) or "terrace:layout:Layout$" in each.urn or "Stack" in each.token, (
            each.urn
        )


def test_every_taggable_resource_carries_the_mandatory_tags(program: Run) -> None:
    tagged = [each for each in program().resources if "tags" in each.inputs]
    assert len(tagged) > 20
    for each in tagged:
        assert set(MANDATORY_TAGS) <= set(each.inputs["tags"]), each.urn


def test_the_box_is_disposable_and_closed(program: Run) -> None:
    box = program().one(INSTANCE)
    assert box.inputs["metadataOptions"] == {
        "httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1,
    }  # fmt: skip
    root = box.inputs["rootBlockDevice"]
    assert (root["encrypted"], root["volumeType"], root["volumeSize"]) == (True, "gp3", 20)
    assert root["kmsKeyId"] == "arn:aws:mock:::Key/key"
    assert "keyName" not in box.inputs
    assert box.inputs["creditSpecification"] == {"cpuCredits": "unlimited"}
    assert box.inputs["userDataReplaceOnChange"] is False
    assert box.options["delete_before_replace"]


def test_a_type_without_credits_gets_no_credit_specification(program: Run) -> None:
    box = program({"terrace:stage": "single-8g-fixed"}).one(INSTANCE)
    assert "creditSpecification" not in box.inputs


def test_the_volume_is_apart_encrypted_and_in_the_first_zone(program: Run) -> None:
    volume = program().one(VOLUME).inputs
    assert (volume["availabilityZone"], volume["size"], volume["type"]) == ("ap-northeast-2a", 100, "gp3")
    assert volume["encrypted"] is True
    assert volume["finalSnapshot"] is True
    attached = program().one("aws:ec2/volumeAttachment:VolumeAttachment")
    assert attached.options["delete_before_replace"]
    assert attached.inputs["stopInstanceBeforeDetaching"] is True


def test_the_world_reaches_443_from_the_named_sources_and_80_and_nothing_else(program: Run) -> None:
    found = program({"terrace:network": {"ingressSources": ["203.0.113.0/24", "198.51.100.0/24"]}})
    rules = [each.inputs for each in found.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")]
    assert sorted((rule["fromPort"], rule["toPort"], rule["cidrIpv4"]) for rule in rules) == [
        (80, 80, "0.0.0.0/0"), (443, 443, "198.51.100.0/24"), (443, 443, "203.0.113.0/24"),
    ]  # fmt: skip


def test_the_default_security_group_lets_nothing_through(program: Run) -> None:
    group = program().one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs
    assert not group.get("ingress")
    assert not group.get("egress")


def test_no_security_group_knows_ssh(program: Run) -> None:
    for each in program().resources:
        assert 22 not in (each.inputs.get("fromPort"), each.inputs.get("toPort")), each.urn


@pytest.mark.parametrize("role", ["uploads", "backups", "artifacts", "logs"])
def test_a_bucket_is_versioned_private_encrypted_and_tls_only(program: Run, role: str) -> None:
    found = program()
    assert found.one("aws:s3/bucket:Bucket", role).inputs["bucket"] == f"terrace-dev-{role}-123456789012"
    assert found.one("aws:s3/bucketVersioning:BucketVersioning", role).inputs["versioningConfiguration"] == {
        "status": "Enabled"
    }
    block = found.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", role).inputs
    assert all(block[key] for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"))
    policy = json.loads(found.one("aws:s3/bucketPolicy:BucketPolicy", role).inputs["policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (rule,) = found.one(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", role
    ).inputs["rules"]
    wanted = "AES256" if role == "logs" else "aws:kms"
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == wanted


def test_a_lifecycle_rule_that_filters_by_size_aborts_no_uploads(program: Run) -> None:
    for each in program().of("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"):
        for rule in each.inputs["rules"]:
            sized = "objectSizeGreaterThan" in json.dumps(rule["filter"])
            assert sized != ("abortIncompleteMultipartUpload" in rule), rule


def test_the_boxs_role_names_its_own_things_and_no_wildcard_beyond_what_aws_demands(program: Run) -> None:
    (policy,) = [json.loads(each.inputs["policy"]) for each in program().of("aws:iam/rolePolicy:RolePolicy")]
    open_to_all = {each["Sid"] for each in policy["Statement"] if each["Resource"] == "*"}
    # The agent's actions , PutMetricData and GetMetricStatistics know none (Service Authorization Reference).
    assert open_to_all == {"SystemsManagerAgent", "Metrics", "Look"}
    actions = [action for each in policy["Statement"] for action in each["Action"]]
    assert not [action for action in actions if "*" in action or action.startswith("s3:DeleteObjectV")]
    assert (
        "ssm:GetParameters"
        not in next(each for each in policy["Statement"] if each["Sid"] == "SystemsManagerAgent")["Action"]
    )


def test_a_secret_parameter_is_made_without_its_value(program: Run) -> None:
    secret = program().one("aws:ssm/parameter:Parameter", "JWT_SECRET").inputs
    assert secret["type"] == "SecureString"
    assert (secret["valueWo"], secret.get("value")) == ("unset", None)
    assert secret["name"] == "/terrace/dev/app/JWT_SECRET"


def test_no_receipt_leaves_the_stack_unless_a_setting_with_its_reason_says_so(program: Run) -> None:
    def told(found: Any) -> dict[str, Any]:
        made = found.of("aws:ssm/parameter:Parameter")
        return {each.name: each.inputs for each in made if each.name.startswith("EXTERNAL_AI_")}

    assert told(program()) == {}
    reason = "endpoint away until 2027-01-31, agreed with the customer"
    wanted = {"url": "https://api.example.com/v1", "model": "m", "reason": reason}
    there = told(program({"terrace:externalAi": wanted}))
    assert there["EXTERNAL_AI_REASON"]["insecureValue"] == reason
    assert there["EXTERNAL_AI_URL"]["name"] == "/terrace/dev/app/EXTERNAL_AI_URL"
    key = there["EXTERNAL_AI_KEY"]
    assert (key["type"], key["valueWo"], key.get("value")) == ("SecureString", "unset", None)


def test_user_data_is_small_and_holds_no_secret(program: Run) -> None:
    text = program().one(INSTANCE).inputs["userData"]
    assert text.startswith("#cloud-config\n")
    assert len(text.encode()) <= MOST_BYTES
    assert "JWT_SECRET" not in text


def test_snapshots_are_kept_seven_days_and_four_weeks(program: Run) -> None:
    details = program().one("aws:dlm/lifecyclePolicy:LifecyclePolicy").inputs["policyDetails"]
    kept = {each["name"]: each["retainRule"]["count"] for each in details["schedules"]}
    assert kept == {"daily": 7, "weekly": 4}
    tags = program().one(VOLUME).inputs["tags"]
    assert details["targetTags"].items() <= tags.items()


def test_aws_backup_is_a_switch(program: Run) -> None:
    assert program().of("aws:backup/vault:Vault") == []
    found = program({"terrace:backup": {"awsBackup": True}})
    assert found.one("aws:backup/selection:Selection").inputs["resources"] == ["arn:aws:mock:::Volume/data"]


def test_the_dns_record_is_a_switch(program: Run) -> None:
    assert program().of("aws:route53/record:Record") == []
    found = program({"terrace:dns": {"zoneId": "Z0123456789ABC"}, "terrace:domain": "app.example.com"})
    record = found.one("aws:route53/record:Record").inputs
    assert (record["name"], record["records"]) == ("app.example.com", ["203.0.113.9"])
    assert found.outputs["url"] == "https://app.example.com"


def test_the_outputs_are_those_that_are_promised(program: Run) -> None:
    assert set(program().outputs) == {
        "url", "instance_id", "volume_id", "eip", "stage", "option", "buckets", "alarm_topic", "key_arn", "vpc_id",
        "public_subnets", "boxes",
    }  # fmt: skip
    assert program().outputs["url"] == "https://203.0.113.9"


def test_logs_are_encrypted_and_kept_as_long_as_the_settings_say(program: Run) -> None:
    groups = program({"terrace:logRetentionDays": 90}).of("aws:cloudwatch/logGroup:LogGroup")
    assert {each.inputs["retentionInDays"] for each in groups} == {90}
    assert {each.inputs["kmsKeyId"] for each in groups} == {"arn:aws:mock:::Key/key"}


def test_no_logical_name_holds_a_stage_an_option_or_a_number(program: Run) -> None:
    words = {stage.name for stage in LADDER} | {"A", "B", "C"}
    for each in program().resources:
        assert each.name not in words
        assert not any(word in each.name for word in ("single", "split", "private-8g")), each.urn


def test_a_chat_is_told_by_a_function_whose_address_is_in_no_input(program: Run) -> None:
    assert not program().of("aws:lambda/function:Function")
    found = program({"terrace:notify": {"webhook": "slack", "quietHours": "22:00-08:00+09:00"}})
    function = found.one("aws:lambda/function:Function")
    variables = function.inputs["environment"]["variables"]
    assert variables == {
        "KIND": "slack",
        "PARAMETER": "/terrace/dev/alarms/webhook",
        "PREFIX": "terrace-dev-",
        "BUCKET": variables["BUCKET"],
        "FOLDER": "told/",
        "QUIET_MINUTES": "780-1380",
    }
    assert found.one("aws:ssm/parameter:Parameter", "webhook").inputs["valueWo"] == "unset"
    assert (
        found.one("aws:cloudwatch/eventRule:EventRule").inputs["scheduleExpression"] == "cron(0 23 * * ? *)"
    )
    assert {each.inputs["protocol"] for each in found.of("aws:sns/topicSubscription:TopicSubscription")} == {
        "email", "lambda",
    }  # fmt: skip
    (alarm,) = [each for each in found.of("aws:cloudwatch/metricAlarm:MetricAlarm") if "webhook" in each.name]
    assert alarm.inputs["dimensions"] == {"FunctionName": "terrace-dev-webhook"}


def test_a_review_names_the_next_stage_and_its_price(program: Run) -> None:
    review = program().one("aws:cloudwatch/metricAlarm:MetricAlarm", "app-memory-review")
    said = review.inputs["alarmDescription"]
    assert "Next stage: single-16g, 141.97 USD a month, 60.74 more than now." in said
    assert said.splitlines()[-1].endswith("#dashboards/dashboard/terrace-dev")


def test_the_dashboard_shows_every_alarm_and_the_composites_that_write_the_mails(program: Run) -> None:
    found = program()
    (dashboard,) = found.of("aws:cloudwatch/dashboard:Dashboard")
    widgets = json.loads(dashboard.inputs["dashboardBody"])["widgets"]
    (shown,) = [each["properties"]["alarms"] for each in widgets if each["type"] == "alarm"]
    composites = found.of("aws:cloudwatch/compositeAlarm:CompositeAlarm")
    assert len(shown) == len(found.of("aws:cloudwatch/metricAlarm:MetricAlarm")) + len(composites)
    assert all(any(each.name in arn for arn in shown) for each in composites)
