"""The only place for the rules of a stack as a whole: tags, budget, cost, and what an account records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.core.cost import price_stack, rounded
from infra.core.cost.resource import Resource
from infra.core.errors import TerraceError
from infra.core.naming import MANDATORY_TAGS
from infra.core.prices import load
from infra.policy.judging import Facts, Rule, Severity, StackRule

BUDGET = "aws:budgets/budget:Budget"
TRAIL = "aws:cloudtrail/trail:Trail"
DETECTOR = "aws:guardduty/detector:Detector"
DEFAULT_ENCRYPTION = "aws:ebs/encryptionByDefault:EncryptionByDefault"

TAGGED = (
    "aws:acm/certificate:Certificate",
    "aws:backup/vault:Vault",
    "aws:budgets/budget:Budget",
    "aws:cloudtrail/trail:Trail",
    "aws:cloudwatch/compositeAlarm:CompositeAlarm",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:dlm/lifecyclePolicy:LifecyclePolicy",
    "aws:ebs/volume:Volume",
    "aws:ec2/eip:Eip",
    "aws:ec2/flowLog:FlowLog",
    "aws:ec2/instance:Instance",
    "aws:ec2/natGateway:NatGateway",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:guardduty/detector:Detector",
    "aws:iam/role:Role",
    "aws:kms/key:Key",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:lb/targetGroup:TargetGroup",
    "aws:rds/instance:Instance",
    "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
    "aws:ssm/parameter:Parameter",
    "aws:wafv2/webAcl:WebAcl",
)
"""What is billed, or holds what is: kinds that AWS lets a tag stand on."""


def _tags(resource: Resource, _facts: Facts) -> Iterator[str]:
    tags = resource.value("tags", default={})
    if missing := [name for name in MANDATORY_TAGS if not tags.get(name)]:
        yield f"lacks {', '.join(missing)}"


def _budget(resources: Sequence[Resource], _facts: Facts) -> Iterator[tuple[str, str]]:
    scratch = any("terrace:drill:Drill" in each.urn for each in resources)
    if not (scratch or any(each.token == BUDGET for each in resources)):
        yield "", "nobody is told when the month's money runs out"


def _cost(resources: Sequence[Resource], facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.budget_usd is None:
        return
    try:
        cost = price_stack(resources, load(facts.price_book))
    except TerraceError as error:
        yield "", f"it cannot be priced: {error}"
        return
    if cost.total.likely > facts.budget_usd:
        yield (
            "",
            f"{cost.total.likely} USD a month ({cost.total.low} to {cost.total.high}, {cost.fixed} of it fixed) "
            f"by {facts.price_book}, budget {rounded(facts.budget_usd)}",
        )


def _trail(resource: Resource, _facts: Facts) -> Iterator[str]:
    for name, what in (
        ("isMultiRegionTrail", "other regions are not recorded"),
        ("enableLogFileValidation", "nobody could tell whether a record was changed"),
        ("includeGlobalServiceEvents", "IAM's and STS's own events are not recorded"),
    ):
        if resource.value(name, default=name == "includeGlobalServiceEvents") is not True:
            yield f"{name} is off: {what}"
    if resource.value("enableLogging", default=True) is not True:
        yield "it records nothing"


def _trail_key(resource: Resource, _facts: Facts) -> Iterator[str]:
    if not resource.value("kmsKeyId"):
        yield "records are not encrypted with a key of ours"


def _detector(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("enable", default=True) is not True:
        yield "GuardDuty is off"


def _default_encryption(resource: Resource, _facts: Facts) -> Iterator[str]:
    if resource.value("enabled", default=True) is not True:
        yield "a volume made by hand would not be encrypted"


RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        "tags", "terrace", Severity.MEDIUM, "Everything that is billed says whose it is",
        "Give it context.tags(NAME)", TAGGED, _tags,
    ),
    StackRule(
        "budget-present", "terrace", Severity.MEDIUM, "A stack has a budget that tells before it is spent",
        "Set terrace:budget: {monthly: \"100\"}", _budget,
    ),
    StackRule(
        "cost-within-budget", "terrace", Severity.HIGH, "What stands costs no more a month than the budget",
        "Choose a smaller stage (scripts/cost.py ladder), or raise terrace:budget.monthly", _cost,
    ),
    Rule(
        "trail-whole", "CloudTrail.1", Severity.HIGH, "The trail records every region, and can be checked",
        "Set is_multi_region_trail and enable_log_file_validation", (TRAIL,), _trail,
    ),
    Rule(
        "trail-encrypted", "CloudTrail.2", Severity.MEDIUM, "The trail is encrypted",
        "Set kms_key_id", (TRAIL,), _trail_key,
    ),
    Rule(
        "guardduty-on", "GuardDuty.1", Severity.HIGH, "GuardDuty is on",
        "Set enable=True", (DETECTOR,), _detector,
    ),
    Rule(
        "ebs-default-encryption", "EC2.7", Severity.MEDIUM, "The account encrypts volumes by default",
        "Set enabled=True", (DEFAULT_ENCRYPTION,), _default_encryption,
    ),
)  # fmt: skip
