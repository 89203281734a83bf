"""AWS Backup: selections, changed plans, tags as the Go SDK asks for them.

Rules: the Backup API reference (botocore 1.44.5).
"""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote

from moto.backup.exceptions import InvalidRequestException, ResourceNotFoundException
from moto.backup.models import BackupBackend, Plan
from moto.backup.responses import BackupResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import unix_time

from embedded.aws.extensions.patching import Patches

patches = Patches()


def _parts(response: Any) -> list[str]:
    return [unquote(part) for part in response.path.strip("/").split("/")]


def _selections(backend: Any) -> dict[str, dict[str, dict[str, Any]]]:
    selections: dict[str, dict[str, dict[str, Any]]] = backend.__dict__.setdefault("selections", {})
    return selections


def _plan(backend: Any, plan_id: str) -> Any:
    plan = backend.plans.get(plan_id)
    if plan is None or plan.deletion_date is not None:
        raise ResourceNotFoundException("Cannot find Backup plan with ID " + plan_id)
    return plan


@patches.add(BackupResponse)
def create_backup_selection(response: Any) -> ActionResult:
    backend, plan_id = response.backup_backend, _parts(response)[2]
    _plan(backend, plan_id)
    selection_id, now = str(uuid.uuid4()), unix_time()
    _selections(backend).setdefault(plan_id, {})[selection_id] = {
        "BackupSelection": response._get_param("BackupSelection"),
        "SelectionId": selection_id,
        "BackupPlanId": plan_id,
        "CreationDate": now,
        "CreatorRequestId": response._get_param("CreatorRequestId"),
    }
    return ActionResult({"SelectionId": selection_id, "BackupPlanId": plan_id, "CreationDate": now})


def _selection(response: Any) -> tuple[str, dict[str, Any]]:
    _, _, plan_id, _, selection_id = _parts(response)
    found = _selections(response.backup_backend).get(plan_id, {}).get(selection_id)
    if found is None:
        raise ResourceNotFoundException("Cannot find Backup selection with ID " + selection_id)
    return plan_id, found


@patches.add(BackupResponse)
def get_backup_selection(response: Any) -> ActionResult:
    return ActionResult(_selection(response)[1])


@patches.add(BackupResponse)
def list_backup_selections(response: Any) -> ActionResult:
    found = _selections(response.backup_backend).get(_parts(response)[2], {}).values()
    shown = [
        {
            **each,
            "SelectionName": each["BackupSelection"]["SelectionName"],
            "IamRoleArn": each["BackupSelection"]["IamRoleArn"],
        }
        for each in found
    ]
    return ActionResult({"BackupSelectionsList": shown})


@patches.add(BackupResponse)
def delete_backup_selection(response: Any) -> EmptyResult:
    plan_id, selection = _selection(response)
    del _selections(response.backup_backend)[plan_id][selection["SelectionId"]]
    return EmptyResult()


@patches.wrap(BackupResponse)
def get_backup_plan(original: Any, response: Any) -> Any:
    _plan(response.backup_backend, _parts(response)[2])
    return original(response)


@patches.add(BackupResponse)
def update_backup_plan(response: Any) -> ActionResult:
    backend, plan_id = response.backup_backend, _parts(response)[2]
    old = _plan(backend, plan_id)
    new: Any = Plan(response._get_param("BackupPlan"), old.creator_request_id, backend)
    new.backup_plan_id, new.backup_plan_arn, new.creation_date = (
        plan_id,
        old.backup_plan_arn,
        old.creation_date,
    )
    backend.plans[plan_id] = new
    return ActionResult(new.to_dict())


@patches.wrap(BackupBackend)
def delete_backup_plan(original: Any, backend: Any, backup_plan_id: str) -> Any:
    _plan(backend, backup_plan_id)
    if _selections(backend).get(backup_plan_id):
        raise InvalidRequestException(
            "Related backup plan selections must be deleted prior to backup plan deletion"
        )
    answer = original(backend, backup_plan_id)
    backend.tagger.delete_all_tags_for_resource(backend.plans[backup_plan_id].backup_plan_arn)
    return answer


@patches.wrap(BackupBackend)
def delete_backup_vault(original: Any, backend: Any, backup_vault_name: str) -> Any:
    vault = backend.describe_backup_vault(backup_vault_name)
    backend.tagger.delete_all_tags_for_resource(vault.backup_vault_arn)
    return original(backend, backup_vault_name)


@patches.add(BackupResponse)
def list_tags(response: Any) -> ActionResult:
    """With or without a slash at the end: Python's SDK sends one, Go's does not, and moto counts on it."""
    arn = unquote(response.path.strip("/").split("/", 1)[1])
    return ActionResult({"Tags": response.backup_backend.list_tags(resource_arn=arn)})


@patches.wrap(BackupResponse)
def describe_backup_vault(original: Any, response: Any) -> Any:
    vault = original(response).result
    return ActionResult(
        {
            **vault.to_list_dict(),
            "NumberOfRecoveryPoints": vault.num_of_recovery_points,
            "Locked": vault.locked,
        }
    )


def install() -> None:
    """Install into moto."""
    patches.apply()
