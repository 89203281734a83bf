"""The only place that shows the recorded program to checkov, as a plan of Terraform, and judges what it says.

pulumi-aws wraps the Terraform provider, so a resource's inputs are a plan's values under the provider's own names:
snake case, blocks as lists, and a few singulars where Pulumi has plurals. References are found by the ids and ARNs
that the recording makes up. A kind without a name here is an error: nothing goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from infra.core.cost.resource import Resource
from infra.core.errors import Fault, TerraceError
from infra.core.stages import LADDER, Option
from ops.cost.answer import Table

FILE = Path("infra/policy/checkov.yaml")
SHORTEST_REASON = 20

NAMES: Mapping[str, str] = {
    "acm/certificate": "acm_certificate",
    "acm/certificateValidation": "acm_certificate_validation",
    "backup/plan": "backup_plan",
    "backup/selection": "backup_selection",
    "backup/vault": "backup_vault",
    "budgets/budget": "budgets_budget",
    "cloudtrail/trail": "cloudtrail",
    "cloudwatch/compositeAlarm": "cloudwatch_composite_alarm",
    "cloudwatch/dashboard": "cloudwatch_dashboard",
    "cloudwatch/eventRule": "cloudwatch_event_rule",
    "cloudwatch/eventTarget": "cloudwatch_event_target",
    "cloudwatch/logGroup": "cloudwatch_log_group",
    "cloudwatch/logMetricFilter": "cloudwatch_log_metric_filter",
    "cloudwatch/metricAlarm": "cloudwatch_metric_alarm",
    "costexplorer/costAllocationTag": "ce_cost_allocation_tag",
    "dlm/lifecyclePolicy": "dlm_lifecycle_policy",
    "ebs/encryptionByDefault": "ebs_encryption_by_default",
    "ebs/volume": "ebs_volume",
    "ec2/defaultSecurityGroup": "default_security_group",
    "ec2/eip": "eip",
    "ec2/eipAssociation": "eip_association",
    "ec2/flowLog": "flow_log",
    "ec2/instance": "instance",
    "ec2/internetGateway": "internet_gateway",
    "ec2/natGateway": "nat_gateway",
    "ec2/route": "route",
    "ec2/routeTable": "route_table",
    "ec2/routeTableAssociation": "route_table_association",
    "ec2/securityGroup": "security_group",
    "ec2/subnet": "subnet",
    "ec2/volumeAttachment": "volume_attachment",
    "ec2/vpc": "vpc",
    "ec2/vpcEndpoint": "vpc_endpoint",
    "guardduty/detector": "guardduty_detector",
    "iam/instanceProfile": "iam_instance_profile",
    "iam/openIdConnectProvider": "iam_openid_connect_provider",
    "iam/role": "iam_role",
    "iam/rolePolicy": "iam_role_policy",
    "iam/rolePolicyAttachment": "iam_role_policy_attachment",
    "kms/alias": "kms_alias",
    "kms/key": "kms_key",
    "lambda/function": "lambda_function",
    "lambda/permission": "lambda_permission",
    "lb/listener": "lb_listener",
    "lb/listenerRule": "lb_listener_rule",
    "lb/loadBalancer": "lb",
    "lb/targetGroup": "lb_target_group",
    "lb/targetGroupAttachment": "lb_target_group_attachment",
    "rds/instance": "db_instance",
    "rds/parameterGroup": "db_parameter_group",
    "rds/subnetGroup": "db_subnet_group",
    "route53/record": "route53_record",
    "s3/accountPublicAccessBlock": "s3_account_public_access_block",
    "s3/bucket": "s3_bucket",
    "s3/bucketLifecycleConfiguration": "s3_bucket_lifecycle_configuration",
    "s3/bucketObjectv2": "s3_object",
    "s3/bucketOwnershipControls": "s3_bucket_ownership_controls",
    "s3/bucketPolicy": "s3_bucket_policy",
    "s3/bucketPublicAccessBlock": "s3_bucket_public_access_block",
    "s3/bucketReplicationConfig": "s3_bucket_replication_configuration",
    "s3/bucketServerSideEncryptionConfiguration": "s3_bucket_server_side_encryption_configuration",
    "s3/bucketVersioning": "s3_bucket_versioning",
    "sns/topic": "sns_topic",
    "sns/topicPolicy": "sns_topic_policy",
    "sns/topicSubscription": "sns_topic_subscription",
    "ssm/parameter": "ssm_parameter",
    "vpc/securityGroupEgressRule": "vpc_security_group_egress_rule",
    "vpc/securityGroupIngressRule": "vpc_security_group_ingress_rule",
    "wafv2/webAcl": "wafv2_web_acl",
    "wafv2/webAclAssociation": "wafv2_web_acl_association",
}
"""The provider's own names, without `aws_` (its registry pages; pulumi-aws names them on its own)."""

