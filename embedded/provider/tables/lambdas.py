"""Functions, who may call them, and the schedules that do."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAG_MAP,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Scope,
    Update,
    found,
    from_inputs,
    given,
    text,
)

_EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)


@from_inputs("code")
def _zip(inputs: Mapping[str, Any]) -> bytes | None:
    """The archive as pulumi-aws sends it: text assets zipped, the same bytes every time."""
    assets = (inputs.get("code") or {}).get("assets")
    if not assets:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(assets):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH_OF_ZIP), assets[name]["text"])
    return packed.getvalue()


@from_inputs("environment")
def _environment(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    variables = (inputs.get("environment") or {}).get("variables")
    return {"Variables": variables} if variables else None


@from_inputs("loggingConfig")
def _logging(inputs: Mapping[str, Any]) -> dict[str, str] | None:
    asked = inputs.get("loggingConfig") or {}
    return {"LogFormat": asked["logFormat"], "LogGroup": asked["logGroup"]} if asked else None


_CONFIGURED = {
    "FunctionName": given("name"),
    "Environment": _environment,
    "LoggingConfig": _logging,
    **{
        api: given(ours)
        for api, ours in (
            ("Description", "description"), ("Handler", "handler"), ("MemorySize", "memorySize"),
            ("Role", "role"), ("Runtime", "runtime"), ("Timeout", "timeout"),
        )
    },
}  # fmt: skip
_ARN = "arn:aws:lambda:{region}:{account}:function:{id}"


def _function_name(scope: Scope) -> str:
    return str(scope.inputs["function"]).rpartition(":")[2]


def _rule_name(scope: Scope) -> str:
    return str(scope.inputs.get("rule"))


_STATEMENT = Expression(lambda scope: scope.inputs["statementId"])

KINDS = (
    Kind(
        "aws:lambda/function:Function",
        autoname="name",
        create=Call(
            "lambda.create_function",
            {
                **_CONFIGURED,
                "Code": {"ZipFile": _zip},
                "Architectures": given("architectures"),
                "Tags": TAG_MAP,
            },
        ),
        id=given("name"),
        read=(
            Read("lambda.get_function", {"FunctionName": ID}, at="Configuration"),
            Read("lambda.list_tags", {"Resource": text(_ARN)}, at="{tags: Tags}"),
        ),
        updates=(
            Update(
                ("code", "architectures"),
                (
                    Call(
                        "lambda.update_function_code",
                        {"FunctionName": ID, "ZipFile": _zip, "Architectures": given("architectures")},
                    ),
                ),
            ),
            Update(
                (
                    "description",
                    "environment",
                    "handler",
                    "loggingConfig",
                    "memorySize",
                    "role",
                    "runtime",
                    "timeout",
                ),
                (Call("lambda.update_function_configuration", {**_CONFIGURED, "FunctionName": ID}),),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "lambda.untag_resource", {"Resource": text(_ARN), "TagKeys": GONE_TAGS}, when=GONE_TAGS
                    ),
                    Call("lambda.tag_resource", {"Resource": text(_ARN), "Tags": TAG_MAP}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "name": found("FunctionName"),
            "arn": found("FunctionArn"),
            "invokeArn": text(
                "arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/" + _ARN + "/invocations"
            ),
            "environment": Expression(
                lambda s: (
                    {"variables": s.answer["Environment"]["Variables"]}
                    if (s.answer.get("Environment") or {}).get("Variables")
                    else None
                )
            ),
        },
        write_only=("code",),
        delete=(Call("lambda.delete_function", {"FunctionName": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:lambda/permission:Permission",
        autoname="statementId",
        create=Call(
            "lambda.add_permission",
            {
                "FunctionName": Expression(_function_name, ("function",)),
                "StatementId": given("statementId"),
                "Action": given("action"),
                "Principal": given("principal"),
                "SourceArn": given("sourceArn"),
            },
        ),
        id=_STATEMENT,
        read=(
            Read(
                "lambda.get_policy",
                {"FunctionName": Expression(_function_name, ("function",))},
                there=Expression(lambda s: s.id in (s.answer.get("Policy") or "")),
            ),
        ),
        delete=(
            Call(
                "lambda.remove_permission",
                {"FunctionName": Expression(_function_name), "StatementId": ID},
                missing_is_fine=True,
            ),
        ),
    ),
    Kind(
        "aws:cloudwatch/eventRule:EventRule",
        autoname="name",
        create=Call(
            "events.put_rule",
            {
                "Name": given("name"),
                "ScheduleExpression": given("scheduleExpression"),
                "EventPattern": given("eventPattern"),
                "Description": given("description"),
                "Tags": TAGS,
            },
        ),
        id=given("name"),
        read=(
            Read("events.describe_rule", {"Name": ID}),
            Read(
                "events.list_tags_for_resource",
                {"ResourceARN": text("arn:aws:events:{region}:{account}:rule/{id}")},
                at="{Tags: Tags}",
            ),
        ),
        upsert=True,
        outputs={"name": found("Name"), "arn": found("Arn")},
        delete=(Call("events.delete_rule", {"Name": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:cloudwatch/eventTarget:EventTarget",
        create=Call(
            "events.put_targets",
            {
                "Rule": given("rule"),
                "Targets": from_inputs("targetId", "arn", "input")(
                    lambda i: [
                        {
                            "Id": i["targetId"],
                            "Arn": i["arn"],
                            **({"Input": i["input"]} if i.get("input") else {}),
                        }
                    ]
                ),
            },
        ),
        id=Expression(lambda s: f"{s.inputs['rule']}-{s.inputs['targetId']}"),
        read=(
            Read(
                "events.list_targets_by_rule",
                {"Rule": Expression(_rule_name, ("rule",))},
                there=Expression(
                    lambda s: s.inputs.get("targetId") in [each["Id"] for each in s.answer.get("Targets") or ()]
                ),
            ),
        ),
        upsert=True,
        delete=(
            Call(
                "events.remove_targets",
                {"Rule": Expression(_rule_name), "Ids": Expression(lambda s: [s.inputs.get("targetId")])},
                missing_is_fine=True,
            ),
        ),
    ),
)  # fmt: skip
