"""KMS keys and SSM parameters."""

from __future__ import annotations

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
    tag_list,
)


def _kms_tags(scope: Scope) -> list[dict[str, str]]:
    return [{"TagKey": each["Key"], "TagValue": each["Value"]} for each in tag_list(scope.inputs.get("tags"))]


def _rotation(scope: Scope) -> bool:
    return bool(scope.inputs.get("enableKeyRotation"))


def _is_secure(scope: Scope) -> bool:
    return scope.answer.get("Type") == "SecureString"


def _value(scope: Scope) -> str | None:
    """As aws_ssm_parameter: a write-only value is never read back, a plain one shows under both names."""
    if scope.inputs.get("valueWo") is not None or scope.inputs.get("valueWoVersion") is not None:
        return None
    return scope.answer.get("Value")


KINDS = (
    Kind(
        "aws:kms/key:Key",
        create=Call("kms.create_key", {"KeySpec": given("customerMasterKeySpec")}, auto=True),
        id=found("KeyMetadata.KeyId"),
        then=(
            Call(
                "kms.enable_key_rotation", {"KeyId": ID}, when=Expression(_rotation, ("enableKeyRotation",))
            ),
            Call(
                "kms.disable_key",
                {"KeyId": ID},
                when=Expression(lambda s: s.inputs.get("isEnabled") is False),
            ),
        ),
        read=(
            Read(
                "kms.describe_key",
                {"KeyId": ID},
                at="KeyMetadata.{Arn: Arn, KeyId: KeyId, Description: Description, KeyUsage: KeyUsage,"
                " CustomerMasterKeySpec: CustomerMasterKeySpec, MultiRegion: MultiRegion, Enabled: Enabled,"
                " KeyState: KeyState}",
            ),
            Read("kms.get_key_rotation_status", {"KeyId": ID}, at="{Rotates: KeyRotationEnabled}"),
            Read("kms.get_key_policy", {"KeyId": ID, "PolicyName": "default"}, at="{Policy: Policy}"),
            Read("kms.list_resource_tags", {"KeyId": ID}, at="{Tags: Tags}"),
        ),
        updates=(
            Update(
                ("description",),
                (Call("kms.update_key_description", {"KeyId": ID, "Description": given("description")}),),
            ),
            Update(
                ("policy",),
                (
                    Call(
                        "kms.put_key_policy",
                        {"KeyId": ID, "PolicyName": "default", "Policy": given("policy")},
                    ),
                ),
            ),
            Update(
                ("enableKeyRotation",),
                (
                    Call("kms.enable_key_rotation", {"KeyId": ID}, when=Expression(_rotation)),
                    Call(
                        "kms.disable_key_rotation",
                        {"KeyId": ID},
                        when=Expression(lambda s: not _rotation(s)),
                    ),
                ),
            ),
            Update(("deletionWindowInDays",), ()),
            Update(
                ("tags",),
                (
                    Call("kms.untag_resource", {"KeyId": ID, "TagKeys": GONE_TAGS}, when=GONE_TAGS),
                    Call("kms.tag_resource", {"KeyId": ID, "Tags": Expression(_kms_tags)}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "isEnabled": found("Enabled"),
            "enableKeyRotation": found("Rotates"),
        },
        write_only=("deletionWindowInDays", "bypassPolicyLockoutSafetyCheck"),
        not_carried={"deletionWindowInDays": "read at deletion"},
        # A key cannot be deleted at once; pulumi-aws forgets it as soon as it is scheduled.
        delete=(
            Call(
                "kms.schedule_key_deletion",
                {"KeyId": ID, "PendingWindowInDays": given("deletionWindowInDays")},
            ),
        ),
    ),
    Kind(
        "aws:kms/alias:Alias",
        autoname="name",
        create=Call("kms.create_alias", {"AliasName": given("name")}, auto=True),
        id=Expression(lambda scope: scope.inputs["name"]),
        read=(
            Read(
                "kms.list_aliases",
                {},
                at="{Aliases: Aliases}",
            ),
        ),
        updates=(Update(("targetKeyId",), (Call("kms.update_alias", {"AliasName": ID}, auto=True),)),),
        outputs={
            "name": ID,
            "arn": Expression(lambda s: _alias(s, "AliasArn")),
            "targetKeyId": Expression(lambda s: _alias(s, "TargetKeyId")),
        },
        delete=(Call("kms.delete_alias", {"AliasName": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:ssm/parameter:Parameter",
        autoname="name",
        create=Call(
            "ssm.put_parameter",
            {
                "Value": Expression(
                    lambda s: next(
                        (
                            s.inputs[n]
                            for n in ("value", "insecureValue", "valueWo")
                            if s.inputs.get(n) is not None
                        ),
                        None,
                    ),
                    ("value", "insecureValue", "valueWo", "valueWoVersion"),
                ),
            },
            auto=True,
        ),
        id=Expression(lambda scope: scope.inputs["name"]),
        read=(
            Read("ssm.get_parameter", {"Name": ID, "WithDecryption": True}, at="Parameter"),
            Read(
                "ssm.describe_parameters",
                {"ParameterFilters": [{"Key": "Name", "Values": [ID]}]},
                at="Parameters[0].{KeyId: KeyId, Description: Description, Tier: Tier}",
                optional=True,
            ),
            Read(
                "ssm.list_tags_for_resource",
                {"ResourceType": "Parameter", "ResourceId": ID},
                at="{Tags: TagList}",
            ),
        ),
        updates=(
            Update(
                (
                    "value",
                    "insecureValue",
                    "valueWoVersion",
                    "description",
                    "keyId",
                    "type",
                    "tier",
                    "allowedPattern",
                ),
                (
                    Call(
                        "ssm.put_parameter",
                        {
                            "Name": ID,
                            "Overwrite": True,
                            # Refused together with Overwrite (SSM API Reference, PutParameter).
                            "Tags": None,
                            "Value": Expression(
                                lambda s: next(
                                    (
                                        s.inputs[n]
                                        for n in ("value", "insecureValue", "valueWo")
                                        if s.inputs.get(n) is not None
                                    ),
                                    None,
                                )
                            ),
                        },
                        auto=True,
                    ),
                ),
            ),
            # A write-only value is sent when its version changes, and only then.
            Update(("valueWo",), ()),
            Update(
                ("tags",),
                (
                    Call(
                        "ssm.remove_tags_from_resource",
                        {"ResourceType": "Parameter", "ResourceId": ID, "TagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call(
                        "ssm.add_tags_to_resource",
                        {"ResourceType": "Parameter", "ResourceId": ID, "Tags": TAGS},
                        when=TAGS,
                    ),
                ),
            ),
        ),
        outputs={
            "arn": found("ARN"),
            "value": Expression(_value),
            "insecureValue": Expression(lambda s: None if _is_secure(s) else _value(s)),
            "hasValueWo": Expression(lambda s: s.inputs.get("valueWo") is not None),
        },
        write_only=("valueWo", "valueWoVersion", "overwrite"),
        not_carried={"overwrite": "only says whether to adopt a parameter that exists; here that is refused"},
        delete=(Call("ssm.delete_parameter", {"Name": ID}, missing_is_fine=True),),
    ),
)


def _alias(scope: Scope, member: str) -> str | None:
    for alias in scope.answer.get("Aliases") or []:
        if alias["AliasName"] == scope.id:
            found_value: str | None = alias.get(member)
            return found_value
    return None
