"""What an account has once: trail, detection, defaults, the identity provider of workflows, cost tags."""

from __future__ import annotations

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAG_MAP,
    TAGS,
    Call,
    Expression,
    Kind,
    Read,
    Update,
    before,
    found,
    given,
    text,
)

_TRAIL = {
    "S3BucketName": given("s3BucketName"),
    "S3KeyPrefix": given("s3KeyPrefix"),
    "IncludeGlobalServiceEvents": given("includeGlobalServiceEvents"),
    "IsMultiRegionTrail": given("isMultiRegionTrail"),
    "EnableLogFileValidation": given("enableLogFileValidation"),
    "KmsKeyId": given("kmsKeyId"),
}
_OFF = Expression(lambda scope: not scope.inputs.get("enableLogging", True), ("enableLogging",))
_DETECTOR_ARN = text("arn:aws:guardduty:{region}:{account}:detector/{id}")
_ENCRYPTION = Expression(lambda scope: scope.inputs.get("enabled", True), ("enabled",))
_NO_ENCRYPTION = Expression(lambda scope: not scope.inputs.get("enabled", True), ("enabled",))
_BLOCK = (
    Call("ec2.enable_ebs_encryption_by_default", when=_ENCRYPTION),
    Call("ec2.disable_ebs_encryption_by_default", when=_NO_ENCRYPTION),
)


def _cost_tag(key: Expression, status: Expression | str) -> Call:
    return Call(
        "ce.update_cost_allocation_tags_status",
        {"CostAllocationTagsStatus": [{"TagKey": key, "Status": status}]},
    )


