"""Application load balancers with their listeners, rules and target groups; certificates."""

from __future__ import annotations

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
    Wait,
    found,
    from_inputs,
    given,
)

LB_TAGS = Update(
    ("tags",),
    (
        Call("elbv2.remove_tags", {"ResourceArns": [ID], "TagKeys": GONE_TAGS}, when=GONE_TAGS),
        Call("elbv2.add_tags", {"ResourceArns": [ID], "Tags": TAGS}, when=TAGS),
    ),
)
_TAGS_READ = Read("elbv2.describe_tags", {"ResourceArns": [ID]}, at="TagDescriptions[0].{Tags: Tags}")

# Inputs that are attributes of a load balancer or target group: ELB API reference, LoadBalancerAttribute.
_BALANCER_ATTRIBUTES = {
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "enableDeletionProtection": "deletion_protection.enabled",
    "accessLogs.enabled": "access_logs.s3.enabled",
    "accessLogs.bucket": "access_logs.s3.bucket",
    "accessLogs.prefix": "access_logs.s3.prefix",
}
_TARGET_ATTRIBUTES = {"deregistrationDelay": "deregistration_delay.timeout_seconds"}


def _attributes(table: Mapping[str, str]) -> Expression:
    """Those inputs that are set, as the API lists attributes: all values are text."""

    def evaluate(scope: Scope) -> list[dict[str, str]] | None:
        listed = []
        for path, key in table.items():
            value = given(path)(scope)
            if value is not None:
                listed.append(
                    {"Key": key, "Value": str(value).lower() if value in (True, False) else str(value)}
                )
        return listed or None

    return Expression(evaluate, tuple(dict.fromkeys(path.split(".")[0] for path in table)))


def _attribute(key: str, kind: type = str) -> Expression:
    def evaluate(scope: Scope) -> Any:
        for each in scope.answer.get("Attributes") or []:
            if each["Key"] == key:
                return each["Value"] == "true" if kind is bool else kind(each["Value"])
        return None

    return Expression(evaluate)


def _access_logs(scope: Scope) -> dict[str, Any] | None:
    seen = {
        name: _attribute(f"access_logs.s3.{name}", bool if name == "enabled" else str)(scope)
        for name in ("enabled", "bucket", "prefix")
    }
    return seen if seen["bucket"] else None


def _actions(name: str) -> Expression:
    """Forward and redirect, as the API spells them."""

    def action(each: Mapping[str, Any]) -> dict[str, Any]:
        if each["type"] == "redirect":
            redirect = each["redirect"]
            config = {
                "StatusCode": redirect["statusCode"],
                "Port": redirect.get("port") or "#{port}",
                "Protocol": redirect.get("protocol") or "#{protocol}",
            }
            return {"Type": "redirect", "RedirectConfig": config}
        return {"Type": each["type"], "TargetGroupArn": each.get("targetGroupArn")}

    return from_inputs(name)(lambda inputs: [action(each) for each in inputs.get(name) or []])


def _actions_seen(member: str) -> Expression:
    def action(each: Mapping[str, Any]) -> dict[str, Any]:
        seen: dict[str, Any] = {"type": each["Type"], "targetGroupArn": each.get("TargetGroupArn")}
        if config := each.get("RedirectConfig"):
            seen["redirect"] = {
                "statusCode": config.get("StatusCode"),
                "port": config.get("Port"),
                "protocol": config.get("Protocol"),
            }
        return {key: value for key, value in seen.items() if value is not None}

    return Expression(lambda s: [action(each) for each in s.answer.get(member) or []])


def _conditions(inputs: Any) -> list[dict[str, Any]]:
    return [
        {"Field": "path-pattern", "PathPatternConfig": {"Values": each["pathPattern"]["values"]}}
        for each in inputs.get("conditions") or []
    ]


def _conditions_seen(scope: Scope) -> list[dict[str, Any]]:
    seen = []
    for each in scope.answer.get("Conditions") or []:
        values = (each.get("PathPatternConfig") or {}).get("Values") or each.get("Values")
        seen.append({"pathPattern": {"values": values}})
    return seen


