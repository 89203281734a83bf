"""Log groups, topics, subscriptions."""

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
    found,
    given,
)


def _attribute(name: str, of: str) -> Call:
    return Call(
        "sns.set_topic_attributes",
        {"TopicArn": ID, "AttributeName": of, "AttributeValue": given(name)},
        when=given(name),
    )


TOPIC_ATTRIBUTES = {"kmsMasterKeyId": "KmsMasterKeyId", "displayName": "DisplayName", "policy": "Policy"}

KINDS = (
    Kind(
        "aws:cloudwatch/logGroup:LogGroup",
        autoname="name",
        create=Call(
            "logs.create_log_group",
            {"logGroupName": given("name"), "kmsKeyId": given("kmsKeyId"), "tags": TAG_MAP},
            auto=True,
        ),
        id=Expression(lambda scope: scope.inputs["name"]),
        then=(
            Call(
                "logs.put_retention_policy",
                {"logGroupName": ID, "retentionInDays": given("retentionInDays")},
                when=given("retentionInDays"),
            ),
        ),
        read=(
            Read(
                "logs.describe_log_groups",
                {"logGroupNamePrefix": ID},
                at="logGroups[0]",
            ),
            Read("logs.list_tags_log_group", {"logGroupName": ID}, at="{tags: tags}"),
        ),
        updates=(
            Update(
                ("retentionInDays",),
                (
                    Call(
                        "logs.put_retention_policy",
                        {"logGroupName": ID, "retentionInDays": given("retentionInDays")},
                        when=given("retentionInDays"),
                    ),
                    Call(
                        "logs.delete_retention_policy",
                        {"logGroupName": ID},
                        when=Expression(lambda s: not s.inputs.get("retentionInDays")),
                    ),
                ),
            ),
            Update(
                ("kmsKeyId",),
                (
                    Call(
                        "logs.associate_kms_key",
                        {"logGroupName": ID, "kmsKeyId": given("kmsKeyId")},
                        when=given("kmsKeyId"),
                    ),
                    Call(
                        "logs.disassociate_kms_key",
                        {"logGroupName": ID},
                        when=Expression(lambda s: not s.inputs.get("kmsKeyId")),
                    ),
                ),
            ),
            Update(
                ("tags",),
                (
                    Call("logs.untag_log_group", {"logGroupName": ID, "tags": GONE_TAGS}, when=GONE_TAGS),
                    Call("logs.tag_log_group", {"logGroupName": ID, "tags": TAG_MAP}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "name": found("logGroupName"),
            # pulumi-aws's ARN of a log group lacks the `:*` that the API puts behind it.
            "arn": Expression(lambda s: (s.answer.get("arn") or "").removesuffix(":*") or None),
        },
        write_only=("skipDestroy",),
        not_carried={"skipDestroy": "read at deletion"},
        delete=(Call("logs.delete_log_group", {"logGroupName": ID}),),
    ),
    Kind(
        "aws:sns/topic:Topic",
        autoname="name",
        create=Call("sns.create_topic", {"Name": given("name"), "Tags": TAGS}),
        id=found("TopicArn"),
        then=tuple(_attribute(name, of) for name, of in TOPIC_ATTRIBUTES.items()),
        read=(
            Read("sns.get_topic_attributes", {"TopicArn": ID}, at="Attributes"),
            Read("sns.list_tags_for_resource", {"ResourceArn": ID}, at="{Tags: Tags}"),
        ),
        updates=(
            *(Update((name,), (_attribute(name, of),)) for name, of in TOPIC_ATTRIBUTES.items()),
            Update(
                ("tags",),
                (
                    Call("sns.untag_resource", {"ResourceArn": ID, "TagKeys": GONE_TAGS}, when=GONE_TAGS),
                    Call("sns.tag_resource", {"ResourceArn": ID, "Tags": TAGS}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "arn": ID,
            "name": given("name"),
            "kmsMasterKeyId": found("KmsMasterKeyId"),
            "displayName": found("DisplayName"),
        },
        delete=(Call("sns.delete_topic", {"TopicArn": ID}),),
    ),
    Kind(
        "aws:sns/topicPolicy:TopicPolicy",
        create=Call(
            "sns.set_topic_attributes",
            {"TopicArn": given("arn"), "AttributeName": "Policy", "AttributeValue": given("policy")},
        ),
        id=Expression(lambda scope: scope.inputs["arn"]),
        read=(Read("sns.get_topic_attributes", {"TopicArn": ID}, at="Attributes"),),
        upsert=True,
        outputs={"arn": ID},
        # Deleting it puts the topic's own default back (aws_sns_topic_policy); the topic goes next here.
        delete=(),
    ),
    Kind(
        "aws:sns/topicSubscription:TopicSubscription",
        create=Call(
            "sns.subscribe",
            {
                "TopicArn": given("topic"),
                "ReturnSubscriptionArn": True,
                "Attributes": {
                    "FilterPolicy": given("filterPolicy"),
                    "FilterPolicyScope": given("filterPolicyScope"),
                },
            },
            auto=True,
        ),
        id=found("SubscriptionArn"),
        updates=tuple(
            Update(
                (name,),
                (
                    Call(
                        "sns.set_subscription_attributes",
                        {"SubscriptionArn": ID, "AttributeName": attribute, "AttributeValue": given(name)},
                    ),
                ),
            )
            for name, attribute in (
                ("filterPolicyScope", "FilterPolicyScope"),
                ("filterPolicy", "FilterPolicy"),
            )
        ),
        read=(Read("sns.get_subscription_attributes", {"SubscriptionArn": ID}, at="Attributes"),),
        outputs={
            "arn": ID,
            "topic": found("TopicArn"),
            "pendingConfirmation": Expression(lambda s: s.answer.get("PendingConfirmation") == "true"),
            "rawMessageDelivery": Expression(lambda s: s.answer.get("RawMessageDelivery") == "true"),
            "confirmationWasAuthenticated": Expression(
                lambda s: s.answer.get("ConfirmationWasAuthenticated") == "true"
            ),
        },
        delete=(Call("sns.unsubscribe", {"SubscriptionArn": ID}, missing_is_fine=True),),
    ),
)
