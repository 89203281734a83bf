"""Data Lifecycle Manager, a service that moto lacks: policies are kept and shown; nobody takes snapshots by them.

Rules: the DLM API reference (botocore 1.44.5).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from moto import backend_index, backends
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from embedded.aws.extensions.patching import Patches

patches = Patches()

_SETTABLE = ("ExecutionRoleArn", "Description", "State", "PolicyDetails")
_DESCRIPTION = re.compile(r"^[0-9A-Za-z _-]{1,500}$")


class DlmBackend(BaseBackend):
    """The policies of one region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.policies: dict[str, dict[str, Any]] = {}

    @property
    def url_paths(self) -> dict[str, Callable[..., Any]]:
        """Every path of the service goes to one place, which finds the action by botocore's description."""
        return {"/<path:everything>": DlmResponse.dispatch}

    def policy(self, policy_id: str) -> dict[str, Any]:
        """One policy. Raises DLM's ``ResourceNotFoundException``."""
        if policy_id not in self.policies:
            raise _NotFoundError(f"The policy {policy_id} does not exist.")
        return self.policies[policy_id]


dlm_backends = BackendDict(DlmBackend, "dlm")


class _NotFoundError(JsonRESTError):
    code = 404

    def __init__(self, message: str) -> None:
        super().__init__("ResourceNotFoundException", message)


class DlmResponse(BaseResponse):
    """The actions of DLM."""

    def __init__(self) -> None:
        super().__init__(service_name="dlm")
        self.automated_parameter_parsing = True

    @property
    def _backend(self) -> DlmBackend:
        return dlm_backends[self.current_account][self.region]

    def create_lifecycle_policy(self) -> ActionResult:
        """CreateLifecyclePolicy."""
        asked = {name: self._get_param(name) for name in _SETTABLE}
        _check(asked)
        policy_id, now = f"policy-{uuid.uuid4().hex[:17]}", datetime.now(UTC)
        backend = self._backend
        backend.policies[policy_id] = {
            **asked,
            "PolicyDetails": _with_defaults(asked["PolicyDetails"] or {}),
            "PolicyId": policy_id,
            "StatusMessage": asked["State"],
            "DateCreated": now,
            "DateModified": now,
            "Tags": dict(self._get_param("Tags") or {}),
            "PolicyArn": f"arn:{backend.partition}:dlm:{self.region}:{self.current_account}:policy/{policy_id}",
        }
        return ActionResult({"PolicyId": policy_id})

    def get_lifecycle_policy(self) -> ActionResult:
        """GetLifecyclePolicy."""
        return ActionResult({"Policy": self._backend.policy(self._get_param("PolicyId"))})

    def get_lifecycle_policies(self) -> ActionResult:
        """GetLifecyclePolicies."""
        wanted, state = self._get_param("PolicyIds") or [], self._get_param("State")
        shown = [
            {
                **{key: policy[key] for key in ("PolicyId", "Description", "State", "Tags")},
                "PolicyType": policy["PolicyDetails"]["PolicyType"],
            }
            for policy in self._backend.policies.values()
            if (not wanted or policy["PolicyId"] in wanted) and state in (None, policy["State"])
        ]
        return ActionResult({"Policies": shown})

    def update_lifecycle_policy(self) -> ActionResult:
        """UpdateLifecyclePolicy: what the request does not say stays."""
        policy = self._backend.policy(self._get_param("PolicyId"))
        said = {name: value for name in _SETTABLE if (value := self._get_param(name)) is not None}
        changed = {**{name: policy[name] for name in _SETTABLE}, **said}
        _check(changed)
        changed["PolicyDetails"] = _with_defaults(changed["PolicyDetails"])
        policy |= {**changed, "StatusMessage": changed["State"], "DateModified": datetime.now(UTC)}
        return EmptyResult()

    def delete_lifecycle_policy(self) -> ActionResult:
        """DeleteLifecyclePolicy."""
        policy = self._backend.policy(self._get_param("PolicyId"))
        del self._backend.policies[policy["PolicyId"]]
        return EmptyResult()

    def list_tags_for_resource(self) -> ActionResult:
        """ListTagsForResource."""
        return ActionResult({"Tags": self._tagged()["Tags"]})

    def tag_resource(self) -> ActionResult:
        """TagResource."""
        self._tagged()["Tags"].update(self._get_param("Tags"))
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        """UntagResource."""
        tags = self._tagged()["Tags"]
        for key in self._get_param("TagKeys"):
            tags.pop(key, None)
        return EmptyResult()

    def _tagged(self) -> dict[str, Any]:
        return self._backend.policy(unquote(self._get_param("ResourceArn")).rsplit("/", 1)[-1])


def _check(asked: dict[str, Any]) -> None:
    details = asked["PolicyDetails"] or {}
    troubles = []
    if not _DESCRIPTION.match(asked["Description"] or ""):
        troubles.append("Description must match " + _DESCRIPTION.pattern)
    if asked["State"] not in ("ENABLED", "DISABLED"):
        troubles.append("State must be ENABLED or DISABLED")
    if details.get("PolicyType", "EBS_SNAPSHOT_MANAGEMENT") == "EBS_SNAPSHOT_MANAGEMENT":
        for name in ("ResourceTypes", "TargetTags", "Schedules"):
            if not details.get(name):
                troubles.append(f"PolicyDetails.{name} must have one member at least")
        if len(details.get("Schedules") or []) > 4:
            troubles.append("PolicyDetails.Schedules may have four members at most")
    if troubles:
        raise JsonRESTError("InvalidRequestException", "; ".join(troubles))


def _with_defaults(details: dict[str, Any]) -> dict[str, Any]:
    """What GetLifecyclePolicy shows beyond what was said."""
    schedules = []
    for schedule in details.get("Schedules") or []:
        rule = dict(schedule.get("CreateRule") or {})
        if "CronExpression" not in rule:
            rule = {"Location": "CLOUD", "IntervalUnit": "HOURS", "Times": ["09:00"], **rule}
        schedules.append(
            {"CopyTags": False, "TagsToAdd": [], "VariableTags": [], **schedule, "CreateRule": rule}
        )
    whole = {"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceLocations": ["CLOUD"], **details}
    return whole | ({"Schedules": schedules} if schedules else {})


@patches.wrap(backends)
def get_backend(original: Any, name: str) -> Any:
    return dlm_backends if name == "dlm" else original(name)


def install() -> None:
    """Install into moto: its index of services gets one more."""
    if not patches.is_applied:
        backend_index.backend_url_patterns.append(("dlm", re.compile(r"https?://dlm\.(.+)\.amazonaws\.com")))
    patches.apply()
