"""SSM State Manager: associations are kept, applied to the instances that are online, and to others when they come.

What is not here: schedules. An association is applied when it is made, when it is changed, when it is asked for
(``StartAssociationsOnce``), and when an instance that it names comes online (``came_online``).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ssm.exceptions import SSMException
from moto.ssm.models import SimpleSystemManagerBackend, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from embedded.aws import ssmdocuments
from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.extensions import ssm_commands
from embedded.aws.extensions.patching import Patches
from embedded.aws.world import WORLD

patches = Patches()

_KEPT = (
    "Name",
    "DocumentVersion",
    "Parameters",
    "Targets",
    "ScheduleExpression",
    "OutputLocation",
    "AssociationName",
    "AutomationTargetParameterName",
    "MaxErrors",
    "MaxConcurrency",
    "ComplianceSeverity",
    "SyncCompliance",
    "ApplyOnlyAtCronInterval",
    "CalendarNames",
    "ScheduleOffset",
    "Duration",
)


def _associations(backend: Any) -> dict[str, dict[str, Any]]:
    associations: dict[str, dict[str, Any]] = backend.__dict__.setdefault("associations", {})
    return associations


def _asked(response: Any) -> dict[str, Any]:
    asked = {name: response._get_param(name) for name in _KEPT}
    if instance_id := response._get_param("InstanceId"):
        asked["Targets"] = [{"Key": "InstanceIds", "Values": [instance_id]}]
    return {name: value for name, value in asked.items() if value is not None}


def _check(backend: Any, association: dict[str, Any]) -> None:
    content = ssm_commands.content_of(backend, association["Name"])
    try:
        ssmdocuments.scripts(content, association.get("Parameters", {}))
    except ssmdocuments.DocumentError as error:
        raise SSMException("InvalidParameters", f"{association['Name']}: {error}") from None


@patches.add(SimpleSystemManagerResponse)
def create_association(response: Any) -> ActionResult:
    backend, asked, now = response.ssm_backend, _asked(response), datetime.now(UTC)
    _check(backend, asked)
    name = asked.get("AssociationName")
    if name and any(each.get("AssociationName") == name for each in _associations(backend).values()):
        raise SSMException("AssociationAlreadyExists", f"An association named {name} exists already.")
    association = {
        "DocumentVersion": "$DEFAULT",
        **asked,
        "AssociationId": str(uuid.uuid4()),
        "AssociationVersion": "1",
        "Date": now,
        "LastUpdateAssociationDate": now,
        "Overview": {"Status": "Pending", "DetailedStatus": "Creating"},
        "executions": [],
    }
    _associations(backend)[association["AssociationId"]] = association
    if tags := response._get_param("Tags"):
        stored = backend._resource_tags["Association"][association["AssociationId"]]
        stored.update({tag["Key"]: tag["Value"] for tag in tags})
    if not association.get("ApplyOnlyAtCronInterval"):
        _apply(backend, association)
    return _described(association)


@patches.add(SimpleSystemManagerResponse)
def update_association(response: Any) -> ActionResult:
    """What the request leaves out is taken away, as on AWS; id, version and history stay."""
    backend, before = response.ssm_backend, _found(response)
    kept = {key: value for key, value in before.items() if key not in _KEPT}
    association = {"Name": before["Name"], "DocumentVersion": "$DEFAULT", **kept, **_asked(response)}
    association.setdefault("Targets", before.get("Targets", []))
    _check(backend, association)
    association["AssociationVersion"] = str(int(before["AssociationVersion"]) + 1)
    association["LastUpdateAssociationDate"] = datetime.now(UTC)
    _associations(backend)[before["AssociationId"]] = association
    if not association.get("ApplyOnlyAtCronInterval"):
        _apply(backend, association)
    return _described(association)


@patches.add(SimpleSystemManagerResponse)
def describe_association(response: Any) -> ActionResult:
    return _described(_found(response))


@patches.add(SimpleSystemManagerResponse)
def delete_association(response: Any) -> EmptyResult:
    del _associations(response.ssm_backend)[_found(response)["AssociationId"]]
    return EmptyResult()


@patches.add(SimpleSystemManagerResponse)
def list_associations(response: Any) -> ActionResult:
    found = [_settled(each) for each in _associations(response.ssm_backend).values()]
    for wanted in response._get_param("AssociationFilterList", []):
        key = {"AssociationId": "AssociationId", "AssociationName": "AssociationName", "Name": "Name"}.get(
            wanted["key"]
        )
        if key is None:
            raise SSMException("InvalidFilterKey", f"the embedded cloud knows no filter {wanted['key']!r}")
        found = [each for each in found if each.get(key) == wanted["value"]]
    return ActionResult({"Associations": [_without_history(each) for each in found]})


@patches.add(SimpleSystemManagerResponse)
def start_associations_once(response: Any) -> EmptyResult:
    backend = response.ssm_backend
    wanted = response._get_param("AssociationIds")
    if unknown := [each for each in wanted if each not in _associations(backend)]:
        raise SSMException("AssociationDoesNotExist", f"The associations {', '.join(unknown)} do not exist.")
    for association_id in wanted:
        _apply(backend, _associations(backend)[association_id])
    return EmptyResult()


@patches.add(SimpleSystemManagerResponse)
def describe_association_executions(response: Any) -> ActionResult:
    association = _settled(_found(response))
    commands = ssm_commands.commands_of(response.ssm_backend)
    shown = []
    for command_id in reversed(association["executions"]):
        command = commands.get(command_id)
        status = _status(command) if command else "Success"
        shown.append(
            {
                "AssociationId": association["AssociationId"],
                "AssociationVersion": association["AssociationVersion"],
                "ExecutionId": command_id,
                "Status": status,
                "DetailedStatus": status,
                "CreatedTime": command.requested_at if command else None,
            }
        )
    return ActionResult({"AssociationExecutions": shown})


def came_online(instance_id: str, region: str) -> None:
    """Apply every association that names an instance which has just come online. Called by the supervisor."""
    with WORLD:
        backend = ssm_backends[ACCOUNT_ID][region]
        for association in _associations(backend).values():
            if instance_id in ssm_commands.targeted(backend, association.get("Targets", [])):
                _apply(backend, association, only=instance_id)


def _apply(backend: SimpleSystemManagerBackend, association: dict[str, Any], only: str | None = None) -> None:
    targeted = ssm_commands.targeted(backend, association.get("Targets", []))
    online = [each for each in targeted if only in (None, each) and ssm_commands.can_run(each)]
    if not online:
        return
    output = (association.get("OutputLocation") or {}).get("S3Location", {})
    command = ssm_commands.Command(
        id=str(uuid.uuid4()),
        document=association["Name"],
        comment=f"association {association.get('AssociationName') or association['AssociationId']}",
        parameters=association.get("Parameters", {}),
        targets=association.get("Targets", []),
        timeout_seconds=3600,
        requested_at=datetime.now(UTC),
        bucket=output.get("OutputS3BucketName", ""),
        prefix=output.get("OutputS3KeyPrefix", ""),
    )
    association["executions"] = [*association["executions"][-99:], command.id]
    association["LastExecutionDate"] = command.requested_at
    association["command"] = command
    ssm_commands.start(backend, command, online)


def _settled(association: dict[str, Any]) -> dict[str, Any]:
    """With the state of its last execution in its overview."""
    command = association.get("command")
    if command is not None:
        status = _status(command)
        counts: dict[str, int] = {}
        for invocation in command.invocations.values():
            counts[invocation.status] = counts.get(invocation.status, 0) + 1
        association["Overview"] = {
            "Status": status,
            "DetailedStatus": status,
            "AssociationStatusAggregatedCount": counts,
        }
        if status == "Success":
            association["LastSuccessfulExecutionDate"] = command.requested_at
    return association


def _status(command: ssm_commands.Command) -> str:
    status = ssm_commands.status_of(command)
    return {"InProgress": "Pending", "TimedOut": "Failed", "Cancelled": "Failed"}.get(status, status)


def _found(response: Any) -> dict[str, Any]:
    association_id, name = response._get_param("AssociationId"), response._get_param("Name")
    for association in _associations(response.ssm_backend).values():
        if association_id == association["AssociationId"] or (
            association_id is None and name == association["Name"]
        ):
            return association
    raise SSMException("AssociationDoesNotExist", "The specified association does not exist.")


def _without_history(association: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in association.items() if key not in ("executions", "command")}


def _described(association: dict[str, Any]) -> ActionResult:
    return ActionResult({"AssociationDescription": _without_history(_settled(association))})


def install() -> None:
    """Install into moto."""
    patches.apply()