_LISTENER = {
    "Port": given("port"),
    "Protocol": given("protocol"),
    "SslPolicy": given("sslPolicy"),
    "Certificates": [{"CertificateArn": given("certificateArn")}],
    "DefaultActions": _actions("defaultActions"),
}
_HEALTH = {
    "HealthCheckEnabled": given("healthCheck.enabled"),
    "HealthCheckPath": given("healthCheck.path"),
    "HealthCheckPort": given("healthCheck.port"),
    "HealthCheckProtocol": given("healthCheck.protocol"),
    "HealthCheckIntervalSeconds": given("healthCheck.interval"),
    "HealthCheckTimeoutSeconds": given("healthCheck.timeout"),
    "HealthyThresholdCount": given("healthCheck.healthyThreshold"),
    "UnhealthyThresholdCount": given("healthCheck.unhealthyThreshold"),
    "Matcher": {"HttpCode": given("healthCheck.matcher")},
}
_TARGET = [{"Id": given("targetId"), "Port": given("port")}]

KINDS = (
    Kind(
        "aws:lb/loadBalancer:LoadBalancer",
        autoname="name",
        create=Call(
            "elbv2.create_load_balancer",
            {
                "Name": given("name"),
                "Type": given("loadBalancerType"),
                "Scheme": from_inputs("internal")(
                    lambda i: "internal" if i.get("internal") else "internet-facing"
                ),
                "Subnets": given("subnets"),
                "SecurityGroups": given("securityGroups"),
                "Tags": TAGS,
            },
        ),
        id=found("LoadBalancers[0].LoadBalancerArn"),
        then=(
            Call(
                "elbv2.modify_load_balancer_attributes",
                {"LoadBalancerArn": ID, "Attributes": _attributes(_BALANCER_ATTRIBUTES)},
                when=_attributes(_BALANCER_ATTRIBUTES),
            ),
            Wait(
                Expression(lambda s: (s.answer.get("State") or {}).get("Code") == "active"),
                "the load balancer",
            ),
        ),
        read=(
            Read("elbv2.describe_load_balancers", {"LoadBalancerArns": [ID]}, at="LoadBalancers[0]"),
            Read(
                "elbv2.describe_load_balancer_attributes",
                {"LoadBalancerArn": ID},
                at="{Attributes: Attributes}",
            ),
            _TAGS_READ,
        ),
        updates=(
            Update(
                (
                    "dropInvalidHeaderFields",
                    "desyncMitigationMode",
                    "idleTimeout",
                    "enableDeletionProtection",
                    "accessLogs",
                ),
                (
                    Call(
                        "elbv2.modify_load_balancer_attributes",
                        {"LoadBalancerArn": ID, "Attributes": _attributes(_BALANCER_ATTRIBUTES)},
                    ),
                ),
            ),
            Update(
                ("securityGroups",),
                (
                    Call(
                        "elbv2.set_security_groups",
                        {"LoadBalancerArn": ID, "SecurityGroups": given("securityGroups")},
                    ),
                ),
            ),
            Update(
                ("subnets",),
                (Call("elbv2.set_subnets", {"LoadBalancerArn": ID, "Subnets": given("subnets")}),),
            ),
            LB_TAGS,
        ),
        outputs={
            "arnSuffix": Expression(lambda s: s.id.partition(":loadbalancer/")[2]),
            "arn": found("LoadBalancerArn"),
            "name": found("LoadBalancerName"),
            "zoneId": found("CanonicalHostedZoneId"),
            "loadBalancerType": found("Type"),
            "internal": Expression(lambda s: s.answer.get("Scheme") == "internal"),
            "subnets": found("AvailabilityZones[].SubnetId"),
            "dropInvalidHeaderFields": _attribute(_BALANCER_ATTRIBUTES["dropInvalidHeaderFields"], bool),
            "desyncMitigationMode": _attribute(_BALANCER_ATTRIBUTES["desyncMitigationMode"]),
            "idleTimeout": _attribute(_BALANCER_ATTRIBUTES["idleTimeout"], int),
            "enableDeletionProtection": _attribute(_BALANCER_ATTRIBUTES["enableDeletionProtection"], bool),
            "accessLogs": Expression(_access_logs),
        },
        delete=(Call("elbv2.delete_load_balancer", {"LoadBalancerArn": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:lb/listener:Listener",
        create=Call(
            "elbv2.create_listener",
            {"LoadBalancerArn": given("loadBalancerArn"), **_LISTENER, "Tags": TAGS},
        ),
        id=found("Listeners[0].ListenerArn"),
        read=(Read("elbv2.describe_listeners", {"ListenerArns": [ID]}, at="Listeners[0]"), _TAGS_READ),
        updates=(
            Update(
                ("port", "protocol", "sslPolicy", "certificateArn", "defaultActions"),
                (Call("elbv2.modify_listener", {"ListenerArn": ID, **_LISTENER}),),
            ),
            LB_TAGS,
        ),
        outputs={
            "arn": found("ListenerArn"),
            "certificateArn": found("Certificates[0].CertificateArn"),
            "alpnPolicy": found("AlpnPolicy[0]"),
            "defaultActions": _actions_seen("DefaultActions"),
        },
        delete=(Call("elbv2.delete_listener", {"ListenerArn": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:lb/listenerRule:ListenerRule",
        create=Call(
            "elbv2.create_rule",
            {
                "ListenerArn": given("listenerArn"),
                "Priority": given("priority"),
                "Conditions": from_inputs("conditions")(_conditions),
                "Actions": _actions("actions"),
                "Tags": TAGS,
            },
        ),
        id=found("Rules[0].RuleArn"),
        read=(Read("elbv2.describe_rules", {"RuleArns": [ID]}, at="Rules[0]"), _TAGS_READ),
        updates=(
            Update(
                ("conditions", "actions"),
                (
                    Call(
                        "elbv2.modify_rule",
                        {
                            "RuleArn": ID,
                            "Conditions": from_inputs("conditions")(_conditions),
                            "Actions": _actions("actions"),
                        },
                    ),
                ),
            ),
            Update(
                ("priority",),
                (
                    Call(
                        "elbv2.set_rule_priorities",
                        {"RulePriorities": [{"RuleArn": ID, "Priority": given("priority")}]},
                    ),
                ),
            ),
            LB_TAGS,
        ),
        outputs={
            "arn": found("RuleArn"),
            "priority": Expression(lambda s: int(s.answer["Priority"]) if s.answer.get("Priority") else None),
            "conditions": Expression(_conditions_seen),
            "actions": _actions_seen("Actions"),
        },
        delete=(Call("elbv2.delete_rule", {"RuleArn": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:lb/targetGroup:TargetGroup",
        autoname="name",
        create=Call(
            "elbv2.create_target_group",
            {
                "Name": given("name"),
                "Port": given("port"),
                "Protocol": given("protocol"),
                "VpcId": given("vpcId"),
                "TargetType": given("targetType"),
                **_HEALTH,
                "Tags": TAGS,
            },
        ),
        id=found("TargetGroups[0].TargetGroupArn"),
        then=(
            Call(
                "elbv2.modify_target_group_attributes",
                {"TargetGroupArn": ID, "Attributes": _attributes(_TARGET_ATTRIBUTES)},
                when=_attributes(_TARGET_ATTRIBUTES),
            ),
        ),
        read=(
            Read("elbv2.describe_target_groups", {"TargetGroupArns": [ID]}, at="TargetGroups[0]"),
            Read(
                "elbv2.describe_target_group_attributes",
                {"TargetGroupArn": ID},
                at="{Attributes: Attributes}",
            ),
            _TAGS_READ,
        ),
        updates=(
            Update(("healthCheck",), (Call("elbv2.modify_target_group", {"TargetGroupArn": ID, **_HEALTH}),)),
            Update(
                ("deregistrationDelay",),
                (
                    Call(
                        "elbv2.modify_target_group_attributes",
                        {"TargetGroupArn": ID, "Attributes": _attributes(_TARGET_ATTRIBUTES)},
                    ),
                ),
            ),
            LB_TAGS,
        ),
        outputs={
            "arnSuffix": Expression(lambda s: s.id.rpartition(":")[2]),
            "arn": found("TargetGroupArn"),
            "name": found("TargetGroupName"),
            "deregistrationDelay": _attribute(_TARGET_ATTRIBUTES["deregistrationDelay"], int),
            "healthCheck": Expression(
                lambda s: {
                    "enabled": s.answer.get("HealthCheckEnabled"),
                    "path": s.answer.get("HealthCheckPath"),
                    "port": s.answer.get("HealthCheckPort"),
                    "protocol": s.answer.get("HealthCheckProtocol"),
                    "interval": s.answer.get("HealthCheckIntervalSeconds"),
                    "timeout": s.answer.get("HealthCheckTimeoutSeconds"),
                    "healthyThreshold": s.answer.get("HealthyThresholdCount"),
                    "unhealthyThreshold": s.answer.get("UnhealthyThresholdCount"),
                    "matcher": (s.answer.get("Matcher") or {}).get("HttpCode"),
                }
            ),
        },
        delete=(Call("elbv2.delete_target_group", {"TargetGroupArn": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:lb/targetGroupAttachment:TargetGroupAttachment",
        create=Call(
            "elbv2.register_targets", {"TargetGroupArn": given("targetGroupArn"), "Targets": _TARGET}
        ),
        id=from_inputs("targetGroupArn", "targetId")(lambda i: f"{i['targetGroupArn']}-{i['targetId']}"),
        read=(
            Read(
                "elbv2.describe_target_health",
                {"TargetGroupArn": given("targetGroupArn"), "Targets": _TARGET},
                at="TargetHealthDescriptions[?TargetHealth.Reason!='Target.NotRegistered'] | [0].{Target: Target}",
            ),
        ),
        delete=(
            Call(
                "elbv2.deregister_targets",
                {"TargetGroupArn": given("targetGroupArn"), "Targets": _TARGET},
                missing_is_fine=True,
            ),
        ),
    ),
    Kind(
        "aws:acm/certificate:Certificate",
        create=Call(
            "acm.request_certificate",
            {
                "DomainName": given("domainName"),
                "ValidationMethod": given("validationMethod"),
                "Tags": TAGS,
            },
        ),
        id=found("CertificateArn"),
        then=(
            Wait(
                Expression(lambda s: all(each.get("ResourceRecord") for each in _proofs(s))),
                "the certificate's records",
            ),
        ),
        read=(
            Read("acm.describe_certificate", {"CertificateArn": ID}, at="Certificate"),
            Read("acm.list_tags_for_certificate", {"CertificateArn": ID}, at="{Tags: Tags}"),
        ),
        updates=(
            Update(
                ("tags",),
                (
                    Call(
                        "acm.remove_tags_from_certificate",
                        {
                            "CertificateArn": ID,
                            "Tags": Expression(lambda s: [{"Key": key} for key in GONE_TAGS(s)]),
                        },
                        when=GONE_TAGS,
                    ),
                    Call("acm.add_tags_to_certificate", {"CertificateArn": ID, "Tags": TAGS}, when=TAGS),
                ),
            ),
        ),
        outputs={
            "arn": found("CertificateArn"),
            "domainValidationOptions": Expression(
                lambda s: [
                    {
                        "domainName": each["DomainName"],
                        "resourceRecordName": each["ResourceRecord"]["Name"],
                        "resourceRecordType": each["ResourceRecord"]["Type"],
                        "resourceRecordValue": each["ResourceRecord"]["Value"],
                    }
                    for each in _proofs(s)
                    if each.get("ResourceRecord")
                ]
            ),
            # What is proved how is given, not seen: AWS shows no method for some kinds of certificate.
            "validationMethod": given("validationMethod"),
        },
        delete=(Call("acm.delete_certificate", {"CertificateArn": ID}, missing_is_fine=True),),
    ),
    Kind(
        "aws:acm/certificateValidation:CertificateValidation",
        # Makes nothing: it waits until the certificate is issued.
        create=Call("acm.describe_certificate", {"CertificateArn": given("certificateArn")}),
        id=found("Certificate.CertificateArn"),
        then=(Wait(Expression(lambda s: s.answer.get("Status") == "ISSUED"), "the certificate's issue"),),
        read=(
            Read("acm.describe_certificate", {"CertificateArn": given("certificateArn")}, at="Certificate"),
        ),
        not_carried={
            "validationRecordFqdns": "what is waited for is the certificate, whose records these are"
        },
        delete=(),
    ),
)


def _proofs(scope: Scope) -> list[dict[str, Any]]:
    return list(scope.answer.get("DomainValidationOptions") or [])