SINGULAR = {
    "client_id_lists": "client_id_list",
    "conditions": "condition",
    "default_actions": "default_action",
    "expirations": "expiration",
    "metric_queries": "metric_query",
    "notifications": "notification",
    "parameters": "parameter",
    "rules": "rule",
    "transitions": "transition",
    "actions": "action",
}
"""Blocks that Pulumi has in the plural, where they are lists of objects."""

MAPS = ("tags", "dimensions", "variables", "target_tags", "tags_to_add")
"""Values that are maps, not blocks."""


MADE_UP = ("{kind}-{name}", "arn:aws:mock:::{kind}/{name}", "eipalloc-{name}", "{name}.elb.mock")
"""How a recording names what only a cloud can tell (ops/adapters/recorded.py): by these, references are found."""

NAMED: Mapping[str, Any] = {
    "terrace:environment": "prod",
    "terrace:ami": "ami-0123456789abcdef0",
    "terrace:domain": "app.example.com",
    "terrace:dns": {"zoneId": "Z0123456789ABCDEFGHIJ"},
}
SWITCHES: Mapping[str, Any] = {
    "terrace:account": {"repository": "example/terrace", "costTags": True},
    "terrace:backup": {"awsBackup": True, "offsiteRegion": "ap-northeast-1"},
    "terrace:budget": {"monthly": "400"},
    "terrace:gpu": {"mode": "auto"},
    "terrace:notify": {"webhook": "slack", "quietHours": "22:00-08:00+09:00"},
}
FIREWALL: Mapping[str, Any] = {"terrace:edge": {"firewall": "block"}}
CLOSED: Mapping[str, Any] = {"terrace:edge": {"nat": "none", "packages": "ab" * 32}}
"""Of a stack with a load balancer alone; the second with nothing that asks the internet."""


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """What checkov is shown: a rung of each option as it is, and with everything switched on; one without a NAT."""
    for option in Option:
        rung = next((each for each in LADDER if each.built and each.option is option), None)
        if rung is not None:
            private = option is Option.PRIVATE
            shown = {"plain": {}, "everything": {**SWITCHES, **(FIREWALL if private else {})}}
            for name, more in {**shown, **({"closed": CLOSED} if private else {})}.items():
                yield f"{rung.name}-{name}", {**NAMED, **more, "terrace:stage": rung.name}


def plan(resources: Sequence[Resource]) -> dict[str, Any]:
    """The resources as `terraform show -json` prints a plan of them.

    Raises:
        TerraceError: a kind of pulumi-aws that this file has no name for.
    """
    ours = [each for each in resources if each.custom and each.token.startswith("aws:")]
    unnamed = sorted({each.token for each in ours if _short(each.token) not in NAMES})
    if unnamed:
        raise TerraceError(
            *(
                Fault(each, "has no name here, so checkov would not see it", f"Add it to NAMES in {__name__}")
                for each in unnamed
            )
        )
    addresses = {each.urn: _address(each) for each in ours}
    known = {}
    for each in ours:
        kind = each.token.rpartition(":")[2]
        for made_up in MADE_UP:
            known[made_up.format(kind=kind, name=each.name)] = addresses[each.urn]
    values, configuration = [], []
    for each in ours:
        address, kind = addresses[each.urn], f"aws_{NAMES[_short(each.token)]}"
        name = address.partition(".")[2]
        common = {"address": address, "mode": "managed", "type": kind, "name": name}
        provider = "registry.terraform.io/hashicorp/aws"
        inputs = {_snake(key): value for key, value in each.inputs.items()}
        values.append(
            {
                **common,
                "provider_name": provider,
                "values": {key: _value(key, one) for key, one in _named(inputs)},
            }
        )
        expressions = {
            key: {"references": found}
            for key, one in _named(inputs)
            if (found := sorted(set(_references(one, known))))
        }
        configuration.append({**common, "provider_config_key": "aws", "expressions": expressions})
    changes = [
        {**{key: each[key] for key in ("address", "mode", "type", "name", "provider_name")},
         "change": {"actions": ["create"], "before": None, "after": each["values"], "after_unknown": {}}}
        for each in values
    ]  # fmt: skip
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": values}},
        "resource_changes": changes,
        "configuration": {
            "provider_config": {"aws": {"name": "aws", "full_name": "registry.terraform.io/hashicorp/aws"}},
            "root_module": {"resources": configuration},
        },
    }


