"""Web ACLs of AWS WAF and what they stand before."""

from __future__ import annotations

from embedded.provider.table import (
    GONE_TAGS,
    ID,
    TAGS,
    Call,
    Expression,
    Kind,
    Look,
    Read,
    Update,
    found,
    from_inputs,
    given,
    respelled,
    text,
)

_SPELLED = {"cloudwatchMetricsEnabled": "CloudWatchMetricsEnabled"}
"""Where Pulumi's name is not the API's with a small letter."""
_SPOKEN = {there: here for here, there in _SPELLED.items()}


def _input(name: str) -> Expression:
    return from_inputs(name)(lambda inputs: respelled(inputs.get(name), _SPELLED))


def _output(member: str) -> Expression:
    return Expression(lambda scope: respelled(scope.answer.get(member), _SPOKEN))


_CONTENT = {
    "DefaultAction": _input("defaultAction"),
    "Rules": _input("rules"),
    "VisibilityConfig": _input("visibilityConfig"),
    "Description": given("description"),
}
_ARN = text("arn:aws:wafv2:{region}:{account}:regional/webacl/{name}/{id}")
"""Service Authorization Reference, "Actions, resources, and condition keys for AWS WAF V2"."""
_NAMED = {"Name": given("name"), "Scope": given("scope"), "Id": ID}

KINDS = (
    Kind(
        "aws:wafv2/webAcl:WebAcl",
        autoname="name",
        create=Call(
            "wafv2.create_web_acl",
            {"Name": given("name"), "Scope": given("scope"), **_CONTENT, "Tags": TAGS},
        ),
        id=found("Summary.Id"),
        read=(
            Read("wafv2.get_web_acl", _NAMED, at="merge(WebACL, {LockToken: LockToken})"),
            Read(
                "wafv2.list_tags_for_resource",
                {"ResourceARN": _ARN},
                at="{Tags: TagInfoForResource.TagList}",
            ),
        ),
        updates=(
            # A change names the lock token that was read: WAF API reference, UpdateWebACL.
            Update(
                ("defaultAction", "rules", "visibilityConfig", "description"),
                (
                    Look(),
                    Call("wafv2.update_web_acl", {**_NAMED, **_CONTENT, "LockToken": found("LockToken")}),
                ),
            ),
            Update(
                ("tags",),
                (
                    Call(
                        "wafv2.untag_resource",
                        {"ResourceARN": _ARN, "TagKeys": GONE_TAGS},
                        when=GONE_TAGS,
                    ),
                    Call("wafv2.tag_resource", {"ResourceARN": _ARN, "Tags": TAGS}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "arn": found("ARN"),
            "capacity": found("Capacity"),
            "defaultAction": _output("DefaultAction"),
            "rules": _output("Rules"),
            "visibilityConfig": _output("VisibilityConfig"),
        },
        write_only=("scope",),
        delete=(
            Look(),
            Call("wafv2.delete_web_acl", {**_NAMED, "LockToken": found("LockToken")}, missing_is_fine=True),
        ),
    ),
    Kind(
        "aws:wafv2/webAclAssociation:WebAclAssociation",
        create=Call(
            "wafv2.associate_web_acl",
            {"WebACLArn": given("webAclArn"), "ResourceArn": given("resourceArn")},
        ),
        id=from_inputs("webAclArn", "resourceArn")(lambda i: f"{i['webAclArn']},{i['resourceArn']}"),
        read=(
            Read(
                "wafv2.get_web_acl_for_resource",
                {"ResourceArn": given("resourceArn")},
                at="WebACL.{ARN: ARN}",
            ),
        ),
        outputs={"webAclArn": found("ARN")},
        write_only=("resourceArn",),
        delete=(
            Call("wafv2.disassociate_web_acl", {"ResourceArn": given("resourceArn")}, missing_is_fine=True),
        ),
    ),
)
