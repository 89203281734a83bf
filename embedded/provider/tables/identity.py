"""IAM roles, policies, profiles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Scope,
    Update,
    found,
    given,
)


def _tagging(noun: str, parameter: str) -> Update:
    return Update(
        ("tags",),
        (
            Call(f"iam.untag_{noun}", {parameter: ID, "TagKeys": GONE_TAGS}, when=GONE_TAGS),
            Call(f"iam.tag_{noun}", {parameter: ID, "Tags": TAGS}, when=TAGS),
        ),
    )


def _document(path: str) -> Expression:
    """A policy as text; boto3 hands documents over as parsed."""

    def evaluate(scope: Any) -> str | None:
        value = found(path)(scope)
        return json.dumps(value) if isinstance(value, Mapping) else value

    return Expression(evaluate)


KINDS = (
    Kind(
        "aws:iam/role:Role",
        autoname="name",
        create=Call(
            "iam.create_role",
            {"RoleName": given("name"), "AssumeRolePolicyDocument": given("assumeRolePolicy")},
            auto=True,
        ),
        id=Expression(lambda scope: scope.inputs["name"]),
        read=(Read("iam.get_role", {"RoleName": ID}, at="Role"),),
        updates=(
            Update(
                ("assumeRolePolicy",),
                (
                    Call(
                        "iam.update_assume_role_policy",
                        {"RoleName": ID, "PolicyDocument": given("assumeRolePolicy")},
                    ),
                ),
            ),
            Update(
                ("description", "maxSessionDuration"),
                (
                    Call(
                        "iam.update_role",
                        {
                            "RoleName": ID,
                            "Description": given("description"),
                            "MaxSessionDuration": given("maxSessionDuration"),
                        },
                    ),
                ),
            ),
            Update(
                ("permissionsBoundary",),
                (
                    Call(
                        "iam.put_role_permissions_boundary",
                        {"RoleName": ID, "PermissionsBoundary": given("permissionsBoundary")},
                        when=given("permissionsBoundary"),
                    ),
                    Call(
                        "iam.delete_role_permissions_boundary",
                        {"RoleName": ID},
                        when=Expression(lambda s: not s.inputs.get("permissionsBoundary")),
                        missing_is_fine=True,
                    ),
                ),
            ),
            _tagging("role", "RoleName"),
        ),
        outputs={
            "name": ID,
            "uniqueId": found("RoleId"),
            "createDate": found("CreateDate"),
            "permissionsBoundary": found("PermissionsBoundary.PermissionsBoundaryArn"),
            "assumeRolePolicy": _document("AssumeRolePolicyDocument"),
        },
        delete=(Call("iam.delete_role", {"RoleName": ID}),),
    ),
    Kind(
        "aws:iam/rolePolicy:RolePolicy",
        autoname="name",
        create=Call(
            "iam.put_role_policy",
            {"RoleName": given("role"), "PolicyName": given("name"), "PolicyDocument": given("policy")},
        ),
        id=Expression(lambda scope: f"{scope.inputs['role']}:{scope.inputs['name']}"),
        read=(Read("iam.get_role_policy", {"RoleName": given("role"), "PolicyName": given("name")}),),
        upsert=True,
        outputs={
            "role": found("RoleName"),
            "name": found("PolicyName"),
            "policy": _document("PolicyDocument"),
        },
        delete=(
            Call(
                "iam.delete_role_policy",
                {"RoleName": given("role"), "PolicyName": given("name")},
                missing_is_fine=True,
            ),
        ),
    ),
    Kind(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        create=Call("iam.attach_role_policy", {"RoleName": given("role")}, auto=True),
        id=Expression(lambda scope: f"{scope.inputs['role']}-{scope.inputs['policyArn']}"),
        read=(
            Read(
                "iam.list_attached_role_policies",
                {"RoleName": given("role")},
                at="{AttachedPolicies: AttachedPolicies}",
                there=Expression(lambda scope: _is_attached(scope)),
            ),
        ),
        outputs={"role": given("role"), "policyArn": given("policyArn")},
        delete=(
            Call("iam.detach_role_policy", {"RoleName": given("role")}, auto=True, missing_is_fine=True),
        ),
    ),
    Kind(
        "aws:iam/instanceProfile:InstanceProfile",
        autoname="name",
        create=Call("iam.create_instance_profile", {"InstanceProfileName": given("name")}, auto=True),
        id=Expression(lambda scope: scope.inputs["name"]),
        then=(
            Call(
                "iam.add_role_to_instance_profile",
                {"InstanceProfileName": ID, "RoleName": given("role")},
                when=given("role"),
            ),
        ),
        read=(Read("iam.get_instance_profile", {"InstanceProfileName": ID}, at="InstanceProfile"),),
        updates=(
            Update(
                ("role",),
                (
                    Call(
                        "iam.remove_role_from_instance_profile",
                        {
                            "InstanceProfileName": ID,
                            "RoleName": Expression(lambda scope: scope.old_inputs.get("role")),
                        },
                    ),
                    Call(
                        "iam.add_role_to_instance_profile",
                        {"InstanceProfileName": ID, "RoleName": given("role")},
                    ),
                ),
            ),
            _tagging("instance_profile", "InstanceProfileName"),
        ),
        outputs={
            "name": ID,
            "role": found("Roles[0].RoleName"),
            "uniqueId": found("InstanceProfileId"),
            "createDate": found("CreateDate"),
        },
        delete=(
            Call(
                "iam.remove_role_from_instance_profile",
                {"InstanceProfileName": ID, "RoleName": given("role")},
                when=given("role"),
                missing_is_fine=True,
            ),
            Call("iam.delete_instance_profile", {"InstanceProfileName": ID}),
        ),
    ),
)


def _is_attached(scope: Scope) -> bool:
    attached = [each["PolicyArn"] for each in scope.answer.get("AttachedPolicies") or []]
    return scope.inputs.get("policyArn") in attached
