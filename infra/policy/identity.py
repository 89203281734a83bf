"""The only place for the rules of who may do what: policies, trust, keys of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.core.cost.resource import Resource
from infra.policy.data import statements
from infra.policy.judging import Facts, Rule, Severity

POLICIES = (
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/policy:Policy",
    "aws:iam/groupPolicy:GroupPolicy",
    "aws:iam/userPolicy:UserPolicy",
)
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
PEOPLE = ("aws:iam/user:User", "aws:iam/accessKey:AccessKey", "aws:iam/userLoginProfile:UserLoginProfile")
TOO_MUCH = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")
GITHUB = "token.actions.githubusercontent.com"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value is not None else []


def _wildcards(resource: Resource, _facts: Facts) -> Iterator[str]:
    for statement in statements(resource.value("policy")):
        if statement.get("Effect") != "Allow":
            continue
        sid = f"statement {statement.get('Sid', '')!r}"
        if "NotAction" in statement:
            yield f"{sid} allows everything but what it names"
        everywhere = "*" in _listed(statement.get("Resource")) and not statement.get("Condition")
        for action in _listed(statement.get("Action")):
            if action == "*":
                yield f"{sid} allows every action"
            elif str(action).endswith(":*") and everywhere:
                yield f"{sid} allows {action} on every resource"


def _no_admin(resource: Resource, _facts: Facts) -> Iterator[str]:
    name = str(resource.value("policyArn")).rpartition("/")[2]
    if name in TOO_MUCH:
        yield f"attaches {name}"


def _trust(resource: Resource, _facts: Facts) -> Iterator[str]:
    for statement in statements(resource.value("assumeRolePolicy")):
        principal = statement.get("Principal")
        if principal == "*" or (isinstance(principal, Mapping) and "*" in _listed(principal.get("AWS"))):
            yield "anybody may take the role"
        if isinstance(principal, Mapping) and GITHUB in str(principal.get("Federated", "")):
            yield from _github(statement.get("Condition") or {})


def _github(condition: Mapping[str, Any]) -> Iterator[str]:
    exact = condition.get("StringEquals") or {}
    subjects = _listed(exact.get(f"{GITHUB}:sub"))
    if not subjects:
        yield "any repository of GitHub may take the role: no exact sub"
    for subject in subjects:
        if "*" in subject or not str(subject).startswith("repo:"):
            yield f"the subject {subject!r} is not exact"
    if exact.get(f"{GITHUB}:aud") != "sts.amazonaws.com":
        yield "the audience is not sts.amazonaws.com"


def _person(resource: Resource, _facts: Facts) -> Iterator[str]:
    yield f"{resource.kind} would live for ever, with keys that leave the account"


RULES = (
    Rule(
        "iam-no-wildcards", "IAM.21", Severity.HIGH, "No policy allows whole services everywhere, or everything",
        "Name the actions, and the resources they are for", POLICIES, _wildcards,
    ),
    Rule(
        "iam-no-admin", "IAM.1", Severity.HIGH, "No role is an administrator",
        "Attach what it needs: components/permissions.py", (ATTACHMENT,), _no_admin,
    ),
    Rule(
        "iam-trust", "terrace", Severity.CRITICAL, "Roles are taken by named services and exact subjects alone",
        'Name the service, or the exact sub: "repo:OWNER/NAME:environment:prod"', (ROLE,), _trust,
    ),
    Rule(
        "iam-no-people", "terrace", Severity.HIGH, "No users and access keys: people sign in, workflows take roles",
        "Use IAM Identity Center for people and OIDC for workflows", PEOPLE, _person,
    ),
)  # fmt: skip