@dataclass(frozen=True, slots=True)
class Failed:
    """One check that a resource fails; `resource` is its address in the plan."""

    check: str
    resource: str
    says: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why a check need not hold; `resource` is a pattern of addresses in the plan."""

    check: str
    resource: str
    reason: str


def exemptions(path: Path) -> tuple[Exemption, ...]:
    """What may fail, from infra/policy/checkov.yaml.

    Raises:
        TerraceError: an entry without check, resource, or a reason of some words.
    """
    found: list[Exemption] = []
    faults: list[Fault] = []
    for index, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")) or []):
        where = f"{path.name}[{index}]"
        if not isinstance(entry, Mapping) or set(entry) != {"check", "resource", "reason"}:
            faults.append(
                Fault(where, "has not exactly the keys check, resource, reason", "See docs/policy.md")
            )
        elif len(str(entry["reason"])) < SHORTEST_REASON:
            faults.append(Fault(where, f"has a reason of fewer than {SHORTEST_REASON} characters", "Say why"))
        else:
            found.append(Exemption(str(entry["check"]), str(entry["resource"]), str(entry["reason"])))
    if faults:
        raise TerraceError(*faults)
    return tuple(found)


def unexcused(failed: Sequence[Failed], exempt: Sequence[Exemption]) -> tuple[list[Failed], list[Exemption]]:
    """The failed checks that no exception covers, and the exceptions that cover nothing any more."""
    left = [each for each in failed if not any(_covers(one, each) for one in exempt)]
    idle = [one for one in exempt if not any(_covers(one, each) for each in failed)]
    return left, idle


def table_of(left: Sequence[Failed], idle: Sequence[Exemption]) -> Table:
    """For people."""
    rows = [(each.check, each.resource, each.says) for each in left]
    rows += [(each.check, each.resource, f"excepts nothing any more: {each.reason}") for each in idle]
    title = (
        f"{len(left)} checks fail, {len(idle)} exceptions are idle"
        if rows
        else "every check holds or has its exception"
    )
    return Table(title, ("check", "resource", "what"), tuple(rows))


def _covers(exempt: Exemption, failed: Failed) -> bool:
    return exempt.check == failed.check and fnmatchcase(failed.resource, exempt.resource)


def _short(token: str) -> str:
    return token.split(":")[1]


def _address(resource: Resource) -> str:
    return f"aws_{NAMES[_short(resource.token)]}.{re.sub(r'[^A-Za-z0-9_-]', '_', resource.name)}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _named(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in inputs.items():
        block = isinstance(value, list) and any(isinstance(each, Mapping) for each in value)
        yield (SINGULAR.get(key, key) if block or key == "client_id_lists" else key), value


def _value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if key in MAPS:
            return dict(value)
        return [_block(value)]
    if isinstance(value, list):
        return [_block(each) if isinstance(each, Mapping) else each for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(type(value).__name__)


def _block(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(key, one) for key, one in _named({_snake(each): one for each, one in value.items()})}


def _references(value: Any, known: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, str):
        if value in known:
            yield from (f"{known[value]}.id", known[value])
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _references(each, known)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each, known)