KINDS = (
    Kind(
        "aws:cloudtrail/trail:Trail",
        autoname="name",
        defaults={"enableLogging": True, "includeGlobalServiceEvents": True},
        create=Call("cloudtrail.create_trail", {"Name": given("name"), **_TRAIL, "TagsList": TAGS}),
        id=found("TrailARN"),
        then=(Call("cloudtrail.start_logging", {"Name": ID}, when=given("enableLogging")),),
        read=(
            Read("cloudtrail.get_trail", {"Name": ID}, at="Trail"),
            Read("cloudtrail.get_trail_status", {"Name": ID}, at="{isLogging: IsLogging}"),
            Read("cloudtrail.list_tags", {"ResourceIdList": [ID]}, at="{tags: ResourceTagList[0].TagsList}"),
        ),
        updates=(
            Update(
                (
                    "s3BucketName", "s3KeyPrefix", "includeGlobalServiceEvents", "isMultiRegionTrail",
                    "enableLogFileValidation", "kmsKeyId",
                ),
                (Call("cloudtrail.update_trail", {"Name": ID, **_TRAIL}),),
            ),
            Update(
                ("enableLogging",),
                (
                    Call("cloudtrail.start_logging", {"Name": ID}, when=given("enableLogging")),
                    Call("cloudtrail.stop_logging", {"Name": ID}, when=_OFF),
                ),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "cloudtrail.remove_tags",
                        {
                            "ResourceId": ID,
                            "TagsList": Expression(
                                lambda scope: [{"Key": key} for key in GONE_TAGS(scope)]
                            ),
                        },
                        when=GONE_TAGS,
                    ),
                    Call("cloudtrail.add_tags", {"ResourceId": ID, "TagsList": TAGS}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "arn": found("TrailARN"),
            "enableLogging": found("isLogging"),
            "enableLogFileValidation": found("LogFileValidationEnabled"),
            "homeRegion": text("{region}"),
        },
        delete=(Call("cloudtrail.delete_trail", {"Name": ID}),),
    ),
    Kind(
        "aws:guardduty/detector:Detector",
        create=Call(
            "guardduty.create_detector",
            {
                "Enable": Expression(lambda scope: scope.inputs.get("enable", True), ("enable",)),
                "FindingPublishingFrequency": given("findingPublishingFrequency"),
                "Tags": TAG_MAP,
            },
        ),
        id=found("DetectorId"),
        read=(Read("guardduty.get_detector", {"DetectorId": ID}),),
        updates=(
            Update(
                ("enable", "findingPublishingFrequency"),
                (
                    Call(
                        "guardduty.update_detector",
                        {
                            "DetectorId": ID,
                            "Enable": Expression(lambda scope: scope.inputs.get("enable", True)),
                            "FindingPublishingFrequency": given("findingPublishingFrequency"),
                        },
                    ),
                ),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "guardduty.untag_resource",
                        {"ResourceArn": _DETECTOR_ARN, "TagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call("guardduty.tag_resource", {"ResourceArn": _DETECTOR_ARN, "Tags": TAG_MAP}, when=TAG_MAP),
                ),
            ),
        ),
        outputs={
            "arn": _DETECTOR_ARN,
            "accountId": text("{account}"),
            "enable": Expression(lambda scope: scope.answer.get("Status") == "ENABLED"),
        },
        delete=(Call("guardduty.delete_detector", {"DetectorId": ID}),),
    ),
    Kind(
        "aws:ebs/encryptionByDefault:EncryptionByDefault",
        create=Call("ec2.get_ebs_encryption_by_default"),
        id=text("{account}-{region}"),
        then=_BLOCK,
        read=(Read("ec2.get_ebs_encryption_by_default", {}),),
        updates=(Update(("enabled",), _BLOCK),),
        outputs={"enabled": found("EbsEncryptionByDefault")},
        delete=(Call("ec2.disable_ebs_encryption_by_default"),),
    ),
    Kind(
        "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
        create=Call(
            "s3control.put_public_access_block",
            {
                "AccountId": text("{account}"),
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": given("blockPublicAcls"),
                    "BlockPublicPolicy": given("blockPublicPolicy"),
                    "IgnorePublicAcls": given("ignorePublicAcls"),
                    "RestrictPublicBuckets": given("restrictPublicBuckets"),
                },
            },
            auto=True,
        ),
        id=text("{account}"),
        read=(
            Read(
                "s3control.get_public_access_block",
                {"AccountId": ID},
                at="PublicAccessBlockConfiguration",
            ),
        ),
        upsert=True,
        outputs={"accountId": ID},
        delete=(Call("s3control.delete_public_access_block", {"AccountId": ID}),),
    ),
    Kind(
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        create=Call(
            "iam.create_open_id_connect_provider",
            {
                "Url": given("url"),
                "ClientIDList": given("clientIdLists"),
                "ThumbprintList": given("thumbprintLists"),
                "Tags": TAGS,
            },
        ),
        id=found("OpenIDConnectProviderArn"),
        read=(Read("iam.get_open_id_connect_provider", {"OpenIDConnectProviderArn": ID}),),
        updates=(
            Update(
                ("thumbprintLists",),
                (
                    Call(
                        "iam.update_open_id_connect_provider_thumbprint",
                        {"OpenIDConnectProviderArn": ID, "ThumbprintList": given("thumbprintLists")},
                    ),
                ),
            ),
            Update(
                ("clientIdLists",),
                tuple(
                    Call(
                        f"iam.{verb}_open_id_connect_provider",
                        {"OpenIDConnectProviderArn": ID, "ClientID": client},
                    )
                    for verb, client in (
                        ("add_client_id_to", given("clientIdLists[0]")),
                        ("remove_client_id_from", before("clientIdLists[0]")),
                    )
                ),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "iam.untag_open_id_connect_provider",
                        {"OpenIDConnectProviderArn": ID, "TagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call(
                        "iam.tag_open_id_connect_provider",
                        {"OpenIDConnectProviderArn": ID, "Tags": TAGS},
                        when=TAGS,
                    ),
                ),
            ),
        ),
        outputs={
            "arn": ID,
            # IAM answers without the scheme (IAM API reference, GetOpenIDConnectProvider).
            "url": given("url"),
            "clientIdLists": found("ClientIDList"),
            "thumbprintLists": found("ThumbprintList"),
        },
        delete=(Call("iam.delete_open_id_connect_provider", {"OpenIDConnectProviderArn": ID}),),
    ),
    Kind(
        "aws:costexplorer/costAllocationTag:CostAllocationTag",
        create=_cost_tag(given("tagKey"), given("status")),
        id=given("tagKey"),
        read=(
            Read("ce.list_cost_allocation_tags", {"TagKeys": [ID]}, at="CostAllocationTags[0]"),
        ),
        updates=(Update(("status", "tagKey"), (_cost_tag(given("tagKey"), given("status")),)),),
        delete=(_cost_tag(ID, "Inactive"),),
    ),
)  # fmt: skip
